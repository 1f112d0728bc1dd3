//! Why a device is not let in: code, words, log line.

use crate::site::*;
use serde_json::json;
use std::time::{Duration, Instant};

/// SIM `n` (or whoever calls from `source`) is refused in every version with these codes, `reason` and `advice`.
#[track_caller]
fn expect_refusals(relay: &Simrelay, source: &str, (old, new): (u8, u8), reason: &str, advice: &str) {
    for version in Version::ALL {
        let id = format!("{source}-{version:?}");
        let mut device = Device::from(source, relay.relay());
        let connack = device.connect(&Connect::new(version, &id));
        check(relay, version, &id, &connack, (old, new), reason, advice);
        device.expect_end();
    }
}

#[track_caller]
fn check(
    relay: &Simrelay,
    version: Version,
    id: &str,
    connack: &Packet,
    (old, new): (u8, u8),
    reason: &str,
    advice: &str,
) {
    let code = version.code(old, new);
    assert_eq!((connack.body()[0], connack.body()[1]), (0, code), "{connack:?}");
    if version == Version::V5 {
        let text = connack.reason_string().unwrap();
        assert!(text.contains(reason) && text.contains(advice), "{text}");
    } else {
        assert_eq!(connack.bytes.len(), 4);
    }
    let line = relay.refused_as(id);
    assert_eq!(line["code"], code);
    assert!(line["reason"].as_str().unwrap().contains(reason), "{line}");
    assert!(line["advice"].as_str().unwrap().contains(advice), "{line}");
}

const NOT_AUTHORIZED: (u8, u8) = (5, 0x87);
const UNAVAILABLE: (u8, u8) = (3, 0x88);

#[test]
fn who_may_not_connect_is_told_and_nobody_is_dialled() {
    let broker = FakeBroker::listen();
    let mut disabled = entry_point(&broker.url());
    disabled["enabled"] = false.into();
    let config = Configuration::of(&entry_point(&broker.url()))
        .group("bare", None)
        .group("off", Some(&disabled))
        .sim(2, None)
        .sim(3, Some("bare"))
        .sim(4, Some("off"));
    let relay = Simrelay::start(&config);
    let cases = [
        (
            "127.9.9.9".to_owned(),
            "source address 127.9.9.9 belongs to no SIM",
            "add the address",
        ),
        (sim_address(2), "SIM 440103000000002 is in no group", "groupId"),
        (
            sim_address(3),
            "group bare has no MQTT entry point",
            "SoracomBeam",
        ),
        (
            sim_address(4),
            "the MQTT entry point of group off is disabled",
            "set enabled to true",
        ),
    ];
    for (source, reason, advice) in cases {
        expect_refusals(&relay, &source, NOT_AUTHORIZED, reason, advice);
    }
    broker.expect_no_dial();
}

#[test]
fn a_closed_port_is_named() {
    let address = FakeBroker::listen().address;
    let relay = Simrelay::to(&format!("mqtt://{address}"));
    let reason = format!("cannot connect to {address}: Connection refused");
    expect_refusals(
        &relay,
        &sim_address(1),
        UNAVAILABLE,
        &reason,
        "check host and port",
    );
}

#[test]
fn a_name_without_an_address_is_named() {
    let relay = Simrelay::to("mqtt://no-such-broker.invalid");
    expect_refusals(
        &relay,
        &sim_address(1),
        UNAVAILABLE,
        "cannot resolve no-such-broker.invalid",
        "host name",
    );
}

#[test]
fn a_relay_that_is_its_own_destination_does_not_dial_itself() {
    for listen in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
        let nowhere = Configuration::of(&entry_point("mqtt://127.0.0.1:1"));
        let relay = Simrelay::with(&nowhere, &["--relay-listen", listen]);
        let itself = format!("127.0.0.1:{}", relay.relay().port());
        relay.edit(&Configuration::of(&entry_point(&format!("mqtt://{itself}"))).text());
        relay.wait_for("new configuration", |line| {
            line["message"] == "configuration loaded"
        });
        for version in Version::ALL {
            let id = format!("{version:?}");
            let mut device = Device::from(&sim_address(1), itself.parse().unwrap());
            let connack = device.connect(&Connect::new(version, &id));
            let reason = format!("{itself} is where this relay itself listens");
            check(
                &relay,
                version,
                &id,
                &connack,
                UNAVAILABLE,
                &reason,
                "the broker's own host and port",
            );
        }
        let refused = relay.lines(|line| line["event"] == "refused");
        assert_eq!(refused.len(), Version::ALL.len(), "{}", relay.log_text());
    }
}

