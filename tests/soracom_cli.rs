//! Plays what the soracom command sends against the real program.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

struct Program {
    child: Child,
    folder: tempfile::TempDir,
    api: String,
    /// Gives all that was logged, when the program has ended.
    log: Option<JoinHandle<String>>,
}

fn simrelay(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simrelay"));
    command.env("SIMRELAY_BRIDGE_LISTEN", "off");
    command.current_dir(folder).args(["--log", "json"]);
    command
}

impl Program {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = simrelay(folder.path())
            .args(["--relay-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"])
            .args(["--broker-listen", "off"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut log, mut api) = (String::new(), None);
        for line in lines.by_ref().map(Result::unwrap) {
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if event["event"] == "listening" && event["service"] == "api" {
                api = event["address"].as_str().map(str::to_owned);
            }
            log += &line;
            if event["event"] == "ready" {
                break;
            }
        }
        let log = std::thread::spawn(move || {
            log.extend(lines.map_while(Result::ok));
            log
        });
        Self {
            child,
            folder,
            api: api.unwrap(),
            log: Some(log),
        }
    }

    /// Has it end, and gives all that it logged.
    fn end(mut self) -> String {
        let line = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        self.log.take().unwrap().join().unwrap()
    }

    fn auth_key(&self, arguments: &[&str]) -> Output {
        let mut command = simrelay(self.folder.path());
        command
            .args(["--api-listen", &self.api, "auth-key"])
            .args(arguments);
        command.output().unwrap()
    }

    /// Status and body of the answer.
    fn call(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.api).unwrap();
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

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    let program = Program::start();
    let made = program.auth_key(&["create"]);
    let profile: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(profile["endpoint"], format!("http://{}", program.api));
    let operator = std::fs::read(program.folder.path().join("data/operator.json")).unwrap();
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
        let (status, body) = program.call(&request(&fixture["request"], &known));
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
    let log = program.end();
    assert!(log.contains("login refused") && log.contains("credential made"));
    for secret in secrets.iter().map(String::as_str).chain(["s3cret", "secret-"]) {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn keys_of_the_command_line_are_known_to_the_running_server_at_once() {
    let program = Program::start();
    let profile: Value = serde_json::from_slice(&program.auth_key(&["create"]).stdout).unwrap();
    let id = profile["authKeyId"].as_str().unwrap();
    let login = format!("{{\"authKeyId\":\"{id}\",\"authKey\":{}}}", profile["authKey"]);
    let log_in = || {
        program.call(&format!(
            "POST /v1/auth? HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{login}",
            login.len()
        ))
    };
    let (status, body) = log_in();
    assert_eq!(status, 200, "{body}");
    let session: Value = serde_json::from_str(&body).unwrap();
    let list = |token: &str| {
        let key = session["apiKey"].as_str().unwrap();
        program.call(&format!(
            "GET /v1/groups? HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Soracom-Api-Key: {key}\r\n{token}\r\n"
        ))
    };
    let token = format!("X-Soracom-Token: {}\r\n", session["token"].as_str().unwrap());
    assert_eq!(list(&token).0, 200);
    assert_eq!(list("").0, 401);
    let listed = String::from_utf8(program.auth_key(&["list"]).stdout).unwrap();
    assert!(listed.contains(id) && !listed.contains("argon2"), "{listed}");
    assert!(program.auth_key(&["delete", id]).status.success());
    assert!(!program.auth_key(&["delete", id]).status.success());
    assert_eq!(log_in().0, 401);
    let (status, body) = list(&token);
    assert!(status == 401 && body.contains("TokenRevoked"), "{body}");
}

#[test]
fn a_guesser_is_refused_unseen_and_a_key_that_was_right_from_there_is_not() {
    let program = Program::start();
    let profile: Value = serde_json::from_slice(&program.auth_key(&["create"]).stdout).unwrap();
    let log_in = |id: &Value, key: &Value| {
        let body = format!("{{\"authKeyId\":{id},\"authKey\":{key}}}");
        program.call(&format!(
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
