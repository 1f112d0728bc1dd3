//! `simrelay doctor`: each step of the chart fails in turn, for real.

use crate::site::*;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// What the doctor says of a site with this broker and no bridge.
fn examine(broker: &str, flags: &[&str]) -> (Option<i32>, Value) {
    let mut all = vec![
        "doctor",
        "--json",
        "--settings",
        "/dev/null",
        "--bridge-broker",
        broker,
    ];
    if !flags.contains(&"--bridge-listen") {
        all.extend(["--bridge-listen", "off"]);
    }
    all.extend(["--relay-listen", "127.0.0.1:9", "--api-listen", "off"]);
    all.extend(flags);
    let output = run(tempfile::tempdir().unwrap().path(), &all);
    let diagnosis = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", output.stdout, output.stderr));
    (output.code, diagnosis)
}

fn step<'a>(diagnosis: &'a Value, name: &str) -> &'a Value {
    let steps = diagnosis["steps"].as_array().unwrap();
    let found = steps.iter().find(|step| step["step"] == name);
    found.unwrap_or_else(|| panic!("no step {name} in {diagnosis:#}"))
}

#[track_caller]
fn fails_at(broker: &str, flags: &[&str], name: &str, advice: &str) {
    let (code, diagnosis) = examine(broker, flags);
    assert_eq!(
        (code, diagnosis["failed"].as_str()),
        (Some(1), Some(name)),
        "{diagnosis:#}"
    );
    let said = step(&diagnosis, name)["advice"].as_str().unwrap();
    assert!(said.contains(advice), "{diagnosis:#}");
}

#[test]
fn a_relay_that_is_off_and_on_at_once_fails() {
    let mosquitto = Mosquitto::plain();
    fails_at(
        &mosquitto.url(),
        &["--relay-listen", "off"],
        "relay",
        "see --relay-listen",
    );
}

#[test]
fn a_site_where_all_is_well_passes() {
    let mosquitto = Mosquitto::plain();
    let key = secret_file("0123456789abcdef");
    let bridge = Simrelay::in_folder(
        tempfile::tempdir().unwrap(),
        &[
            "bridge",
            "--bridge-listen",
            "127.0.0.1:0",
            "--bridge-broker",
            &mosquitto.url(),
            "--bridge-key-file",
            key.to_str().unwrap(),
        ],
    );
    bridge.wait_for("connection to the broker", |line| {
        line["event"] == "broker_connected"
    });
    let listen = bridge.bridge().to_string();
    let _watcher = mosquitto.watch();
    let flags = ["--bridge-listen", &listen, "--topic", "notify/slack"];
    let (code, diagnosis) = examine(&mosquitto.url(), &flags);
    assert_eq!(
        (code, &diagnosis["ok"]),
        (Some(0), &Value::Bool(true)),
        "{diagnosis:#}"
    );
    for name in [
        "name", "broker", "login", "publish", "deliver", "listener", "bridge",
    ] {
        assert_eq!(step(&diagnosis, name)["result"], "ok", "{diagnosis:#}");
    }
    assert_eq!(step(&diagnosis, "relay")["result"], "note");
}

#[test]
fn a_broker_on_the_relays_port_is_not_taken_for_the_relay() {
    let mosquitto = Mosquitto::plain();
    let url = mosquitto.url();
    let found = |listen: &str| {
        let flags = ["doctor", "--json", "--settings", "/dev/null", "--bridge-broker"];
        let more = [
            "--bridge-listen",
            "off",
            "--api-listen",
            "off",
            "--relay-listen",
            listen,
        ];
        let all = [&flags[..], &[url.as_str()], &more[..]].concat();
        let output = run(tempfile::tempdir().unwrap().path(), &all);
        let diagnosis: Value = serde_json::from_str(&output.stdout).unwrap();
        step(&diagnosis, "relay").clone()
    };
    let broker = found(url.trim_start_matches("mqtt://"));
    assert_eq!(broker["result"], "note", "{broker}");
    assert!(
        broker["found"].as_str().unwrap().contains("not the relay"),
        "{broker}"
    );
    let advice = broker["advice"].as_str().unwrap();
    assert!(
        advice.contains("ss -ltnp") && advice.contains("SIMRELAY_RELAY_LISTEN"),
        "{broker}"
    );
    // Whether or not this machine is one of its SIMs.
    for addresses in [&["127.0.0.1"][..], &["127.99.0.1"]] {
        let config = Configuration::default()
            .group("g", Some(&entry_point(&mosquitto.url())))
            .sim_at(1, Some("g"), addresses);
        let relay = Simrelay::start(&config);
        let found = found(&relay.relay().to_string());
        assert_eq!(found["result"], "ok", "{found}");
    }
}

