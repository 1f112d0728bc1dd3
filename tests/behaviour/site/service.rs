//! A service on the web, as the notifier meets it: the test says what it answers.

use super::{SOON, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A request that came, and when.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) body: String,
    pub(crate) at: Instant,
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// This status line and headers, and this body.
    Answer(&'static str, &'static str),
    /// Close the connection.
    Close,
    /// Say nothing for this long, then close.
    Hang(Duration),
}

/// A running service.
#[derive(Debug)]
pub(crate) struct WebService {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl WebService {
    /// Asks `reply` for each request, which is told how many came before.
    pub(crate) fn start(reply: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, reply) = (Arc::clone(&requests), Arc::new(reply));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, reply) = (Arc::clone(&kept), Arc::clone(&reply));
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    let before = {
                        let mut kept = kept.lock().unwrap();
                        kept.push(request.clone());
                        kept.len() - 1
                    };
                    answer(stream, &reply(before, &request));
                });
            }
        });
        Self { address, requests }
    }

    /// One that takes everything, as Slack does.
    pub(crate) fn slack() -> Self {
        Self::start(|_, _| Reply::Answer("200 OK", "ok"))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/services/T/B/s3cr3t", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The `text` of each request so far.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |request: &Request| {
            let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
            body["text"].as_str().unwrap_or_default().to_owned()
        };
        self.requests().iter().map(text).collect()
    }

    /// Waits for so many requests.
    #[track_caller]
    pub(crate) fn wait_for(&self, number: usize) -> Vec<Request> {
        wait_until(
            &format!("{number} request(s), not {}", self.requests().len()),
            || {
                let requests = self.requests();
                (requests.len() >= number).then_some(requests)
            },
        )
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        body: String::from_utf8(body).ok()?,
        at: Instant::now(),
    })
}

fn answer(mut stream: TcpStream, reply: &Reply) {
    match reply {
        Reply::Close => {}
        Reply::Hang(pause) => std::thread::sleep(*pause),
        Reply::Answer(head, body) => {
            let whole = format!(
                "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            // The notifier may have been killed.
            let _ = stream.write_all(whole.as_bytes());
        }
    }
}
