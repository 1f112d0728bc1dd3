//! What the API has answered with 200 is on disk, whatever happens next: the real program, killed and starved.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod program;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use program::Program;
use serde_json::{Value, json};

const CONFIGURATION: &str = "v1/groups/default/configuration/SoracomAir";

/// A running simrelay and its administrator.
struct Site {
    program: Program,
    client: reqwest::Client,
}

impl Site {
    /// Starts it in `folder` behind the shell command `limit`.
    fn start(folder: &Path, limit: &str) -> Self {
        // What the client below wants; another test may have installed it already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self {
            program: Program::behind(limit, folder, &["--broker-listen", "off"]),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.program.address("api"))
    }

    async fn put(&self, key: &str, value: &Value) -> reqwest::Result<reqwest::Response> {
        self.client
            .put(self.url(CONFIGURATION))
            .bearer_auth(self.program.token())
            .json(&json!([{ "key": key, "value": value }]))
            .send()
            .await
    }

    async fn air(&self) -> Value {
        let answer = self
            .client
            .get(self.url("v1/groups/default"))
            .bearer_auth(self.program.token())
            .send()
            .await
            .unwrap();
        answer.json::<Value>().await.unwrap()["configuration"]["SoracomAir"].take()
    }
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
        let site = Site::start(folder.path(), "");
        if answered > 0 {
            let found = site.air().await["n"]["at"].as_u64().unwrap();
            assert!(
                (answered..=tried).contains(&found),
                "{answered} <= {found} <= {tried}"
            );
        }
        // Kills fall before, within and behind a write.
        let life = Duration::from_micros(20_000 + 7_919 * round);
        let born = Instant::now();
        let killer = {
            let pid = site.program.pid().to_string();
            tokio::spawn(async move {
                tokio::time::sleep(life).await;
                let _ = Command::new("kill").args(["-9", &pid]).status();
            })
        };
        while born.elapsed() < Duration::from_secs(10) {
            tried += 1;
            match site.put("n", &json!({ "at": tried, "ballast": ballast })).await {
                Ok(answer) => {
                    assert_eq!(answer.status(), 200);
                    answered = tried;
                }
                Err(_) => break,
            }
        }
        killer.await.unwrap();
        drop(site);
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
    let site = Site::start(folder.path(), "trap '' XFSZ; ulimit -f 2048;");
    let ballast = "x".repeat(300_000);
    let mut stored = 0;
    let refused = loop {
        let answer = site.put(&format!("k{stored}"), &json!(ballast)).await.unwrap();
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
    assert_eq!(site.air().await.as_object().unwrap().len(), stored);
    let left = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert!(
        left.into_iter().all(|name| name != ".entrypoints.json.new"),
        "nothing half written is left"
    );
    // With less to write it works again.
    assert_eq!(site.put("k0", &json!(1)).await.unwrap().status(), 200);
}