#[test]
fn each_failure_is_named_with_what_to_do() {
    let free = free_address();
    fails_at(
        &format!("mqtt://{free}"),
        &[],
        "broker",
        "systemctl start mosquitto",
    );
    fails_at("mqtt://no-such-host.invalid", &[], "name", "DNS");
    let mosquitto = Mosquitto::with_password_for("bridge", "right-word", "notify/#");
    fails_at(&mosquitto.url(), &[], "login", "password_file");
    let file = secret_file("wrong-word");
    let wrong = bridge_login("bridge", &file);
    fails_at(&mosquitto.url(), &wrong, "login", "password_file");
    // The list of this broker lets the user write below notify/ only.
    let file = secret_file("right-word");
    let right = bridge_login("bridge", &file);
    let (code, diagnosis) = examine(&mosquitto.url(), &right);
    assert_eq!(
        (code, step(&diagnosis, "login")["result"].as_str()),
        (Some(1), Some("ok"))
    );
    assert_eq!(diagnosis["failed"], "publish", "{diagnosis:#}");
    let plain = Mosquitto::plain();
    fails_at(
        &plain.url(),
        &["--topic", "notify/slack"],
        "listener",
        "simrelay-notifier",
    );
    fails_at(
        &plain.url(),
        &["--bridge-listen", &free.to_string()],
        "bridge",
        "systemctl start simrelay-bridge",
    );
}

#[test]
fn the_notifiers_own_login_is_tried_and_its_routes_are_read() {
    let mosquitto = Mosquitto::with_password("simrelay", "right-word");
    let file = secret_file("right-word");
    let bridge = bridge_login("simrelay", &file);
    let url = mosquitto.url();
    let wrong = ["--notifier-broker", &url, "--notifier-broker-user", "simrelay"];
    fails_at(
        &url,
        &[&bridge[..], &wrong[..]].concat(),
        "login",
        "password_file",
    );
    let folder = tempfile::tempdir().unwrap();
    let word = folder.path().join("word");
    std::fs::write(&word, "right-word\n").unwrap();
    let routes = folder.path().join("routes.json");
    std::fs::write(
        &routes,
        include_str!("../../notifications.json").replace("SLACK_WEBHOOK_URL", "NOT_SET_HERE"),
    )
    .unwrap();
    let right = ["--notifier-broker-password-file", word.to_str().unwrap()];
    let file = ["--notifications", routes.to_str().unwrap()];
    let flags = [&bridge[..], &wrong[..], &right[..], &file[..]].concat();
    let (_, diagnosis) = examine(&url, &flags);
    assert_eq!(step(&diagnosis, "login")["result"], "ok", "{diagnosis:#}");
    assert_eq!(step(&diagnosis, "routes")["result"], "ok", "{diagnosis:#}");
    assert_eq!(diagnosis["failed"], "slack", "{diagnosis:#}");
    assert!(
        step(&diagnosis, "slack")["found"]
            .as_str()
            .unwrap()
            .contains("NOT_SET_HERE")
    );
}

#[test]
fn a_port_that_hangs_or_speaks_something_else_is_told_apart() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let broker = format!("mqtt://{}", silent.local_addr().unwrap());
    fails_at(&broker, &[], "broker", "MQTT broker");
    let authority = Authority::new("nobody knows it");
    let mosquitto = Mosquitto::tls(&authority);
    fails_at(&mosquitto.tls_url(), &[], "broker", "CA");
    let advice = "perhaps it wants TLS: write mqtts:// in --bridge-broker";
    fails_at(&mosquitto.url(), &[], "broker", advice);
    let mosquitto = Mosquitto::for_certificates(&authority);
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let trusting = ["--bridge-broker-ca", ca.to_str().unwrap()];
    fails_at(
        &mosquitto.tls_url(),
        &trusting,
        "broker",
        "name another of its listeners in --bridge-broker",
    );
}

