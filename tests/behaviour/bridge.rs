//! The HTTP bridge: phones, browsers and scripts on one side, a real Mosquitto on the other.

use crate::site::*;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const KEY: &str = "kT5uGqN0w8sYb2Lx";
const NEW: &[&str] = &["--bridge-listen", "127.0.0.1:0", "--bridge-rate", "off"];

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// `simrelay bridge` before a broker.
fn bridge_in(folder: TempDir, broker: &str, flags: &[&str]) -> Simrelay {
    let mut all = vec!["bridge", "--bridge-broker", broker];
    all.extend(NEW.iter().filter(|_| !flags.contains(&"--bridge-listen")));
    all.extend(flags);
    Simrelay::in_folder(folder, &all)
}

/// A bridge that has found its broker.
fn bridge_to(broker: &str, flags: &[&str]) -> Simrelay {
    let bridge = bridge_in(folder(), broker, flags);
    bridge.wait_for("connection to the broker", |line| {
        line["event"] == "broker_connected"
    });
    bridge
}

/// Sends `request` as it is, with `body`, and reads the whole answer.
fn ask(address: SocketAddr, head: &str, body: &[u8]) -> (u16, String, Value) {
    let mut stream = TcpStream::connect_timeout(&address, SOON).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let length = body.len();
    let head = format!("{head}\r\nHost: pi\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), serde_json::from_str(body).unwrap())
}

fn notify(bridge: &Simrelay, text: &str) -> (u16, Value) {
    let head = format!("GET /notify?message={text} HTTP/1.1");
    let (status, _, body) = ask(bridge.bridge(), &head, b"");
    (status, body)
}

fn health(bridge: &Simrelay) -> Value {
    ask(bridge.bridge(), "GET /healthz HTTP/1.1", b"").2
}

fn wait_until_drained(bridge: &Simrelay) {
    wait_until("an empty queue", || {
        (health(bridge)["waiting"] == 0).then_some(())
    });
}

#[test]
fn a_notice_arrives_in_whatever_form_it_is_sent() {
    let mosquitto = Mosquitto::plain();
    let mut watcher = mosquitto.watch();
    let bridge = bridge_to(&mosquitto.url(), &[]);
    let json = "Content-Type: application/json";
    let form = "Content-Type: application/x-www-form-urlencoded";
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "GET /notify?message=お客様が来店しました HTTP/1.1",
            "",
            "notify/slack",
            "お客様が来店しました",
        ),
        (
            "GET /notify?message=%E5%B8%B0%E5%AE%85+1&topic=%E5%AE%B6/a HTTP/1.1",
            "",
            "家/a",
            "帰宅 1",
        ),
        (
            &format!("POST /notify HTTP/1.1\r\n{json}"),
            "{\"message\":\"在庫補充完了\"}",
            "notify/slack",
            "在庫補充完了",
        ),
        (
            &format!("POST /notify HTTP/1.1\r\n{json}"),
            "{\"topic\":\"a\",\"message\":\"\\ud83d\\udce2\"}",
            "a",
            "📢",
        ),
        (
            &format!("POST /notify HTTP/1.1\r\n{form}"),
            "message=%E5%9C%A8%E5%BA%AB&topic=b",
            "b",
            "在庫",
        ),
        (
            "POST /notify?topic=c HTTP/1.1\r\nContent-Type: text/plain",
            "帰宅しました",
            "c",
            "帰宅しました",
        ),
    ];
    for (head, body, topic, text) in cases {
        let (status, _, answer) = ask(bridge.bridge(), head, body.as_bytes());
        assert_eq!(status, 200, "{head}: {answer}");
        assert_eq!(
            answer,
            json!({"status": "published", "topic": topic, "message": text})
        );
        watcher.expect(topic, text);
    }
    let head = format!("POST /publish HTTP/1.1\r\n{json}");
    let body = "{\"topic\": \"alert/critical\", \"message\": \"在庫切れ\"}";
    let (status, _, answer) = ask(bridge.bridge(), &head, body.as_bytes());
    assert_eq!((status, answer), (200, json!({"status": "published"})));
    watcher.expect("alert/critical", "在庫切れ");
}

