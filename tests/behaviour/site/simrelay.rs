//! The program under test, as a process of its own in a folder of its own.

use super::{Configuration, Device, Http, SOON, entry_point, sim_address, wait_until};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_simrelay");

/// What the program has logged so far, line by line.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    fn follow(stderr: ChildStderr) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let writer = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                writer.lines.lock().unwrap().lines.push(line);
                writer.more.notify_all();
            }
            writer.lines.lock().unwrap().ended = true;
            writer.more.notify_all();
        });
        log
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().lines.join("\n")
    }

    /// The first line for which `look` gives something; `None` if the log ends without.
    #[track_caller]
    fn wait<T>(&self, what: &str, look: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + SOON;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(found) = lines.lines.iter().find_map(|line| look(line)) {
                return Some(found);
            }
            if lines.ended {
                return None;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // The log is shown when the program's owner is dropped.
                drop(lines);
                panic!("no {what} in the log");
            }
            lines = self.more.wait_timeout(lines, left).unwrap().0;
        }
    }
}

/// A running simrelay.
#[derive(Debug)]
pub(crate) struct Simrelay {
    child: Child,
    pub(crate) folder: TempDir,
    log: Arc<Log>,
    relay: Vec<SocketAddr>,
    api: Option<SocketAddr>,
    broker: Option<SocketAddr>,
    bridge: Option<SocketAddr>,
}

impl Simrelay {
    /// Runs it with `configuration`, relay and API on free ports, no embedded broker.
    pub(crate) fn start(configuration: &Configuration) -> Self {
        Self::with(configuration, &[])
    }

    /// Runs it with SIM 1 in a group whose entry point rewrites topics and leads to `url`.
    pub(crate) fn to(url: &str) -> Self {
        Self::start(&Configuration::of(&entry_point(url)))
    }

