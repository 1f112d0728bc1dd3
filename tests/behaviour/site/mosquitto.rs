//! Mosquitto, as Debian ships it.

use super::certificates::{Authority, Pair};
use super::device::Device;
use super::packet::{Connect, Packet, Version, subscribe};
use super::{SOON, wait_until};
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use tempfile::TempDir;

/// A running Mosquitto.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    child: Child,
    folder: TempDir,
    pub(crate) address: SocketAddr,
    /// Without TLS and login, for the test to look in.
    pub(crate) inside: SocketAddr,
}

/// An address that no other test has, and a port on it. Nobody else asks for one there, so it stays free.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let own = (std::process::id() % 100) as u8;
    let listener = TcpListener::bind(SocketAddr::from(([127, 100 + own, high, low], 0))).unwrap();
    listener.local_addr().unwrap()
}

impl Mosquitto {
    /// Plain, for everybody.
    pub(crate) fn plain() -> Self {
        Self::start(|_, _, _| {})
    }

    /// With this user and no other.
    pub(crate) fn with_password(username: &str, password: &str) -> Self {
        Self::start(|config, _, folder| {
            require_password(config, folder, username, password);
        })
    }

    /// TLS with a certificate for its address.
    pub(crate) fn tls(authority: &Authority) -> Self {
        Self::with_certificate(|host| authority.server(host))
    }

    /// TLS with a certificate that `make` makes for its address.
    pub(crate) fn with_certificate(make: impl Fn(&str) -> Pair) -> Self {
        Self::start(|config, address, folder| {
            write_server(config, &make(&address.ip().to_string()), folder);
        })
    }

    /// TLS, for client certificates of `authority` only; a certificate's name is the user name.
    pub(crate) fn for_certificates(authority: &Authority) -> Self {
        Self::start(|config, address, folder| {
            write_server(config, &authority.server(&address.ip().to_string()), folder);
            std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
            let ca = folder.join("ca.pem");
            writeln!(config, "cafile {}", ca.display()).unwrap();
            writeln!(config, "require_certificate true\nuse_identity_as_username true").unwrap();
        })
    }

    fn start(configure: impl FnOnce(&mut String, SocketAddr, &Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (address, inside) = (free_address(), free_address());
        let mut config =
            String::from("per_listener_settings true\npersistence false\nuser root\nsys_interval 1\n");
        config += "log_type all\nlog_dest stderr\n";
        for (address, configure) in [(inside, None), (address, Some(configure))] {
            writeln!(config, "listener {} {}", address.port(), address.ip()).unwrap();
            let rest = config.len();
            if let Some(configure) = configure {
                configure(&mut config, address, folder.path());
            }
            if !config[rest..].contains("allow_anonymous") {
                config += "allow_anonymous true\n";
            }
        }
        Self::configured(folder, &config, address, inside)
    }

    /// Plain, for everybody; sessions and messages survive [`Self::shut_down`].
    pub(crate) fn persistent() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (address, inside) = (free_address(), free_address());
        let mut config = String::from("persistence true\nuser root\nallow_anonymous true\nlog_dest stderr\n");
        writeln!(config, "persistence_location {}/", folder.path().display()).unwrap();
        config += "max_queued_messages 0\nmax_inflight_messages 0\n";
        for address in [inside, address] {
            writeln!(config, "listener {} {}", address.port(), address.ip()).unwrap();
        }
        Self::configured(folder, &config, address, inside)
    }

    /// With a configuration of the test's own, which listens at both addresses.
    pub(crate) fn configured(folder: TempDir, config: &str, address: SocketAddr, inside: SocketAddr) -> Self {
        std::fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
        let child = spawn(folder.path());
        let mut running = Self {
            child,
            folder,
            address,
            inside,
        };
        running.wait_for_listeners();
        running
    }