#[test]
fn what_cannot_be_published_is_refused_and_said_why() {
    let mosquitto = Mosquitto::plain();
    let bridge = bridge_to(&mosquitto.url(), &[]);
    let long = "x".repeat(64 * 1024 + 1);
    let huge = "x".repeat(300_000);
    let cases: &[(&str, &str, u16, &str, &str)] = &[
        (
            "POST /publish",
            "{\"topic\":\"a/#\",\"message\":\"x\"}",
            400,
            "invalid topic",
            "+ or #",
        ),
        (
            "POST /publish",
            "{\"topic\":\"\",\"message\":\"x\"}",
            400,
            "invalid topic",
            "empty",
        ),
        (
            "POST /publish",
            "{\"message\":\"x\"}",
            400,
            "invalid topic",
            "topic is missing",
        ),
        (
            "POST /publish",
            "{\"topic\":\"a\"}",
            400,
            "invalid message",
            "message is missing",
        ),
        (
            "POST /publish",
            "{\"topic\":\"a\",",
            400,
            "invalid request",
            "line 1",
        ),
        ("POST /publish", "", 400, "invalid message", "message is missing"),
        (
            "POST /publish",
            &format!("{{\"topic\":\"a\",\"message\":\"{long}\"}}"),
            413,
            "message too long",
            "65536",
        ),
        ("POST /publish", &huge, 413, "message too long", "65536"),
        ("GET /notify", "", 400, "invalid message", "message is missing"),
        ("GET /notify?message=%ff", "", 400, "invalid request", "UTF-8"),
        ("DELETE /notify", "", 405, "method not allowed", "DELETE"),
        ("GET /", "", 404, "not found", "/notify"),
    ];
    for (line, body, status, error, word) in cases {
        let (found, _, answer) = ask(bridge.bridge(), &format!("{line} HTTP/1.1"), body.as_bytes());
        assert_eq!(
            (found, &answer["error"]),
            (*status, &json!(error)),
            "{line} {answer}"
        );
        assert!(
            answer["reason"].as_str().unwrap().contains(word),
            "{line}: {answer}"
        );
    }
    // None of them did any harm.
    assert_eq!(notify(&bridge, "x").0, 200);
}

#[test]
fn a_head_publishes_nothing_and_is_told_what_is_allowed() {
    let mosquitto = Mosquitto::plain();
    let mut watcher = mosquitto.watch();
    let bridge = bridge_to(&mosquitto.url(), &[]);
    for (line, allowed) in [
        ("HEAD /notify?message=head", "allow: GET, POST\r\n"),
        ("DELETE /notify?message=head", "allow: GET, POST\r\n"),
        ("GET /publish?topic=a&message=head", "allow: POST\r\n"),
        ("HEAD /publish?topic=a&message=head", "allow: POST\r\n"),
        ("POST /healthz", "allow: GET, HEAD\r\n"),
    ] {
        let answer = answer_to(bridge.bridge(), line);
        assert!(answer.starts_with("HTTP/1.1 405 "), "{line}: {answer}");
        assert!(answer.contains(allowed), "{line}: {answer}");
    }
    assert!(answer_to(bridge.bridge(), "HEAD /healthz").starts_with("HTTP/1.1 200 "));
    assert_eq!(notify(&bridge, "get").0, 200);
    watcher.expect("notify/slack", "get");
}

/// All that is answered to a request without body.
fn answer_to(address: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect_timeout(&address, SOON).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let head = format!("{line} HTTP/1.1\r\nHost: pi\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn an_address_may_be_as_long_as_is_said() {
    let mosquitto = Mosquitto::plain();
    let bridge = bridge_to(&mosquitto.url(), &[]);
    let begin = "/notify?message=";
    let address = |length: usize| format!("{begin}{}", "x".repeat(length - begin.len()));
    for (length, status) in [(65_534, "200"), (65_535, "414"), (100_000, "414")] {
        let answer = answer_to(bridge.bridge(), &format!("GET {}", address(length)));
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{length}: {answer:.80}"
        );
    }
}

