//! The notifier, when devices publish what is too large or too much.

use crate::notifications::{come, notifier, wait_for_log, write};
use crate::site::*;
use serde_json::json;

const MIB: usize = 1024 * 1024;

/// Publishes to `topic` with quality of service 1, message by message, and waits for each acknowledgement.
fn publish_all(broker: &Mosquitto, topic: &str, messages: impl IntoIterator<Item = Vec<u8>>) {
    let mut device = Device::from("127.0.0.1", broker.inside);
    device.connect(&Connect::new(Version::V311, "publisher"));
    for message in messages {
        device.send(&publish(topic, 1, 1, &message));
        device.expect(&puback(1));
    }
}

#[test]
fn a_message_of_whatever_size_around_the_limits_keeps_no_other_from_being_told() {
    let broker = Mosquitto::plain();
    let file = json!({
        "destinations": { "log": { "type": "log" } },
        "routes": [{ "topics": "t", "to": "log", "template": "{{ message | length }}" }],
    });
    let running = notifier(&broker, &file);
    // Of what people are told, and of what the broker is told to send: that counts what is around the message as well.
    let told = MIB - 30..=MIB + 30;
    let sent = 2 * MIB - 45..=2 * MIB + 15;
    for size in told.clone().chain(sent.clone()) {
        publish_all(&broker, "t", [vec![b'x'; size], b"next".to_vec()]);
    }
    let lines = wait_for_log(running.folder.path(), 31 + 2 * 61);
    let expected: Vec<_> = told.clone().filter(|size| *size <= MIB).collect();
    let sizes: Vec<usize> = lines.iter().map(|line| line.parse().unwrap()).collect();
    let large: Vec<_> = sizes.iter().copied().filter(|size| *size > 4).collect();
    assert_eq!(large, expected);
    assert_eq!(sizes.iter().filter(|size| **size == 4).count(), 2 * 61);
    let listed = run(
        running.folder.path(),
        &["notifications", "list", "--dead", "--limit", "1000"],
    );
    let is_dead = |size: usize| {
        listed
            .stdout
            .contains(&format!("the payload of {size} bytes is longer"))
    };
    let dead: Vec<_> = told
        .clone()
        .chain(sent.clone())
        .filter(|size| is_dead(*size))
        .collect();
    // The largest ones the broker keeps to itself.
    let seen = dead.len() - 30;
    assert!(0 < seen && seen < 61, "{dead:?}");
    let expected: Vec<_> = told.skip(31).chain(sent.take(seen)).collect();
    assert_eq!(dead, expected);
    assert!(!running.log_text().contains("notifier_disconnected"));
}

#[test]
fn a_flood_of_large_messages_takes_little_memory_and_no_more_disk_than_it_may() {
    const MESSAGES: usize = 100;
    let broker = Mosquitto::plain();
    let not_set = json!({ "type": "slack", "webhookUrl": { "env": "SIMRELAY_TEST_NOT_SET" } });
    let mut destinations = json!({ "log": { "type": "log", "mostMegabytes": 3, "keep": 1 } });
    // So many, that the share of each is small.
    for number in 0..15 {
        destinations[format!("slack {number}")] = not_set.clone();
    }
    let file = json!({
        "destinations": destinations,
        "routes": [{ "topics": "t", "to": ["log", "slack 0"], "template": "{{ message }}" }],
    });
    let running = notifier(&broker, &file);
    let before = running.memory();
    let mut most = before;
    for number in 0..MESSAGES {
        publish_all(
            &broker,
            "t",
            [format!("{}{number:>4}", "x".repeat(1_000_000)).into_bytes()],
        );
        most = most.max(running.memory());
    }
    let folder = running.folder.path();
    wait_until("the last message in the log", || {
        most = most.max(running.memory());
        let text = std::fs::read_to_string(folder.join("data/notifications.log")).unwrap_or_default();
        text.contains("x  99\"").then_some(())
    });
    assert!(most < before + 160 * MIB as u64, "{before} {most}");
    let size = |name: &str| std::fs::metadata(folder.join("data").join(name)).unwrap().len();
    for name in ["notifications.log", "notifications.log.1"] {
        assert!(size(name) <= 3_000_000, "{name} has {} bytes", size(name));
    }
    let overflow = running.wait_for("overflow", |line| {
        line["event"] == "notifications_expired" && line["overflowed"].as_u64() > Some(0)
    });
    assert!(
        overflow["message"].as_str().unwrap().contains("too large"),
        "{overflow}"
    );
}

#[test]
fn a_packet_that_the_broker_sends_again_and_again_in_vain_is_an_error_in_the_log() {
    let broker = FakeBroker::listen();
    let folder = tempfile::tempdir().unwrap();
    let file =
        json!({ "destinations": { "log": { "type": "log" } }, "routes": [{ "topics": "t", "to": "log" }] });
    write(folder.path(), &file);
    let running = Simrelay::in_folder(folder, &["notifier", "--notifier-broker", &broker.url()]);
    for _ in 0..3 {
        // The beginning of a PUBLISH of 4 MiB.
        come(&broker, CONNACK_5).send(&[0x32, 0x80, 0x80, 0x80, 0x02]);
    }
    let said = running.wait_for("loud word", |line| line["event"] == "notifier_stuck");
    assert_eq!(
        (&said["level"], &said["times"]),
        (&json!("ERROR"), &json!(3)),
        "{said}"
    );
    assert!(
        said["message"].as_str().unwrap().contains("--notifier-client-id"),
        "{said}"
    );
}
