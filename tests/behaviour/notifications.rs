//! The notifier: from a message at the broker to a message for people.

use crate::site::*;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The program's notifier, listening to `broker`, with this file.
pub(crate) fn notifier(broker: &Mosquitto, file: &Value) -> Simrelay {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), file);
    again(folder, broker)
}

/// The same, in a folder where one ran before.
fn again(folder: TempDir, broker: &Mosquitto) -> Simrelay {
    let before = subscribed(broker);
    let running = Simrelay::in_folder(folder, &["notifier", "--notifier-broker", &broker.url()]);
    running.wait_for("connection to the broker", |line| {
        line["event"] == "notifier_connected"
    });
    wait_until("subscription", || (subscribed(broker) > before).then_some(()));
    running
}

/// How often the broker has told a notifier that it is subscribed.
fn subscribed(broker: &Mosquitto) -> usize {
    broker
        .log()
        .matches("Sending SUBACK to simrelay-notifier")
        .count()
}

pub(crate) fn write(folder: &Path, file: &Value) {
    let new = folder.join("notifications.json.edited");
    std::fs::write(&new, format!("{file:#}\n")).unwrap();
    std::fs::rename(new, folder.join("notifications.json")).unwrap();
}

fn slack(service: &WebService) -> Value {
    json!({ "type": "slack", "webhookUrl": service.url(), "perMinute": 60000, "burst": 100 })
}

fn publish(broker: &Mosquitto, topic: &str, message: &str) {
    mosquitto_pub(
        "127.0.0.1",
        broker.inside,
        &["-q", "1", "-t", topic, "-m", message],
    )
    .unwrap();
}

