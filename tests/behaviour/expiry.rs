//! Certificates that run out, or are too old a form, are told before a device finds out.

use crate::site::*;
use serde_json::json;

#[test]
fn a_certificate_that_runs_out_within_thirty_days_is_told_everywhere() {
    let relay = Simrelay::start(&Configuration::default());
    let authority = Authority::new("site");
    let pair = authority.client_for("device", 20);
    relay.store("short", "x509", &json!({ "cert": pair.cert, "key": pair.key }));
    relay.store("long", "x509", &json!({ "ca": authority.pem() }));
    relay.store(
        "keys",
        "pubnub-credentials",
        &json!({ "pubKey": "p", "subKey": "s" }),
    );
    let line = relay.wait_for("warning", |line| line["event"] == "credential_expires");
    assert_eq!(
        (line["credential"].as_str(), line["level"].as_str()),
        (Some("short"), Some("WARN"))
    );
    assert_eq!(line["days"], 19);
    let page = relay.http().get("/metrics").body;
    assert!(page.contains("simrelay_credentials_expiring 1\n"), "{page}");
    assert!(page.contains("simrelay_credentials_expired 0\n"), "{page}");
    let listed = relay.http().get("/v1/credentials").json();
    let of = |id: &str| {
        let found = listed
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["credentialsId"] == id);
        found.unwrap()["expireDateTime"].as_i64()
    };
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let days = |time: i64| (time / 1000 - now) as f64 / 86_400.0;
    assert!((19.9..20.1).contains(&days(of("short").unwrap())));
    assert!(days(of("long").unwrap()) > 365.0);
    assert_eq!(of("keys"), None);
}

#[test]
fn a_certificate_of_version_1_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let openssl = |arguments: &str| {
        let mut command = std::process::Command::new("openssl");
        let output = command
            .args(arguments.split(' '))
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    openssl("req -newkey rsa:2048 -nodes -subj /CN=thing -keyout key -out request");
    openssl("x509 -req -in request -signkey key -days 300 -out cert");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let relay = Simrelay::start(&Configuration::default());
    let body = json!({ "type": "x509", "credentials": { "cert": read("cert"), "key": read("key") } });
    let answer = relay
        .http()
        .call("POST", "/v1/credentials/old", Some(&body.to_string()));
    assert_eq!(answer.status, 400);
    let told = "certificate 1 is of X.509 version 1, and TLS takes version 3: sign it with extensions";
    assert!(answer.body.contains(told), "{answer:?}");
}
