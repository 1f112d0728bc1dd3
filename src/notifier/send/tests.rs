use super::*;
use crate::notifier::configuration::parse;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A service that answers one request after the other as told, and keeps what it was sent.
struct Service {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Closes the connection without an answer.
const CLOSE: &str = "";

impl Service {
    async fn answering(answers: &'static [&'static str]) -> Self {
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

    fn requests(&self) -> Vec<String> {
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

struct Site {
    sender: Sender,
    destination: Arc<Destination>,
    zone: TimeZone,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn new(destination: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let parsed =
            parse(&json!({ "timeZone": "Asia/Tokyo", "destinations": { "d": destination } })).unwrap();
        let database = crate::database::Database::open(folder.path()).await.unwrap();
        Self {
            sender: Sender::new(database, folder.path().to_owned()).unwrap(),
            destination: Arc::clone(&parsed.notifications.destinations["d"]),
            zone: parsed.notifications.zone.clone(),
            _folder: folder,
        }
    }

    async fn send(&self, text: &str) -> Outcome {
        self.sender
            .send(&self.destination, &self.zone, &[ready(1, text)])
            .await
    }
}

fn ready(id: i64, text: &str) -> Ready {
    Ready {
        text: text.to_owned(),
        job: Job {
            id,
            destination: "d".to_owned(),
            route: "r".to_owned(),
            topic: "stock/low".to_owned(),
            payload: Some(b"payload".to_vec()),
            text: None,
            retry_key: "1f1b6c5e-0000-4000-8000-000000000001".to_owned(),
            created: 1_795_410_189_000,
            attempts: 0,
        },
    }
}

#[tokio::test]
async fn slack_gets_a_text_and_its_answers_are_understood() {
    let service = Service::answering(&[
        "200 OK\n\nok",
        "429 Too Many Requests\nRetry-After: 7\n\nrate_limited",
        "500 Internal Server Error\n\nrollup_error",
        "404 Not Found\n\nno_service",
        CLOSE,
    ])
    .await;
    let site =
        Site::new(json!({ "type": "slack", "webhookUrl": format!("{}/services/T/B/s3cr3t", service.url) }))
            .await;
    assert_eq!(site.send("🚨 在庫").await, Outcome::Delivered("200 OK ok".into()));
    let Outcome::Later { after, reason } = site.send("x").await else {
        panic!()
    };
    assert_eq!(
        (after, reason.as_str()),
        (Some(Duration::from_secs(7)), "429 Too Many Requests rate_limited")
    );
    assert!(matches!(site.send("x").await, Outcome::Later { after: None, .. }));
    let Outcome::Never(reason) = site.send("x").await else {
        panic!()
    };
    assert!(
        reason.contains("no_service") && reason.contains("make a new one"),
        "{reason}"
    );
    let Outcome::Later { reason, .. } = site.send("x").await else {
        panic!()
    };
    assert!(!reason.contains("s3cr3t"), "the URL is a secret: {reason}");
    let Outcome::Later { reason, .. } = site.send("nobody listens any more").await else {
        panic!()
    };
    assert!(
        reason.contains("refused") && !reason.contains("s3cr3t"),
        "{reason}"
    );
    let first = &service.requests()[0];
    assert!(first.starts_with("POST /services/T/B/s3cr3t HTTP/1.1"), "{first}");
    assert!(first.ends_with(r#"{"text":"🚨 在庫"}"#), "{first}");
}

#[tokio::test]
async fn line_gets_the_same_retry_key_each_time_and_409_means_it_has_it() {
    let service = Service::answering(&[
        "500 Internal Server Error\n\n{}",
        "409 Conflict\n\n{\"message\":\"The retry key is already accepted\"}",
        "401 Unauthorized\n\n{\"message\":\"Authentication failed\"}",
        "400 Bad Request\n\n{\"message\":\"The property, 'to', in the request body is invalid\"}",
    ])
    .await;
    let site = Site::new(
        json!({ "type": "line", "channelAccessToken": "t0k3n", "target": "U1", "api": service.url }),
    )
    .await;
    assert!(matches!(site.send("x").await, Outcome::Later { .. }));
    assert!(matches!(site.send("x").await, Outcome::Delivered(_)));
    let Outcome::Never(reason) = site.send("x").await else {
        panic!()
    };
    assert!(reason.contains("token") && !reason.contains("t0k3n"), "{reason}");
    let Outcome::Never(reason) = site.send(&"長".repeat(6000)).await else {
        panic!()
    };
    assert!(reason.contains("befriended"), "{reason}");
    let requests = service.requests();
    let key = "x-line-retry-key: 1f1b6c5e-0000-4000-8000-000000000001";
    assert!(
        requests
            .iter()
            .all(|request| request.to_lowercase().contains(key)),
        "{requests:?}"
    );
    assert!(
        requests[0].starts_with("POST /v2/bot/message/push "),
        "{}",
        requests[0]
    );
    assert!(
        requests[0].contains("authorization: Bearer t0k3n"),
        "{}",
        requests[0]
    );
    let body: Value = serde_json::from_str(requests[3].split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(
        body["messages"][0]["text"]
            .as_str()
            .unwrap()
            .encode_utf16()
            .count(),
        5000
    );
    assert_eq!(body["to"], "U1");
}

#[tokio::test]
async fn a_webhook_gets_its_own_body_and_headers_or_the_usual_ones() {
    let service =
        Service::answering(&["204 No Content\n\n", "200 OK\n\n", "302 Found\nLocation: /x\n\n"]).await;
    let site = Site::new(
        json!({ "type": "webhook", "url": service.url, "headers": { "X-Key": "s3cr3t" },
        "body": "{\"content\": {{ text|tojson }}, \"at\": \"{{ time }}\"}" }),
    )
    .await;
    assert!(matches!(site.send("a\"b").await, Outcome::Delivered(_)));
    let usual = Site::new(json!({ "type": "webhook", "url": service.url })).await;
    assert!(matches!(usual.send("x").await, Outcome::Delivered(_)));
    assert!(
        matches!(usual.send("x").await, Outcome::Never(_)),
        "a redirect is not followed"
    );
    let requests = service.requests();
    assert!(requests[0].contains("x-key: s3cr3t"), "{}", requests[0]);
    assert!(
        requests[0].ends_with("{\"content\": \"a\\\"b\", \"at\": \"14:03:09\"}"),
        "{}",
        requests[0]
    );
    let body: Value = serde_json::from_str(requests[1].split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(
        (&body["text"], &body["topic"], &body["id"]),
        (&json!("x"), &json!("stock/low"), &json!(1))
    );
}

#[tokio::test]
async fn what_has_no_secret_is_not_configured_and_says_what_is_missing() {
    let missing = json!({ "env": "SIMRELAY_TEST_NOT_SET" });
    for destination in [
        json!({ "type": "slack", "webhookUrl": missing }),
        json!({ "type": "line", "channelAccessToken": missing, "target": "U" }),
        json!({ "type": "webhook", "url": missing }),
        json!({ "type": "mail", "host": "127.0.0.1", "from": "a@example.com", "recipients": "b@example.com",
                "username": "u", "password": missing }),
    ] {
        let outcome = Site::new(destination).await.send("x").await;
        let Outcome::NotConfigured(reason) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(reason.contains("SIMRELAY_TEST_NOT_SET"), "{reason}");
    }
}

#[tokio::test]
async fn rows_are_written_once_however_often_they_are_sent() {
    let site = Site::new(json!({ "type": "database" })).await;
    let all = [ready(1, "one"), ready(2, "二")];
    for _ in 0..2 {
        let outcome = site.sender.send(&site.destination, &site.zone, &all).await;
        assert_eq!(outcome, Outcome::Delivered("2 row(s) written".into()));
    }
    let rows: Vec<(i64, String, String, String)> =
        sqlx::query_as("SELECT id, topic, payload, text FROM notification_record ORDER BY id")
            .fetch_all(site.sender.database.readers())
            .await
            .unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1], (2, "stock/low".into(), "payload".into(), "二".into()));
}

#[tokio::test]
async fn log_lines_are_json_with_the_time_of_the_zone() {
    let site = Site::new(json!({ "type": "log", "file": "n.log" })).await;
    assert!(matches!(site.send("a\nb").await, Outcome::Delivered(_)));
    let text = std::fs::read_to_string(site.sender.data.join("n.log")).unwrap();
    let line: Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(
        (&line["text"], &line["time"]),
        (&json!("a\nb"), &json!("2026-11-23T14:03:09.000+09:00"))
    );
    assert_eq!(line["retry_key"], "1f1b6c5e-0000-4000-8000-000000000001");
    // The same number, given by a database that was begun anew, to a program that was started anew.
    let fresh = Sender::new(site.sender.database.clone(), site.sender.data.clone()).unwrap();
    let mut other = ready(1, "c");
    other.job.retry_key = "1f1b6c5e-0000-4000-8000-000000000002".to_owned();
    let both = [ready(1, "a\nb"), other];
    let outcome = fresh.send(&site.destination, &site.zone, &both).await;
    assert!(matches!(outcome, Outcome::Delivered(_)), "{outcome:?}");
    let text = std::fs::read_to_string(site.sender.data.join("n.log")).unwrap();
    let texts: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        texts.iter().map(|line| &line["text"]).collect::<Vec<_>>(),
        ["a\nb", "c"]
    );
}

#[test]
fn a_long_text_is_cut_between_characters() {
    assert_eq!(shorten("abc", 3), "abc");
    assert_eq!(shorten("abcd", 3), "ab…");
    assert_eq!(shorten("😀😀😀", 5), "😀😀…");
}