    /// Runs it with `configuration` and more flags.
    pub(crate) fn with(configuration: &Configuration, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("entrypoints.json"), configuration.text()).unwrap();
        let mut all = vec!["--broker-listen", "off"];
        if !flags.contains(&"--relay-listen") {
            all.extend(["--relay-listen", "127.0.0.1:0"]);
        }
        all.extend(flags);
        Self::in_folder(folder, &all)
    }

    /// Runs it in `folder`.
    pub(crate) fn in_folder(folder: TempDir, flags: &[&str]) -> Self {
        Self::in_environment::<&str>(folder, flags, &[])
    }

    /// Runs it in `folder` with these environment variables.
    pub(crate) fn in_environment<V: AsRef<OsStr>>(
        folder: TempDir,
        flags: &[&str],
        environment: &[(V, V)],
    ) -> Self {
        let mut command = Command::new(PROGRAM);
        command.stdin(Stdio::null());
        // One port 8080 is not enough for all tests.
        command.env("SIMRELAY_BRIDGE_LISTEN", "off");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Self::launch(folder, command, flags)
    }

    /// Runs it in `folder` with a socket that stays open when it ends, as systemd's socket units have it.
    pub(crate) fn inheriting(listener: &TcpListener, folder: TempDir, flags: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let pass_on = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
        command.args(["-c", pass_on, PROGRAM]);
        command.env("SIMRELAY_BRIDGE_LISTEN", "off");
        command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
        Self::launch(folder, command, flags)
    }

    fn launch(folder: TempDir, mut command: Command, flags: &[&str]) -> Self {
        let mut child = command
            .args(["--log", "json", "--api-listen", "127.0.0.1:0", "--grace", "2"])
            .args(flags)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::follow(child.stderr.take().unwrap());
        let mut running = Self {
            child,
            folder,
            log,
            relay: Vec::new(),
            api: None,
            broker: None,
            bridge: None,
        };
        running.wait_for("line that it is ready", |line| line["event"] == "ready");
        for line in running.lines(|line| line["event"] == "listening") {
            let address = line["address"].as_str().unwrap().parse().unwrap();
            match line["service"].as_str().unwrap() {
                "relay" => running.relay.push(address),
                "api" => running.api = Some(address),
                "broker" => running.broker = Some(address),
                "bridge" => running.bridge = Some(address),
                other => panic!("what is the service {other}?"),
            }
        }
        running
    }

    /// Where devices connect.
    pub(crate) fn relay(&self) -> SocketAddr {
        self.relay[0]
    }

    /// Where devices connect, all addresses.
    pub(crate) fn relays(&self) -> &[SocketAddr] {
        &self.relay
    }

    pub(crate) fn api(&self) -> SocketAddr {
        self.api.unwrap()
    }

    pub(crate) fn broker(&self) -> SocketAddr {
        self.broker.unwrap()
    }

    /// Where phones and scripts call.
    pub(crate) fn bridge(&self) -> SocketAddr {
        self.bridge.unwrap()
    }

    /// A caller of the admin API with the token.
    pub(crate) fn http(&self) -> Http {
        let token = std::fs::read_to_string(self.folder.path().join("data/admin-token")).unwrap();
        Http::new(self.api(), Some(token.trim()))
    }

    /// Gives the group of SIM 1 another entry point.
    #[track_caller]
    pub(crate) fn put_entry_point(&self, value: &Value) {
        let body = serde_json::json!([{ "key": "mqtt://beam.soracom.io:1883", "value": value }]);
        let answer = self.http().put("/v1/groups/g/configuration/SoracomBeam", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Stores a credential through the API.
    #[track_caller]
    pub(crate) fn store(&self, id: &str, kind: &str, values: &Value) {
        let body = serde_json::json!({ "type": kind, "description": "", "credentials": values });
        let path = format!("/v1/credentials/{id}");
        let answer = self.http().call("POST", &path, Some(&body.to_string()));
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Puts another in its place.
    #[track_caller]
    pub(crate) fn replace(&self, id: &str, kind: &str, values: &Value) {
        let body = serde_json::json!({ "type": kind, "credentials": values });
        let answer = self.http().put(&format!("/v1/credentials/{id}"), &body);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// The folder of a credential.
    pub(crate) fn credential(&self, id: &str) -> PathBuf {
        self.folder.path().join("certs").join(id)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("entrypoints.json")
    }

    /// The file of groups and SIMs as it is now.
    pub(crate) fn file_json(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.file()).unwrap()).unwrap()
    }

    /// Puts a new file in the old one's place, as an editor does.
    pub(crate) fn edit(&self, text: &str) {
        let new = self.folder.path().join("entrypoints.json.edited");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    /// SIM `n` opens a TCP connection.
    pub(crate) fn device(&self, n: u8) -> Device {
        Device::from(&sim_address(n), self.relay())
    }

    /// The first log line that `is`.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let look = |line: &str| {
            let line = serde_json::from_str(line).ok()?;
            is(&line).then_some(line)
        };
        match self.log.wait(what, look) {
            Some(line) => line,
            None => panic!("simrelay ended, without a {what}:\n{}", self.log.text()),
        }
    }

    /// The line about a refusal; there is one and no more.
    #[track_caller]
    pub(crate) fn refused(&self) -> Value {
        let is = |line: &Value| line["event"] == "refused";
        let line = self.wait_for("refusal", is);
        assert_eq!(self.lines(is).len(), 1, "{}", self.log_text());
        line
    }

    /// The line about the refusal of `client_id`; there is one and no more.
    #[track_caller]
    pub(crate) fn refused_as(&self, client_id: &str) -> Value {
        let is = |line: &Value| line["event"] == "refused" && line["client_id"] == client_id;
        let line = self.wait_for(&format!("refusal of {client_id}"), is);
        assert_eq!(self.lines(is).len(), 1, "{}", self.log_text());
        line
    }

    /// The line about the end of the connection of `client_id`.
    #[track_caller]
    pub(crate) fn closed(&self, client_id: &str) -> Value {
        let is = |line: &Value| line["event"] == "closed" && line["client_id"] == client_id;
        let line = self.wait_for(&format!("end of {client_id}"), is);
        assert_eq!(self.lines(is).len(), 1, "{}", self.log_text());
        line
    }

    /// All log lines so far that `are`.
    pub(crate) fn lines(&self, are: impl Fn(&Value) -> bool) -> Vec<Value> {
        let text = self.log.text();
        let parsed = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        parsed.filter(|line| are(line)).collect()
    }

    pub(crate) fn log_text(&self) -> String {
        self.log.text()
    }

    /// Whether the program has said its last word.
    pub(crate) fn log_has_ended(&self) -> bool {
        self.log.lines.lock().unwrap().ended
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: "TERM", "HUP", "KILL".
    pub(crate) fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_until("end of simrelay", || self.child.try_wait().unwrap())
    }

    /// Ends it at once and gives the folder that it leaves behind.
    pub(crate) fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    /// Resident memory now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Simrelay {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of simrelay\n{}", self.log.text());
        }
    }
}

/// What a command that ends by itself left.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program to its end in `folder`.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    run_in_environment(folder, arguments, &[])
}

/// The same with these environment variables.
pub(crate) fn run_in_environment(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let output = Command::new("timeout")
        .arg(SOON.as_secs().to_string())
        .arg(PROGRAM)
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Output {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Starts the program in `folder` and gives what it said when `last` is in a line.
#[track_caller]
pub(crate) fn told(folder: &Path, flags: &[&str], last: &str) -> String {
    let mut child = Command::new(PROGRAM)
        .args(flags)
        .env("SIMRELAY_BRIDGE_LISTEN", "off")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Log::follow(child.stderr.take().unwrap());
    let deadline = Instant::now() + SOON;
    while !log.text().contains(last) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let said = log.text();
    assert!(said.contains(last), "no {last:?} in what it said:\n{said}");
    said
}

/// A file with a secret, which goes when this is dropped.
pub(crate) fn secret_file(secret: &str) -> tempfile::TempPath {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{secret}").unwrap();
    file.into_temp_path()
}

/// The flags by which the bridge, or the doctor in its place, logs in at its broker.
pub(crate) fn bridge_login<'a>(user: &'a str, password: &'a Path) -> [&'a str; 4] {
    let file = password.to_str().unwrap();
    let user = ["--bridge-broker-user", user];
    let password = ["--bridge-broker-password-file", file];
    [user[0], user[1], password[0], password[1]]
}
