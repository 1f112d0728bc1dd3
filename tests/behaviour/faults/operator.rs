//! What goes wrong on the relay's own machine: disks, files, clocks, memory.

use super::wait_within;
use crate::site::*;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

const OWN: [&str; 4] = ["--relay-listen", "127.0.0.1:0", "--broker-listen", "off"];

#[track_caller]
fn refuses_to_start(folder: &Path, words: &[&str]) {
    let output = run(folder, &OWN);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        words.iter().all(|word| output.stderr.contains(word)),
        "{output:?}"
    );
}

/// A folder in which simrelay has run.
fn used() -> tempfile::TempDir {
    let broker = FakeBroker::listen();
    let mut relay = Simrelay::to(&broker.url());
    relay.signal("TERM");
    assert!(relay.wait().success());
    relay.kill()
}

#[test]
fn a_database_that_is_broken_is_named_with_what_to_do() {
    let folder = used();
    let file = folder.path().join("data/simrelay.sqlite");
    let whole = std::fs::read(&file).unwrap();
    let words = [
        "data/simrelay.sqlite",
        "put a backup in its place, or move it away",
    ];
    // Every page but the first, then that one too.
    for from in [4096, 0] {
        for extension in ["sqlite-wal", "sqlite-shm"] {
            // They may be there or not.
            let _ = std::fs::remove_file(file.with_extension(extension));
        }
        let mut broken = whole.clone();
        broken.resize(whole.len().max(20_000), 0);
        broken[from..].fill(0x5a);
        std::fs::write(&file, broken).unwrap();
        refuses_to_start(folder.path(), &words);
    }
    // What it says helps.
    std::fs::remove_file(&file).unwrap();
    drop(Simrelay::in_folder(folder, &OWN));
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named_with_what_to_do() {
    if !inside_own_network("faults::operator::a_data_folder_that_cannot_be_written_is_named_with_what_to_do")
    {
        return;
    }
    let folder = used();
    let data = folder.path().join("data");
    must_run(
        "mount",
        &["--bind", data.to_str().unwrap(), data.to_str().unwrap()],
    );
    must_run("mount", &["-o", "remount,bind,ro", data.to_str().unwrap()]);
    refuses_to_start(
        folder.path(),
        &["data", "writable by the user", "not mounted read-only"],
    );
    must_run("umount", &[data.to_str().unwrap()]);
    drop(Simrelay::in_folder(folder, &OWN));
}

/// A data folder on a disk of its own, of 2 MiB.
fn small_data(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    std::fs::create_dir(&data).unwrap();
    let place = data.to_str().unwrap();
    must_run("mount", &["-t", "tmpfs", "-o", "size=2m", "tmpfs", place]);
    data
}

/// Takes all the room of the folder; gives the file that has it.
fn fill(folder: &Path) -> PathBuf {
    let ballast = folder.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
    ballast
}

/// Requests of SIM 1 in the ledger, as the API tells them: from and to the relay.
pub(super) fn requests(relay: &Simrelay) -> u64 {
    let path = format!(
        "/v1/stats/beam/subscribers/{}?from=1&to=9999999999&period=month",
        imsi(1)
    );
    let months = relay.http().get(&path).json();
    let count = |month: &Value| {
        ["inMqtt", "outMqtt"]
            .map(|name| month["beamStatsMap"][name]["count"].as_u64().unwrap_or(0))
            .iter()
            .sum::<u64>()
    };
    months.as_array().unwrap().iter().map(count).sum()
}

#[test]
fn a_full_disk_stops_no_message_and_what_was_counted_meanwhile_is_written_when_there_is_room() {
    if !inside_own_network(
        "faults::operator::a_full_disk_stops_no_message_and_what_was_counted_meanwhile_is_written_when_there_is_room",
    ) {
        return;
    }
    let broker = FakeBroker::listen();
    let folder = tempfile::tempdir().unwrap();
    let config = Configuration::of(&entry_point(&broker.url()));
    std::fs::write(folder.path().join("entrypoints.json"), config.text()).unwrap();
    let data = small_data(folder.path());
    let relay = Simrelay::in_folder(folder, &OWN);
    let ballast = fill(&data);
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V311, "c").bytes());
    let (mut upstream, _) = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    let complaint = wait_within(SOON, "a word about the disk", || {
        device.send(&publish("t/{{imsi}}", 0, 0, b"x"));
        upstream.expect(&publish(&format!("t/{}", imsi(1)), 0, 0, b"x"));
        relay
            .lines(|line| line["level"] == "ERROR" && line.to_string().contains("tried again"))
            .pop()
    });
    let text = complaint["message"].as_str().unwrap();
    assert!(text.contains("full"), "{complaint}");
    std::fs::remove_file(&ballast).unwrap();
    relay.wait_for("word that it can be written", |line| {
        line["message"] == "the database can be written again"
    });
    device.send(&disconnect());
    upstream.expect(&disconnect());
    drop(upstream);
    let closed = relay.closed("c");
    let passed = closed["device_up"].as_u64().unwrap() + closed["broker_up"].as_u64().unwrap();
    wait_within(SOON, "all requests in the ledger", || {
        (requests(&relay) == passed).then_some(())
    });
}

