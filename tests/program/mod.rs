//! The real program, as a process of its own in a folder, for tests that ask no more of it. Killed when dropped.

#![allow(dead_code, reason = "each test uses its part of it")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_simrelay");

pub(crate) struct Program {
    child: Child,
    folder: PathBuf,
    /// Where its services listen, by name.
    listening: HashMap<String, SocketAddr>,
    /// Gives all that was logged, when the program has ended.
    log: Option<JoinHandle<String>>,
}

impl Program {
    /// Starts it in `folder`, relay and API on free ports, without its bridge, and waits until it is ready.
    pub(crate) fn start(folder: &Path, flags: &[&str]) -> Self {
        Self::behind("", folder, flags)
    }

    /// The same behind the shell command `limit`.
    pub(crate) fn behind(limit: &str, folder: &Path, flags: &[&str]) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit} exec \"$0\" \"$@\""), PROGRAM])
            .args(["--relay-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"])
            .args(["--bridge-listen", "off", "--log", "json"])
            .args(flags)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let (mut log, mut listening) = (String::new(), HashMap::new());
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended:\n{log}"));
            log += &line;
            log.push('\n');
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            match event["event"].as_str() {
                Some("listening") => {
                    let service = event["service"].as_str().unwrap().to_owned();
                    listening.insert(service, event["address"].as_str().unwrap().parse().unwrap());
                }
                Some("ready") => break,
                _ => {}
            }
        }
        // Read on, so that the program can go on writing.
        let log = std::thread::spawn(move || lines.fold(log, |log, line| log + &line + "\n"));
        Self {
            child,
            folder: folder.to_owned(),
            listening,
            log: Some(log),
        }
    }

    /// Where its service `name` listens.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.listening[name]
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The admin token.
    pub(crate) fn token(&self) -> String {
        let token = std::fs::read_to_string(self.data().join("admin-token")).unwrap();
        token.trim().to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// SIGTERM; gives all that it logged.
    pub(crate) fn terminate(mut self) -> String {
        let line = format!("kill -TERM {}", self.pid());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        self.log.take().unwrap().join().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SIGKILL; it may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
