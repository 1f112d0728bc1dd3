//! TLS to the broker: whom it trusts, which certificate it shows, and when it saves the handshake.

use crate::site::*;
use rustls::HandshakeKind;
use serde_json::{Value, json};

fn entry(url: &str, client_certs: &Value, use_client_cert: bool) -> Value {
    json!({
        "destination": url, "replaceTopic": true, "useClientCert": use_client_cert, "clientCerts": client_certs
    })
}

fn default_credential(id: &str) -> Value {
    json!({ "default": { "$credentialsId": id } })
}

#[test]
fn a_private_ca_in_a_credential_is_trusted_and_nothing_else_needs_to_be_in_it() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::tls(&authority);
    let relay = Simrelay::start(&Configuration::of(&entry(
        &mosquitto.tls_url(),
        &default_credential("site"),
        false,
    )));
    authority.write_ca(&relay.credential("site"));
    let mut watcher = mosquitto.watch();
    for version in Version::ALL {
        for qos in ["0", "1", "2"] {
            let flags = ["-V", version.name(), "-q", qos, "-t", "t/{{imsi}}", "-m", qos];
            mosquitto_pub(&sim_address(1), relay.relay(), &flags).unwrap();
            watcher.expect(&format!("t/{}", imsi(1)), qos);
        }
    }
    let sub = mosquitto_sub(&sim_address(1), relay.relay(), &["-t", "down/{{imsi}}"]);
    let topic = format!("down/{}", imsi(1));
    mosquitto_pub("127.0.0.1", mosquitto.inside, &["-t", &topic, "-m", "x"]).unwrap();
    sub.expect(&topic, "x");
}

#[test]
fn the_client_certificate_is_that_of_the_imsi_or_the_default() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::for_certificates(&authority);
    let certs = json!({ "default": { "$credentialsId": "all" }, imsi(2): { "$credentialsId": "second" } });
    let config = Configuration::of(&entry(&mosquitto.tls_url(), &certs, true)).sim(2, Some("g"));
    let relay = Simrelay::start(&config);
    for (id, name) in [("all", "device-of-all"), ("second", "device-2")] {
        authority.client(name).write(&relay.credential(id));
        authority.write_ca(&relay.credential(id));
    }
    for (n, name) in [(1, "device-of-all"), (2, "device-2"), (1, "device-of-all")] {
        let id = format!("sim-{n}");
        let mut device = relay.device(n);
        device.enter(&Connect::new(Version::V311, &id));
        mosquitto.saw(&format!("as {id} (p2, c1, k60, u'{name}')"));
    }
}

#[test]
fn a_connect_with_a_client_certificate_is_the_last_use_of_its_credential() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::for_certificates(&authority);
    let relay = Simrelay::start(&Configuration::of(&entry(
        &mosquitto.tls_url(),
        &default_credential("used"),
        true,
    )));
    for id in ["used", "unused"] {
        authority.client(id).write(&relay.credential(id));
        authority.write_ca(&relay.credential(id));
    }
    let last_uses = || {
        let listed = relay.http().get("/v1/credentials").json();
        let last = |at: usize| listed[at]["lastUsedDateTime"].as_i64().unwrap();
        assert_eq!(
            (&listed[0]["credentialsId"], &listed[1]["credentialsId"]),
            (&json!("unused"), &json!("used"))
        );
        (last(0), last(1))
    };
    assert_eq!(last_uses(), (0, 0));
    relay.device(1).enter(&Connect::new(Version::V5, "c"));
    let (unused, used) = last_uses();
    assert_eq!(unused, 0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    assert!(
        (now - 60_000..=now).contains(&used),
        "{used}, and now it is {now}"
    );
}

#[test]
fn a_credential_without_the_certificate_that_is_to_be_shown_is_a_refusal_and_no_login_without_one() {
    let authority = Authority::new("site");
    let broker = TlsBroker::listen(&authority.server("localhost"), &authority);
    let url = format!("mqtts://localhost:{}", broker.port());
    let relay = Simrelay::start(&Configuration::of(&entry(
        &url,
        &default_credential("site"),
        true,
    )));
    authority.write_ca(&relay.credential("site"));
    let connack = relay.device(1).connect(&Connect::new(Version::V311, "c"));
    assert_eq!(connack.body()[1], 3);
    let line = relay.refused_as("c");
    let reason = line["reason"].as_str().unwrap();
    assert!(
        reason.contains("site holds no cert.pem and key.pem, and useClientCert wants them"),
        "{reason}"
    );
    broker.expect_no_dial();
}

