//! The three set-ups of `deploy/security`, with the very files that are shipped: only addresses and secrets
//! are put in.

use crate::site::*;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

const PASSWORD: &str = "right-word";
const KEY: &str = "kT5uGqN0w8sYb2Lx";

/// A site of one of the levels.
struct Site {
    mosquitto: Mosquitto,
    bridge: Simrelay,
    authority: Authority,
}

impl Site {
    fn of_level(level: &str) -> Self {
        let files = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy/security")
            .join(level);
        let read = |name: &str| std::fs::read_to_string(files.join(name)).unwrap();
        let (outside, inside) = (free_address(), free_address());
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("site");
        authority.server(&outside.ip().to_string()).write(folder.path());
        let passwords = folder.path().join("passwd");
        let made = Command::new("mosquitto_passwd")
            .args(["-b", "-c", passwords.to_str().unwrap(), "simrelay", PASSWORD])
            .status();
        assert!(made.unwrap().success());
        let at = |address: SocketAddr| format!("listener {} {}", address.port(), address.ip());
        let config = read("mosquitto.conf")
            .replace("listener 1884 127.0.0.1", &at(inside))
            .replace("\nlistener 1883\n", &format!("\n{}\n", at(outside)))
            .replace("\nlistener 8883\n", &format!("\n{}\n", at(outside)))
            .replace("/etc/mosquitto/passwd", passwords.to_str().unwrap())
            .replace("/etc/mosquitto/certs", folder.path().to_str().unwrap());
        // Where Debian runs it as a user of its own, the test does not.
        let mosquitto = Mosquitto::configured(folder, &format!("user root\n{config}"), outside, inside);
        let bridge = start_bridge(&read("simrelay.env"), &mosquitto, &authority);
        Self {
            mosquitto,
            bridge,
            authority,
        }
    }

    /// What `mosquitto_pub` to the LAN's listener says.
    fn publish(&self, flags: &[&str]) -> Result<String, String> {
        let message = ["-q", "1", "-t", "sensor/temp", "-m", "21"];
        mosquitto_pub("127.0.0.1", self.mosquitto.address, &[flags, &message].concat())
    }

    /// The status that the bridge answers `curl` with, from a source address.
    fn notify_from(&self, source: &str, flags: &[&str]) -> String {
        let port = self.bridge.bridge().port();
        let scheme = if self.is_https() { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{port}/notify?message=hello");
        let curl = Command::new("curl")
            .args([
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--interface",
                source,
            ])
            .args(flags)
            .arg(url)
            .output()
            .unwrap();
        String::from_utf8(curl.stdout).unwrap()
    }

    fn is_https(&self) -> bool {
        let line = self
            .bridge
            .wait_for("address", |line| line["service"] == "bridge");
        line["url"].as_str().unwrap().starts_with("https")
    }
}

fn start_bridge(settings: &str, mosquitto: &Mosquitto, authority: &Authority) -> Simrelay {
    let folder = tempfile::tempdir().unwrap();
    authority.server("127.0.0.1").write(folder.path());
    let value = |name: &str, value: &str| match name {
        "SIMRELAY_BRIDGE_LISTEN" => "0.0.0.0:0".to_owned(),
        "SIMRELAY_BRIDGE_BROKER" => format!("mqtt://{}", mosquitto.inside),
        "SIMRELAY_BRIDGE_BROKER_PASSWORD" => PASSWORD.to_owned(),
        "SIMRELAY_BRIDGE_KEY" => KEY.to_owned(),
        "SIMRELAY_BRIDGE_TLS_CERT" => "cert.pem".to_owned(),
        "SIMRELAY_BRIDGE_TLS_KEY" => "key.pem".to_owned(),
        _ => value.to_owned(),
    };
    let environment: Vec<_> = settings
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, given)| (name.to_owned(), value(name, given)))
        .collect();
    let bridge = Simrelay::in_environment(folder, &["bridge"], &environment);
    bridge.wait_for("connection to the broker", |line| {
        line["event"] == "broker_connected"
    });
    bridge
}

#[test]
fn level_1_lets_the_lan_in_without_a_word() {
    let site = Site::of_level("1-lan");
    site.publish(&[]).unwrap();
    assert_eq!(site.notify_from("127.0.0.1", &[]), "200");
    assert_eq!(site.notify_from("127.0.0.2", &[]), "200");
}

#[test]
fn level_2_asks_for_a_password_and_knows_its_networks() {
    let site = Site::of_level("2-password");
    let refused = site.publish(&[]).unwrap_err();
    assert!(refused.contains("not authorised"), "{refused}");
    assert!(site.publish(&["-u", "simrelay", "-P", "wrong"]).is_err());
    site.publish(&["-u", "simrelay", "-P", PASSWORD]).unwrap();
    assert_eq!(site.notify_from("127.0.0.1", &[]), "200");
    assert_eq!(site.notify_from("127.0.0.2", &[]), "403");
}

#[test]
fn level_3_does_not_start_with_the_key_of_the_file() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/deploy/security/3-internet/simrelay.env"
    );
    let settings = std::fs::read_to_string(file).unwrap();
    let key = settings
        .lines()
        .find_map(|line| line.strip_prefix("SIMRELAY_BRIDGE_KEY="));
    let folder = tempfile::tempdir().unwrap();
    let key = [("SIMRELAY_BRIDGE_KEY", key.unwrap())];
    let said = run_in_environment(folder.path(), &["bridge"], &key);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("16 characters"), "{}", said.stderr);
}

#[test]
fn level_3_speaks_tls_only_and_wants_password_and_key_and_patience() {
    let site = Site::of_level("3-internet");
    let ca = site.bridge.folder.path().join("ca.pem");
    std::fs::write(&ca, site.authority.pem()).unwrap();
    let ca = ca.to_str().unwrap();
    let login = ["-u", "simrelay", "-P", PASSWORD];
    assert!(site.publish(&login).is_err(), "plain text to the TLS port");
    assert!(site.publish(&["--cafile", ca]).is_err(), "no password");
    site.publish(&[&["--cafile", ca], &login[..]].concat()).unwrap();

    let key = format!("X-API-Key: {KEY}");
    assert_eq!(
        site.notify_from("127.0.0.1", &["-H", &key]),
        "000",
        "a CA that nobody trusts"
    );
    assert_eq!(site.notify_from("127.0.0.1", &["--cacert", ca]), "401");
    let good = ["--cacert", ca, "-H", &key];
    assert_eq!(site.notify_from("127.0.0.1", &good), "200");
    // Thirty a minute; another address has thirty of its own.
    let statuses: Vec<_> = (0..40).map(|_| site.notify_from("127.0.0.1", &good)).collect();
    assert!(statuses.iter().any(|status| status == "429"), "{statuses:?}");
    assert_eq!(site.notify_from("127.0.0.2", &good), "200");
}
