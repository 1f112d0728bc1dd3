//! Tokens that end, and clocks that are wrong.

use crate::site::*;
use serde_json::json;

const HUB: &str = "hub1.azure-devices.net";
const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

fn configuration() -> Configuration {
    let entry = platform(
        "useAzureIoT",
        "azureIoTCredential",
        "hub",
        &format!("mqtts://{HUB}"),
    );
    Configuration::of(&entry)
}

fn give_key(relay: &Simrelay) {
    let values = json!({ "sharedAccessKeyName": "device", "sharedAccessKey": "c2VjcmV0" });
    relay.store("hub", "azureIoT-credentials", &values);
}

/// The value of a metric.
fn metric(relay: &Simrelay, name: &str) -> Option<u64> {
    let page = relay.http().get("/metrics").body;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.parse().ok()
}

#[test]
fn a_connection_closes_before_its_token_ends_and_the_next_one_has_a_new_token() {
    let hub = Cloud::called(HUB, 8883);
    let relay = hub.relay_with(&configuration(), &["--token-lifetime", "10"], &[]);
    give_key(&relay);
    let mut tokens = Vec::new();
    for (version, connack) in [(Version::V5, CONNACK_5), (Version::V311, CONNACK_311)] {
        let id = format!("{version:?}");
        let mut device = relay.device(1);
        device.send(&Connect::new(version, &id).bytes());
        let (mut upstream, arrived) = hub.broker.admit(connack);
        device.expect(connack);
        tokens.push(arrived.password_behind("/?api-version=2021-04-12"));
        let open = relay.http().get("/v1/connections").json();
        let expires = open[0]["tokenExpiresTime"].as_u64().unwrap() / 1000;
        assert!(
            tokens.last().unwrap().contains(&format!("&se={expires}&")),
            "{open}"
        );
        wait_until("token in the metrics", || {
            (metric(&relay, "simrelay_tokens") == Some(1)).then_some(())
        });
        let last = device.read_to_end();
        if version == Version::V5 {
            assert_eq!((last[0].kind(), last[0].body()[0]), (14, 0xa0), "{last:?}");
            assert!(last[0].reason_string().unwrap().contains("token"), "{last:?}");
        } else {
            assert!(last.is_empty(), "{last:?}");
        }
        // Without a DISCONNECT, as the broker is to publish the will if the device does not come again.
        upstream.expect_end();
        let closed = relay.closed(&id);
        let lived = closed["duration"].as_f64().unwrap();
        assert!(lived > 5.0, "{closed}");
        assert!(
            closed["reason"]
                .as_str()
                .unwrap()
                .contains("a new connection gets a new one")
        );
        relay.wait_for("word ahead", |line| {
            line["event"] == "token_ends" && line["client_id"] == *id
        });
    }
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(
        metric(
            &relay,
            "simrelay_connections_closed_total{ending=\"token_expired\"}"
        ),
        Some(2)
    );
    assert_eq!(metric(&relay, "simrelay_tokens"), Some(0));
}

#[test]
fn a_clock_that_is_behind_is_said_at_the_start_and_to_each_device_and_no_token_is_made() {
    let hub = Cloud::called(HUB, 8883);
    let faketime = FAKETIME
        .into_iter()
        .find(|file| std::path::Path::new(file).exists());
    let environment = [
        (
            "LD_PRELOAD",
            faketime.expect("libfaketime: tests/run installs it"),
        ),
        ("FAKETIME", "@2017-01-01 00:00:00"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let relay = hub.relay_with(&configuration(), &[], &environment);
    relay.wait_for("warning", |line| line["event"] == "clock_behind");
    give_key(&relay);
    let answer = relay.device(1).connect(&Connect::new(Version::V5, "c"));
    assert_eq!(answer.body()[1], 0x88);
    let line = relay.refused_as("c");
    assert!(
        line["reason"]
            .as_str()
            .unwrap()
            .starts_with("no token can be made: the system clock says 1483"),
        "{line}"
    );
    assert!(
        line["advice"].as_str().unwrap().contains("time service"),
        "{line}"
    );
    hub.broker.expect_no_dial();
}
