//! Notifications as mail, handed to a real submission server.

use crate::site::*;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use tempfile::TempDir;

/// aiosmtpd, which wants a login and TLS with a certificate of its own CA.
struct MailServer {
    child: Child,
    port: u16,
    mails: Receiver<Value>,
    folder: TempDir,
}

impl MailServer {
    fn start(mode: &str) -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("mail"));
        authority.server("127.0.0.1").write(folder.path());
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // `tests/run` makes it.
        let python = root.join("target/test-venv/bin/python");
        let mut child = Command::new(&python)
            .arg(root.join("tests/python/mail_server.py"))
            .args([mode, "cert.pem", "key.pem"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; run tests/run", python.display()));
        let (sender, mails) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        let port: Value = mails.recv_timeout(SOON).expect("the mail server starts");
        Self {
            child,
            port: port.as_u64().unwrap() as u16,
            mails,
            folder,
        }
    }

    fn destination(&self, mode: &str, recipient: &str, password: &str) -> Value {
        json!({
            "type": "mail", "host": "127.0.0.1", "port": self.port, "security": mode,
            "username": "user", "password": password, "ca": self.folder.path().join("ca.pem"),
            "from": "見張り番 <watch@example.com>", "recipients": [recipient], "subject": "【{{ topic }}】{{ line }}",
        })
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_notification_is_a_mail_over_tls_in_japanese_that_no_machine_answers() {
    for mode in ["tls", "starttls"] {
        let (broker, server) = (Mosquitto::plain(), MailServer::start(mode));
        let folder = tempfile::tempdir().unwrap();
        let file = json!({
            "destinations": { "mail": server.destination(mode, "事務所 <office@example.com>", "pa ss") },
            "routes": [{ "topics": "t", "to": "mail", "template": "{{ message }}\n.\n二行目" }],
        });
        std::fs::write(folder.path().join("notifications.json"), file.to_string()).unwrap();
        let running = Simrelay::in_folder(folder, &["notifier", "--notifier-broker", &broker.url()]);
        running.wait_for("connection", |line| line["event"] == "notifier_connected");
        broker.saw("Sending SUBACK to simrelay-notifier");
        mosquitto_pub(
            "127.0.0.1",
            broker.inside,
            &["-q", "1", "-t", "t", "-m", "在庫が少ない"],
        )
        .unwrap();
        let mail = server.mails.recv_timeout(SOON).expect("a mail");
        assert_eq!(
            (&mail["tls"], &mail["to"]),
            (&json!(true), &json!(["office@example.com"])),
            "{mail}"
        );
        let header = |name: &str| mail["headers"][name].as_str().unwrap_or_default().to_owned();
        assert_eq!(header("Subject"), "【t】在庫が少ない");
        assert_eq!(header("Auto-Submitted"), "auto-generated");
        assert!(
            header("From").contains("見張り番") && header("To").contains("事務所"),
            "{mail}"
        );
        assert!(
            header("Message-ID").ends_with("@simrelay>") && !header("Date").is_empty(),
            "{mail}"
        );
        let text = mail["text"].as_str().unwrap().replace("\r\n", "\n");
        assert_eq!(text.trim_end(), "在庫が少ない\n.\n二行目");
        assert!(!running.log_text().contains("pa ss"));
    }
}

#[test]
fn the_test_of_a_mail_destination_says_what_the_server_answered() {
    let server = MailServer::start("starttls");
    let folder = tempfile::tempdir().unwrap();
    let mut untrusted = server.destination("starttls", "a@example.com", "pa ss");
    untrusted.as_object_mut().unwrap().remove("ca");
    let file = json!({ "destinations": {
        "good": server.destination("starttls", "a@example.com", "pa ss"),
        "wrong": server.destination("starttls", "a@example.com", "wr0ng"),
        "busy": server.destination("starttls", "busy@example.com", "pa ss"),
        "nobody": server.destination("starttls", "nobody@example.com", "pa ss"),
        "untrusted": untrusted,
    } });
    std::fs::write(folder.path().join("notifications.json"), file.to_string()).unwrap();
    let test = |name: &str| run(folder.path(), &["notifications", "test", name]);
    let good = test("good");
    assert!(
        good.code == Some(0) && good.stdout.contains("took the test: 250 2.0.0 taken"),
        "{good:?}"
    );
    let cases = [
        ("wrong", "535", "would become a dead letter"),
        ("busy", "come back later", "would be tried again"),
        ("nobody", "no such user", "would become a dead letter"),
        ("untrusted", "UnknownIssuer", "would be tried again"),
    ];
    for (name, words, fate) in cases {
        let said = test(name);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(
            said.stderr.contains(words) && said.stderr.contains(fate),
            "{words}: {said:?}"
        );
        assert!(!said.stderr.contains("wr0ng"), "{said:?}");
    }
}

#[test]
fn one_recipient_who_is_gone_keeps_an_alarm_from_nobody_else() {
    let (broker, server) = (Mosquitto::plain(), MailServer::start("tls"));
    let folder = tempfile::tempdir().unwrap();
    let mut mail = server.destination("tls", "", "pa ss");
    mail["recipients"] = json!(["nobody@example.com", "office@example.com", "home@example.com"]);
    let file = json!({ "destinations": { "mail": mail }, "routes": [{ "topics": "t", "to": "mail" }] });
    std::fs::write(folder.path().join("notifications.json"), file.to_string()).unwrap();
    let running = Simrelay::in_folder(folder, &["notifier", "--notifier-broker", &broker.url()]);
    running.wait_for("connection", |line| line["event"] == "notifier_connected");
    broker.saw("Sending SUBACK to simrelay-notifier");
    mosquitto_pub("127.0.0.1", broker.inside, &["-q", "1", "-t", "t", "-m", "火事"]).unwrap();
    let mail = server.mails.recv_timeout(SOON).expect("a mail");
    assert_eq!(mail["to"], json!(["office@example.com", "home@example.com"]));
    let line = running.wait_for("refusal", |line| line["event"] == "recipient_refused");
    assert_eq!(line["recipient"], "nobody@example.com");
    assert!(
        line["message"].as_str().unwrap().contains("no such user"),
        "{line}"
    );
}