#[test]
fn a_broker_that_never_answers_is_given_up_after_ten_seconds() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let start = Instant::now();
    let mut waiting: Vec<_> = Version::ALL
        .into_iter()
        .map(|version| {
            let id = format!("{version:?}");
            let mut device = relay.device(1);
            device.send(&Connect::new(version, &id).bytes());
            (version, id, device, broker.accept())
        })
        .collect();
    for (version, id, device, upstream) in &mut waiting {
        let connack = device.read();
        assert!(start.elapsed() > Duration::from_secs(9));
        check(
            &relay,
            *version,
            id,
            &connack,
            UNAVAILABLE,
            "sent no CONNACK within 10 s",
            "check that an MQTT broker",
        );
        device.expect_end();
        assert_eq!(upstream.read().kind(), 1);
        upstream.expect_end();
    }
}

#[test]
fn a_broker_that_closes_before_connack_is_named() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for version in Version::ALL {
        let id = format!("{version:?}");
        let mut device = relay.device(1);
        device.send(&Connect::new(version, &id).bytes());
        let mut upstream = broker.accept();
        assert_eq!(upstream.read().kind(), 1);
        drop(upstream);
        let connack = device.read();
        let reason = format!("mqtt://{} closed the connection before CONNACK", broker.address);
        check(
            &relay,
            version,
            &id,
            &connack,
            UNAVAILABLE,
            &reason,
            "broker's log",
        );
        device.expect_end();
    }
}

#[test]
fn an_answer_that_is_no_connack_is_named() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let answers: [&[u8]; 5] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0x30, 3, 0, 1, b't'],
        &[0x20, 0xff, 0xff, 0xff, 0x7f],
        &[0x20, 1, 0],
        // AUTH that nobody asked for.
        &[0xf0, 0],
    ];
    for version in Version::ALL {
        for (at, answer) in answers.into_iter().enumerate() {
            let id = format!("{version:?}-{at}");
            let mut device = relay.device(1);
            device.send(&Connect::new(version, &id).bytes());
            let mut upstream = broker.accept();
            assert_eq!(upstream.read().kind(), 1);
            upstream.send(answer);
            let connack = device.read();
            check(
                &relay,
                version,
                &id,
                &connack,
                UNAVAILABLE,
                "something that is no CONNACK",
                "MQTT broker",
            );
            device.expect_end();
            upstream.expect_end();
        }
    }
}

#[test]
fn a_brokers_own_refusal_passes_unchanged() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let old = (1..=5)
        .map(|code| (Version::V311, code))
        .chain((1..=5).map(|code| (Version::V31, code)));
    let new = [
        0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a,
        0x9b, 0x9c, 0x9d, 0x9f,
    ];
    for (version, code) in old.chain(new.map(|code| (Version::V5, code))) {
        let id = format!("{version:?}-{code}");
        let words = property_text(0x1f, "words of the broker");
        let answer = match version {
            Version::V5 => frame(0x20, &[&[0, code, words.len() as u8], words.as_slice()].concat()),
            _ => vec![0x20, 2, 0, code],
        };
        let mut device = relay.device(1);
        device.send(&Connect::new(version, &id).bytes());
        let (mut upstream, _) = broker.admit(&answer);
        device.expect(&answer);
        device.expect_end();
        upstream.expect_end();
        let line = relay.refused_as(&id);
        assert_eq!(line["code"], code, "{line}");
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("({code:#04x})")), "{line}");
        assert_eq!(
            reason.contains("words of the broker"),
            version == Version::V5,
            "{line}"
        );
    }
}

/// An entry point with TLS that trusts `ca`, if one is given.
fn tls(url: &str, trusted: Option<&Authority>) -> Simrelay {
    let mut entry = entry_point(url);
    if trusted.is_some() {
        entry["clientCerts"] = json!({ "default": { "$credentialsId": "site" } });
    }
    let relay = Simrelay::start(&Configuration::of(&entry));
    if let Some(authority) = trusted {
        authority.write_ca(&relay.credential("site"));
    }
    relay
}

