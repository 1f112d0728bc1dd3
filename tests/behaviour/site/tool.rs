//! `mosquitto_pub` and `mosquitto_sub`, the devices of the Beam page.

use super::wait_until;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// Publishes from `source`; gives what it printed, or what it failed with.
pub(crate) fn mosquitto_pub(source: &str, relay: SocketAddr, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("timeout");
    command.args(["20", "mosquitto_pub"]);
    let output = aim(&mut command, source, relay, arguments).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(text)
    } else {
        Err(text)
    }
}

fn aim<'a>(command: &'a mut Command, source: &str, relay: SocketAddr, arguments: &[&str]) -> &'a mut Command {
    let (host, port) = (relay.ip().to_string(), relay.port().to_string());
    command
        .args(["-A", source, "-h", &host, "-p", &port])
        .args(arguments)
}

/// A running `mosquitto_sub`.
#[derive(Debug)]
pub(crate) struct Tool {
    child: Child,
    lines: Receiver<String>,
}

/// Subscribes from `source`; ready when the broker has acknowledged the subscription.
pub(crate) fn mosquitto_sub(source: &str, relay: SocketAddr, arguments: &[&str]) -> Tool {
    // `stdbuf` becomes the program, so that it is this child that is killed in the end.
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "mosquitto_sub"]);
    let mut child = aim(&mut command, source, relay, arguments)
        .args(["-d", "-v"])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let (sender, lines) = channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let tool = Tool { child, lines };
    tool.line("SUBACK", |line| line.contains("received SUBACK"));
    tool
}

impl Tool {
    /// The next line that `is`.
    pub(crate) fn line(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        wait_until(what, || self.lines.try_recv().ok().filter(|line| is(line)))
    }

    /// The next message is this.
    pub(crate) fn expect(&self, topic: &str, payload: &str) {
        let message = format!("{topic} {payload}");
        self.line(&message, |line| line == message);
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
