//! Requests are counted as Beam counts them, and the log says so without saying a secret.

use crate::site::*;
use serde_json::{Value, json};

fn counts(line: &Value) -> [u64; 4] {
    ["device_up", "broker_up", "broker_down", "device_down"].map(|name| line[name].as_u64().unwrap())
}

#[test]
fn the_closing_line_counts_what_was_sent_on_each_leg() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for version in Version::ALL {
        let v5 = version == Version::V5;
        let connack = if v5 { CONNACK_5 } else { CONNACK_311 };
        let id = format!("{version:?}");
        let mut device = relay.device(1);
        device.send(&Connect::new(version, &id).bytes());
        let (mut upstream, _) = broker.admit(connack);
        device.expect(connack);
        let message = |qos: u8, id: u16| match version {
            Version::V5 => publish_5("{{imsi}}", qos, id, &[], b"x"),
            _ => publish("{{imsi}}", qos, id, b"x"),
        };
        let mut up = Vec::new();
        for round in 0..100 {
            up.extend(message(round as u8 % 3, round + 1));
        }
        // Two filters in one SUBSCRIBE are one request.
        up.extend(subscribe(version, 200, &[("a", 0), ("b", 1)]));
        up.extend(unsubscribe(version, 201, &["a"]));
        // These are none.
        up.extend(
            [
                puback(1),
                PINGREQ.to_vec(),
                frame(0x62, &[0, 3]),
                PINGREQ.to_vec(),
            ]
            .concat(),
        );
        up.extend(disconnect());
        let bytes_up = up.len();
        device.send(&up);
        for _ in 0..106 {
            upstream.read();
        }
        upstream.expect(&disconnect());
        let mut down = PINGRESP.to_vec();
        for round in 0..40 {
            down.extend(message(round as u8 % 3, round + 1));
            down.extend(puback(round + 1));
        }
        upstream.send(&down);
        drop(upstream);
        assert_eq!(device.read_to_end().len(), 81);
        let line = relay.closed(&id);
        assert_eq!(counts(&line), [102, 102, 40, 40], "{line}");
        assert_eq!(
            (&line["bytes_up"], &line["bytes_down"]),
            (&bytes_up.into(), &down.len().into())
        );
        assert_eq!(
            (&line["imsi"], &line["sim_id"], &line["group"]),
            (&imsi(1).into(), &sim_id(1).into(), &"g".into())
        );
        assert!(
            line["duration"].as_f64().unwrap() > 0.0
                && line["address"].as_str().unwrap().starts_with("127.1.0.1:")
        );
        let opened = relay.wait_for("opening", |line| {
            line["event"] == "opened" && line["client_id"] == id.as_str()
        });
        assert_eq!(
            (&opened["keep_alive"], &opened["destination"]),
            (&60.into(), &broker.url().into())
        );
    }
}

#[test]
fn usage_lines_sum_up_what_each_sim_sent_and_no_more() {
    let mosquitto = Mosquitto::plain();
    let authority = Authority::new("site");
    let secure = Mosquitto::tls(&authority);
    let mut tls = entry_point(&secure.tls_url());
    tls["clientCerts"] = json!({ "default": { "$credentialsId": "site" } });
    let config = Configuration::of(&entry_point(&mosquitto.url()))
        .sim(2, Some("g"))
        .group("tls", Some(&tls))
        .sim(3, Some("tls"));
    let mut relay = Simrelay::with(&config, &["--usage-interval", "1"]);
    authority.write_ca(&relay.credential("site"));
    for (n, messages) in [(1, 5), (2, 3), (3, 4), (1, 2)] {
        let mut device = relay.device(n);
        device.enter(&Connect::new(Version::V311, "c"));
        for id in 1..=messages {
            device.send(&publish("{{imsi}}", 1, id, b"x"));
            device.expect(&puback(id));
            // Longer than an interval over all: the sums are spread over several lines.
            std::thread::sleep(std::time::Duration::from_millis(150));
        }
        device.send(&disconnect());
        device.expect_end();
    }
    relay.signal("TERM");
    assert!(relay.wait().success());
    for (n, mqtt, mqtts) in [(1, 7, 0), (2, 3, 0), (3, 0, 4)] {
        let lines = relay.lines(|line| line["event"] == "usage" && line["imsi"] == imsi(n));
        let sum = |name: &str| lines.iter().map(|line| line[name].as_u64().unwrap()).sum::<u64>();
        let sums = ["in_mqtt", "out_mqtt", "out_mqtts", "device_up", "broker_up"].map(sum);
        assert_eq!(
            sums,
            [mqtt + mqtts, mqtt, mqtts, mqtt + mqtts, mqtt + mqtts],
            "{lines:?}"
        );
    }
    let usage = relay.lines(|line| line["event"] == "usage");
    assert!(usage.len() > 3, "{usage:?}");
    assert!(
        usage
            .iter()
            .all(|line| line["bytes_up"] != 0 || line["bytes_down"] != 0),
        "{usage:?}"
    );
}