#[test]
fn a_certificate_of_an_unknown_ca_is_refused() {
    let mosquitto = Mosquitto::tls(&Authority::new("site"));
    let relay = tls(&mosquitto.tls_url(), None);
    expect_refusals(
        &relay,
        &sim_address(1),
        UNAVAILABLE,
        "UnknownIssuer",
        "put that CA into ca.pem",
    );
    let relay = tls(&mosquitto.tls_url(), Some(&Authority::new("another")));
    expect_refusals(
        &relay,
        &sim_address(1),
        UNAVAILABLE,
        "UnknownIssuer",
        "put that CA into ca.pem",
    );
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::with_certificate(|_| authority.server("other.example"));
    let relay = tls(&mosquitto.tls_url(), Some(&authority));
    expect_refusals(
        &relay,
        &sim_address(1),
        UNAVAILABLE,
        "other.example",
        "check the broker's certificate",
    );
    let reason = relay.refused_as(&format!("{}-V311", sim_address(1)))["reason"].to_string();
    assert!(
        reason.contains("[InvalidCertificate(NotValidForNameContext)]"),
        "{reason}"
    );
}

#[test]
fn a_certificate_that_has_run_out_is_refused() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::with_certificate(|host| authority.expired_server(host));
    let relay = tls(&mosquitto.tls_url(), Some(&authority));
    expect_refusals(
        &relay,
        &sim_address(1),
        UNAVAILABLE,
        "expired",
        "check the broker's certificate",
    );
}

#[test]
fn a_port_without_tls_is_told_from_a_bad_certificate() {
    let mosquitto = Mosquitto::plain();
    let relay = tls(&format!("mqtts://{}", mosquitto.address), None);
    for version in Version::ALL {
        let connack = relay
            .device(1)
            .connect(&Connect::new(version, &format!("{version:?}")));
        assert_eq!(connack.body()[1], version.code(3, 0x88));
        let line = relay.refused_as(&format!("{version:?}"));
        assert!(
            line["reason"].as_str().unwrap().starts_with("TLS with 127."),
            "{line}"
        );
        let advice = line["advice"].as_str().unwrap();
        assert!(
            advice.starts_with("the broker does not speak TLS on that port"),
            "{line}"
        );
    }
}

#[test]
fn a_tls_port_behind_an_mqtt_destination_is_suspected() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::tls(&authority);
    let relay = Simrelay::to(&mosquitto.url());
    let connack = relay.device(1).connect(&Connect::new(Version::V311, "c"));
    assert_eq!(connack.body()[1], 3);
    let advice = relay.refused_as("c")["advice"].to_string();
    assert!(
        advice.contains("TLS") || advice.contains("MQTT broker"),
        "{advice}"
    );
}

#[test]
fn a_client_certificate_of_a_ca_that_the_broker_does_not_know_is_told_from_a_missing_one() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::for_certificates(&authority);
    let mut entry = entry_point(&mosquitto.tls_url());
    entry["useClientCert"] = true.into();
    entry["clientCerts"] = json!({ "default": { "$credentialsId": "site" } });
    let relay = Simrelay::start(&Configuration::of(&entry));
    let credential = relay.credential("site");
    Authority::new("another").client("device").write(&credential);
    authority.write_ca(&credential);
    for version in Version::ALL {
        let id = format!("{version:?}");
        let connack = relay.device(1).connect(&Connect::new(version, &id));
        assert_eq!(connack.body()[1], version.code(3, 0x88));
        let line = relay.refused_as(&id);
        let advice = line["advice"].as_str().unwrap();
        assert!(
            advice.starts_with("the broker does not trust the CA of the client certificate"),
            "{line}"
        );
    }
}

#[test]
fn a_missing_client_certificate_is_suspected() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::for_certificates(&authority);
    let relay = tls(&mosquitto.tls_url(), Some(&authority));
    for version in Version::ALL {
        let id = format!("{version:?}");
        let connack = relay.device(1).connect(&Connect::new(version, &id));
        assert_eq!(connack.body()[1], version.code(3, 0x88));
        let line = relay.refused_as(&id);
        assert!(
            line["advice"].as_str().unwrap().contains("client certificate"),
            "{line}"
        );
    }
}

