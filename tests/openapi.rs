//! Schemathesis plays what the served OpenAPI document allows, and what it does not, against the real program.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Where `tests/run` puts it.
const SCHEMATHESIS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-venv/bin/schemathesis");

/// Seconds that it may take.
const TIME: &str = "75";

/// All but `positive_data_acceptance`: what is in the right form may still be refused for what it says, as a
/// group that is not there, or a time that ends before it begins.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,negative_data_rejection,\
                      missing_required_header,unsupported_method,allow_header_conformance,use_after_free,\
                      ensure_resource_availability,ignored_auth";

struct Program {
    child: Child,
    folder: tempfile::TempDir,
    api: String,
}

impl Program {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_simrelay"))
            .current_dir(folder.path())
            .args([
                "--log",
                "json",
                "--relay-listen",
                "127.0.0.1:0",
                "--api-listen",
                "127.0.0.1:0",
            ])
            .args(["--broker-listen", "off", "--bridge-listen", "off"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let api = lines
            .by_ref()
            .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
            .find(|line| line["event"] == "listening" && line["service"] == "api")
            .unwrap()["address"]
            .as_str()
            .unwrap()
            .to_owned();
        // It would wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, folder, api }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_answer_is_one_that_the_document_tells_of() {
    assert!(
        Path::new(SCHEMATHESIS).exists(),
        "{SCHEMATHESIS} is missing: ./tests/run installs it"
    );
    let mut program = Program::start();
    let token = std::fs::read_to_string(program.folder.path().join("data/admin-token")).unwrap();
    let output = Command::new(SCHEMATHESIS)
        .current_dir(program.folder.path())
        .arg("run")
        .arg(format!("http://{}/v1/openapi.json", program.api))
        .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
        .args([
            "--checks",
            CHECKS,
            "--phases",
            "examples,coverage,fuzzing,stateful",
        ])
        .args([
            "--max-time",
            TIME,
            "--max-examples",
            "30",
            "--request-timeout",
            "20",
        ])
        .args([
            "--continue-on-failure",
            "--generation-deterministic",
            "--no-color",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("Tested: "), "{said}");
    assert!(
        program.child.try_wait().unwrap().is_none(),
        "simrelay ended:\n{said}"
    );
}
