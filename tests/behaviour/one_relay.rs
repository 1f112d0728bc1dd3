//! One relay works with a data folder: a second one would write of SIMs that are online that they are not.

use crate::site::*;

/// Flags of a relay on ports that are free.
const ELSEWHERE: [&str; 7] = [
    "--relay-listen",
    "127.0.0.1:0",
    "--api-listen",
    "127.0.0.1:0",
    "--broker-listen",
    "off",
    "--bridge-listen=off",
];

/// The same, for a start that has its own place for the API already.
const AGAIN: [&str; 4] = ["--relay-listen", "127.0.0.1:0", "--broker-listen", "off"];

/// The session events of SIM 1, once there are some.
fn events(relay: &Simrelay) -> Vec<String> {
    let path = format!("/v1/subscribers/{}/events/sessions", imsi(1));
    wait_until("a session event", || {
        let list = relay.http().get(&path).json();
        let events = list.as_array().unwrap().iter();
        let names: Vec<_> = events
            .map(|one| one["event"].as_str().unwrap().to_owned())
            .collect();
        (!names.is_empty()).then_some(names)
    })
}

/// A relay to which SIM 1 is connected.
fn one_online() -> (Mosquitto, Simrelay, Device) {
    let mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    let mut device = relay.device(1);
    device.enter(&Connect::new(Version::V311, "c").keep_alive(600));
    assert_eq!(events(&relay), ["Created"]);
    (mosquitto, relay, device)
}

#[test]
fn a_second_relay_on_the_same_data_folder_is_refused_and_ends_no_session() {
    let (_mosquitto, relay, _device) = one_online();
    let folder = relay.folder.path();
    let same_ports = [
        "--relay-listen",
        &relay.relay().to_string(),
        "--api-listen",
        &relay.api().to_string(),
        "--broker-listen",
        "off",
        "--bridge-listen=off",
    ];
    for command in ["relay", "run"] {
        for flags in [&ELSEWHERE, &same_ports] {
            let second = run(folder, &[&[command], &flags[..]].concat());
            assert_eq!(second.code, Some(1), "{second:?}");
            let words = "another relay works with the data folder data: stop it, or give this one a folder of its own with --data";
            assert!(second.stderr.contains(words), "{second:?}");
        }
    }
    assert_eq!(events(&relay), ["Created"]);
    // Commands are no second relay.
    for command in [
        &["parked", "list"],
        &["auth-key", "list"],
        &["notifications", "list"],
    ] {
        let output = run(folder, command);
        assert_eq!(output.code, Some(0), "{output:?}");
    }
}

#[test]
fn a_relay_that_was_killed_starts_again_at_once() {
    let relay = Simrelay::start(&Configuration::default());
    let folder = relay.kill();
    let _again = Simrelay::in_folder(folder, &AGAIN);
}

#[test]
fn a_start_that_fails_for_a_port_leaves_the_session_events_as_they_are() {
    let (_mosquitto, relay, _device) = one_online();
    let folder = relay.kill();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap().to_string();
    for flag in ["--relay-listen", "--api-listen"] {
        let mut flags = ELSEWHERE.to_vec();
        let at = flags.iter().position(|known| *known == flag).unwrap();
        flags[at + 1] = &taken_address;
        let failed = run(folder.path(), &flags);
        assert!(
            failed.code == Some(1) && failed.stderr.contains("in use"),
            "{failed:?}"
        );
    }
    let failed_at = std::time::SystemTime::now();
    let relay = Simrelay::in_folder(folder, &AGAIN);
    let path = format!("/v1/subscribers/{}/events/sessions", imsi(1));
    let list = relay.http().get(&path).json();
    let newest = &list[0];
    assert_eq!(newest["event"], "Deleted", "{list}");
    let failed_at = failed_at
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    assert!(newest["time"].as_u64().unwrap() as u128 >= failed_at, "{list}");
}

#[test]
fn a_relay_with_everything_off_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for flags in [
        &["relay", "--relay-listen=off", "--api-listen=off"][..],
        &[
            "run",
            "--relay-listen=off",
            "--api-listen=off",
            "--broker-listen=off",
            "--bridge-listen=off",
        ],
    ] {
        let output = run(folder.path(), flags);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains("there is nothing to do"), "{output:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
