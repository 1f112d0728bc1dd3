//! The admin API beyond this machine: with TLS, or by an explicit word.

use crate::site::*;

fn client(authority: &Authority) -> reqwest::Client {
    // The program installs it first thing in main; a test has to do so itself.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
    builder.build().unwrap()
}

#[tokio::test]
async fn https_with_a_certificate_of_its_own() {
    let authority = Authority::new("site");
    let folder = tempfile::tempdir().unwrap();
    authority.server("127.0.0.1").write(folder.path());
    let configuration = Configuration::of(&entry_point("mqtt://127.0.0.1:9"));
    std::fs::write(folder.path().join("entrypoints.json"), configuration.text()).unwrap();
    let flags = ["--broker-listen", "off", "--relay-listen", "127.0.0.1:0"];
    let tls = ["--api-tls-cert", "cert.pem", "--api-tls-key", "key.pem"];
    let relay = Simrelay::in_folder(folder, &[flags, tls].concat());
    let token = std::fs::read_to_string(relay.folder.path().join("data/admin-token")).unwrap();
    let groups = |scheme: &str| format!("{scheme}://{}/v1/groups", relay.api());
    let ask = client(&authority).get(groups("https")).bearer_auth(token.trim());
    let answer = ask.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(client(&authority).get(groups("http")).send().await.is_err());
    let other = Authority::new("other");
    assert!(client(&other).get(groups("https")).send().await.is_err());
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let folder = tempfile::tempdir().unwrap();
    old.server("127.0.0.1").write(folder.path());
    let configuration = Configuration::of(&entry_point("mqtt://127.0.0.1:9"));
    std::fs::write(folder.path().join("entrypoints.json"), configuration.text()).unwrap();
    let flags = ["--broker-listen", "off", "--relay-listen", "127.0.0.1:0"];
    let tls = ["--api-tls-cert", "cert.pem", "--api-tls-key", "key.pem"];
    let relay = Simrelay::in_folder(folder, &[flags, tls].concat());
    let url = format!("https://{}/healthz", relay.api());
    // Each with a client of its own, and so a connection of its own.
    let shows = async |authority: &Authority| client(authority).get(&url).send().await.is_ok();
    assert!(shows(&old).await && !shows(&new).await);
    let said = |event: &'static str| relay.wait_for(event, |line| line["event"] == event);
    let key = relay.folder.path().join("key.pem");
    std::fs::write(&key, "half a fi").unwrap();
    let line = said("certificate_refused");
    assert!(line["error"].as_str().unwrap().contains("key.pem"), "{line}");
    assert_eq!(line["level"], "ERROR", "{line}");
    assert!(shows(&old).await && !shows(&new).await);
    new.server("127.0.0.1").write(relay.folder.path());
    said("certificate_renewed");
    assert!(shows(&new).await && !shows(&old).await);
}

#[test]
fn other_machines_are_refused_without_tls_and_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--broker-listen",
        "off",
        "--bridge-listen",
        "off",
        "--relay-listen",
        "127.0.0.1:0",
    ];
    let open = [&flags[..], &["--api-listen", "0.0.0.0:0"]].concat();
    let output = run(folder.path(), &open);
    assert_eq!(output.code, Some(1), "{output:?}");
    for word in ["0.0.0.0:0", "--api-tls-cert", "--api-allow-plain", "token"] {
        assert!(output.stderr.contains(word), "{word}: {output:?}");
    }
    let allowed = [&open[..], &["--api-allow-plain"]].concat();
    let said = told(folder.path(), &allowed, "listening");
    assert!(said.contains("as --api-allow-plain says"), "{said}");
}
