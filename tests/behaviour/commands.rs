//! The command line: what it prints, and how it fails.

use crate::site::*;
use serde_json::json;
use std::net::TcpListener;
use std::process::Command;

const QUIET: &[&str] = &[
    "--relay-listen",
    "127.0.0.1:0",
    "--api-listen",
    "off",
    "--broker-listen",
    "off",
];

/// Starting has to fail, with these words.
#[track_caller]
fn expect_failure(folder: &std::path::Path, flags: &[&str], words: &[&str]) {
    let output = run(folder, flags);
    assert_eq!(output.code, Some(1), "{output:?}");
    let said = output.stderr.lines().last().unwrap_or_default().to_owned() + &output.stderr;
    assert!(
        words.iter().all(|word| said.contains(word)),
        "{words:?}: {output:?}"
    );
}

#[test]
fn version_and_help_say_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let version = run(folder.path(), &["--version"]);
    assert_eq!(
        (version.code, version.stdout.as_str()),
        (Some(0), concat!("simrelay ", env!("CARGO_PKG_VERSION"), "\n"))
    );
    let help = run(folder.path(), &["--help"]);
    assert_eq!(help.code, Some(0));
    for word in [
        "check",
        "topic",
        "run",
        "--relay-listen",
        "SIMRELAY_RELAY_LISTEN",
        "0.0.0.0:1883",
        "--api-listen",
        "--broker-listen",
        "--entrypoints",
        "--certs",
        "--data",
        "--log",
        "--upstream-bind",
        "--usage-interval",
    ] {
        assert!(help.stdout.contains(word), "{word}: {}", help.stdout);
    }
    let unknown = run(folder.path(), &["--no-such-flag"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("--no-such-flag"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--relay-listen", "--api-listen", "--broker-listen"] {
        if flag == "--broker-listen" && !cfg!(feature = "embedded-broker") {
            continue;
        }
        let mut flags = QUIET.to_vec();
        let at = flags.iter().position(|known| *known == flag).unwrap();
        flags[at + 1] = &address;
        expect_failure(folder.path(), &flags, &[&address, "in use", flag]);
    }
    let relay = Simrelay::start(&Configuration::default());
    let address = relay.relay().to_string();
    let flags = [
        "--relay-listen",
        &address,
        "--api-listen",
        "off",
        "--broker-listen",
        "off",
    ];
    expect_failure(folder.path(), &flags, &[&address, "in use"]);
}

#[cfg(feature = "embedded-broker")]
#[test]
fn the_embedded_broker_stays_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:1884"] {
        let flags = [
            "--relay-listen",
            "127.0.0.1:0",
            "--api-listen",
            "off",
            "--broker-listen",
            address,
        ];
        expect_failure(folder.path(), &flags, &[address, "not a loopback address"]);
    }
}

#[test]
fn a_listening_address_that_is_none_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--relay-listen", "localhost"]);
    assert_eq!(output.code, Some(2));
    assert!(
        output.stderr.contains("localhost") && output.stderr.contains("127.0.0.1:"),
        "{output:?}"
    );
}

#[test]
fn a_configuration_that_cannot_be_used_names_itself() {
    let folder = tempfile::tempdir().unwrap();
    let start = |file: &str, words: &[&str]| {
        let mut flags = QUIET.to_vec();
        flags.extend(["--entrypoints", file]);
        expect_failure(folder.path(), &flags, words);
        assert_eq!(run(folder.path(), &["check", file]).code, Some(1));
    };
    start("missing.json", &["missing.json", "No such file"]);
    assert!(!folder.path().join("missing.json").exists());
    std::fs::create_dir(folder.path().join("folder.json")).unwrap();
    start("folder.json", &["folder.json", "directory"]);
    std::fs::write(folder.path().join("syntax.json"), "{\n  \"groups\": [,]\n}").unwrap();
    start("syntax.json", &["syntax.json:2:", "not usable JSON"]);
    std::fs::write(folder.path().join("binary.json"), [0xff, 0xfe, 0]).unwrap();
    start("binary.json", &["binary.json"]);
    let wrong = "{\n  \"groups\": [],\n  \"sims\": [\n    { \"simId\": \"1\", \"imsi\": \"x\" }\n  ]\n}";
    std::fs::write(folder.path().join("wrong.json"), wrong).unwrap();
    start(
        "wrong.json",
        &[
            "wrong.json:4: sims[0].simId",
            "wrong.json:4: sims[0].imsi",
            "\"x\" is not an IMSI",
        ],
    );
    for (level, words) in [
        ("simrelay==", ["\"simrelay==\"", "not a log level or filter"]),
        (
            "warning",
            ["\"warning\"", "none of error, warn, info, debug, trace and off"],
        ),
    ] {
        let mut flags = QUIET.to_vec();
        flags.extend(["--log-level", level]);
        expect_failure(folder.path(), &flags, &words);
    }
}

