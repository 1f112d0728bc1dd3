//! No secret is where somebody without a right to it could read it.

use crate::site::*;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const SECRETS: [&str; 4] = [
    "s3cret-of-the-broker",
    "s3cret-of-pubnub",
    "s3cret-of-azure-",
    "s3cret-of-the-device",
];

/// Everything that others could have seen.
fn seen(relay: &Simrelay, answers: &[String]) -> String {
    let of = |name: &str| std::fs::read(format!("/proc/{}/{name}", relay.pid())).unwrap();
    let command = String::from_utf8_lossy(&of("cmdline")).into_owned();
    [relay.log_text(), command, answers.join("\n")].join("\n")
}

#[test]
fn secrets_are_in_no_log_line_answer_or_command_line() {
    let mosquitto = Mosquitto::with_password("relay", SECRETS[0]);
    let mut entry = entry_point(&mosquitto.url());
    entry["useClientCredentials"] = false.into();
    entry["username"] = "relay".into();
    entry["password"] = SECRETS[0].into();
    let config = Configuration::of(&entry);
    let relay = Simrelay::with(&config, &["--log-level", "trace"]);
    let http = relay.http();
    let mut answers = Vec::new();
    let mut call = |method: &str, path: &str, body: Option<&serde_json::Value>| {
        let body = body.map(ToString::to_string);
        let answer = http.call(method, path, body.as_deref());
        answers.push(answer.body);
        answer.status
    };
    // Credentials are written and never shown, and a wrong one is not quoted.
    let kinds = [
        (
            "pubnub-credentials",
            json!({"pubKey": "pub-c-1", "subKey": "sub-c-1", "secretKey": SECRETS[1]}),
        ),
        (
            "azureIoT-credentials",
            json!({"policyName": "p", "key": SECRETS[2]}),
        ),
        ("no-such-type", json!({"password": SECRETS[1]})),
    ];
    for (n, (kind, values)) in kinds.iter().enumerate() {
        let body = json!({"type": kind, "description": "d", "credentials": values});
        call("POST", &format!("/v1/credentials/c{n}"), Some(&body));
    }
    call("GET", "/v1/credentials", None);
    call("GET", "/metrics", None);
    call("GET", "/v1/logs", None);
    let wrong = json!([{"key": "mqtt://beam.soracom.io:1883", "value": {"destination": "mqtt://x", "passwort": SECRETS[1]}}]);
    assert_eq!(
        call("PUT", "/v1/groups/g/configuration/SoracomBeam", Some(&wrong)),
        400
    );
    // The relay puts its own login in place of the device's.
    let mut device = relay.device(1);
    device.enter(&Connect::new(Version::V311, "c").login("d", SECRETS[3]));
    device.send(&publish("t", 0, 0, b"x"));
    device.send(&disconnect());
    relay.closed("c");
    let token = std::fs::read_to_string(relay.folder.path().join("data/admin-token")).unwrap();
    let nobody = Http::new(relay.api(), Some("s3cret-of-nobody-else"));
    assert_eq!(nobody.get("/v1/groups").status, 401);
    let seen = seen(&relay, &answers);
    for secret in SECRETS.into_iter().chain([token.trim(), "s3cret-of-nobody-else"]) {
        let at = seen.find(secret);
        assert!(
            at.is_none(),
            "{secret} in {}",
            &seen[at.unwrap().saturating_sub(300)..]
        );
    }
}

/// Anybody on the machine reads the flags of a process.
#[test]
fn no_flag_takes_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let help = run(folder.path(), &["--help"]).stdout;
    let secret = ["password", "key", "token", "secret"];
    let flags = help.lines().filter_map(|line| line.trim().split_once("--"));
    let flags: Vec<_> = flags
        .filter(|(before, _)| before.is_empty() || before.ends_with(", "))
        .map(|(_, flag)| flag)
        .collect();
    assert!(flags.len() > 40, "{help}");
    for flag in flags {
        let name = flag.split_whitespace().next().unwrap();
        let is_of_a_secret = secret.iter().any(|word| name.ends_with(word));
        let is_a_file = flag.contains("<FILE>");
        assert!(!is_of_a_secret || is_a_file, "--{flag}");
    }
}

#[test]
fn a_password_where_none_belongs_is_refused_without_being_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("mqtt://user:{}@127.0.0.1:1", SECRETS[0]);
    for (command, name) in [
        ("bridge", "SIMRELAY_BRIDGE_BROKER"),
        ("notifier", "SIMRELAY_NOTIFIER_BROKER"),
    ] {
        let said = run_in_environment(folder.path(), &[command], &[(name, &url)]);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(
            said.stderr.contains("user name or password") && said.stderr.contains("-broker <URL>"),
            "{}",
            said.stderr
        );
        assert!(!said.stderr.contains(SECRETS[0]), "{}", said.stderr);
    }
}

