//! The HTTP bridge beside a FastAPI script of the usual kind: how many requests a second, how long each takes.
//!
//!     cargo bench --bench bridge              both, about two minutes
//!     cargo bench --bench bridge -- --quick   each once and short: only that it runs
//!
//! Needs mosquitto; the script runs in a Python environment that is made below `target/` (PyPI must be
//! reachable; without it only simrelay is measured). A request counts from when it was due, not from when it
//! was sent, so that a server that falls behind cannot hide it.

#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod callers;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A program that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let length = Duration::from_secs(if is_quick { 1 } else { 15 });
    let folder = tempfile::tempdir().unwrap();
    let broker = free_port();
    let _mosquitto = mosquitto(folder.path(), broker);
    println!("machine: {} core(s), load before: {}", cores(), load());
    println!(
        "{:<10} {:>8} {:>10} {:>8} {:>9} {:>9} {:>9}",
        "server", "asked/s", "answered/s", "failed", "p50 ms", "p99 ms", "max ms"
    );
    let rates: &[u64] = if is_quick {
        &[200]
    } else {
        &[200, 1000, 2000, 4000]
    };
    {
        let (_bridge, address) = simrelay(folder.path(), broker);
        measure("simrelay", address, rates, length);
    }
    match python(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Some(python) => {
            let (_script, address) = script(&python, broker);
            let rates: &[u64] = if is_quick { &[50] } else { &[200, 1000, 2000] };
            measure("FastAPI", address, rates, length);
        }
        None => println!("FastAPI    not measured: its packages cannot be had"),
    }
    println!("load after: {}", load());
}

fn measure(name: &str, address: SocketAddr, rates: &[u64], length: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // Connections and caches, warm.
    runtime.block_on(callers::call(address, 50, Duration::from_secs(1)));
    for &rate in rates {
        let found = runtime.block_on(callers::call(address, rate, length));
        assert!(found.answered() > 0, "{name} answers nothing");
        println!(
            "{name:<10} {rate:>8} {:>10.0} {:>8} {:>9.1} {:>9.1} {:>9.1}",
            found.per_second(),
            found.failed,
            found.percentile(50.0),
            found.percentile(99.0),
            found.percentile(100.0)
        );
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn wait_for(address: SocketAddr) {
    for _ in 0..3000 {
        if TcpStream::connect(address).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nothing listens on {address}");
}

fn mosquitto(folder: &Path, port: u16) -> Running {
    let file = folder.join("mosquitto.conf");
    std::fs::write(
        &file,
        // As in deploy/security.
        format!("listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"),
    )
    .unwrap();
    let program = if Path::new("/usr/sbin/mosquitto").exists() {
        "/usr/sbin/mosquitto"
    } else {
        "mosquitto"
    };
    let child = Command::new(program)
        .arg("-c")
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    wait_for(SocketAddr::from(([127, 0, 0, 1], port)));
    Running(child.unwrap())
}

fn simrelay(folder: &Path, broker: u16) -> (Running, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_simrelay"))
        .args(["bridge", "--log", "json", "--bridge-rate", "off"])
        .args(["--bridge-listen", &address.to_string()])
        .args(["--bridge-broker", &format!("mqtt://127.0.0.1:{broker}")])
        .current_dir(folder)
        .stderr(log)
        .spawn();
    wait_for(address);
    (Running(child.unwrap()), address)
}

fn script(python: &Path, broker: u16) -> (Running, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let child = Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/benches/bridge/http_to_mqtt.py"
        ))
        .env("BROKER_PORT", broker.to_string())
        .env("PORT", address.port().to_string())
        .stdout(Stdio::null())
        .spawn();
    wait_for(address);
    (Running(child.unwrap()), address)
}

/// A Python with the script's packages, below `target/`.
fn python(home: &Path) -> Option<std::path::PathBuf> {
    let folder = home.join("target/bridge-bench-venv");
    let python = folder.join("bin/python");
    let run = |command: &mut Command| {
        command
            .stdout(Stdio::null())
            .status()
            .ok()?
            .success()
            .then_some(())
    };
    if !folder.join("complete").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let requirements = home.join("benches/bridge/requirements.txt");
        run(Command::new(&python)
            .args(["-m", "pip", "install", "-q", "-r"])
            .arg(requirements))?;
        std::fs::write(folder.join("complete"), "").ok()?;
    }
    Some(python)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
