//! No secret is where somebody without a right to it could read it.

use crate::site::*;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const SECRETS: [&str; 2] = ["s3cret-of-the-broker", "s3cret-of-the-device"];
const BEAM: &str = "mqtt://beam.soracom.io:1883";

/// Everything that others could have seen.
fn seen(relay: &Simrelay, answers: &[String]) -> String {
    let of = |name: &str| std::fs::read(format!("/proc/{}/{name}", relay.pid())).unwrap();
    let command = String::from_utf8_lossy(&of("cmdline")).into_owned();
    [relay.log_text(), command, answers.join("\n")].join("\n")
}

#[track_caller]
fn expect_none(secrets: &[&str], seen: &str) {
    for secret in secrets {
        if let Some(at) = seen.find(secret) {
            panic!("{secret} in {}", &seen[at.saturating_sub(300)..]);
        }
    }
}

/// Calls the API, and keeps what was answered.
struct Caller {
    http: Http,
    answers: Vec<String>,
}

impl Caller {
    #[track_caller]
    fn call(&mut self, method: &str, path: &str, body: Option<&Value>, status: u16) -> Answer {
        let body = body.map(ToString::to_string);
        let answer = self.http.call(method, path, body.as_deref());
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        self.answers.push(answer.body.clone());
        answer
    }
}

/// A value of each type of credential, and what of it is a secret.
fn credentials() -> Vec<(&'static str, Value, Vec<String>)> {
    let pair = Authority::new("CA").client("device");
    // A line from the middle of the key.
    let line = pair.key.lines().nth(1).unwrap().to_owned();
    let texts = |secrets: &[&str]| secrets.iter().map(|secret| (*secret).to_owned()).collect();
    let registry = json!({ "projectId": "p", "region": "r", "registryId": "g", "deviceId": "d",
                           "algorithm": "ES256", "privateKey": pair.key });
    vec![
        (
            "x509",
            json!({ "cert": pair.cert, "key": pair.key }),
            vec![line.clone()],
        ),
        (
            "username-password-credentials",
            json!({ "username": "u", "password": "s3cret-of-a-login" }),
            texts(&["s3cret-of-a-login"]),
        ),
        (
            "azureIoT-credentials",
            json!({ "sharedAccessKeyName": "n", "sharedAccessKey": "czNjcmV0LW9mLWF6dXJl" }),
            texts(&["czNjcmV0LW9mLWF6dXJl"]),
        ),
        ("googleIoT-credentials", registry, vec![line]),
        (
            "pubnub-credentials",
            json!({ "pubKey": "pub-s3cret", "subKey": "sub-s3cret" }),
            texts(&["pub-s3cret", "sub-s3cret"]),
        ),
        (
            "aws-credentials",
            json!({ "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": "s3cret-of-aws" }),
            texts(&["s3cret-of-aws"]),
        ),
    ]
}

#[test]
fn secrets_of_credentials_are_in_no_answer_and_no_log_line() {
    let config = Configuration::of(&entry_point("mqtt://127.0.0.1:9"));
    let relay = Simrelay::with(&config, &["--log-level", "trace"]);
    let (http, answers) = (relay.http(), Vec::new());
    let mut caller = Caller { http, answers };
    let mut secrets = Vec::new();
    for (kind, values, secret) in credentials() {
        let path = format!("/v1/credentials/{kind}");
        let body = json!({ "type": kind, "description": "d", "credentials": values });
        caller.call("POST", &path, Some(&body), 201);
        caller.call("POST", &path, Some(&body), 409);
        caller.call("PUT", &path, Some(&body), 200);
        let mut wrong = body.clone();
        wrong["credentials"]["no-such-field"] = "s3cret-of-nothing".into();
        caller.call("PUT", &path, Some(&wrong), 400);
        wrong["type"] = "no-such-type".into();
        caller.call("PUT", &path, Some(&wrong), 400);
        secrets.extend(secret);
    }
    let listed = caller.call("GET", "/v1/credentials", None, 200).json();
    assert_eq!(listed.as_array().unwrap().len(), credentials().len());
    for path in ["/metrics", "/v1/logs", "/v1/groups", "/v1/openapi.json"] {
        caller.call("GET", path, None, 200);
    }
    for (kind, ..) in credentials() {
        caller.call("DELETE", &format!("/v1/credentials/{kind}"), None, 204);
    }
    let mut secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    secrets.push("s3cret-of-nothing");
    expect_none(&secrets, &seen(&relay, &caller.answers));
}