#[test]
fn people_read_it_and_the_settings_of_the_services_count() {
    let folder = tempfile::tempdir().unwrap();
    let broker = format!("mqtt://{}", free_address());
    let settings =
        format!("# the services'\nSIMRELAY_BRIDGE_BROKER=\"{broker}\"\nSIMRELAY_BRIDGE_LISTEN=off\n");
    std::fs::write(folder.path().join("simrelay.env"), settings).unwrap();
    let said = run(folder.path(), &["doctor", "--settings", "simrelay.env"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stdout.contains("FAIL  broker"), "{}", said.stdout);
    assert!(
        said.stdout.contains(broker.trim_start_matches("mqtt://")),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.ends_with("First to mend: broker\n"),
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains("bridge  "), "{}", said.stdout);
}

/// The services' settings and files in a folder, with a notifier for `broker` and no bridge.
fn notifier_site(folder: &Path, broker: &Mosquitto, destinations: &Value) {
    let notifications = json!({
        "destinations": destinations,
        "routes": [{ "topics": "notify/#", "to": destinations.as_object().unwrap().keys().collect::<Vec<_>>() }],
    });
    std::fs::write(folder.join("notifications.json"), notifications.to_string()).unwrap();
    let here = folder.display();
    let settings = format!(
        "SIMRELAY_DATA={here}/data\nSIMRELAY_NOTIFICATIONS={here}/notifications.json\n\
         SIMRELAY_NOTIFIER_BROKER={}\nSIMRELAY_BRIDGE_LISTEN=off\nSIMRELAY_RELAY_LISTEN=off\nSIMRELAY_API_LISTEN=off\n",
        broker.url()
    );
    std::fs::write(folder.join("simrelay.env"), settings).unwrap();
}

/// What the doctor says of such a site, called from elsewhere.
fn examine_site(folder: &Path, flags: &[&str]) -> (Option<i32>, Value) {
    let settings = folder.join("simrelay.env");
    let all = ["doctor", "--json", "--settings", settings.to_str().unwrap()];
    let output = run(Path::new("/"), &[&all[..], flags].concat());
    let diagnosis = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", output.stdout, output.stderr));
    (output.code, diagnosis)
}

#[test]
fn a_notifier_that_is_stopped_is_missed_and_one_that_runs_takes_the_message_in() {
    let broker = Mosquitto::plain();
    let folder = tempfile::tempdir().unwrap();
    notifier_site(folder.path(), &broker, &json!({ "book": { "type": "log" } }));
    let mut running = Simrelay::in_folder(folder, &["notifier", "--notifier-broker", &broker.url()]);
    broker.saw("Sending SUBACK to simrelay-notifier");
    let topic = ["--topic", "notify/slack"];
    let (code, diagnosis) = examine_site(running.folder.path(), &topic);
    assert_eq!(code, Some(0), "{diagnosis:#}");
    for name in ["notifier", "topic", "listener", "arrival"] {
        assert_eq!(step(&diagnosis, name)["result"], "ok", "{diagnosis:#}");
    }
    assert_eq!(examine_site(running.folder.path(), &[]).0, Some(0));
    let second = run(running.folder.path(), &["notifier"]);
    assert_eq!(second.code, Some(1));
    assert!(
        second.stderr.contains("another notifier works with"),
        "{second:?}"
    );
    running.signal("TERM");
    assert!(running.wait().success());
    let folder = running.kill();
    for flags in [&topic[..], &[]] {
        let (code, diagnosis) = examine_site(folder.path(), flags);
        assert_eq!(
            (code, &diagnosis["failed"]),
            (Some(1), &json!("notifier")),
            "{diagnosis:#}"
        );
    }
    // It runs, but listens to another broker.
    let elsewhere = Mosquitto::plain();
    let _running = Simrelay::in_folder(folder, &["notifier", "--notifier-broker", &elsewhere.url()]);
    let (code, diagnosis) = examine_site(_running.folder.path(), &topic);
    assert_eq!(
        (code, &diagnosis["failed"]),
        (Some(1), &json!("arrival")),
        "{diagnosis:#}"
    );
}

#[test]
fn root_sees_what_the_services_see_wherever_it_calls_from() {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let broker = Mosquitto::plain();
    let folder = tempfile::tempdir().unwrap();
    let word = folder.path().join("smtp-password");
    std::fs::write(&word, "right-word").unwrap();
    mode(&word, 0o600);
    let mail = json!({ "type": "mail", "host": "127.0.0.1", "port": broker.address.port(), "from": "pi@example.com",
        "recipients": ["office@example.com"], "username": "pi", "password": { "file": word } });
    notifier_site(folder.path(), &broker, &json!({ "office": mail }));
    let entry = json!({ "destination": "mqtt://127.0.0.1:9", "username": "u", "password": "right-word" });
    let entry_points = folder.path().join("entrypoints.json");
    std::fs::write(&entry_points, Configuration::of(&entry).text()).unwrap();
    mode(&entry_points, 0o644);
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    mode(folder.path(), 0o755);
    let (_, diagnosis) = examine_site(folder.path(), &[]);
    assert_eq!(step(&diagnosis, "passwords")["result"], "note", "{diagnosis:#}");
    if !is_root {
        return;
    }
    // The services run as nobody.
    chown(&data, Some(65534), Some(65534)).unwrap();
    for (owner, is_told) in [(0, true), (65534, false)] {
        chown(&word, Some(owner), Some(owner)).unwrap();
        let (_, diagnosis) = examine_site(folder.path(), &[]);
        let found = step(&diagnosis, "mail")["found"].to_string();
        assert_eq!(found.contains("Permission denied"), is_told, "{diagnosis:#}");
    }
}