#[test]
fn one_group_can_hold_a_certificate_for_each_sim() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::for_certificates(&authority);
    let certs = default_credential("iot-#{imsi}");
    let config = Configuration::of(&entry(&mosquitto.tls_url(), &certs, true)).sim(2, Some("g"));
    let relay = Simrelay::start(&config);
    for n in [1, 2] {
        let folder = relay.credential(&format!("iot-{}", imsi(n)));
        authority.client(&format!("device-{n}")).write(&folder);
        authority.write_ca(&folder);
    }
    for n in [1, 2] {
        let id = format!("sim-{n}");
        relay.device(n).enter(&Connect::new(Version::V5, &id));
        mosquitto.saw(&format!("as {id} (p5, c1, k60, u'device-{n}')"));
    }
}

/// A TLS broker called `localhost`, its authority, and a relay whose SIMs 1 and 2 have a credential each.
fn tls_stage(use_client_cert: bool) -> (Authority, TlsBroker, Simrelay) {
    let authority = Authority::new("site");
    let broker = TlsBroker::listen(&authority.server("localhost"), &authority);
    let url = format!("mqtts://localhost:{}/a/path", broker.port());
    let config = Configuration::of(&entry(&url, &default_credential("iot-#{imsi}"), use_client_cert))
        .sim(2, Some("g"));
    let relay = Simrelay::start(&config);
    for n in [1, 2] {
        let folder = relay.credential(&format!("iot-{}", imsi(n)));
        authority.client(&format!("device-{n}")).write(&folder);
        authority.write_ca(&folder);
    }
    (authority, broker, relay)
}

/// What the broker saw of a handshake.
struct Seen {
    name: Option<String>,
    certificate: Option<Vec<u8>>,
    kind: HandshakeKind,
}

/// A connection of SIM `n`, from CONNECT to DISCONNECT.
fn call(broker: &TlsBroker, relay: &Simrelay, n: u8) -> Seen {
    let mut device = relay.device(n);
    let connect = Connect::new(Version::V311, "c").bytes();
    device.send(&connect);
    let mut upstream = broker.accept();
    upstream.expect(&connect);
    upstream.send(CONNACK_311);
    device.expect(CONNACK_311);
    device.send(&disconnect());
    upstream.expect(&disconnect());
    let session = &upstream.stream.conn;
    Seen {
        name: session.server_name().map(str::to_owned),
        certificate: session.peer_certificates().map(|chain| chain[0].to_vec()),
        kind: session.handshake_kind().unwrap(),
    }
}

#[test]
fn a_name_is_sent_with_sni_and_its_addresses_are_tried_in_turn() {
    // `localhost` is ::1 first on most machines, where this broker does not listen.
    let (_authority, broker, relay) = tls_stage(true);
    assert_eq!(call(&broker, &relay, 1).name.as_deref(), Some("localhost"));
}

#[test]
fn a_certificate_that_the_entry_point_does_not_use_is_not_shown() {
    let (_authority, broker, relay) = tls_stage(false);
    assert_eq!(call(&broker, &relay, 1).certificate, None);
    let (_authority, broker, relay) = tls_stage(true);
    assert!(call(&broker, &relay, 1).certificate.is_some());
}

#[test]
fn the_second_connection_saves_the_handshake_and_nobody_uses_anothers_ticket() {
    let (_authority, broker, relay) = tls_stage(true);
    let first = call(&broker, &relay, 1);
    assert_ne!(first.kind, HandshakeKind::Resumed);
    let again = call(&broker, &relay, 1);
    assert_eq!(again.kind, HandshakeKind::Resumed);
    assert_eq!(again.certificate, first.certificate);
    let other = call(&broker, &relay, 2);
    assert_ne!(other.kind, HandshakeKind::Resumed);
    assert_ne!(other.certificate, first.certificate);
    assert_eq!(call(&broker, &relay, 2).kind, HandshakeKind::Resumed);
}

#[test]
fn a_credential_that_is_replaced_on_disk_serves_the_next_connect() {
    let (authority, broker, relay) = tls_stage(true);
    let first = call(&broker, &relay, 1).certificate;
    authority
        .client("new-device")
        .write(&relay.credential(&format!("iot-{}", imsi(1))));
    wait_until("new certificate at the broker", || {
        (call(&broker, &relay, 1).certificate != first).then_some(())
    });
}

#[test]
fn a_credential_that_comes_later_mends_the_refusal() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::for_certificates(&authority);
    let config = Configuration::of(&entry(&mosquitto.tls_url(), &default_credential("late"), true));
    let relay = Simrelay::start(&config);
    let connack = relay.device(1).connect(&Connect::new(Version::V311, "early"));
    assert_eq!(connack.body()[1], 3);
    assert!(
        relay.refused_as("early")["reason"]
            .as_str()
            .unwrap()
            .contains("no credential late")
    );
    authority.client("device").write(&relay.credential("late"));
    authority.write_ca(&relay.credential("late"));
    wait_until("CONNACK that says yes", || {
        (relay.device(1).connect(&Connect::new(Version::V311, "c")).body()[1] == 0).then_some(())
    });
}