    fn wait_for_listeners(&mut self) {
        wait_until("Mosquitto listens", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("Mosquitto ended, {status}:\n{}", self.log());
            }
            let listens = |address: &SocketAddr| TcpStream::connect_timeout(address, SOON).is_ok();
            [self.address, self.inside].iter().all(listens).then_some(())
        });
    }

    /// Ends it at once.
    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to end and waits until it has written down what it keeps.
    pub(crate) fn shut_down(&mut self) {
        self.signal("TERM");
        wait_until("end of Mosquitto", || self.child.try_wait().unwrap());
    }

    /// Starts it again after [`Self::stop`], at the same addresses.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.folder.path());
        self.wait_for_listeners();
    }

    /// Sends a signal: "STOP", "CONT".
    pub(crate) fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }

    /// Nobody but `user` may publish, and only to `topic`.
    pub(crate) fn with_password_for(username: &str, password: &str, topic: &str) -> Self {
        Self::start(|config, _, folder| {
            require_password(config, folder, username, password);
            let file = folder.join("acl");
            std::fs::write(&file, format!("user {username}\ntopic write {topic}\n")).unwrap();
            writeln!(config, "acl_file {}", file.display()).unwrap();
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    pub(crate) fn tls_url(&self) -> String {
        format!("mqtts://{}", self.address)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits for a line of its log that holds `text`.
    #[track_caller]
    pub(crate) fn saw(&self, text: &str) {
        wait_until(&format!("{text:?} in Mosquitto's log"), || {
            self.log().contains(text).then_some(())
        });
    }

    /// Subscribes to everything, directly.
    pub(crate) fn watch(&self) -> Watcher {
        self.watch_as(Version::V311)
    }

    pub(crate) fn watch_as(&self, version: Version) -> Watcher {
        let mut device = Device::new(TcpStream::connect_timeout(&self.inside, SOON).unwrap());
        device.enter(&Connect::new(version, "watcher").keep_alive(0));
        device.send(&subscribe(version, 1, &[("#", 2)]));
        assert_eq!(device.read().kind(), 9);
        Watcher { device }
    }
}

/// One start after the other writes the same log.
fn spawn(folder: &Path) -> Child {
    let mut log = std::fs::File::options();
    let log = log.create(true).append(true).open(folder.join("log")).unwrap();
    Command::new(program())
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn require_password(config: &mut String, folder: &Path, username: &str, password: &str) {
    let file = folder.join("passwords");
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&file)
        .args([username, password])
        .status()
        .unwrap();
    assert!(made.success());
    writeln!(config, "allow_anonymous false\npassword_file {}", file.display()).unwrap();
}

fn write_server(config: &mut String, pair: &Pair, folder: &Path) {
    pair.write(folder);
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    writeln!(config, "certfile {}\nkeyfile {}", cert.display(), key.display()).unwrap();
}

/// Debian puts it where the path of ordinary users does not look.
fn program() -> &'static str {
    ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or("mosquitto")
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of Mosquitto\n{}", self.log());
        }
    }
}

/// A client at the broker itself, that sees every message.
#[derive(Debug)]
pub(crate) struct Watcher {
    device: Device,
}

impl Watcher {
    /// The next message, acknowledged.
    pub(crate) fn packet(&mut self) -> Packet {
        let packet = self.device.read();
        match packet.qos() {
            0 => {}
            1 => self.device.send(&super::puback(packet.publish_id())),
            _ => {
                let id = packet.publish_id().to_be_bytes();
                self.device.send(&super::frame(0x50, &id));
                let pubrel = self.device.read();
                assert_eq!(pubrel.kind(), 6, "{pubrel:?}");
                self.device.send(&super::frame(0x70, &id));
            }
        }
        packet
    }

    /// Topic and payload of the next message (not for MQTT 5).
    pub(crate) fn next(&mut self) -> (String, String) {
        let packet = self.packet();
        let payload = String::from_utf8_lossy(packet.payload()).into_owned();
        (packet.topic(), payload)
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, topic: &str, payload: &str) {
        assert_eq!(self.next(), (topic.to_owned(), payload.to_owned()));
    }
}
