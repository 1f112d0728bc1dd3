//! Commands in a folder that is not the one that was meant, and settings that nobody reads.

use crate::site::*;
use serde_json::{Value, json};

#[test]
fn commands_in_a_folder_without_a_database_say_so_and_make_none() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["notifications", "list"][..],
        &["notifications", "show", "1"],
        &["notifications", "requeue", "--dead"],
        &["notifications", "drop", "1"],
        &["parked", "list"],
        &["parked", "show", "1"],
        &["parked", "requeue", "--all"],
        &["parked", "drop", "1"],
    ] {
        let output = run(folder.path(), command);
        assert_eq!(output.code, Some(1), "{output:?}");
        let words =
            "there is no database in data: run this where simrelay runs, or name the folder with --data";
        assert!(output.stderr.contains(words), "{output:?}");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "{command:?}"
        );
    }
}

#[test]
fn a_key_that_no_server_knows_yet_comes_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let made = run(folder.path(), &["auth-key", "create"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let profile: Value = serde_json::from_str(&made.stdout).unwrap();
    assert!(profile["authKeyId"].is_string(), "{made:?}");
    assert!(
        made.stderr
            .contains("no simrelay has worked with the data folder data yet"),
        "{made:?}"
    );
    let relay = Simrelay::start(&Configuration::default());
    let made = run(relay.folder.path(), &["auth-key", "create"]);
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
}

#[test]
fn check_looks_for_credentials_beside_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    let authority = Authority::new("site");
    authority.write_ca(&site.join("certs/demo"));
    let mut entry = entry_point("mqtts://broker.example");
    entry["clientCerts"] = json!({ "default": { "$credentialsId": "demo" } });
    std::fs::write(site.join("e.json"), Configuration::of(&entry).text()).unwrap();
    let check = |flags: &[&str]| run(folder.path(), &[&["check", "site/e.json"], flags].concat());
    let beside = check(&[]);
    assert_eq!(beside.code, Some(0), "{beside:?}");
    let named = check(&["--certs", "elsewhere"]);
    assert_eq!(named.code, Some(1), "{named:?}");
    assert!(named.stdout.contains("there is no credential demo"), "{named:?}");
}

#[test]
fn settings_of_the_services_that_are_named_and_not_there_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["doctor", "--settings", "nowhere.env"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains("cannot read nowhere.env: No such file"),
        "{output:?}"
    );
    assert_eq!(output.stdout, "");
}

#[test]
fn a_misspelt_setting_is_told_at_the_start_and_by_the_doctor() {
    let words = "SIMRELAY_BRIDGE_BROKR is no setting and has no effect; did you mean SIMRELAY_BRIDGE_BROKER?";
    let folder = tempfile::tempdir().unwrap();
    let env =
        "SIMRELAY_BRIDGE_LISTEN=off\n# SIMRELAY_BRIDGE_BROKR\nSIMRELAY_BRIDGE_BROKR=mqtt://b\nmqtt://b\n";
    std::fs::write(folder.path().join("s.env"), env).unwrap();
    let said = run(folder.path(), &["doctor", "--settings", "s.env"]).stdout;
    let garbage = "s.env: not NAME=value, and so passed over: line 4";
    assert!(said.contains(words) && said.contains(garbage), "{said}");
    let flags = ["--relay-listen", "127.0.0.1:0", "--broker-listen", "off"];
    let relay = Simrelay::in_environment(folder, &flags, &[("SIMRELAY_BRIDGE_BROKR", "mqtt://b")]);
    let told = relay.wait_for("warning", |line| line["event"] == "unknown_setting");
    assert_eq!(
        (&told["level"], &told["message"]),
        (&json!("WARN"), &json!(words))
    );
}

#[test]
fn topic_goes_by_the_entry_points_of_the_packages_services_where_there_are_none_here() {
    if !inside_own_network(
        "elsewhere::topic_goes_by_the_entry_points_of_the_packages_services_where_there_are_none_here",
    ) {
        return;
    }
    // Nobody else sees it; the settings of the package have one place only.
    must_run("mount", &["-t", "tmpfs", "tmpfs", "/etc"]);
    let (services, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let entry = entry_point("mqtt://broker.example");
    let text = Configuration::of(&entry).text();
    std::fs::write(services.path().join("entrypoints.json"), &text).unwrap();
    let data = services.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let topic = || run(elsewhere.path(), &["topic", &imsi(1), "t"]);
    let without = topic();
    assert_eq!(without.code, Some(1), "{without:?}");
    std::fs::create_dir("/etc/simrelay").unwrap();
    let settings = format!("SIMRELAY_DATA={}\n", data.display());
    std::fs::write("/etc/simrelay/simrelay.env", settings).unwrap();
    let told = topic();
    assert!(
        told.code == Some(0) && told.stdout.contains("broker.example"),
        "{told:?}"
    );
    // One that is here is the one that is meant.
    let here = text.replace("broker.example", "here.example");
    std::fs::write(elsewhere.path().join("entrypoints.json"), here).unwrap();
    assert!(topic().stdout.contains("here.example"), "{:?}", topic());
}
