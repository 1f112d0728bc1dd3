//! The admin API against the running program, and the file that it writes.

use crate::site::*;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

const CONFIGURATION: &str = "/v1/groups/g/configuration/SoracomBeam";

fn put(relay: &Simrelay, value: &Value) -> Answer {
    relay.http().put(
        CONFIGURATION,
        &json!([{ "key": "mqtt://beam.soracom.io:1883", "value": value }]),
    )
}

fn beam(file: &Value) -> &Value {
    &file["groups"][0]["configuration"]["SoracomBeam"]["mqtt://beam.soracom.io:1883"]
}

/// Where the next CONNECT of SIM 1 goes.
#[track_caller]
fn expect_connect_to(relay: &Simrelay, broker: &FakeBroker) {
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V311, "c").bytes());
    broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
}

#[test]
fn the_token_is_in_a_file_of_its_owner_and_nothing_works_without_it() {
    let relay = Simrelay::start(&Configuration::default().group("g", None));
    let file = relay.folder.path().join("data/admin-token");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(relay.http().get("/v1/groups").status, 200);
    let before = relay.file_json();
    for token in [None, Some(""), Some("wrong")] {
        let http = Http::new(relay.api(), token);
        let body = json!([{ "key": "mqtt://beam.soracom.io:1883", "value": { "destination": "mqtt://x" } }]);
        for answer in [
            http.get("/v1/groups"),
            http.get("/v1/groups/g"),
            http.put(CONFIGURATION, &body),
            http.delete(CONFIGURATION),
        ] {
            assert_eq!(answer.status, 401, "{answer:?}");
            assert_eq!(answer.json()["code"], "Unauthorized");
        }
        assert_eq!(http.get("/nowhere").status, 404);
        assert_eq!(http.get("/healthz").status, 200);
    }
    assert_eq!(relay.file_json(), before);
    let token = std::fs::read_to_string(file).unwrap();
    assert!(!relay.log_text().contains(token.trim()));
}

#[test]
fn groups_are_shown_as_soracom_shows_them() {
    let relay = Simrelay::to("mqtt://broker.example");
    let groups = relay.http().get("/v1/groups").json();
    assert_eq!(groups[0]["groupId"], "g");
    assert_eq!(groups[0], relay.http().get("/v1/groups/g").json());
    let entry = &groups[0]["configuration"]["SoracomBeam"]["mqtt://beam.soracom.io:1883"];
    assert_eq!(entry["destination"], "mqtt://broker.example");
    let missing = relay.http().get("/v1/groups/nobody");
    assert_eq!(missing.status, 404);
    assert!(missing.json()["message"].as_str().unwrap().contains("nobody"));
}

#[test]
fn a_put_counts_for_the_next_connect_and_is_in_the_file() {
    let (old, new) = (FakeBroker::listen(), FakeBroker::listen());
    let relay = Simrelay::to(&old.url());
    expect_connect_to(&relay, &old);
    let value = json!({ "name": "new", "destination": new.url(), "psk": "kept" });
    let answer = put(&relay, &value);
    assert_eq!(answer.status, 200, "{answer:?}");
    expect_connect_to(&relay, &new);
    old.expect_no_dial();
    // Whole: what was there before and is not now is gone.
    assert_eq!(*beam(&relay.file_json()), value);
    assert_eq!(relay.file_json()["sims"][0]["imsi"], imsi(1));
    let shown = relay.http().get("/v1/groups/g").json();
    assert_eq!(
        shown["configuration"]["SoracomBeam"]["mqtt://beam.soracom.io:1883"],
        value
    );
}

#[test]
fn an_acknowledged_put_survives_kill_9() {
    let mut relay = Simrelay::to("mqtt://first.example");
    for round in 0..10 {
        let value = json!({ "destination": format!("mqtt://round-{round}.example"), "name": "x".repeat(1000 * round) });
        assert_eq!(put(&relay, &value).status, 200);
        let folder = relay.kill();
        let file = std::fs::read_to_string(folder.path().join("entrypoints.json")).unwrap();
        assert_eq!(*beam(&serde_json::from_str(&file).unwrap()), value);
        relay = Simrelay::in_folder(
            folder,
            &["--broker-listen", "off", "--relay-listen", "127.0.0.1:0"],
        );
    }
}