#[test]
fn at_debug_every_counted_request_is_a_line() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::with(
        &Configuration::of(&entry_point(&broker.url())),
        &["--log-level", "debug"],
    );
    let mut device = relay.device(1);
    let early = publish("early", 0, 0, b"x");
    device.send(&[Connect::new(Version::V311, "c").bytes(), early.clone()].concat());
    let (mut upstream, _) = broker.admit(&[CONNACK_311, &publish("d", 0, 0, b"behind CONNACK")].concat());
    device.expect(CONNACK_311);
    upstream.expect(&early);
    for id in 1..=7 {
        device.send(&publish("t", 1, id, b"x"));
        upstream.expect(&publish("t", 1, id, b"x"));
        upstream.send(&puback(id));
    }
    for _ in 0..3 {
        upstream.send(&publish("d", 0, 0, b"x"));
    }
    device.send(&disconnect());
    upstream.expect(&disconnect());
    drop(upstream);
    device.read_to_end();
    let line = relay.closed("c");
    assert_eq!(counts(&line), [8, 8, 4, 4]);
    let requests = relay.lines(|line| line["event"] == "request");
    let count = |direction: &str, leg: &str| {
        requests
            .iter()
            .filter(|line| line["direction"] == direction && line["leg"] == leg)
            .count() as u64
    };
    let logged = [
        ("uplink", "device"),
        ("uplink", "broker"),
        ("downlink", "broker"),
        ("downlink", "device"),
    ];
    assert_eq!(
        logged.map(|(direction, leg)| count(direction, leg)),
        counts(&line)
    );
    assert!(
        requests
            .iter()
            .all(|line| line["imsi"] == imsi(1) && line["client_id"] == "c")
    );
}

#[test]
fn no_level_of_logging_shows_a_secret() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::for_certificates(&authority);
    let injected = json!({
        "destination": mosquitto.tls_url(), "username": "user", "password": "secret-of-the-entry-point",
        "useClientCert": true, "clientCerts": { "default": { "$credentialsId": "site" } }
    });
    let plain = Mosquitto::plain();
    let config = Configuration::of(&entry_point(&plain.url()))
        .group("tls", Some(&injected))
        .sim(2, Some("tls"));
    let mut relay = Simrelay::with(&config, &["--log-level", "trace"]);
    let pair = authority.client("device");
    pair.write(&relay.credential("site"));
    authority.write_ca(&relay.credential("site"));
    let connect = |id: &str| Connect::new(Version::V5, id).login("user", "secret-of-the-device");
    for n in [1, 2] {
        let mut device = relay.device(n);
        device.enter(&connect("c"));
        device.send(&publish_5("t", 1, 1, &[], b"secret-payload"));
        device.read();
        device.send(&disconnect());
        device.expect_end();
    }
    // Refused ones and broken ones are logged as well.
    relay.device(1).connect(&connect("refused").keep_alive(3));
    let mut broken = connect("broken").bytes();
    broken[9] |= 1;
    let mut device = relay.device(1);
    device.send(&broken);
    device.read_to_end();
    let value = json!({ "destination": plain.url(), "username": "u", "password": "secret-of-the-put" });
    relay.put_entry_point(&value);
    relay.device(1).enter(&connect("after"));
    let token = std::fs::read_to_string(relay.folder.path().join("data/admin-token")).unwrap();
    relay.signal("TERM");
    relay.wait();
    let log = relay.log_text();
    assert!(log.contains("\"TRACE\"") && log.contains("\"client_id\":\"refused\""));
    let key = pair.key.lines().nth(1).unwrap();
    for secret in ["secret-of-", "secret-payload", token.trim(), key] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let numbers = format!("{:?}", "secret-of-the-device".as_bytes());
    assert!(
        !log.contains(numbers.trim_matches(['[', ']'])),
        "the password is in the log as numbers"
    );
}