#[test]
fn a_credential_that_cannot_be_used_is_named() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::for_certificates(&authority);
    let mut entry = entry_point(&mosquitto.tls_url());
    entry["useClientCert"] = true.into();
    entry["clientCerts"] =
        json!({ imsi(1): { "$credentialsId": "missing" }, imsi(2): { "$credentialsId": "half" } });
    let config = Configuration::of(&entry).sim(2, Some("g")).sim(3, Some("g"));
    let relay = Simrelay::start(&config);
    let half = relay.credential("half");
    authority.client("device").write(&half);
    std::fs::remove_file(half.join("key.pem")).unwrap();
    let advice = "credential store";
    expect_refusals(
        &relay,
        &sim_address(1),
        UNAVAILABLE,
        "there is no credential missing",
        advice,
    );
    expect_refusals(
        &relay,
        &sim_address(2),
        UNAVAILABLE,
        "half/key.pem is missing beside cert.pem",
        advice,
    );
    let reason = "clientCerts has neither an entry for IMSI 440103000000003 nor a default";
    expect_refusals(
        &relay,
        &sim_address(3),
        UNAVAILABLE,
        reason,
        "add the IMSI or default",
    );
}

#[test]
fn a_device_with_a_small_maximum_packet_size_gets_the_code_without_the_words() {
    let relay = Simrelay::start(&Configuration::default());
    let mut device = relay.device(1);
    device.send(
        &Connect::new(Version::V5, "c")
            .properties(&[0x27, 0, 0, 0, 20])
            .bytes(),
    );
    device.expect(&[0x20, 3, 0, 0x87, 0]);
    device.expect_end();
}

#[test]
fn a_sim_in_another_modem_than_the_one_it_is_locked_to_is_refused_with_the_reason() {
    let broker = FakeBroker::listen();
    let config = Configuration::of(&entry_point(&broker.url()));
    let relay = Simrelay::start(&config);
    let sim = format!("/v1/sims/{}", sim_id(1));
    let lock = |lock: &str| {
        let body = serde_json::json!({ "imei": lock }).to_string();
        let answer = relay
            .http()
            .call("POST", &format!("{sim}/set_imei_lock"), Some(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let modem = |imei: serde_json::Value| {
        let answer = relay
            .http()
            .put(&format!("{sim}/imei"), &serde_json::json!({ "imei": imei }));
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let enter = |client_id: &str| {
        let mut device = relay.device(1);
        device.send(&Connect::new(Version::V311, client_id).bytes());
        let (_upstream, _) = broker.admit(CONNACK_311);
        device.expect(CONNACK_311);
    };
    lock(&imei(1));
    enter("own-modem");
    lock("999999999999999");
    let connack = relay.device(1).connect(&Connect::new(Version::V5, "other-modem"));
    assert_eq!(connack.body()[1], 0x87);
    let line = relay.refused_as("other-modem");
    let reason = line["reason"].as_str().unwrap();
    assert!(
        reason.contains(&imei(1)) && reason.contains("999999999999999"),
        "{line}"
    );
    modem(serde_json::Value::Null);
    let connack = relay
        .device(1)
        .connect(&Connect::new(Version::V311, "unknown-modem"));
    assert_eq!(connack.body()[1], 5);
    let line = relay.refused_as("unknown-modem");
    assert!(line["reason"].as_str().unwrap().contains("unknown"), "{line}");
    assert!(line["advice"].as_str().unwrap().contains("|ANONYMOUS"), "{line}");
    lock("999999999999999|ANONYMOUS");
    enter("anonymous");
    let path = format!("/v1/logs?resource_id={}", imsi(1));
    // How the connections ended that came about may be in there too.
    let refused = wait_until("entries", || {
        let entries = relay.http().get(&path).json();
        let mut entries = entries.as_array().unwrap().clone();
        entries.retain(|entry| entry["body"]["event"] == "refused");
        (entries.len() >= 2).then_some(entries)
    });
    assert!(
        refused.iter().all(|entry| entry["body"]["kind"] == "imei_lock"),
        "{refused:?}"
    );
}
