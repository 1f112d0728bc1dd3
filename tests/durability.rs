//! What the API has answered with 200 is on disk, whatever happens next: the real program, killed and starved.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const CONFIGURATION: &str = "v1/groups/default/configuration/SoracomAir";

/// A running simrelay with its folder. Killed without warning when dropped.
struct Program {
    child: Child,
    api: SocketAddr,
    token: String,
    client: reqwest::Client,
}

impl Program {
    /// Starts it in `folder` behind the shell command `limit`, and waits until it says where it listens.
    fn start(folder: &Path, limit: &str) -> Self {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("{limit} exec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_simrelay"))
            .args(["--relay-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"])
            .args(["--broker-listen", "off", "--bridge-listen", "off"])
            .args(["--log", "json"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let api = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| listening(&line));
        // Read on, so that the program can go on writing.
        std::thread::spawn(move || lines.for_each(drop));
        let token = std::fs::read_to_string(folder.join("data/admin-token")).unwrap();
        // What the client below wants; another test may have installed it already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self {
            child,
            api: api.expect("it says where the API listens"),
            token: token.trim().to_owned(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn put(&self, key: &str, value: &Value) -> reqwest::Result<reqwest::Response> {
        self.client
            .put(format!("http://{}/{CONFIGURATION}", self.api))
            .bearer_auth(&self.token)
            .json(&json!([{ "key": key, "value": value }]))
            .send()
            .await
    }

    async fn air(&self) -> Value {
        let url = format!("http://{}/v1/groups/default", self.api);
        let answer = self
            .client
            .get(url)
            .bearer_auth(&self.token)
            .send()
            .await
            .unwrap();
        answer.json::<Value>().await.unwrap()["configuration"]["SoracomAir"].take()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The API's address, if this log line tells it.
fn listening(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    // Fields stand at the top of the line or below "fields".
    let field = |name: &str| {
        line.get(name)
            .or_else(|| line.get("fields")?.get(name))
            .and_then(Value::as_str)
    };
    let is_api = field("event") == Some("listening") && field("service") == Some("api");
    is_api.then(|| field("address")?.parse().ok()).flatten()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("entrypoints.json"),
        include_str!("../entrypoints.json"),
    )
    .unwrap();
    folder
}

fn air_in_file(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join("entrypoints.json")).unwrap();
    let mut file: Value = serde_json::from_str(&text).expect("the file is whole");
    file["groups"][0]["configuration"]["SoracomAir"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_time_leaves_the_old_file_or_the_new_one_and_every_answer_true() {
    const ROUNDS: u64 = 12;
    let folder = folder();
    // Large enough that writing takes a while.
    let ballast = "x".repeat(200_000);
    let (mut answered, mut tried) = (0_u64, 0_u64);
    for round in 0..ROUNDS {
        let program = Program::start(folder.path(), "");
        if answered > 0 {
            let found = program.air().await["n"]["at"].as_u64().unwrap();
            assert!(
                (answered..=tried).contains(&found),
                "{answered} <= {found} <= {tried}"
            );
        }
        // Kills fall before, within and behind a write.
        let life = Duration::from_micros(20_000 + 7_919 * round);
        let born = Instant::now();
        let killer = {
            let pid = program.child.id().to_string();
            tokio::spawn(async move {
                tokio::time::sleep(life).await;
                let _ = Command::new("kill").args(["-9", &pid]).status();
            })
        };
        while born.elapsed() < Duration::from_secs(10) {
            tried += 1;
            match program
                .put("n", &json!({ "at": tried, "ballast": ballast }))
                .await
            {
                Ok(answer) => {
                    assert_eq!(answer.status(), 200);
                    answered = tried;
                }
                Err(_) => break,
            }
        }
        killer.await.unwrap();
        drop(program);
        let found = air_in_file(folder.path());
        if answered > 0 {
            let at = found["n"]["at"].as_u64().unwrap();
            assert!((answered..=tried).contains(&at), "{answered} <= {at} <= {tried}");
            assert_eq!(found["n"]["ballast"].as_str().unwrap().len(), ballast.len());
        }
    }
    assert!(answered > ROUNDS / 2, "{answered} changes in {ROUNDS} rounds");
}

#[tokio::test]
async fn without_room_the_answer_says_so_and_the_old_state_stays() {
    let folder = folder();
    // No file may grow past 1 MiB (in blocks of 512 bytes); the signal for it is not to end the program.
    let program = Program::start(folder.path(), "trap '' XFSZ; ulimit -f 2048;");
    let ballast = "x".repeat(300_000);
    let mut stored = 0;
    let refused = loop {
        let answer = program.put(&format!("k{stored}"), &json!(ballast)).await.unwrap();
        if answer.status() != 200 {
            break answer;
        }
        stored += 1;
        assert!(stored < 10, "the limit is not in force");
    };
    assert!(stored > 0);
    assert_eq!(refused.status(), 507);
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["code"], "InsufficientStorage");
    assert!(
        body["message"].as_str().unwrap().contains("File too large"),
        "{body}"
    );
    assert_eq!(air_in_file(folder.path()).as_object().unwrap().len(), stored);
    assert_eq!(program.air().await.as_object().unwrap().len(), stored);
    let left = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert!(
        left.into_iter().all(|name| name != ".entrypoints.json.new"),
        "nothing half written is left"
    );
    // With less to write it works again.
    assert_eq!(program.put("k0", &json!(1)).await.unwrap().status(), 200);
}