#[test]
fn what_the_broker_will_not_have_is_set_aside_until_an_operator_decides() {
    let mosquitto = Mosquitto::with_password_for("bridge", "right-word", "notify/#");
    let (wrong, right) = (secret_file("wrong-word"), secret_file("right-word"));
    let (wrong, right) = (bridge_login("bridge", &wrong), bridge_login("bridge", &right));
    let mut watcher = mosquitto.watch();
    let bridge = bridge_in(folder(), &mosquitto.url(), &wrong);
    bridge.wait_for("refusal", |line| line["event"] == "broker_lost");
    let body = "{\"topic\":\"alert/critical\",\"message\":\"\u{1b}[2Jpoison\"}".replace('\u{1b}', "\\u001b");
    let (status, _, _) = ask(bridge.bridge(), "POST /publish HTTP/1.1", body.as_bytes());
    assert_eq!(status, 202);
    let again = |bridge: Simrelay| bridge_in(bridge.kill(), &mosquitto.url(), &right);
    let parked = |bridge: &Simrelay, number: u32| {
        wait_until(&format!("{number} parked"), || {
            (health(bridge)["parked"] == number).then_some(())
        });
        assert_eq!(health(bridge)["waiting"], 0);
    };
    let refusals = || {
        mosquitto
            .log()
            .matches("Denied PUBLISH from simrelay-bridge")
            .count()
    };
    let bridge = again(bridge);
    parked(&bridge, 1);
    let command = |words: &[&str]| run(bridge.folder.path(), &[&["parked"], words].concat());
    let listed = command(&["list"]).stdout;
    for words in ["1  ", "alert/critical", "\\u{1b}[2Jpoison", "NotAuthorized"] {
        assert!(listed.contains(words), "{words}: {listed}");
    }
    assert_eq!(command(&["show", "1"]).code, Some(0));
    assert_eq!(command(&["show", "2"]).code, Some(1));
    assert_eq!(command(&["drop"]).code, Some(2), "what?");
    // A start does not try it again, and what comes next has its number of its own.
    let bridge = again(bridge);
    assert!([200, 202].contains(&notify(&bridge, "next").0));
    watcher.expect("notify/slack", "next");
    parked(&bridge, 1);
    assert_eq!(refusals(), 1);
    let requeued = run(bridge.folder.path(), &["parked", "requeue", "1"]);
    assert!(
        requeued.stdout.starts_with("1 message(s) will be sent again"),
        "{requeued:?}"
    );
    // The bridge runs on, and is refused once more.
    wait_until("a second refusal", || (refusals() == 2).then_some(()));
    parked(&bridge, 1);
    let dropped = run(bridge.folder.path(), &["parked", "drop", "--all"]);
    assert_eq!(dropped.stdout.trim(), "1 message(s) thrown away");
    parked(&bridge, 0);
}

#[test]
fn a_broker_that_hangs_makes_202_and_the_message_comes_once() {
    let mosquitto = Mosquitto::plain();
    let mut watcher = mosquitto.watch();
    let bridge = bridge_to(&mosquitto.url(), &[]);
    mosquitto.signal("STOP");
    let began = Instant::now();
    let (status, answer) = notify(&bridge, "while-it-hung");
    let took = began.elapsed();
    mosquitto.signal("CONT");
    assert_eq!((status, &answer["status"]), (202, &json!("accepted")));
    assert!(took >= Duration::from_millis(900), "{took:?}");
    watcher.expect("notify/slack", "while-it-hung");
    wait_until_drained(&bridge);
    // The copy on disk went when the acknowledgement came: not even a crash sends it again.
    let file = bridge.folder.path().join("data/simrelay.sqlite");
    let kept = || tokio_test(async { rows(&file).await });
    wait_until("an empty table", || (kept() == 0).then_some(()));
    let bridge = bridge_in(bridge.kill(), &mosquitto.url(), &[]);
    assert_eq!(notify(&bridge, "afterwards").0, 200);
    watcher.expect("notify/slack", "afterwards");
}

/// Messages on disk.
async fn rows(file: &std::path::Path) -> i64 {
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    sqlx::query_scalar("SELECT count(*) FROM bridge_queue")
        .fetch_one(&pool)
        .await
        .unwrap()
}

fn tokio_test<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn what_was_accepted_survives_kill_9_and_comes_in_order_before_what_is_new() {
    let mut mosquitto = Mosquitto::plain();
    let bridge = bridge_to(&mosquitto.url(), &[]);
    mosquitto.stop();
    let mut expected = Vec::new();
    let mut folder = Some(bridge);
    for life in 0..3 {
        let bridge = folder.take().unwrap();
        for n in 0..10 {
            let text = format!("life-{life}-message-{n}");
            assert_eq!(notify(&bridge, &text).0, 202);
            expected.push(text);
        }
        folder = Some(bridge_in(bridge.kill(), &mosquitto.url(), &[]));
    }
    let bridge = folder.unwrap();
    mosquitto.start_again();
    let mut watcher = mosquitto.watch();
    // Sent while the old ones are on their way or not even begun: either way behind them.
    let (status, _) = notify(&bridge, "new");
    assert!([200, 202].contains(&status), "{status}");
    expected.push("new".to_owned());
    for text in &expected {
        watcher.expect("notify/slack", text);
    }
    wait_until_drained(&bridge);
    assert_eq!(notify(&bridge, "last").0, 200);
    watcher.expect("notify/slack", "last");
}

