//! What systemd is told by a service of its `Type=notify`.

use crate::site::*;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// systemd's end of the conversation.
struct Systemd {
    socket: UnixDatagram,
    environment: Vec<(String, String)>,
    _folder: tempfile::TempDir,
}

impl Systemd {
    fn with_watchdog(limit: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let environment = vec![
            pair("NOTIFY_SOCKET", path.display().to_string()),
            pair("WATCHDOG_USEC", limit.as_micros().to_string()),
        ];
        Self {
            socket,
            environment,
            _folder: folder,
        }
    }

    #[track_caller]
    fn told(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self.socket.recv(&mut buffer).expect("a word to systemd");
        String::from_utf8(buffer[..length].to_vec())
            .unwrap()
            .trim()
            .to_owned()
    }

    /// The next word that is no sign of life.
    #[track_caller]
    fn told_besides(&self) -> String {
        loop {
            let word = self.told();
            if word != "WATCHDOG=1" {
                return word;
            }
        }
    }
}

fn flags() -> Vec<&'static str> {
    let listen = ["--relay-listen", "127.0.0.1:0", "--bridge-listen", "127.0.0.1:0"];
    [&listen[..], &["--broker-listen", "off"]].concat()
}

#[test]
fn a_service_says_that_it_is_ready_alive_and_stopping() {
    let systemd = Systemd::with_watchdog(Duration::from_millis(300));
    for command in ["run", "relay", "bridge", "notifier"] {
        let all = [&[command][..], &flags()].concat();
        let folder = tempfile::tempdir().unwrap();
        let mut service = Simrelay::in_environment(folder, &all, &systemd.environment);
        assert_eq!(systemd.told(), "READY=1", "{command}");
        for _ in 0..3 {
            assert_eq!(systemd.told(), "WATCHDOG=1", "{command}");
        }
        service.signal("TERM");
        assert_eq!(systemd.told_besides(), "STOPPING=1", "{command}");
        assert!(service.wait().success());
        // What was on its way when the end began.
        systemd.socket.set_nonblocking(true).unwrap();
        while systemd.socket.recv(&mut [0; 100]).is_ok() {}
        systemd.socket.set_nonblocking(false).unwrap();
    }
}

#[tokio::test]
async fn a_service_that_cannot_write_shows_no_sign_of_life() {
    let systemd = Systemd::with_watchdog(Duration::from_millis(300));
    let all = [&["bridge"][..], &flags()].concat();
    let service = Simrelay::in_environment(tempfile::tempdir().unwrap(), &all, &systemd.environment);
    assert_eq!(systemd.told(), "READY=1");
    let file = service.folder.path().join("data/simrelay.sqlite");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    let mut lock = pool.acquire().await.unwrap();
    wait_for_lock(&mut lock).await;
    let unwell = service.wait_for("word about its state", |line| line["event"] == "unwell");
    assert!(
        unwell["reason"].as_str().unwrap().contains("database"),
        "{unwell}"
    );
    // The signs that were on their way are read; none follows while the lock is held.
    systemd
        .socket
        .set_read_timeout(Some(Duration::from_millis(900)))
        .unwrap();
    let began = Instant::now();
    while systemd.socket.recv(&mut [0; 100]).is_ok() {
        assert!(began.elapsed() < SOON, "it goes on to say that it is alive");
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut *lock).await.unwrap();
    systemd.socket.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(systemd.told(), "WATCHDOG=1");
}

async fn wait_for_lock(connection: &mut sqlx::SqliteConnection) {
    sqlx::raw_sql("PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE")
        .execute(connection)
        .await
        .unwrap();
}
