//! The services that the tests send to.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A service that answers one request after the other as told, and keeps what it was sent.
pub(in crate::notifier) struct Service {
    pub(in crate::notifier) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Closes the connection without an answer.
pub(super) const CLOSE: &str = "";

impl Service {
    pub(in crate::notifier) async fn answering(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !is_whole(&request) {
                    let mut piece = [0; 4096];
                    let read = stream.read(&mut piece).await.unwrap();
                    request.extend_from_slice(&piece[..read]);
                }
                kept.lock().unwrap().push(String::from_utf8(request).unwrap());
                if *answer != CLOSE {
                    let (head, body) = answer.split_once("\n\n").unwrap();
                    let head = head.replace('\n', "\r\n");
                    let length = body.len();
                    let whole = format!(
                        "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                    );
                    stream.write_all(whole.as_bytes()).await.unwrap();
                }
            }
        });
        Self { url, requests }
    }

    pub(in crate::notifier) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}