#[test]
fn a_caller_who_hangs_up_has_sent_the_message_all_the_same() {
    let mut mosquitto = Mosquitto::plain();
    let bridge = bridge_to(&mosquitto.url(), &[]);
    mosquitto.signal("STOP");
    let mut stream = TcpStream::connect(bridge.bridge()).unwrap();
    stream
        .write_all(b"GET /notify?message=bye HTTP/1.1\r\nHost: pi\r\n\r\n")
        .unwrap();
    wait_until("the message", || (health(&bridge)["waiting"] == 1).then_some(()));
    drop(stream);
    let file = bridge.folder.path().join("data/simrelay.sqlite");
    wait_until("a row", || (tokio_test(rows(&file)) == 1).then_some(()));
    let folder = bridge.kill();
    mosquitto.signal("CONT");
    mosquitto.stop();
    mosquitto.start_again();
    let mut watcher = mosquitto.watch();
    let _bridge = bridge_in(folder, &mosquitto.url(), &[]);
    watcher.expect("notify/slack", "bye");
}

#[test]
fn other_machines_are_not_served_without_key_or_list() {
    let unguarded = run(folder().path(), &["bridge", "--bridge-listen", "0.0.0.0:0"]);
    assert_eq!(unguarded.code, Some(1));
    for word in [
        "0.0.0.0:0",
        "SIMRELAY_BRIDGE_KEY",
        "--bridge-allow",
        "--bridge-open",
    ] {
        assert!(unguarded.stderr.contains(word), "{}", unguarded.stderr);
    }
    let mosquitto = Mosquitto::plain();
    let key = secret_file(KEY);
    for flags in [
        ["--bridge-key-file", key.to_str().unwrap()],
        ["--bridge-allow", "lan"],
        ["--log", "json"],
    ] {
        let mut all = vec!["--bridge-listen", "0.0.0.0:0"];
        if flags[0] == "--log" {
            all.push("--bridge-open");
        } else {
            all.extend(flags);
        }
        bridge_to(&mosquitto.url(), &all);
    }
}

#[test]
fn a_key_that_is_too_short_is_refused_without_being_shown() {
    let keys = [("SIMRELAY_BRIDGE_KEY", "0123,0123456789abcdef")];
    let said = run_in_environment(folder().path(), &["bridge"], &keys);
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.contains("SIMRELAY_BRIDGE_KEY") && said.stderr.contains("16 characters"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("0123"), "{}", said.stderr);
}