#[test]
fn a_credential_that_is_deleted_refuses_by_name_and_serves_again_when_it_is_back() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::tls(&authority);
    let mut entry = entry_point(&mosquitto.tls_url());
    entry["clientCerts"] = json!({ "default": { "$credentialsId": "site" } });
    let relay = Simrelay::start(&Configuration::of(&entry));
    let folder = relay.credential("site");
    authority.write_ca(&folder);
    let mut before = relay.device(1);
    before.enter(&Connect::new(Version::V311, "before"));
    std::fs::remove_dir_all(&folder).unwrap();
    wait_within(SOON, "a refusal", || {
        let connack = relay.device(1).connect(&Connect::new(Version::V311, "without"));
        (connack.body()[1] != 0).then_some(())
    });
    let line = relay.wait_for("refusal", |line| line["event"] == "refused");
    let said = format!("{} {}", line["reason"], line["advice"]);
    assert!(said.contains("site"), "{line}");
    // Who is connected stays.
    before.send(PINGREQ);
    before.expect(PINGRESP);
    authority.write_ca(&folder);
    wait_within(SOON, "a connection", || {
        let connack = relay.device(1).connect(&Connect::new(Version::V311, "again"));
        (connack.body()[1] == 0).then_some(())
    });
}

#[test]
fn a_file_of_groups_that_breaks_leaves_the_old_state_and_names_the_place() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let text = std::fs::read_to_string(relay.file()).unwrap();
    relay.edit(&text[..text.len() / 2]);
    let line = relay.wait_for("word about the file", |line| line["level"] == "ERROR");
    assert!(line.to_string().contains("entrypoints.json:"), "{line}");
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V311, "c").bytes());
    broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    // A start with it does not guess.
    let folder = relay.kill();
    refuses_to_start(folder.path(), &["entrypoints.json:"]);
}

const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