#[test]
fn kill_9_in_the_middle_of_puts_leaves_one_whole_file() {
    let relay = Simrelay::to("mqtt://first.example");
    let http = relay.http();
    let writing = std::thread::spawn(move || {
        for round in 0.. {
            let value = json!({ "destination": format!("mqtt://round-{round}.example"), "name": "x".repeat(100_000) });
            let body = json!([{ "key": "mqtt://beam.soracom.io:1883", "value": value }]);
            let call = std::panic::AssertUnwindSafe(|| http.put(CONFIGURATION, &body).status);
            // The program is killed under a call.
            if std::panic::catch_unwind(call).is_err() {
                return round;
            }
        }
        unreachable!()
    });
    wait_until("some rounds", || {
        let rounds = relay
            .lines(|line| line["message"] == "configuration changed")
            .len();
        (rounds > 5).then_some(())
    });
    let folder = relay.kill();
    let failed = writing.join().unwrap();
    let file = std::fs::read_to_string(folder.path().join("entrypoints.json")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let destination = beam(&file)["destination"].as_str().unwrap();
    let allowed = [failed - 1, failed].map(|round| format!("mqtt://round-{round}.example"));
    assert!(
        allowed.iter().any(|url| url == destination),
        "{destination}, {allowed:?}"
    );
    Simrelay::in_folder(
        folder,
        &["--broker-listen", "off", "--relay-listen", "127.0.0.1:0"],
    );
}

#[test]
fn a_wrong_put_names_field_and_value_and_changes_nothing() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let before = std::fs::read_to_string(relay.file()).unwrap();
    let url = "mqtt://x.example";
    for (value, words) in [
        (
            json!({ "destination": "http://x" }),
            ["destination", "http://x", "mqtt"],
        ),
        (json!({ "destination": 5 }), ["destination", "5", "string"]),
        (json!({ "name": "x" }), ["destination", "missing", ""]),
        (
            json!({ "destination": url, "enabled": "yes" }),
            ["enabled", "yes", "true"],
        ),
        (
            json!({ "destination": url, "enabeld": true }),
            ["enabeld", "did you mean", "enabled"],
        ),
        (
            json!({ "destination": url, "version": "201413" }),
            ["version", "201413", "201912"],
        ),
        (
            json!({ "destination": url, "useClientCredentials": "perhaps" }),
            ["useClientCredentials", "perhaps", "true"],
        ),
        (
            json!({ "destination": url, "useClientCert": true }),
            ["useClientCert", "clientCerts", "$credentialsId"],
        ),
        (
            json!({ "destination": url, "clientCerts": { "default": { "$credentialsId": "../x" } } }),
            ["$credentialsId", "../x", "letters"],
        ),
        (
            json!({ "destination": url, "usePubnum": true }),
            ["usePubnum", "true needs", "pubnubCredential"],
        ),
        (
            json!({ "destination": url, "useGoogleIoT": true }),
            ["useGoogleIoT", "true needs", "googleIoTCredential"],
        ),
        (
            json!({ "destination": url, "useAzureIoT": true }),
            ["useAzureIoT", "true needs", "azureIoTCredential"],
        ),
        (json!("text"), ["mqtt://beam.soracom.io:1883", "text", "object"]),
    ] {
        let answer = put(&relay, &value);
        assert_eq!(answer.status, 400, "{answer:?}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(
            words.iter().all(|word| message.contains(word)),
            "{words:?}: {message}"
        );
    }
    let secret = json!({ "destination": url, "password": ["a-secret-word"] });
    let answer = put(&relay, &secret);
    assert_eq!(answer.status, 400);
    assert!(
        !answer.body.contains("a-secret-word") && !relay.log_text().contains("a-secret-word"),
        "{answer:?}"
    );
    for (path, body, status) in [
        (CONFIGURATION, "not json", 400),
        (CONFIGURATION, "{}", 400),
        ("/v1/groups/nobody/configuration/SoracomBeam", "[]", 404),
        ("/v1/groups/g/configuration/SoracomBean", "[]", 400),
    ] {
        let answer = relay.http().call("PUT", path, Some(body));
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(!answer.json()["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(std::fs::read_to_string(relay.file()).unwrap(), before);
    expect_connect_to(&relay, &broker);
}

#[test]
fn deleting_the_entry_point_closes_its_connections_and_tells_mqtt_5() {
    let broker = FakeBroker::listen();
    let config = Configuration::of(&entry_point(&broker.url()))
        .group("other", Some(&entry_point(&broker.url())))
        .sim(2, Some("other"));
    let relay = Simrelay::start(&config);
    let enter = |n: u8, version: Version| {
        let connack = if version == Version::V5 {
            CONNACK_5
        } else {
            CONNACK_311
        };
        let mut device = relay.device(n);
        device.send(&Connect::new(version, &format!("{n}-{version:?}")).bytes());
        let (upstream, _) = broker.admit(connack);
        device.expect(connack);
        (device, upstream)
    };
    let (mut new, mut new_upstream) = enter(1, Version::V5);
    let (mut old, mut old_upstream) = enter(1, Version::V311);
    let (mut other, mut other_upstream) = enter(2, Version::V5);
    let path = format!("{CONFIGURATION}/mqtt:%2F%2Fbeam.soracom.io:1883?");
    assert_eq!(relay.http().delete(&path).status, 204);
    let last = new.read_to_end();
    assert_eq!(
        (last.len(), last[0].kind(), last[0].body()[0]),
        (1, 14, 0x98),
        "{last:?}"
    );
    assert!(last[0].reason_string().unwrap().contains("deleted"));
    old.expect_end();
    new_upstream.expect_end();
    old_upstream.expect_end();
    let connack = relay.device(1).connect(&Connect::new(Version::V311, "late"));
    assert_eq!(connack.body()[1], 5);
    assert!(
        relay.file_json()["groups"][0]["configuration"]["SoracomBeam"]["mqtt://beam.soracom.io:1883"]
            .is_null()
    );
    other.send(PINGREQ);
    other_upstream.expect(PINGREQ);
    assert_eq!(relay.http().delete(&path).status, 404);
}

#[test]
fn a_hand_edit_counts_without_a_restart() {
    let (old, new) = (FakeBroker::listen(), FakeBroker::listen());
    let relay = Simrelay::to(&old.url());
    expect_connect_to(&relay, &old);
    relay.edit(&Configuration::of(&entry_point(&new.url())).text());
    relay.wait_for("new configuration", |line| {
        line["message"] == "configuration loaded"
    });
    expect_connect_to(&relay, &new);
}

#[test]
fn a_broken_hand_edit_is_refused_with_its_place_and_the_old_state_runs_on() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let good = std::fs::read_to_string(relay.file()).unwrap();
    let refusals = |relay: &Simrelay| {
        relay.lines(|line| {
            line["message"]
                .as_str()
                .is_some_and(|m| m.starts_with("configuration refused"))
        })
    };
    for (at, (text, words)) in [
        (
            good.replacen("\"groupId\": \"g\"", "\"groupId\": \"no group\"", 1),
            "groupId: \"no group\"",
        ),
        (
            good.replacen("\"replaceTopic\": true", "\"replaceTopic\": \"ja\"", 1),
            "replaceTopic: \"ja\"",
        ),
        (good[..good.len() / 2].to_owned(), "not usable JSON"),
    ]
    .into_iter()
    .enumerate()
    {
        relay.edit(&text);
        wait_until("refusal in the log", || {
            (refusals(&relay).len() > at).then_some(())
        });
        let message = refusals(&relay)[at]["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("entrypoints.json:") && message.contains(words),
            "{message}"
        );
        expect_connect_to(&relay, &broker);
        // An API call must not write over what somebody is working on.
        assert_eq!(put(&relay, &json!({ "destination": "mqtt://x" })).status, 409);
        assert_eq!(std::fs::read_to_string(relay.file()).unwrap(), text);
    }
    let new = FakeBroker::listen();
    relay.edit(&Configuration::of(&entry_point(&new.url())).text());
    relay.wait_for("new configuration", |line| {
        line["message"] == "configuration loaded"
    });
    expect_connect_to(&relay, &new);
}

#[test]
fn sighup_reads_the_file_again_and_a_broken_one_does_not_end_the_program() {
    let (old, new) = (FakeBroker::listen(), FakeBroker::listen());
    let relay = Simrelay::to(&old.url());
    let before = std::fs::read_to_string(relay.file()).unwrap();
    let says = |words: &'static str| {
        move |line: &Value| {
            line["message"]
                .as_str()
                .is_some_and(|message| message.contains(words))
        }
    };
    relay.edit("{");
    relay.signal("HUP");
    relay.wait_for("refusal", says("configuration refused"));
    expect_connect_to(&relay, &old);
    // Who mends it by taking the edit back is told that it is mended.
    relay.edit(&before);
    relay.signal("HUP");
    relay.wait_for("word that it is mended", says("configuration read again"));
    relay.edit(&Configuration::of(&entry_point(&new.url())).text());
    relay.signal("HUP");
    relay.wait_for("new configuration", |line| {
        line["message"] == "configuration loaded"
    });
    expect_connect_to(&relay, &new);
}