#[test]
fn a_line_of_the_key_file_that_is_no_key_is_named_without_being_shown() {
    let folder = folder();
    std::fs::write(folder.path().join("keys"), format!("{KEY}\nkT5uGqN0\n")).unwrap();
    let said = run(folder.path(), &["bridge", "--bridge-key-file", "keys"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr
            .contains("the bridge's key file keys, line 2: a key has at least 16 characters"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("kT5u"), "{}", said.stderr);
}

#[test]
fn a_key_is_asked_for_and_never_logged() {
    let mosquitto = Mosquitto::plain();
    let key = secret_file(KEY);
    let bridge = bridge_to(&mosquitto.url(), &["--bridge-key-file", key.to_str().unwrap()]);
    let address = bridge.bridge();
    for (head, status) in [
        ("GET /notify?message=x HTTP/1.1".to_owned(), 401),
        (
            "GET /notify?message=x&key=kT5uGqN0w8sYb2Ly HTTP/1.1".to_owned(),
            401,
        ),
        (format!("GET /notify?message=x&key={KEY} HTTP/1.1"), 200),
        (format!("GET /notify?message=x HTTP/1.1\r\nX-API-Key: {KEY}"), 200),
        (
            format!("GET /notify?message=x HTTP/1.1\r\nAuthorization: Bearer {KEY}"),
            200,
        ),
        // user:KEY
        (
            "GET /notify?message=x HTTP/1.1\r\nAuthorization: Basic dXNlcjprVDV1R3FOMHc4c1liMkx4".to_owned(),
            200,
        ),
    ] {
        let (found, answer, told) = ask(address, &head, b"");
        assert_eq!(found, status, "{head}");
        let is_wrong = head.contains("kT5uGqN0w8sYb2Ly");
        let reason = told["reason"].as_str().unwrap_or_default();
        assert_eq!(
            reason.starts_with("this key is none of the bridge's"),
            is_wrong,
            "{told}"
        );
        assert_eq!(
            status == 401,
            answer.contains("www-authenticate: Basic"),
            "{answer}"
        );
    }
    let refused = || bridge.lines(|line| line["event"] == "refused");
    wait_until("two refusals", || (refused().len() == 2).then_some(()));
    let log = bridge.log_text();
    assert!(!log.contains("kT5u"), "{log}");
    let refused = refused();
    assert_eq!(
        (&refused[0]["address"], &refused[0]["status"]),
        (&json!("127.0.0.1"), &json!(401))
    );
}

#[test]
fn strangers_are_refused_and_callers_are_limited() {
    let mosquitto = Mosquitto::plain();
    let bridge = bridge_to(&mosquitto.url(), &["--bridge-allow", "192.168.1.0/24,10.0.0.1"]);
    let (status, _, answer) = ask(bridge.bridge(), "GET /notify?message=x HTTP/1.1", b"");
    assert_eq!((status, &answer["error"]), (403, &json!("forbidden")));
    let flags = ["--bridge-listen", "127.0.0.1:0", "--bridge-rate", "3"];
    let bridge = bridge_to(&mosquitto.url(), &flags);
    let statuses: Vec<_> = (0..6).map(|_| notify(&bridge, "x").0).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429]);
    let (_, head, _) = ask(bridge.bridge(), "GET /notify?message=x HTTP/1.1", b"");
    assert!(head.contains("retry-after: "), "{head}");
    // A flood is one line in the log.
    bridge.wait_for("refusal", |line| line["status"] == 429);
    assert_eq!(bridge.lines(|line| line["status"] == 429).len(), 1);
}

#[test]
fn a_byte_before_the_proxys_word_makes_no_stranger_a_member() {
    let mosquitto = Mosquitto::plain();
    let flags = [
        "--bridge-proxy",
        "127.0.0.1",
        "--bridge-allow",
        "127.0.0.1,10.0.0.7",
    ];
    let bridge = bridge_to(&mosquitto.url(), &flags);
    let ask_as = |forwarded: &str| {
        let head = format!("GET /notify?message=x HTTP/1.1\r\nX-Forwarded-For: {forwarded}");
        let (status, _, answer) = ask(bridge.bridge(), &head, b"");
        (status, answer["reason"].as_str().unwrap_or_default().to_owned())
    };
    // nginx's $proxy_add_x_forwarded_for: what the caller sent, and who it was.
    assert_eq!(ask_as("é, 203.0.113.9").0, 403);
    assert_eq!(ask_as("10.0.0.7, 203.0.113.9:4711").0, 403);
    assert_eq!(ask_as("é, 10.0.0.7").0, 200);
    assert_eq!(ask_as("10.0.0.7:4711").0, 200);
    let (status, reason) = ask_as("10.0.0.7, unknown");
    assert!(status == 403 && reason.contains("X-Forwarded-For"), "{reason}");
    let line = bridge.wait_for("refusal", |line| line["reason"] == json!(reason));
    assert_eq!(line["address"], "127.0.0.1");
}

#[tokio::test]
async fn https_with_a_certificate_of_its_own() {
    let mosquitto = Mosquitto::plain();
    let authority = Authority::new("site");
    let folder = folder();
    authority.server("127.0.0.1").write(folder.path());
    let flags = ["--bridge-tls-cert", "cert.pem", "--bridge-tls-key", "key.pem"];
    let bridge = bridge_in(folder, &mosquitto.url(), &flags);
    bridge.wait_for("connection to the broker", |line| {
        line["event"] == "broker_connected"
    });
    // The program installs it first thing in main; a test has to do so itself.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .build()
        .unwrap();
    let url = format!("https://{}/notify?message=geheim", bridge.bridge());
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let plain = client.get(format!("http://{}/notify?message=x", bridge.bridge()));
    assert!(plain.send().await.is_err());
}