#[test]
fn a_clock_that_jumps_either_way_ends_no_connection_and_loses_no_request() {
    let library = FAKETIME.into_iter().find(|path| Path::new(path).exists());
    let library = library.expect("libfaketime: tests/run installs it");
    let broker = FakeBroker::listen();
    let folder = tempfile::tempdir().unwrap();
    let config = Configuration::of(&entry_point(&broker.url()));
    std::fs::write(folder.path().join("entrypoints.json"), config.text()).unwrap();
    let clock = folder.path().join("clock");
    // An editor's rename: the program never reads half a line.
    let jump = |by: &str| {
        let new = clock.with_extension("new");
        std::fs::write(&new, by).unwrap();
        std::fs::rename(new, &clock).unwrap();
    };
    jump("+0");
    let environment = [
        ("LD_PRELOAD", library.to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        // As with a real clock: what measures durations goes on evenly.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let relay = Simrelay::in_environment(folder, &OWN, &environment);
    let open = |id: &str| {
        let mut device = relay.device(1);
        device.send(&Connect::new(Version::V311, id).keep_alive(600).bytes());
        let (upstream, _) = broker.admit(CONNACK_311);
        device.expect(CONNACK_311);
        (device, upstream)
    };
    let (mut device, mut upstream) = open("through");
    let mut passed = 0;
    let flushes = || {
        let page = relay.http().get("/metrics").body;
        let value = |line: &str| {
            line.strip_prefix("simrelay_ledger_flushes_total ")?
                .parse::<u64>()
                .ok()
        };
        page.lines().find_map(value).unwrap()
    };
    for (by, days) in [("+40d", 40), ("-3d", -3), ("+0", 0)] {
        jump(by);
        let flushed = flushes();
        drop(open(by));
        let line = relay.wait_for("connection", |line| {
            line["event"] == "opened" && line["client_id"] == by
        });
        let logged: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
        let ahead = logged.duration_since(jiff::Timestamp::now()).as_hours();
        assert!((ahead - 24 * days).abs() <= 1, "the clock did not jump: {line}");
        for _ in 0..10 {
            device.send(&publish("t", 0, 0, b"x"));
            upstream.expect(&publish("t", 0, 0, b"x"));
            passed += 2;
        }
        wait_until("what was counted by this clock is written", || {
            (flushes() > flushed).then_some(())
        });
    }
    // What was counted by a clock that was ahead stands under the day that it showed, and is told from that day on.
    jump("+40d");
    wait_within(SOON, "all requests in the ledger", || {
        (requests(&relay) == passed).then_some(())
    });
    assert!(
        relay
            .lines(|line| line["event"] == "closed" && line["client_id"] == "through")
            .is_empty()
    );
}

#[test]
fn on_a_full_disk_the_notifier_acknowledges_nothing_that_it_cannot_keep_and_tells_it_later() {
    if !inside_own_network(
        "faults::operator::on_a_full_disk_the_notifier_acknowledges_nothing_that_it_cannot_keep_and_tells_it_later",
    ) {
        return;
    }
    let (broker, service) = (Mosquitto::plain(), WebService::slack());
    let folder = tempfile::tempdir().unwrap();
    let data = small_data(folder.path());
    let file = json!({
        "destinations": { "slack": { "type": "slack", "webhookUrl": service.url(), "perMinute": 60000, "burst": 100 } },
        "routes": [{ "topics": "t", "to": "slack", "template": "{{ message }}" }],
    });
    std::fs::write(folder.path().join("notifications.json"), file.to_string()).unwrap();
    let flags = ["notifier", "--notifier-broker", &broker.url()];
    let notifier = Simrelay::in_folder(folder, &flags);
    broker.saw("Sending SUBACK to simrelay-notifier");
    let say = |text: &str| {
        let arguments = ["-q", "1", "-t", "t", "-m", text];
        mosquitto_pub("127.0.0.1", broker.inside, &arguments).unwrap();
    };
    say("before");
    service.wait_for(1);
    // Maybe before it is noted as told: even then it is not told again.
    let ballast = fill(&data);
    for n in 1..=5 {
        say(&n.to_string());
    }
    notifier.wait_for("word about the disk", |line| {
        line["level"] == "ERROR" && line.to_string().contains("full")
    });
    std::fs::remove_file(ballast).unwrap();
    let told = wait_within(Duration::from_secs(60), "all of them", || {
        let told = service.texts();
        (told.len() >= 6).then_some(told)
    });
    assert_eq!(told, ["before", "1", "2", "3", "4", "5"]);
}

#[test]
fn on_a_full_disk_the_bridge_accepts_nothing_that_it_cannot_keep() {
    if !inside_own_network("faults::operator::on_a_full_disk_the_bridge_accepts_nothing_that_it_cannot_keep")
    {
        return;
    }
    let broker = Mosquitto::plain();
    let mut watcher = broker.watch();
    let folder = tempfile::tempdir().unwrap();
    let data = small_data(folder.path());
    let url = broker.url();
    let bridge = Simrelay::in_environment(
        folder,
        &["bridge", "--bridge-broker", &url],
        &[("SIMRELAY_BRIDGE_LISTEN", "127.0.0.1:0")],
    );
    bridge.wait_for("connection to the broker", |line| {
        line["event"] == "broker_connected"
    });
    let phone = Http::new(bridge.bridge(), None);
    let ballast = fill(&data);
    broker.signal("STOP");
    let refused = phone.get("/notify?message=kept-nowhere");
    assert!(refused.status >= 500, "{refused:?}");
    bridge.wait_for("word about the disk", |line| {
        line["level"] == "ERROR" && line.to_string().contains("full")
    });
    std::fs::remove_file(ballast).unwrap();
    wait_within(SOON, "an acceptance", || {
        (phone.get("/notify?message=kept").status == 202).then_some(())
    });
    broker.signal("CONT");
    wait_within(SOON, "the accepted one", || {
        (watcher.next().1 == "kept").then_some(())
    });
}