/// As on Beam: who configures groups sees their passwords.
#[test]
fn the_password_of_an_entry_point_is_in_the_answers_about_its_group_and_nowhere_else() {
    let mosquitto = Mosquitto::with_password("relay", SECRETS[0]);
    let mut entry = entry_point(&mosquitto.url());
    entry["useClientCredentials"] = false.into();
    entry["username"] = "relay".into();
    entry["password"] = SECRETS[0].into();
    let relay = Simrelay::with(&Configuration::of(&entry), &["--log-level", "trace"]);
    let (http, answers) = (relay.http(), Vec::new());
    let mut caller = Caller { http, answers };
    let configuration = "/v1/groups/g/configuration/SoracomBeam";
    let tags = json!([{ "tagName": "name", "tagValue": "x" }]);
    let put = json!([{ "key": BEAM, "value": entry }]);
    let about_the_group = [
        caller.call("GET", "/v1/groups", None, 200).json()[0].clone(),
        caller.call("GET", "/v1/groups/g", None, 200).json(),
        caller.call("PUT", "/v1/groups/g/tags", Some(&tags), 200).json(),
        caller.call("PUT", configuration, Some(&put), 200).json(),
    ];
    caller.answers.clear();
    for mut group in about_the_group {
        let password = &mut group["configuration"]["SoracomBeam"][BEAM]["password"];
        assert_eq!(password.take(), SECRETS[0]);
        caller.answers.push(group.to_string());
    }
    // A wrong value is not quoted.
    let wrong = json!([{ "key": BEAM, "value": { "destination": "mqtt://x", "passwort": SECRETS[0] } }]);
    caller.call("PUT", configuration, Some(&wrong), 400);
    let wrong = json!([{ "key": BEAM, "value": { "destination": "mqtt://x", "password": [SECRETS[0]] } }]);
    caller.call("PUT", configuration, Some(&wrong), 400);
    // The relay puts its own login in place of the device's.
    let mut device = relay.device(1);
    device.enter(&Connect::new(Version::V311, "c").login("d", SECRETS[1]));
    device.send(&publish("t", 0, 0, b"x"));
    for path in [
        "/v1/connections",
        "/v1/sims",
        "/v1/subscribers",
        "/v1/groups/g/subscribers",
        "/metrics",
    ] {
        caller.call("GET", path, None, 200);
    }
    device.send(&disconnect());
    relay.closed("c");
    caller.call("GET", "/v1/logs", None, 200);
    expect_none(&SECRETS, &seen(&relay, &caller.answers));
}

#[test]
fn neither_the_admin_token_nor_a_wrong_one_is_in_the_log_or_in_an_answer() {
    let config = Configuration::of(&entry_point("mqtt://127.0.0.1:9"));
    let relay = Simrelay::with(&config, &["--log-level", "trace"]);
    let token = std::fs::read_to_string(relay.folder.path().join("data/admin-token")).unwrap();
    let nobody = Http::new(relay.api(), Some("s3cret-of-nobody-else"));
    let answers = [nobody.get("/v1/groups"), relay.http().get("/v1/groups")];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [401, 200]);
    let answers = answers.map(|answer| answer.body);
    expect_none(&[token.trim(), "s3cret-of-nobody-else"], &seen(&relay, &answers));
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn passwords_that_every_user_can_read_are_told_at_the_start_by_check_and_by_the_doctor() {
    let words = "every user of this machine can read the passwords in this file: chmod 600";
    let with_password =
        json!({ "destination": "mqtt://127.0.0.1:9", "username": "u", "password": SECRETS[0] });
    let without = json!({ "destination": "mqtt://127.0.0.1:9", "username": "u" });
    let doctor = [
        "doctor",
        "--json",
        "--settings",
        "/dev/null",
        "--bridge-broker",
        "mqtt://127.0.0.1:9",
    ];
    let quiet = [
        "--bridge-listen",
        "off",
        "--api-listen",
        "off",
        "--relay-listen",
        "off",
    ];
    for (entry, file_mode, is_told) in [
        (&with_password, 0o644, true),
        (&with_password, 0o640, false),
        (&without, 0o644, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("entrypoints.json");
        std::fs::write(&file, Configuration::of(entry).text()).unwrap();
        set_mode(&file, file_mode);
        let checked = run(folder.path(), &["check", "entrypoints.json"]);
        assert_eq!(checked.code, Some(0), "{checked:?}");
        assert_eq!(checked.stdout.contains(words), is_told, "{checked:?}");
        let examined = run(folder.path(), &[&doctor[..], &quiet].concat());
        assert_eq!(examined.stdout.contains(words), is_told, "{examined:?}");
        let flags = ["--relay-listen", "127.0.0.1:0", "--broker-listen", "off"];
        let relay = Simrelay::in_folder(folder, &flags);
        assert_eq!(relay.log_text().contains(words), is_told, "{}", relay.log_text());
        // What an admin chose stays.
        let tags = json!([{ "tagName": "name", "tagValue": "x" }]);
        assert_eq!(relay.http().put("/v1/groups/g/tags", &tags).status, 200);
        assert_eq!(mode(&relay.file()), file_mode);
        expect_none(
            &SECRETS,
            &[checked.stdout, examined.stdout, relay.log_text()].concat(),
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
    let secrets = [SECRETS[0], key, "s3cret-of-nobody-else", "s3cret-of-slack"];
    expect_none(&secrets, &seen(&site, &answers));
}

fn check_modes(folder: &Path, at_most: u32) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = mode(&path);
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
        let mode = mode(&folder);
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", folder.display());
        check_modes(&folder, 0o600);
    }
}