#[test]
fn a_wrong_password_is_said_and_the_messages_wait_for_the_right_one() {
    let mosquitto = Mosquitto::with_password_for("bridge", "right-word", "notify/#");
    let mut watcher = mosquitto.watch();
    let file = secret_file("wrong-word");
    let wrong = bridge_login("bridge", &file);
    let bridge = bridge_in(folder(), &mosquitto.url(), &wrong);
    let lost = bridge.wait_for("refusal", |line| line["event"] == "broker_lost");
    assert!(
        lost["reason"]
            .as_str()
            .unwrap()
            .contains("refuses user \"bridge\""),
        "{lost}"
    );
    assert!(
        lost["advice"].as_str().unwrap().contains("password_file"),
        "{lost}"
    );
    assert_eq!(notify(&bridge, "kept").0, 202);
    assert!(!bridge.log_text().contains("wrong-word"), "{}", bridge.log_text());
    let file = secret_file("right-word");
    let right = bridge_login("bridge", &file);
    let bridge = bridge_in(bridge.kill(), &mosquitto.url(), &right);
    watcher.expect("notify/slack", "kept");
    // The broker lets this user write below notify/ only.
    let body = b"{\"topic\":\"alert/critical\",\"message\":\"x\"}";
    let (status, _, answer) = ask(bridge.bridge(), "POST /publish HTTP/1.1", body);
    assert_eq!((status, &answer["error"]), (502, &json!("refused by the broker")));
    let reason = answer["reason"].as_str().unwrap();
    for words in [
        "NotAuthorized",
        "publish to \"alert/critical\"",
        "see its acl_file",
    ] {
        assert!(reason.contains(words), "{words}: {answer}");
    }
    assert_eq!(notify(&bridge, "x").0, 200);
}

