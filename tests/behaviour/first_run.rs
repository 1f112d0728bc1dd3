//! The first run, in an empty folder, with the embedded broker.

use crate::site::*;
use std::os::unix::fs::PermissionsExt;

const FLAGS: &[&str] = &["--relay-listen", "127.0.0.1:0", "--broker-listen", "127.0.0.1:0"];

#[test]
fn an_empty_folder_is_all_that_the_first_run_needs() {
    let relay = Simrelay::in_folder(tempfile::tempdir().unwrap(), FLAGS);
    let file = relay.file_json();
    assert_eq!(file["sims"][0]["imsi"], "440103000000001");
    let beam = &file["groups"][0]["configuration"]["SoracomBeam"]["mqtt://beam.soracom.io:1883"];
    assert_eq!(beam["destination"], format!("mqtt://{}", relay.broker()));
    for version in ["mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let inside = ["-V", version, "-q", qos, "-t", "#"];
            let watcher = mosquitto_sub("127.0.0.1", relay.broker(), &inside);
            let flags = [
                "-V",
                version,
                "-q",
                qos,
                "-t",
                "sensors/{{imsi}}/temp",
                "-m",
                "21.5",
            ];
            mosquitto_pub("127.0.0.1", relay.relay(), &flags).unwrap();
            watcher.expect("sensors/440103000000001/temp", "21.5");
            let down = ["-V", version, "-q", qos, "-t", "down/{{imsi}}"];
            let device = mosquitto_sub("127.0.0.1", relay.relay(), &down);
            let flags = ["-V", version, "-q", qos, "-t", "down/440103000000001", "-m", "on"];
            mosquitto_pub("127.0.0.1", relay.broker(), &flags).unwrap();
            device.expect("down/440103000000001", "on");
        }
    }
}

#[test]
fn the_first_file_is_its_owners_as_passwords_will_stand_in_it() {
    let relay = Simrelay::in_folder(tempfile::tempdir().unwrap(), FLAGS);
    let mode = std::fs::metadata(relay.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
}

#[test]
fn a_device_that_vanishes_has_its_will_published_by_the_embedded_broker() {
    let relay = Simrelay::in_folder(tempfile::tempdir().unwrap(), FLAGS);
    for version in ["mqttv311", "mqttv5"] {
        let watcher = mosquitto_sub("127.0.0.1", relay.broker(), &["-V", version, "-t", "wills/#"]);
        let flags = [
            "-V",
            version,
            "-t",
            "x",
            "--will-topic",
            "wills/{{imsi}}",
            "--will-payload",
            "gone",
        ];
        drop(mosquitto_sub("127.0.0.1", relay.relay(), &flags));
        watcher.expect("wills/440103000000001", "gone");
    }
}

#[test]
fn a_later_run_keeps_the_file_that_is_there() {
    let relay = Simrelay::in_folder(tempfile::tempdir().unwrap(), FLAGS);
    let text = std::fs::read_to_string(relay.file()).unwrap();
    let edited = text.replace("local broker", "mine");
    assert_ne!(text, edited);
    relay.edit(&edited);
    let relay = Simrelay::in_folder(relay.kill(), FLAGS);
    assert_eq!(std::fs::read_to_string(relay.file()).unwrap(), edited);
}

#[test]
fn without_the_embedded_broker_the_first_file_leads_to_its_usual_port() {
    let flags = ["--relay-listen", "127.0.0.1:0", "--broker-listen", "off"];
    let relay = Simrelay::in_folder(tempfile::tempdir().unwrap(), &flags);
    let beam = &relay.file_json()["groups"][0]["configuration"]["SoracomBeam"]["mqtt://beam.soracom.io:1883"];
    assert_eq!(beam["destination"], "mqtt://127.0.0.1:1884");
}
