//! A proxy under test: started fresh, on a core of its own, watched through /proc.

use super::sink::Sink;
use std::fmt::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The first device's address; device `n` is `n` further on.
pub const FIRST_DEVICE: u32 = u32::from_be_bytes([127, 1, 0, 1]);
/// The IMSI of the first device.
pub const FIRST_IMSI: u64 = 440_101_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Haproxy,
    Simrelay,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Haproxy {
            "HAProxy"
        } else {
            "simrelay"
        })
    }
}

impl Kind {
    /// Those that can be measured here.
    pub fn installed() -> Vec<Self> {
        let haproxy = Command::new("haproxy")
            .arg("-v")
            .stdout(Stdio::null())
            .status()
            .is_ok();
        if haproxy {
            vec![Self::Haproxy, Self::Simrelay]
        } else {
            vec![Self::Simrelay]
        }
    }
}

pub struct Proxy {
    child: Child,
    pub kind: Kind,
    pub address: SocketAddr,
    _folder: TempDir,
}

impl Proxy {
    /// Starts one in front of the sink, for devices up to number `devices`.
    pub fn start(kind: Kind, sink: &Sink, devices: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let mut command = match kind {
            Kind::Haproxy => haproxy(&folder, address, sink.address),
            Kind::Simrelay => simrelay(&folder, address, sink.address, devices),
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{kind} does not listen on {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            child,
            kind,
            address,
            _folder: folder,
        }
    }

    /// CPU time of all its threads so far.
    pub fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let spent = tasks
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
        Duration::from_nanos(
            spent
                .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
                .sum(),
        )
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// What a device has to publish to so that the sink sees `sensors/<imsi>/temp`.
    pub fn topic(&self, device: u64) -> String {
        match self.kind {
            Kind::Haproxy => format!("sensors/{}/temp", FIRST_IMSI + device),
            Kind::Simrelay => "sensors/{{imsi}}/temp".to_owned(),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts this process on one core, if there are two; what it starts may choose another.
pub fn pin_self(core: usize) {
    if several_cores() {
        let me = std::process::id().to_string();
        let _ = Command::new("taskset")
            .args(["-acp", &core.to_string(), &me])
            .stdout(Stdio::null())
            .status();
    }
}

fn several_cores() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.matches("processor\t").count() > 1)
}

fn on_second_core(program: &str) -> Command {
    if !several_cores() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "1", program]);
    command
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn haproxy(folder: &TempDir, listen: SocketAddr, upstream: SocketAddr) -> Command {
    let config = format!(
        "global\n  nbthread 1\n  maxconn 9900\ndefaults\n  mode tcp\n  maxconn 9900\n  timeout connect 5s\n  \
         timeout client 30m\n  timeout server 30m\nlisten mqtt\n  bind {listen} backlog 4096\n  server s {upstream}\n"
    );
    let path = folder.path().join("haproxy.cfg");
    std::fs::write(&path, config).unwrap();
    let mut command = on_second_core("haproxy");
    command.arg("-db").arg("-f").arg(path);
    command
}

fn simrelay(folder: &TempDir, listen: SocketAddr, upstream: SocketAddr, devices: u64) -> Command {
    let path = folder.path().join("entrypoints.json");
    std::fs::write(&path, entrypoints(upstream, devices)).unwrap();
    let mut command = on_second_core(env!("CARGO_BIN_EXE_simrelay"));
    command.env("SIMRELAY_BRIDGE_LISTEN", "off");
    command.args([
        "--api-listen",
        "off",
        "--broker-listen",
        "off",
        "--relay-workers",
        "1",
        "--log",
        "json",
    ]);
    command.arg("--relay-listen").arg(listen.to_string());
    command.arg("--entrypoints").arg(path);
    command.arg("--data").arg(folder.path());
    command
}

fn entrypoints(upstream: SocketAddr, devices: u64) -> String {
    let mut sims = String::new();
    for n in 0..devices {
        let (sim_id, imsi) = (8_981_100_000_000_000_000 + n, FIRST_IMSI + n);
        let address = Ipv4Addr::from_bits(FIRST_DEVICE + n as u32);
        let comma = if n > 0 { "," } else { "" };
        let _ = write!(
            sims,
            r#"{comma}{{"simId":"{sim_id}","imsi":"{imsi}","groupId":"fleet","addresses":["{address}"]}}"#
        );
    }
    format!(
        r#"{{"groups":[{{"groupId":"fleet","configuration":{{"SoracomBeam":{{"mqtt://beam.soracom.io:1883":
        {{"destination":"mqtt://{upstream}","useClientCredentials":true,"replaceTopic":true}}}}}}}}],"sims":[{sims}]}}"#
    )
}