#[test]
fn a_caller_who_dawdles_is_cut_off_and_holds_nobody_up() {
    let mosquitto = Mosquitto::plain();
    let bridge = bridge_to(&mosquitto.url(), &[]);
    let begin = |text: &str| {
        let mut stream = TcpStream::connect(bridge.bridge()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let mut slow_head = begin("GET /notify?message=x HTTP/1.1\r\nHost:");
    let mut slow_body = begin("POST /notify HTTP/1.1\r\nHost: pi\r\nContent-Length: 50\r\n\r\n{\"mess");
    assert_eq!(notify(&bridge, "quick").0, 200);
    for slow in [&mut slow_body, &mut slow_head] {
        let mut answer = String::new();
        slow.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("send it whole within 10 s"),
            "{answer}"
        );
    }
}

#[test]
fn a_second_bridge_leaves_the_queue_alone() {
    let mosquitto = Mosquitto::plain();
    let bridge = bridge_to(&mosquitto.url(), &[]);
    let second = run(
        bridge.folder.path(),
        &["bridge", "--bridge-listen", "127.0.0.1:0"],
    );
    assert_eq!(second.code, Some(1));
    assert!(
        second.stderr.contains("another bridge works with"),
        "{}",
        second.stderr
    );
}

#[test]
fn each_service_runs_alone_and_all_run_together() {
    let relay = Simrelay::in_folder(folder(), &["relay", "--relay-listen", "127.0.0.1:0"]);
    let services = |running: &Simrelay| -> Vec<String> {
        let lines = running.lines(|line| line["event"] == "listening");
        lines
            .iter()
            .map(|line| line["service"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(services(&relay), ["relay", "api"]);
    let mosquitto = Mosquitto::plain();
    let bridge = bridge_to(&mosquitto.url(), &[]);
    assert_eq!(services(&bridge), ["bridge"]);
    let flags = ["--relay-listen", "127.0.0.1:0", "--bridge-listen", "127.0.0.1:0"];
    let broker = ["--broker-listen", "off", "--bridge-broker", &mosquitto.url()];
    let mut all = Simrelay::in_folder(folder(), &[&flags[..], &broker[..]].concat());
    assert_eq!(services(&all), ["relay", "api", "bridge"]);
    assert!([200, 202].contains(&notify(&all, "x").0));
    all.signal("TERM");
    assert!(all.wait().success());
}

#[test]
fn a_broker_with_tls_and_a_ca_of_its_own() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::tls(&authority);
    let folder = folder();
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let without = bridge_in(tempfile::tempdir().unwrap(), &mosquitto.tls_url(), &[]);
    let lost = without.wait_for("refusal", |line| line["event"] == "broker_lost");
    assert!(
        lost["reason"].as_str().unwrap().contains("UnknownIssuer"),
        "{lost}"
    );
    let bridge = bridge_in(folder, &mosquitto.tls_url(), &["--bridge-broker-ca", "ca.pem"]);
    let mut watcher = mosquitto.watch();
    bridge.wait_for("connection to the broker", |line| {
        line["event"] == "broker_connected"
    });
    assert_eq!(notify(&bridge, "x").0, 200);
    watcher.expect("notify/slack", "x");
}

#[test]
fn one_connection_to_the_broker_serves_all_callers() {
    let mosquitto = Mosquitto::plain();
    let mut watcher = mosquitto.watch();
    let bridge = bridge_to(&mosquitto.url(), &[]);
    std::thread::scope(|scope| {
        for caller in 0..10 {
            let bridge = &bridge;
            scope.spawn(move || {
                for n in 0..30 {
                    assert_eq!(notify(bridge, &format!("{caller}-{n}")).0, 200);
                }
            });
        }
    });
    // Each caller's notices in the order in which it sent them.
    let mut next = [0; 10];
    for _ in 0..300 {
        let (_, text) = watcher.next();
        let (caller, n) = text.split_once('-').unwrap();
        let expected = &mut next[caller.parse::<usize>().unwrap()];
        assert_eq!(n.parse::<i32>().unwrap(), *expected, "{text}");
        *expected += 1;
    }
    let log = mosquitto.log();
    assert_eq!(log.matches(" as simrelay-bridge-").count(), 1, "{log}");
}

#[test]
fn whatever_was_answered_arrives_over_kills_in_the_midst_of_it() {
    let mosquitto = Mosquitto::plain();
    let mut watcher = mosquitto.watch();
    let mut data = folder();
    let mut promised = Vec::new();
    let mut received = HashMap::new();
    for life in 0..6 {
        let bridge = bridge_in(data, &mosquitto.url(), &[]);
        let address = bridge.bridge();
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                std::thread::spawn(move || send_until_it_ends(address, &format!("{life}-{sender}")))
            })
            .collect();
        // Long enough to be in the midst of it, different each time.
        for _ in 0..20 + life * 15 {
            count(&mut received, watcher.next().1);
        }
        let hangs = life % 2 == 1;
        if hangs {
            mosquitto.signal("STOP");
            let file = bridge.folder.path().join("data/simrelay.sqlite");
            wait_until("promises on disk", || (tokio_test(rows(&file)) > 3).then_some(()));
        }
        data = bridge.kill();
        promised.extend(senders.into_iter().flat_map(|sender| sender.join().unwrap()));
        if hangs {
            mosquitto.signal("CONT");
        }
    }
    let bridge = bridge_in(data, &mosquitto.url(), &[]);
    wait_until_drained(&bridge);
    assert!([200, 202].contains(&notify(&bridge, "the-last").0));
    while let Some(text) = Some(watcher.next().1).filter(|text| text != "the-last") {
        count(&mut received, text);
    }
    let of = |status: u16| promised.iter().filter(|(found, _)| *found == status).count();
    assert!(of(200) > 100 && of(202) >= 3, "{} and {}", of(200), of(202));
    let missing: Vec<_> = promised
        .iter()
        .filter(|(_, text)| !received.contains_key(text))
        .collect();
    assert!(
        missing.is_empty(),
        "{} of {} are missing: {missing:?}",
        missing.len(),
        promised.len()
    );
    // Twice comes only what was under way at one of the six kills.
    let twice = received.values().filter(|times| **times > 1).count();
    assert!(twice <= 6 * 8, "{twice} came twice");
}

fn count(received: &mut HashMap<String, u32>, text: String) {
    *received.entry(text).or_default() += 1;
}

/// Sends notice after notice; those that were answered with 200 or 202, when nobody answers any more.
fn send_until_it_ends(address: SocketAddr, name: &str) -> Vec<(u16, String)> {
    let mut promised = Vec::new();
    for n in 0.. {
        let text = format!("{name}-{n}");
        let Some(status) = try_to_notify(address, &text) else {
            break;
        };
        assert!([200, 202].contains(&status), "{status}");
        promised.push((status, text));
    }
    promised
}

fn try_to_notify(address: SocketAddr, text: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, SOON).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    let head = format!("GET /notify?message={text} HTTP/1.1\r\nHost: pi\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}
