//! A proxy under test: started fresh, on a core of its own.

use super::cores::{self, Placement};
use super::floor;
use super::names;
use super::process::Process;
use super::proxy_files::{entrypoints, haproxy_cfg};
use super::route::Route;
use std::fmt;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Haproxy,
    Floor,
    Simrelay,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Haproxy => "HAProxy",
            Self::Floor => "the floor",
            Self::Simrelay => "simrelay",
        })
    }
}

impl Kind {
    /// Those that can be measured here.
    pub fn installed() -> Vec<Self> {
        match haproxy() {
            Some(_) => vec![Self::Haproxy, Self::Simrelay],
            None => vec![Self::Simrelay],
        }
    }
}

/// Debian installs it where not every user looks.
fn haproxy() -> Option<&'static str> {
    let answers = |program: &&str| {
        Command::new(program)
            .arg("-v")
            .stdout(Stdio::null())
            .status()
            .is_ok()
    };
    ["haproxy", "/usr/sbin/haproxy"].into_iter().find(answers)
}

/// How it is started.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub kind: Kind,
    pub placement: Placement,
    pub workers: usize,
    /// Whether simrelay's admin API runs.
    pub api: bool,
    /// Seconds between simrelay's usage lines.
    pub usage_interval: u64,
}

impl Setup {
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            placement: Placement::Apart,
            workers: 1,
            api: false,
            usage_interval: 60,
        }
    }
}

pub struct Proxy {
    process: Process,
    pub kind: Kind,
    /// From the start of the program until it accepted a connection.
    pub took: Duration,
    listen: Vec<SocketAddr>,
    pub api: SocketAddr,
    folder: TempDir,
}

impl Deref for Proxy {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Proxy {
    pub fn start(setup: Setup, routes: &[Route]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let api = free_address();
        // HAProxy tells routes apart by its ports, simrelay by the SIM.
        let listen: Vec<_> = match setup.kind {
            Kind::Haproxy | Kind::Floor => routes.iter().map(|_| free_address()).collect(),
            Kind::Simrelay => vec![free_address(); routes.len()],
        };
        let mut command = match setup.kind {
            Kind::Haproxy => {
                let path = folder.path().join("haproxy.cfg");
                std::fs::write(&path, haproxy_cfg(setup.workers, &listen, routes)).unwrap();
                let mut command = cores::start(haproxy().unwrap(), setup.placement);
                command.arg("-db").arg("-f").arg(path);
                command
            }
            Kind::Floor => {
                let program = std::env::current_exe().unwrap();
                let mut command = cores::start(program.to_str().unwrap(), setup.placement);
                command.arg(floor::FLAG);
                for (listen, route) in listen.iter().zip(routes) {
                    command.args([listen.to_string(), route.broker.address.to_string()]);
                }
                command
            }
            Kind::Simrelay => simrelay(setup, folder.path(), listen[0], api, routes),
        };
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let began = Instant::now();
        let mut process = Process::new(
            command
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap(),
        );
        while TcpStream::connect(listen[0]).is_err() {
            let ended = process.child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > Duration::from_secs(60) {
                let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                panic!("{} does not listen ({ended:?}): {log}", setup.kind);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Self {
            process,
            kind: setup.kind,
            took: began.elapsed(),
            listen,
            api,
            folder,
        }
    }

    /// Where the devices of a route connect.
    pub fn address(&self, route: usize) -> SocketAddr {
        self.listen[route]
    }

    /// What a device has to publish to.
    pub fn uplink_topic(&self, device: u64) -> String {
        match self.kind {
            Kind::Haproxy | Kind::Floor => names::uplink_topic(device),
            Kind::Simrelay => "sensors/{{imsi}}/temp".to_owned(),
        }
    }

    /// What a device has to subscribe to.
    pub fn downlink_filter(&self, device: u64) -> String {
        match self.kind {
            Kind::Haproxy | Kind::Floor => names::downlink_topic(device),
            Kind::Simrelay => "commands/{{imsi}}/set".to_owned(),
        }
    }

    /// simrelay's configuration file.
    pub fn entrypoints(&self) -> PathBuf {
        self.folder.path().join("entrypoints.json")
    }

    /// simrelay's admin token. It is written while devices are let in already.
    pub fn admin_token(&self) -> String {
        let (path, began) = (self.folder.path().join("admin-token"), Instant::now());
        loop {
            match std::fs::read_to_string(&path) {
                Ok(token) if token.ends_with('\n') => return token.trim().to_owned(),
                read => assert!(
                    began.elapsed() < Duration::from_secs(10),
                    "{}: {read:?}",
                    path.display()
                ),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// This build's, or the one that `SIMRELAY_BINARY` names.
fn simrelay_binary() -> String {
    std::env::var("SIMRELAY_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_simrelay").to_owned())
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn simrelay(setup: Setup, folder: &Path, listen: SocketAddr, api: SocketAddr, routes: &[Route]) -> Command {
    let path = folder.join("entrypoints.json");
    std::fs::write(&path, entrypoints(routes)).unwrap();
    let mut command = cores::start(&simrelay_binary(), setup.placement);
    // As the units of deploy/systemd start it.
    command.env(
        "MALLOC_ARENA_MAX",
        std::env::var("MALLOC_ARENA_MAX").unwrap_or("1".to_owned()),
    );
    for service in ["broker-listen", "bridge-listen", "notifier-broker"] {
        command.args([&format!("--{service}"), "off"]);
    }
    let api = if setup.api {
        api.to_string()
    } else {
        "off".to_owned()
    };
    command.args(["--api-listen", &api, "--log", "json"]);
    command.args(["--relay-workers", &setup.workers.to_string()]);
    command.args(["--usage-interval", &setup.usage_interval.to_string()]);
    command.args(["--relay-listen", &listen.to_string()]);
    command.arg("--entrypoints").arg(path);
    command.arg("--certs").arg(folder.join("certs"));
    command.arg("--data").arg(folder);
    for route in routes {
        if let Some(ca) = &route.broker.ca {
            let port = route.broker.address.port();
            let name = super::authority::BROKER_NAME;
            command.args(["--connect-to", &format!("{name}:{port}={}", route.broker.address)]);
            // Where rustls looks for the authorities of the machine.
            command.env("SSL_CERT_FILE", ca);
        }
    }
    command
}
