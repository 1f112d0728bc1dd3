//! Plays what the soracom command sends against the real program.

#![allow(clippy::unwrap_used)]

mod program;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use program::{PROGRAM, Program};
use serde_json::Value;

struct Site {
    program: Program,
    folder: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::start(folder.path(), &["--broker-listen", "off"]);
        Self { program, folder }
    }

    fn auth_key(&self, arguments: &[&str]) -> Output {
        let listen = self.program.address("api").to_string();
        Command::new(PROGRAM)
            .current_dir(self.folder.path())
            .args(["--api-listen", &listen, "auth-key"])
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Status and body of the answer.
    fn call(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.program.address("api")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("content-encoding") && !head.contains("x-soracom-cli-version"));
        assert!(
            body.is_empty() || head.contains("content-type: application/json"),
            "{answer}"
        );
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

fn filled(text: &str, known: &HashMap<String, String>) -> String {
    known.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}

fn request(request: &Value, known: &HashMap<String, String>) -> String {
    let body = request.get("body").map(|body| filled(&body.to_string(), known));
    let (method, path) = (
        request["method"].as_str().unwrap(),
        request["path"].as_str().unwrap(),
    );
    let mut text = format!(
        "{method} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
        filled(path, known)
    );
    for (name, value) in request["headers"].as_object().unwrap() {
        text += &format!("{name}: {}\r\n", filled(value.as_str().unwrap(), known));
    }
    if body.is_some() || method == "POST" {
        text += &format!("Content-Length: {}\r\n", body.as_ref().map_or(0, String::len));
    }
    text + "\r\n" + &body.unwrap_or_default()
}

fn fits(expected: &Value, found: &Value, known: &HashMap<String, String>) -> bool {
    match (expected, found) {
        (Value::String(pattern), found) if pattern.starts_with('<') => match pattern.as_str() {
            "<string>" => found.as_str().is_some_and(|text| !text.is_empty()),
            "<integer>" => found.as_i64().is_some_and(|number| number > 1_600_000_000),
            _ => found.is_object(),
        },
        (Value::String(expected), Value::String(found)) => filled(expected, known) == *found,
        (Value::Array(expected), Value::Array(found)) => {
            let mut pairs = expected.iter().zip(found);
            expected.len() == found.len() && pairs.all(|(e, f)| fits(e, f, known))
        }
        (Value::Object(expected), Value::Object(found)) => {
            let mut pairs = expected.iter();
            expected.len() == found.len()
                && pairs.all(|(name, e)| found.get(name).is_some_and(|f| fits(e, f, known)))
        }
        _ => expected == found,
    }
}

/// As the command does it: the second part of the token, base64url, JSON, operator.operatorId.
fn operator_of(token: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let part = token.split('.').nth(1).unwrap();
    let digits = part.chars().map(|c| ALPHABET.find(c).unwrap());
    let bits: String = digits.map(|digit| format!("{digit:06b}")).collect();
    let byte = |at: usize| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).unwrap();
    let json: Vec<u8> = (0..bits.len() / 8).map(byte).collect();
    let payload: Value = serde_json::from_slice(&json).unwrap();
    payload["operator"]["operatorId"].as_str().unwrap().to_owned()
}

fn fixtures() -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/soracom-cli");
    let paths = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (
            name,
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap(),
        )
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn every_call_of_the_command_gets_its_answer_and_no_secret_reaches_the_log() {
    let site = Site::start();
    let made = site.auth_key(&["create"]);
    let profile: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(
        profile["endpoint"],
        format!("http://{}", site.program.address("api"))
    );
    let operator = std::fs::read(site.folder.path().join("data/operator.json")).unwrap();
    let operator: Value = serde_json::from_slice(&operator).unwrap();
    let mut known = HashMap::from([(
        "operatorId".to_owned(),
        operator["operatorId"].as_str().unwrap().to_owned(),
    )]);
    for name in ["authKeyId", "authKey"] {
        known.insert(name.to_owned(), profile[name].as_str().unwrap().to_owned());
    }
    let mut secrets = vec![known["authKey"].clone()];
    for (name, fixture) in fixtures() {
        let (status, body) = site.call(&request(&fixture["request"], &known));
        let response = &fixture["response"];
        assert_eq!(
            u64::from(status),
            response["status"].as_u64().unwrap(),
            "{name}: {body}"
        );
        let found = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&body).unwrap()
        };
        assert!(fits(&response["body"], &found, &known), "{name}: {body}");
        assert!(!body.contains("s3cret"), "{name}: {body}");
        for (name, field) in response["capture"].as_object().into_iter().flatten() {
            let value = found[field.as_str().unwrap()].as_str().unwrap().to_owned();
            known.insert(name.clone(), value);
        }
        if let Some(token) = found["token"].as_str() {
            assert_eq!(operator_of(token), known["operatorId"]);
            secrets.extend([token.to_owned(), known["apiKey"].clone()]);
        }
    }
    let log = site.program.terminate();
    assert!(log.contains("login refused") && log.contains("credential made"));
    for secret in secrets.iter().map(String::as_str).chain(["s3cret", "secret-"]) {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn keys_of_the_command_line_are_known_to_the_running_server_at_once() {
    let site = Site::start();
    let profile: Value = serde_json::from_slice(&site.auth_key(&["create"]).stdout).unwrap();
    let id = profile["authKeyId"].as_str().unwrap();
    let login = format!("{{\"authKeyId\":\"{id}\",\"authKey\":{}}}", profile["authKey"]);
    let log_in = || {
        site.call(&format!(
            "POST /v1/auth? HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{login}",
            login.len()
        ))
    };
    let (status, body) = log_in();
    assert_eq!(status, 200, "{body}");
    let session: Value = serde_json::from_str(&body).unwrap();
    let list = |token: &str| {
        let key = session["apiKey"].as_str().unwrap();
        site.call(&format!(
            "GET /v1/groups? HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Soracom-Api-Key: {key}\r\n{token}\r\n"
        ))
    };
    let token = format!("X-Soracom-Token: {}\r\n", session["token"].as_str().unwrap());
    assert_eq!(list(&token).0, 200);
    assert_eq!(list("").0, 401);
    let listed = String::from_utf8(site.auth_key(&["list"]).stdout).unwrap();
    assert!(listed.contains(id) && !listed.contains("argon2"), "{listed}");
    assert!(site.auth_key(&["delete", id]).status.success());
    assert!(!site.auth_key(&["delete", id]).status.success());
    assert_eq!(log_in().0, 401);
    let (status, body) = list(&token);
    assert!(status == 401 && body.contains("TokenRevoked"), "{body}");
}

#[test]
fn a_guesser_is_refused_unseen_and_a_key_that_was_right_from_there_is_not() {
    let site = Site::start();
    let profile: Value = serde_json::from_slice(&site.auth_key(&["create"]).stdout).unwrap();
    let log_in = |id: &Value, key: &Value| {
        let body = format!("{{\"authKeyId\":{id},\"authKey\":{key}}}");
        site.call(&format!(
            "POST /v1/auth? HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    assert_eq!(log_in(&profile["authKeyId"], &profile["authKey"]).0, 200);
    let guess = Value::from("keyId-guess");
    let answers: Vec<_> = (0..20).map(|_| log_in(&guess, &guess)).collect();
    assert!(answers.iter().all(|(status, _)| *status == 401));
    assert!(answers[0].1.contains("WrongAuthKey") && answers[19].1.contains("TooManyWrongAuthKeys"));
    assert_eq!(log_in(&profile["authKeyId"], &profile["authKey"]).0, 200);
}
