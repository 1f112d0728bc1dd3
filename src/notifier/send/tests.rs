use super::web_service::{CLOSE, Service};
use super::*;
use crate::notifier::configuration::parse;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

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
async fn what_is_no_url_or_no_header_is_not_configured_and_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        json!({ "file": path })
    };
    let bare = file("bare", "hooks.example/q7Zk");
    let unset = file("unset", "$SLACK_WEBHOOK_URL");
    let other = file("other", "ftp://hooks.example/q7Zk");
    let broken = file("broken", "q7Zk\nX-Other: y");
    for (destination, words) in [
        (
            json!({ "type": "slack", "webhookUrl": bare }),
            "bare holds no URL (https://…)",
        ),
        (
            json!({ "type": "slack", "webhookUrl": unset }),
            "unset holds no URL (https://…)",
        ),
        (
            json!({ "type": "webhook", "url": other }),
            "other holds no URL (https://…)",
        ),
        (
            json!({ "type": "webhook", "url": "http://127.0.0.1:9", "headers": { "X-Key": broken } }),
            "broken holds a line end",
        ),
        (
            json!({ "type": "line", "channelAccessToken": broken, "target": "U" }),
            "broken holds a line end",
        ),
    ] {
        let outcome = Site::new(destination).await.send("x").await;
        let Outcome::NotConfigured(reason) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(reason.contains(words) && !reason.contains("q7Zk"), "{reason}");
    }
}

#[tokio::test]
async fn a_url_in_a_file_that_begins_with_a_mark_of_its_encoding_is_used() {
    let service = Service::answering(&["200 OK\n\nok"]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("url");
    std::fs::write(&path, format!("\u{feff}{}\r\n", service.url)).unwrap();
    let site = Site::new(json!({ "type": "slack", "webhookUrl": { "file": path } })).await;
    assert_eq!(site.send("x").await, Outcome::Delivered("200 OK ok".into()));
}

/// A submission server without TLS that takes one mail after the other for whom it knows, and keeps what it was told.
async fn mail_server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    tokio::spawn(async move {
        loop {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            stream.write_all(b"220 mail.example.com\r\n").await.unwrap();
            let (mut line, mut is_content) = (String::new(), false);
            while stream.read_line(&mut line).await.is_ok_and(|length| length > 0) {
                let said = std::mem::take(&mut line).trim_end().to_owned();
                let answer = match said.as_str() {
                    "." => "250 taken",
                    _ if is_content => {
                        kept.lock().unwrap().push(said);
                        continue;
                    }
                    "DATA" => "354 go on",
                    "QUIT" => "221 bye",
                    said if said.contains("<gone@") => "550 no such user",
                    said if said.contains("<full@") => "452 mailbox full",
                    _ => "250 good",
                };
                is_content = said == "DATA";
                kept.lock().unwrap().push(said);
                if stream
                    .write_all(format!("{answer}\r\n").as_bytes())
                    .await
                    .is_err()
                {
                    break;
                }
            }
        }
    });
    (port, told)
}

#[tokio::test]
async fn a_mail_has_line_ends_of_one_kind_and_no_control_characters() {
    let (port, told) = mail_server().await;
    let site = Site::new(json!({
        "type": "mail", "host": "127.0.0.1", "port": port, "security": "none", "from": "pi@example.com",
        "recipients": ["a@example.com"],
    }))
    .await;
    for text in ["a\r.\rMAIL FROM:<x@example.com>\r\n\nb\tc", "\0d\x0b\r\u{85}e"] {
        let sent = [ready(1, text)];
        let outcome = site.sender.send(&site.destination, &site.zone, &sent).await;
        assert!(matches!(outcome, Outcome::Delivered(_)), "{outcome:?}");
    }
    let told = told.lock().unwrap();
    let first = told.iter().position(|line| line == "a").unwrap();
    let expected = ["a", "..", "MAIL FROM:<x@example.com>", "", "b\tc"];
    assert_eq!(told[first..first + 5], expected);
    let is_wrong = |line: &&String| line.contains(|c: char| c.is_control() && c != '\t');
    assert_eq!(told.iter().find(is_wrong), None);
}