#[test]
fn a_number_of_seconds_past_all_sense_is_refused_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let most = u64::MAX.to_string();
    for (flag, words) in [
        ("--grace", "0..=3600"),
        ("--drain", "0..=3600"),
        ("--token-lifetime", "10..=86400"),
        ("--usage-interval", "number too large"),
    ] {
        let output = run(folder.path(), &[flag, &most]);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(
            output.stderr.contains(&most) && output.stderr.contains(words),
            "{output:?}"
        );
    }
}

#[test]
fn a_notifier_without_a_client_id_is_refused_as_the_broker_would_keep_nothing_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let by_flag = run(folder.path(), &["notifier", "--notifier-client-id", ""]);
    let by_variable = Command::new("timeout")
        .args(["20", env!("CARGO_BIN_EXE_simrelay"), "notifier"])
        .current_dir(folder.path())
        .env("SIMRELAY_NOTIFIER_CLIENT_ID", "")
        .output()
        .unwrap();
    assert_eq!(
        (by_flag.code, by_variable.status.code()),
        (Some(2), Some(2)),
        "{by_flag:?}"
    );
    for said in [
        by_flag.stderr,
        String::from_utf8_lossy(&by_variable.stderr).into_owned(),
    ] {
        assert!(
            said.contains("--notifier-client-id") && said.contains("the broker would keep nothing for"),
            "{said}"
        );
    }
}

#[test]
fn a_number_of_nothing_is_refused_with_the_least_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    for flag in ["--usage-interval", "--relay-workers", "--relay-max-connections"] {
        let output = run(folder.path(), &[flag, "0"]);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains("give at least 1"), "{output:?}");
    }
}

#[test]
fn check_tells_good_from_bad_by_its_exit_code_and_lists_all_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let mut entry = entry_point("mqtt://broker.example");
    write("good.json", &Configuration::of(&entry).text());
    let good = run(folder.path(), &["check", "good.json"]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(
        good.stdout
            .contains("good.json: 1 groups, 1 with an entry point, 1 SIMs"),
        "{good:?}"
    );
    entry["useClientCert"] = true.into();
    entry["destination"] = "mqtts://broker.example".into();
    entry["clientCerts"] = json!({ "default": { "$credentialsId": "nowhere" } });
    write("lacking.json", &Configuration::of(&entry).sim(2, None).text());
    let lacking = run(folder.path(), &["check", "lacking.json"]);
    assert_eq!(lacking.code, Some(1));
    assert!(
        lacking.stdout.contains("error: there is no credential nowhere"),
        "{lacking:?}"
    );
    assert!(
        lacking
            .stdout
            .contains("note: SIM 440103000000002 has no groupId"),
        "{lacking:?}"
    );
    entry["destination"] = "amqp://x".into();
    entry["replaceTopics"] = true.into();
    write("bad.json", &Configuration::of(&entry).text());
    let bad = run(folder.path(), &["check", "bad.json"]);
    assert_eq!(bad.code, Some(1));
    for words in ["amqp://x", "did you mean \"replaceTopic\"?", "bad.json:"] {
        assert!(bad.stderr.contains(words), "{words}: {bad:?}");
    }
}

#[test]
fn topic_tells_what_becomes_of_a_topic_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut entry = entry_point("mqtt://broker.example");
    entry["addSubscriberHeader"] = true.into();
    let config = Configuration::of(&entry).sim(2, None);
    std::fs::write(folder.path().join("entrypoints.json"), config.text()).unwrap();
    let told = run(folder.path(), &["topic", &imsi(1), "a/{{imsi}}"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for words in [
        "PUBLISH   a/{{imsi}} -> a/440103000000001/440103000000001",
        "SUBSCRIBE a/{{imsi}} -> a/440103000000001",
        "replaceTopic is true",
        "addSubscriberHeader is true",
    ] {
        assert!(told.stdout.contains(words), "{words}: {told:?}");
    }
    for (imsi, words) in [
        ("440103000000009", "no SIM"),
        ("440103000000002", "no group"),
        ("x", "not an IMSI"),
    ] {
        let failed = run(folder.path(), &["topic", imsi, "t"]);
        assert_eq!(failed.code, Some(1));
        assert!(failed.stderr.contains(words), "{failed:?}");
    }
}

#[test]
fn settings_come_from_the_environment_too() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args(["20", env!("CARGO_BIN_EXE_simrelay")])
        .current_dir(folder.path())
        .env("SIMRELAY_ENTRYPOINTS", "from-the-environment.json")
        .args(QUIET)
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("from-the-environment.json"),
        "{output:?}"
    );
}

#[cfg(feature = "embedded-broker")]
#[test]
fn people_are_told_what_listens_where_and_what_to_try() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--relay-listen",
        "127.0.0.1:0",
        "--broker-listen",
        "127.0.0.1:0",
        "--api-listen",
        "127.0.0.1:0",
    ];
    let said = told(
        folder.path(),
        &[&["--log", "human"], flags.as_slice()].concat(),
        "mosquitto_pub -h",
    );
    for words in [
        "relay   127.0.0.1:",
        "api     http://127.0.0.1:",
        "data/admin-token",
        "broker  127.0.0.1:",
        "mosquitto_sub",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
