//! Callers of the admin API that never finish what they began.

use crate::site::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What a connection gives until its end, after `sent`.
fn answer_to(relay: &Simrelay, sent: &str) -> String {
    let mut stream = TcpStream::connect(relay.api()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_slow_caller_holds_no_connection_and_is_told_why() {
    let relay = Simrelay::to("mqtt://127.0.0.1:9");
    let token = std::fs::read_to_string(relay.folder.path().join("data/admin-token")).unwrap();
    let head = format!("Host: x\r\nAuthorization: Bearer {}\r\n", token.trim());
    let began = Instant::now();
    std::thread::scope(|scope| {
        let of_head = scope.spawn(|| answer_to(&relay, "GET /v1/groups HTTP/1.1\r\nHost: x\r\n"));
        let of_body = scope.spawn(|| {
            let line = "PUT /v1/groups/g/tags HTTP/1.1\r\n";
            answer_to(&relay, &format!("{line}{head}Content-Length: 9\r\n\r\n[{{"))
        });
        let of_nothing = scope.spawn(|| answer_to(&relay, ""));
        let of_next = scope.spawn(|| answer_to(&relay, &format!("GET /v1/groups/g HTTP/1.1\r\n{head}\r\n")));
        for answer in [of_head.join().unwrap(), of_body.join().unwrap()] {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 408 "), "{answer}");
            assert!(
                head.to_ascii_lowercase()
                    .contains("content-type: application/json"),
                "{answer}"
            );
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["code"], "RequestTimeout");
            assert!(body["message"].as_str().unwrap().contains("10 s"), "{body}");
        }
        assert_eq!(of_nothing.join().unwrap(), "");
        let answered = of_next.join().unwrap();
        assert!(
            answered.starts_with("HTTP/1.1 200 ") && !answered.contains("HTTP/1.1 408"),
            "{answered}"
        );
    });
    assert!(began.elapsed() >= Duration::from_secs(9));
    assert_eq!(relay.http().get("/v1/groups/g").status, 200);
}

#[test]
fn callers_beyond_the_limit_wait_and_are_served_when_a_place_is_free() {
    let config = Configuration::of(&entry_point("mqtt://127.0.0.1:9"));
    let relay = Simrelay::with(
        &config,
        &[
            "--api-max-connections",
            "3",
            "--bridge-listen",
            "127.0.0.1:0",
            "--bridge-max-connections",
            "3",
        ],
    );
    for (service, address) in [("api", relay.api()), ("bridge", relay.bridge())] {
        let mut open: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        let line = relay.wait_for("complaint", |line| {
            line["event"] == "all_places_taken" && line["service"] == service
        });
        let advice = format!("--{service}-max-connections");
        assert!(line["message"].as_str().unwrap().contains(&advice), "{line}");
        let mut waiting = TcpStream::connect(address).unwrap();
        waiting
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        waiting
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        assert!(waiting.read(&mut [0]).is_err(), "{service} served a fourth");
        drop(open.pop());
        waiting.set_read_timeout(Some(SOON)).unwrap();
        let mut answer = String::new();
        waiting.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{service}: {answer}");
    }
}