#[tokio::test]
async fn a_mail_server_that_is_not_there_or_speaks_no_tls_is_named_with_what_to_do() {
    let (plain, _) = mail_server().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = closed.local_addr().unwrap().port();
    drop(closed);
    for (port, security, advice) in [
        (
            nobody,
            "tls",
            "check host and port of the destination, and firewalls on the way",
        ),
        (nobody, "starttls", "whether the port wants TLS from the start"),
        (plain, "tls", "set security to starttls, whose port is 587"),
    ] {
        let site = Site::new(json!({
            "type": "mail", "host": "127.0.0.1", "port": port, "security": security, "from": "pi@example.com",
            "recipients": ["a@example.com"],
        }))
        .await;
        let Outcome::Later { reason, .. } = site.send("x").await else {
            panic!()
        };
        let named = format!("the mail server 127.0.0.1:{port} is not reached: ");
        assert!(reason.starts_with(&named) && reason.contains(advice), "{reason}");
    }
}

/// What comes of a mail to these, and whether it was sent.
async fn mailed(recipients: &[&str], attempts: u32) -> (Outcome, bool) {
    let (port, told) = mail_server().await;
    let site = Site::new(json!({
        "type": "mail", "host": "127.0.0.1", "port": port, "security": "none", "from": "pi@example.com",
        "recipients": recipients,
    }))
    .await;
    let mut notification = ready(1, "在庫");
    notification.job.attempts = attempts;
    let outcome = site
        .sender
        .send(&site.destination, &site.zone, &[notification])
        .await;
    let told = told.lock().unwrap();
    assert_eq!(told.last().map(String::as_str), Some("QUIT"), "{told:?}");
    let contents = told.iter().filter(|said| *said == ".").count();
    assert!(contents <= 1, "{told:?}");
    (outcome, contents == 1)
}

#[tokio::test]
async fn a_subject_is_one_line_that_every_server_takes() {
    let (port, told) = mail_server().await;
    let site = Site::new(json!({
        "type": "mail", "host": "127.0.0.1", "port": port, "security": "none", "from": "pi@example.com",
        "recipients": ["a@example.com"],
    }))
    .await;
    for text in [
        "x".repeat(3000),
        format!("\u{7}{}", "在庫".repeat(1000)),
        "a\tb\u{1b}c".to_owned(),
    ] {
        let sent = [ready(1, &text)];
        let outcome = site.sender.send(&site.destination, &site.zone, &sent).await;
        assert!(matches!(outcome, Outcome::Delivered(_)), "{outcome:?}");
    }
    let told = told.lock().unwrap();
    let subjects: Vec<_> = told
        .iter()
        .filter_map(|line| line.strip_prefix("Subject: "))
        .collect();
    assert_eq!((subjects.len(), subjects[2]), (3, "a bc"), "{subjects:?}");
    let in_headers = told
        .iter()
        .filter(|line| line.contains(": ") || line.starts_with(' '));
    assert!(in_headers.map(String::len).max() < Some(998), "{told:?}");
}

#[tokio::test]
async fn a_recipient_who_is_refused_for_good_keeps_the_mail_from_nobody_else() {
    let (outcome, is_sent) = mailed(&["gone@example.com", "a@example.com", "b@example.com"], 0).await;
    let Outcome::Delivered(words) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(is_sent && words.contains("not for gone@example.com"), "{words}");
    assert!(words.contains("no such user") && !words.contains("a@"), "{words}");
    let (outcome, is_sent) = mailed(&["gone@example.com", "gone@example.org"], 0).await;
    assert!(matches!(outcome, Outcome::Never(_)) && !is_sent, "{outcome:?}");
}

#[tokio::test]
async fn while_a_recipient_may_yet_be_taken_nobody_gets_the_mail_so_that_nobody_gets_it_twice() {
    let some = ["a@example.com", "full@example.com", "gone@example.com"];
    for attempts in [0, 12] {
        let (outcome, is_sent) = mailed(&some, attempts).await;
        let Outcome::Later { reason, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert!(!is_sent && reason.contains("full@example.com"), "{reason}");
    }
    let (outcome, is_sent) = mailed(&some, 13).await;
    assert!(is_sent, "eight minutes are enough: {outcome:?}");
    let (outcome, is_sent) = mailed(&["full@example.com", "gone@example.com"], 13).await;
    assert!(
        matches!(outcome, Outcome::Later { .. }) && !is_sent,
        "{outcome:?}"
    );
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