/// The `text` of each line that a log destination has written.
fn logged(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("data/notifications.log")).unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| line["text"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn wait_for_log(folder: &Path, number: usize) -> Vec<String> {
    wait_until(&format!("{number} line(s) in the log"), || {
        let lines = logged(folder);
        (lines.len() >= number).then_some(lines)
    })
}

#[test]
fn the_routes_of_a_first_run_reach_slack_with_their_signs() {
    let (broker, service) = (Mosquitto::plain(), WebService::slack());
    let shipped = include_str!("../../notifications.json");
    let edited = shipped.replace(
        "{ \"env\": \"SLACK_WEBHOOK_URL\" }",
        &format!("{:?}", service.url()),
    );
    assert_ne!(shipped, edited);
    let running = notifier(&broker, &serde_json::from_str(&edited).unwrap());
    publish(&broker, "notify/slack", "倉庫Aの在庫が10個を切りました");
    publish(&broker, "stock/low", "A棚の在庫が5個まで減少しました");
    publish(&broker, "batch/success", "処理完了");
    publish(&broker, "batch/error", "処理失敗");
    publish(&broker, "reception/call", "受付にお客様がいらっしゃいました");
    publish(&broker, "nobody/asked", "x");
    service.wait_for(5);
    let texts = service.texts();
    let told = |sign: &str, words: &str| {
        texts
            .iter()
            .any(|text| text.starts_with(sign) && text.ends_with(words))
    };
    assert!(
        told("📢 *通知* (", ")\n倉庫Aの在庫が10個を切りました"),
        "{texts:?}"
    );
    assert!(told("🚨 A棚", "5個まで減少しました"), "{texts:?}");
    assert!(
        told("✅ 処理完了", "") && told("❌ 処理失敗", "") && told("📞 受付に", ""),
        "{texts:?}"
    );
    assert_eq!(wait_for_log(running.folder.path(), 5).len(), 5);
    assert!(!running.log_text().contains("s3cr3t"), "the URL is a secret");
}

#[test]
fn without_the_secret_a_first_run_starts_says_so_once_and_keeps_what_comes() {
    let broker = Mosquitto::plain();
    let folder = tempfile::tempdir().unwrap();
    let running = again(folder, &broker);
    publish(&broker, "notify/slack", "one");
    publish(&broker, "notify/slack", "two");
    let said = running.wait_for("word about the secret", |line| {
        line["event"] == "destination_not_configured"
    });
    assert!(
        said["message"].as_str().unwrap().contains("SLACK_WEBHOOK_URL"),
        "{said}"
    );
    assert_eq!(
        wait_for_log(running.folder.path(), 2).len(),
        2,
        "other destinations go on"
    );
    // What is in the log leaves the queue a moment later.
    wait_until("only the two for slack in the queue", || {
        let list = run(running.folder.path(), &["notifications", "list"]).stdout;
        (list.matches("  waiting  ").count() == 2).then_some(())
    });
    let test = run(running.folder.path(), &["notifications", "test", "slack"]);
    assert_eq!(test.code, Some(1));
    assert!(
        test.stderr.contains("not configured") && test.stderr.contains("SLACK_WEBHOOK_URL"),
        "{test:?}"
    );
    assert_eq!(
        running
            .lines(|line| line["event"] == "destination_not_configured")
            .len(),
        1
    );
}

#[test]
fn what_waits_for_a_destination_that_is_not_in_the_file_any_more_is_told() {
    let broker = Mosquitto::plain();
    let file = |name: &str| {
        json!({
            "destinations": { name: { "type": "webhook", "url": { "env": "SIMRELAY_TEST_NOT_SET" } } },
            "routes": [{ "topics": "t", "to": name, "template": "{{ message }}" }],
        })
    };
    let running = notifier(&broker, &file("hook"));
    publish(&broker, "t", "one");
    running.wait_for("word about the secret", |line| {
        line["event"] == "destination_not_configured"
    });
    write(running.folder.path(), &file("hooks"));
    let told = running.wait_for("word about what waits", |line| {
        line["event"] == "destination_missing"
    });
    let words = "1 notification(s) wait for the destination hook, which is not in the file any more";
    assert!(told["message"].as_str().unwrap().starts_with(words), "{told}");
    let reason = "notifications.json has no destination hook any more";
    let list = run(running.folder.path(), &["notifications", "list"]).stdout;
    assert!(list.contains(reason), "{list}");
    let id = list.lines().nth(1).unwrap().split(' ').next().unwrap();
    let show = run(running.folder.path(), &["notifications", "show", id]).stdout;
    assert!(show.contains(reason), "{show}");
    let again = again(running.kill(), &broker);
    again.wait_for("the same word at the start", |line| {
        line["event"] == "destination_missing"
    });
}

/// Publishes numbered messages, all within one connection.
fn publish_numbers(broker: &Mosquitto, topic: &str, numbers: std::ops::Range<usize>) {
    let mut child = Command::new("mosquitto_pub")
        .args([
            "-h",
            &broker.inside.ip().to_string(),
            "-p",
            &broker.inside.port().to_string(),
        ])
        .args(["-q", "1", "-t", topic, "-l"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for number in numbers {
        writeln!(stdin, "{number}").unwrap();
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

fn rows(folder: &Path) -> Vec<i64> {
    let path = folder.join("data/simrelay.sqlite");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
            .await
            .unwrap();
        let texts: Vec<(String,)> = sqlx::query_as("SELECT text FROM notification_record ORDER BY id")
            .fetch_all(&pool)
            .await
            .unwrap();
        pool.close().await;
        texts.into_iter().map(|(text,)| text.parse().unwrap()).collect()
    })
}

#[test]
fn a_notifier_that_is_killed_again_and_again_loses_nothing_and_writes_nothing_twice() {
    const ROUNDS: usize = 6;
    const EACH: usize = 150;
    let broker = Mosquitto::plain();
    let mut running = notifier(
        &broker,
        &json!({
            "destinations": { "rows": { "type": "database" } },
            "routes": [{ "topics": "count", "to": "rows", "template": "{{ message }}" }],
        }),
    );
    for round in 0..ROUNDS {
        let numbers = round * EACH..(round + 1) * EACH;
        running = std::thread::scope(|scope| {
            scope.spawn(|| publish_numbers(&broker, "count", numbers));
            // In the middle of it, each time a little later.
            std::thread::sleep(Duration::from_millis(15 * round as u64));
            again(running.kill(), &broker)
        });
    }
    let folder = running.folder.path().to_owned();
    let mut all = wait_until("every message as a row", || {
        let rows = rows(&folder);
        (rows.len() >= ROUNDS * EACH).then_some(rows)
    });
    all.sort_unstable();
    assert_eq!(all, (0..(ROUNDS * EACH) as i64).collect::<Vec<_>>());
    wait_until("empty queue", || {
        let list = run(&folder, &["notifications", "list"]).stdout;
        list.contains("nothing waits").then_some(())
    });
}

#[test]
fn a_destination_that_fails_or_hangs_delays_no_other_and_gets_all_when_it_is_back() {
    let broker = Mosquitto::plain();
    let failing = WebService::start(|before, _| match before {
        0 => Reply::Answer("429 Too Many Requests\r\nRetry-After: 2", "rate_limited"),
        1 => Reply::Close,
        _ => Reply::Answer("200 OK", "ok"),
    });
    let hanging = WebService::start(|_, _| Reply::Hang(SOON));
    let running = notifier(
        &broker,
        &json!({
            "destinations": { "failing": slack(&failing), "hanging": slack(&hanging), "log": { "type": "log" } },
            "routes": [{ "topics": "t", "to": ["failing", "hanging", "log"], "template": "{{ message }}" }],
        }),
    );
    for message in ["1", "2", "3"] {
        publish(&broker, "t", message);
    }
    assert_eq!(wait_for_log(running.folder.path(), 3), ["1", "2", "3"]);
    let requests = failing.wait_for(5);
    assert_eq!(
        failing.texts(),
        ["1", "1", "1", "2", "3"],
        "in order, the first until it is taken"
    );
    assert!(
        requests[1].at - requests[0].at >= Duration::from_secs(2),
        "Retry-After"
    );
    assert_eq!(hanging.requests().len(), 1);
    let back = running.wait_for("word that it is back", |line| line["event"] == "destination_back");
    assert_eq!(back["destination"], "failing");
}

#[test]
fn a_message_on_which_a_service_stumbles_each_time_lets_others_pass() {
    let broker = Mosquitto::plain();
    let service = WebService::start(|_, request| match request.body.contains("poison") {
        true => Reply::Answer("500 Internal Server Error", "rollup_error"),
        false => Reply::Answer("200 OK", "ok"),
    });
    let running = notifier(
        &broker,
        &json!({
            "destinations": { "slack": slack(&service) },
            "routes": [{ "topics": "t", "to": "slack", "template": "{{ message }}" }],
        }),
    );
    for message in ["poison", "1", "2"] {
        publish(&broker, "t", message);
    }
    wait_until("the others", || {
        let texts = service.texts();
        (texts.contains(&"1".to_owned()) && texts.contains(&"2".to_owned())).then_some(())
    });
    let list = run(running.folder.path(), &["notifications", "list"]).stdout;
    assert!(list.contains("poison") && list.contains("rollup_error"), "{list}");
}

#[test]
fn a_destination_is_spoken_to_at_its_own_pace() {
    let (broker, service) = (Mosquitto::plain(), WebService::slack());
    let paced = json!({ "type": "slack", "webhookUrl": service.url(), "perMinute": 120, "burst": 2 });
    let _running = notifier(
        &broker,
        &json!({
            "destinations": { "slack": paced },
            "routes": [{ "topics": "t", "to": "slack", "template": "{{ message }}" }],
        }),
    );
    publish_numbers(&broker, "t", 0..5);
    let requests = service.wait_for(5);
    let took = requests[4].at - requests[0].at;
    assert!(
        took >= Duration::from_millis(1400),
        "5 with a burst of 2 and 2 a second took {took:?}"
    );
}

#[test]
fn what_a_service_will_never_take_is_a_dead_letter_that_an_operator_sees_and_sends_again() {
    let broker = Mosquitto::plain();
    let service = WebService::start(|before, _| match before {
        0 => Reply::Answer("404 Not Found", "no_service"),
        _ => Reply::Answer("200 OK", "ok"),
    });
    let file = json!({
        "destinations": { "slack": slack(&service) },
        "routes": [{ "topics": "t", "to": "slack", "template": "{{ message }} {{ json.shelf }}" },
                   { "name": "plain", "topics": "plain", "to": "slack", "template": "{{ message }}" }],
    });
    let running = notifier(&broker, &file);
    let folder = running.folder.path();
    let dead = |number| {
        let is = |line: &Value| line["event"] == "notification_dead";
        wait_until("dead letter", || {
            (running.lines(is).len() >= number).then_some(())
        });
    };
    publish(&broker, "plain", "first");
    dead(1);
    publish(&broker, "t", "no JSON");
    dead(2);
    let list = run(folder, &["notifications", "list", "--dead"]).stdout;
    assert!(
        list.contains("no_service") && list.contains("json.shelf"),
        "{list}"
    );
    let show = run(folder, &["notifications", "show", "1"]).stdout;
    for words in ["dead letter since", "plain", "first", "make a new one"] {
        assert!(show.contains(words), "{words}: {show}");
    }
    assert_eq!(service.requests().len(), 1, "nothing of the raw payload was sent");
    assert_eq!(run(folder, &["notifications", "requeue"]).code, Some(1), "what?");
    assert_eq!(run(folder, &["notifications", "requeue", "77"]).code, Some(1));
    // The template is put right, then all is sent again.
    let mut mended = file.clone();
    mended["routes"][0]["template"] = "{{ message }}".into();
    write(folder, &mended);
    running.wait_for("new file", |line| line["message"] == "notifications loaded");
    let again = run(folder, &["notifications", "requeue", "--dead"]);
    assert_eq!(
        again.stdout.trim(),
        "2 notification(s) will be sent again",
        "{again:?}"
    );
    service.wait_for(3);
    assert_eq!(service.texts(), ["first", "first", "no JSON"]);
    wait_until("empty list", || {
        let list = run(folder, &["notifications", "list"]).stdout;
        list.contains("nothing waits").then_some(())
    });
    let test = run(folder, &["notifications", "test", "slack"]);
    assert_eq!(
        test.stdout.trim(),
        "slack (slack) took the test: 200 OK ok",
        "{test:?}"
    );
    let unknown = run(folder, &["notifications", "test", "slick"]);
    assert!(
        unknown.stderr.contains("\"slick\"") && unknown.stderr.contains("there are slack"),
        "{unknown:?}"
    );
}

#[test]
fn a_hand_edit_is_picked_up_and_a_broken_one_changes_nothing() {
    let broker = Mosquitto::plain();
    let route = |topic: &str| {
        json!({ "destinations": { "log": { "type": "log" } },
                "routes": [{ "topics": topic, "to": "log", "template": "{{ message }}" }] })
    };
    let running = notifier(&broker, &route("old"));
    let folder = running.folder.path();
    std::fs::write(folder.join("notifications.json"), "{\n  \"rutes\": []\n}").unwrap();
    let refused = running.wait_for("refusal", |line| line["level"] == "ERROR");
    let words = refused["message"].as_str().unwrap();
    assert!(
        words.contains("notifications.json:2: rutes: is not a known field; did you mean \"routes\"?"),
        "{words}"
    );
    publish(&broker, "old", "1");
    assert_eq!(wait_for_log(folder, 1), ["1"]);
    let check = run(folder, &["notifications", "check"]);
    assert!(
        check.code == Some(1) && check.stderr.contains("\"routes\""),
        "{check:?}"
    );
    write(folder, &route("new"));
    running.wait_for("new file", |line| line["message"] == "notifications loaded");
    broker.saw("Sending UNSUBACK to simrelay-notifier");
    wait_until("subscription", || (subscribed(&broker) >= 2).then_some(()));
    publish(&broker, "old", "2");
    publish(&broker, "new", "3");
    assert_eq!(wait_for_log(folder, 2), ["1", "3"]);
    let check = run(folder, &["notifications", "check"]);
    assert_eq!(
        check.stdout.trim(),
        "notifications.json: 1 destination(s), 1 route(s), 0 silence(s)"
    );
}

#[test]
fn overlapping_filters_tell_once_and_kept_messages_are_not_told_at_the_start() {
    let broker = Mosquitto::plain();
    mosquitto_pub(
        "127.0.0.1",
        broker.inside,
        &["-r", "-q", "1", "-t", "batch/error", "-m", "old"],
    )
    .unwrap();
    mosquitto_pub(
        "127.0.0.1",
        broker.inside,
        &["-r", "-q", "1", "-t", "kept", "-m", "kept"],
    )
    .unwrap();
    let running = notifier(
        &broker,
        &json!({
            "destinations": { "log": { "type": "log" } },
            "routes": [
                { "name": "e", "topics": "+/error", "to": "log", "template": "error {{ message }}" },
                { "name": "b", "topics": ["batch/+", "batch/#"], "to": "log", "template": "batch {{ message }}" },
                { "name": "k", "topics": "kept", "to": "log", "template": "{{ message }}", "retained": true },
            ],
        }),
    );
    let folder = running.folder.path();
    assert_eq!(wait_for_log(folder, 1), ["kept"]);
    publish(&broker, "batch/error", "x");
    publish(&broker, "batch/end", "y");
    wait_for_log(folder, 4);
    let mut texts = logged(folder);
    texts.sort_unstable();
    assert_eq!(texts, ["batch x", "batch y", "error x", "kept"]);
    // A later connection does not tell them either.
    let running = again(running.kill(), &broker);
    publish(&broker, "batch/end", "z");
    let texts = wait_for_log(running.folder.path(), 5);
    assert_eq!(texts.last().unwrap(), "batch z");
    assert_eq!(texts.len(), 5);
}

#[test]
fn what_is_published_while_the_notifier_is_away_is_told_when_it_is_back() {
    let broker = Mosquitto::plain();
    let file = json!({
        "destinations": { "log": { "type": "log" } },
        "routes": [{ "topics": "t", "to": "log", "template": "{{ message }}" }],
    });
    let mut running = notifier(&broker, &file);
    running.signal("TERM");
    assert!(running.wait().success());
    publish_numbers(&broker, "t", 0..50);
    let running = again(running.kill(), &broker);
    let texts = wait_for_log(running.folder.path(), 50);
    assert_eq!(texts, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn in_quiet_hours_only_what_is_urgent_is_told_and_the_rest_is_held() {
    let (broker, service) = (Mosquitto::plain(), WebService::slack());
    let mut quiet = slack(&service);
    quiet["quietHours"] = json!([{ "from": "00:00", "to": "24:00" }]);
    let mut file = json!({
        "destinations": { "slack": quiet },
        "routes": [
            { "name": "usual", "topics": "usual", "to": "slack", "template": "{{ message }}" },
            { "name": "urgent", "topics": "urgent", "to": "slack", "template": "{{ message }}", "urgent": true },
        ],
    });
    let running = notifier(&broker, &file);
    publish(&broker, "usual", "held");
    publish(&broker, "urgent", "fire");
    service.wait_for(1);
    assert_eq!(service.texts(), ["fire"]);
    let list = run(running.folder.path(), &["notifications", "list"]).stdout;
    assert!(list.contains("  waiting  ") && list.contains("held"), "{list}");
    file["destinations"]["slack"] = slack(&service);
    write(running.folder.path(), &file);
    service.wait_for(2);
    assert_eq!(service.texts(), ["fire", "held"]);
}

#[test]
fn the_broker_may_want_a_password_or_show_a_certificate_of_its_own_ca() {
    let file = json!({
        "destinations": { "log": { "type": "log" } },
        "routes": [{ "topics": "t", "to": "log", "template": "{{ message }}" }],
    });
    let authority = Authority::new("site");
    let brokers = [
        (Mosquitto::with_password("notifier", "pa ss"), false),
        (Mosquitto::tls(&authority), true),
    ];
    for (broker, is_tls) in brokers {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &file);
        std::fs::write(folder.path().join("password"), "pa ss\n").unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let (url, tls_url) = (broker.url(), broker.tls_url());
        let (wrong, right) = if is_tls {
            (
                vec!["--notifier-broker", &tls_url],
                vec!["--notifier-broker-ca", "ca.pem"],
            )
        } else {
            let login = [
                "--notifier-broker-user",
                "notifier",
                "--notifier-broker-password-file",
                "password",
            ];
            (vec!["--notifier-broker", &url], login.to_vec())
        };
        let flags = [&["notifier"], wrong.as_slice()].concat();
        let running = Simrelay::in_folder(folder, &flags);
        let failed = running.wait_for("failure", |line| line["event"] == "notifier_disconnected");
        let advice = if is_tls {
            "--notifier-broker-ca"
        } else {
            "SIMRELAY_NOTIFIER_BROKER_PASSWORD"
        };
        assert!(failed["message"].as_str().unwrap().contains(advice), "{failed}");
        let running = Simrelay::in_folder(running.kill(), &[flags, right].concat());
        running.wait_for("connection", |line| line["event"] == "notifier_connected");
        broker.saw("Sending SUBACK to simrelay-notifier");
        publish(&broker, "t", "x");
        assert_eq!(wait_for_log(running.folder.path(), 1), ["x"]);
        assert!(!running.log_text().contains("pa ss"));
    }
}

/// The notifier comes to a broker that the test plays, and subscribes to its one filter.
pub(crate) fn come(broker: &FakeBroker, connack: &[u8]) -> Device {
    let (mut session, connect) = broker.admit(connack);
    // Clean Start is not set, and the session is kept.
    assert_eq!(connect.body()[7] & 2, 0, "{connect:?}");
    let asked = loop {
        let packet = session.read();
        if packet.kind() == 8 {
            break packet;
        }
    };
    session.send(&frame(0x90, &[asked.body()[0], asked.body()[1], 0, 1]));
    session
}

/// A PUBLISH of quality of service 1 that the broker sends again.
fn redelivered(mut publish: Vec<u8>) -> Vec<u8> {
    publish[0] |= 0x08;
    publish
}

#[test]
fn an_acknowledged_message_is_on_disk_and_its_redelivery_is_recognised_after_a_kill() {
    const RESUMED: &[u8] = &[0x20, 3, 1, 0, 0];
    let broker = FakeBroker::listen();
    let folder = tempfile::tempdir().unwrap();
    // It has no secret, so that nothing leaves the queue.
    write(
        folder.path(),
        &json!({
            "destinations": { "slack": { "type": "slack", "webhookUrl": { "env": "SIMRELAY_TEST_NOT_SET" } } },
            "routes": [{ "topics": "t", "to": "slack", "template": "{{ message }}" }],
        }),
    );
    let url = broker.url();
    let flags = ["notifier", "--notifier-broker", &url];
    let waiting = |folder: &Path| {
        run(folder, &["notifications", "list"])
            .stdout
            .matches("waiting")
            .count()
    };
    let message = publish_5("t", 1, 1, &[], b"same words");
    let mut running = Simrelay::in_folder(folder, &flags);
    let mut session = come(&broker, CONNACK_5);
    for round in 1..=5 {
        session.send(&if round == 1 {
            message.clone()
        } else {
            redelivered(message.clone())
        });
        assert_eq!(session.read().bytes, puback(1), "round {round}");
        // The acknowledgement is lost with the connection and the process.
        let folder = running.kill();
        assert_eq!(waiting(folder.path()), 1, "round {round}");
        running = Simrelay::in_folder(folder, &flags);
        session = come(&broker, RESUMED);
    }
    // Without the flag it is another message, with whatever words.
    session.send(&message);
    session.read();
    assert_eq!(waiting(running.folder.path()), 2);
}

#[cfg(feature = "embedded-broker")]
#[test]
fn a_device_behind_the_relay_reaches_people_through_the_embedded_broker() {
    let flags = ["--relay-listen", "127.0.0.1:0", "--broker-listen", "127.0.0.1:0"];
    let running = Simrelay::in_folder(tempfile::tempdir().unwrap(), &flags);
    running.wait_for("connection to the broker", |line| {
        line["event"] == "notifier_connected"
    });
    let tell = |message: &str| {
        let flags = ["-q", "1", "-t", "stock/low", "-m", message];
        mosquitto_pub("127.0.0.1", running.relay(), &flags).unwrap();
    };
    // This broker does not say when the notifier is subscribed.
    wait_until("first line in the log", || {
        tell("A棚");
        (!logged(running.folder.path()).is_empty()).then_some(())
    });
    tell("B棚");
    wait_until("the last word", || {
        logged(running.folder.path())
            .contains(&"🚨 B棚".to_owned())
            .then_some(())
    });
}

#[test]
fn what_there_is_none_of_is_said_for_what_was_asked_and_what_is_not_there_is_named() {
    let broker = Mosquitto::plain();
    let unset = json!({ "type": "slack", "webhookUrl": { "env": "SIMRELAY_TEST_NOT_SET" } });
    let file = json!({
        "destinations": { "slack": unset, "book": { "type": "log" } },
        "routes": [{ "topics": "t", "to": "slack", "template": "{{ message }}" }]
    });
    let running = notifier(&broker, &file);
    let folder = running.folder.path();
    let command = |words: &[&str]| run(folder, &[&["notifications"], words].concat());
    let says = |words: &[&str], expected: &str| {
        let output = command(words);
        assert_eq!(
            (output.code, output.stdout.trim()),
            (Some(0), expected),
            "{output:?}"
        );
    };
    says(&["list"], "nothing waits, and there are no dead letters");
    publish(&broker, "t", "1");
    publish(&broker, "t", "2");
    wait_until("two that wait", || {
        let list = command(&["list", "--destination", "slack"]).stdout;
        (list.lines().count() == 3).then_some(())
    });
    says(&["list", "--dead"], "there are no dead letters");
    says(
        &["list", "--dead", "--destination", "slack"],
        "slack has no dead letters",
    );
    says(
        &["list", "--destination", "book"],
        "nothing waits for book, and it has no dead letters",
    );
    for words in [&["list"][..], &["requeue", "--dead"], &["drop"]] {
        let output = command(&[words, &["--destination", "slak"]].concat());
        assert_eq!(output.code, Some(1), "{output:?}");
        let expected = "\"slak\" is no destination of notifications.json, and nothing waits for one of this name; there are book, slack";
        assert!(output.stderr.contains(expected), "{output:?}");
    }
    assert_eq!(command(&["list", "--limit", "0"]).code, Some(2));
    let dropped = command(&["drop", "1", "999"]);
    assert_eq!(dropped.code, Some(1), "{dropped:?}");
    let expected = "1 notification(s) thrown away; there is no notification 999; `simrelay notifications list` shows those that are there";
    assert!(dropped.stderr.contains(expected), "{dropped:?}");
    // What waits can be thrown away without its file, too.
    std::fs::remove_file(folder.join("notifications.json")).unwrap();
    says(
        &["drop", "--destination", "slack"],
        "1 notification(s) thrown away",
    );
}
