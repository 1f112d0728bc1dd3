//! Usage to the message, with the real program, real brokers and real kills.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, missing_docs)]

#[path = "../program/mod.rs"]
mod program;
mod site;
use serde_json::Value;
use site::{Client, SIMS, Site};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep;

/// What a kill may lose, and what a busy machine may take for the flush itself.
const MAY_BE_LOST: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_secs(1);

/// Publishes until the connection breaks. Gives when each message was acknowledged, and how many were sent.
async fn publish_until_killed(mut device: Client) -> (Vec<Instant>, u64) {
    let (mut acknowledged, mut sent) = (Vec::new(), 0);
    loop {
        sent += 1;
        match device.publish("t/{{imsi}}").await {
            Ok(()) => acknowledged.push(Instant::now()),
            Err(_) => return (acknowledged, sent),
        }
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_at_most_the_last_second_and_never_counts_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = (0, 0);
    for life in [2_300, 400, 3_150, 1_990, 2_700] {
        let site = Site::start(folder.path()).await;
        let device = Client::connect(site.relay, 1, "d").await;
        let publishing = tokio::spawn(publish_until_killed(device));
        sleep(Duration::from_millis(life)).await;
        let killed = Instant::now();
        site.kill();
        let (acknowledged, sent) = publishing.await.unwrap();
        let safe = killed - MAY_BE_LOST - SLACK;
        let at_least = acknowledged.iter().filter(|at| **at < safe).count() as u64;

        let again = Site::start(folder.path()).await;
        // The first kill may come before anything was written, but the SIM is known.
        let after = again.ledger(SIMS[0]).await;
        let counted = (after.0 - before.0, after.1 - before.1);
        for leg in [counted.0, counted.1] {
            assert!((at_least..=sent).contains(&leg), "{at_least} <= {leg} <= {sent}");
        }
        before = after;
        again.terminate();
    }
    assert!(before.0 > 500, "{before:?}");
}

/// Sums of the usage lines, `in_mqtt` and `out_mqtt` by IMSI.
fn usage_lines(log: &[Value]) -> BTreeMap<String, (u64, u64)> {
    let mut sums = BTreeMap::new();
    for line in log.iter().filter(|line| line["event"] == "usage") {
        let sum: &mut (u64, u64) = sums.entry(line["imsi"].as_str().unwrap().to_owned()).or_default();
        sum.0 += line["in_mqtt"].as_u64().unwrap();
        sum.1 += line["out_mqtt"].as_u64().unwrap();
    }
    sums
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledger_log_and_broker_agree_to_the_message() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path()).await;
    let mut witness = Client::connect(site.broker, 1, "witness").await;
    witness.subscribe("t/#").await;
    let mut listener = Client::connect(site.relay, 2, "listener").await;
    listener.subscribe("t/#").await;
    let mut sent = 0;
    // Connections that live shorter than a second, with and without a DISCONNECT.
    for n in 0..60 {
        let mut device = Client::connect(site.relay, 1, &format!("short-{n}")).await;
        for _ in 0..n % 5 {
            device.publish("t/{{imsi}}").await.unwrap();
            sent += 1;
        }
        if n % 2 == 0 {
            device.disconnect().await;
        }
    }
    // One that lives over several flushes and into the shutdown.
    let mut device = Client::connect(site.relay, 1, "long").await;
    for _ in 0..1_000 {
        device.publish("t/{{imsi}}").await.unwrap();
        sent += 1;
        sleep(Duration::from_millis(1)).await;
    }
    witness.receive(sent).await;
    listener.receive(sent).await;
    assert!(witness.is_quiet() && listener.is_quiet());

    let log = site.terminate();
    // SUBSCRIBE is a request too.
    let expected = [(sent, sent), (sent + 1, sent + 1)];
    let lines = usage_lines(&log);
    let again = Site::start(folder.path()).await;
    for (imsi, expected) in SIMS.into_iter().zip(expected) {
        assert_eq!(again.ledger(imsi).await, expected, "ledger of {imsi}");
        assert_eq!(lines[imsi], expected, "log of {imsi}");
    }
    assert!(usage_lines(&again.terminate()).is_empty());
}

/// Size and time of the last change of each file; SQLite's shared memory is no file that is kept.
fn files(folder: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let stamp = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, (metadata.len(), metadata.modified().unwrap()))
    };
    let kept = |(name, _): &(String, _)| !name.ends_with("-shm");
    entries.map(stamp).filter(kept).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_relay_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path()).await;
    let mut device = Client::connect(site.relay, 1, "idle").await;
    device.publish("t").await.unwrap();
    while site.ledger(SIMS[0]).await != (1, 1) {
        sleep(Duration::from_millis(50)).await;
    }
    let before = files(&site.data());
    sleep(3 * MAY_BE_LOST).await;
    assert_eq!(files(&site.data()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_book_says_why_and_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path()).await;
    let (_, code) = Client::try_connect(site.relay, 1, "eager", 3).await;
    assert_eq!(code, 5);
    let (_, code) = Client::try_connect(site.relay, 9, "stranger", 60).await;
    assert_eq!(code, 5);
    let entries = loop {
        let entries = site.get("/v1/logs").await;
        if entries.as_array().unwrap().len() == 2 {
            break entries;
        }
        sleep(Duration::from_millis(50)).await;
    };
    site.kill();
    let again = Site::start(folder.path()).await;
    assert_eq!(again.get("/v1/logs").await, entries);
    let path = format!(
        "/v1/logs?resource_type=Subscriber&resource_id={}&service=Beam",
        SIMS[0]
    );
    let of_sim = again.get(&path).await;
    assert_eq!(of_sim.as_array().unwrap().len(), 1);
    let body = &of_sim[0]["body"];
    for (key, value) in [
        ("event", "refused"),
        ("kind", "keep_alive"),
        ("reason", "keep alive 3 s is neither 0 nor 5 to 1200"),
        ("advice", "set the device's keep alive to 0 or to 5 to 1200 s"),
        ("clientId", "eager"),
        ("mqtt", "3.1.1"),
        ("groupId", "g"),
    ] {
        assert_eq!(body[key], value, "{key} in {body}");
    }
    assert_eq!(
        (&body["code"], &body["keepAlive"]),
        (&Value::from(5), &Value::from(3))
    );
    let stranger = again
        .get("/v1/logs?resource_type=Address&resource_id=127.0.0.9")
        .await;
    assert_eq!(stranger[0]["body"]["kind"], "unknown_address");
    assert!(again.get("/v1/logs?resource_id=440103000000002").await == Value::Array(Vec::new()));
}