#[test]
fn secrets_of_bridge_and_notifier_are_in_no_log_line_and_no_command_line() {
    let mosquitto = Mosquitto::with_password("relay", SECRETS[0]);
    let key = "s3cret-key-of-callers";
    let flags = [
        "run",
        "--log-level",
        "trace",
        "--relay-listen",
        "127.0.0.1:0",
        "--broker-listen",
        "off",
        "--bridge-broker-user",
        "relay",
        "--notifier-broker-user",
        "relay",
    ];
    let url = mosquitto.url();
    let environment = [
        ("SIMRELAY_BRIDGE_LISTEN", "127.0.0.1:0"),
        ("SIMRELAY_BRIDGE_BROKER", &url),
        ("SIMRELAY_BRIDGE_BROKER_PASSWORD", SECRETS[0]),
        ("SIMRELAY_BRIDGE_KEY", key),
        ("SIMRELAY_NOTIFIER_BROKER", &url),
        ("SIMRELAY_NOTIFIER_BROKER_PASSWORD", SECRETS[0]),
        // The notifications of a first run name it.
        ("SLACK_WEBHOOK_URL", "http://127.0.0.1:9/s3cret-of-slack"),
    ];
    let site = Simrelay::in_environment(tempfile::tempdir().unwrap(), &flags, &environment);
    site.wait_for("connection of the bridge", |line| {
        line["event"] == "broker_connected"
    });
    let call = |key: &str| {
        let authorization = format!("Bearer {key}");
        let notify = format!("http://{}/notify?message=x", site.bridge());
        let mut command = std::process::Command::new("curl");
        command.args([
            "-s",
            "-i",
            "-H",
            &format!("Authorization: {authorization}"),
            &notify,
        ]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let answers = [call("s3cret-of-nobody-else"), call(key)];
    assert!(answers[0].contains(" 401 "), "{answers:?}");
    assert!(answers[1].contains(" 200 "), "{answers:?}");
    site.wait_for("an attempt to tell Slack", |line| {
        line["event"] == "notification_failed"
    });
    let seen = seen(&site, &answers);
    for secret in [SECRETS[0], key, "s3cret-of-nobody-else", "s3cret-of-slack"] {
        let at = seen.find(secret);
        assert!(
            at.is_none(),
            "{secret} in {}",
            &seen[at.unwrap().saturating_sub(300)..]
        );
    }
}

fn check_modes(folder: &Path, at_most: u32) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
            check_modes(&path, at_most);
        } else {
            assert_eq!(mode & !at_most, 0, "{} has mode {mode:o}", path.display());
        }
    }
}

#[test]
fn what_the_program_keeps_is_readable_by_its_owner_only() {
    let config = Configuration::of(&entry_point("mqtt://127.0.0.1:9"));
    let relay = Simrelay::with(&config, &["--bridge-listen", "127.0.0.1:0"]);
    assert!(relay.folder.path().join("data/bridge.lock").exists());
    let values = json!({"pubKey": "pub-c-1", "subKey": "sub-c-1"});
    relay.store("p", "pubnub-credentials", &values);
    let made = run(relay.folder.path(), &["auth-key", "create"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    for folder in ["data", "certs"] {
        let folder = relay.folder.path().join(folder);
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", folder.display());
        check_modes(&folder, 0o600);
    }
}

#[test]
fn every_change_through_the_api_is_in_the_log_with_who_what_and_from_where() {
    let relay = Simrelay::to("mqtt://127.0.0.1:9");
    let (http, token) = (relay.http(), "who");
    let tags = json!([{"tagName": "name", "tagValue": "x"}]);
    assert_eq!(http.put("/v1/groups/g/tags", &tags).status, 200);
    relay.store(
        "p",
        "pubnub-credentials",
        &json!({"pubKey": "pub-c-1", "subKey": "sub-c-1"}),
    );
    assert_eq!(http.delete("/v1/credentials/p").status, 204);
    let deleted = http.call("DELETE", &format!("/v1/subscribers/{}", imsi(1)), None);
    // The log is written some milliseconds later.
    let lines = wait_until(&format!("a line of each change, the last {deleted:?}"), || {
        Some(relay.lines(|line| line.get(token).is_some())).filter(|lines| lines.len() >= 3)
    });
    for line in lines {
        assert!(!line[token].as_str().unwrap().is_empty(), "{line}");
        assert!(line["from"].as_str().unwrap().contains("127.0.0.1"), "{line}");
        assert_eq!(line["level"], "INFO", "{line}");
    }
}
