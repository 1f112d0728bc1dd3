//! Schemathesis plays what the served OpenAPI document allows, and what it does not, against the real program.

#![allow(clippy::unwrap_used)]

mod program;

use std::path::Path;
use std::process::Command;

use program::Program;

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

#[test]
fn every_answer_is_one_that_the_document_tells_of() {
    assert!(
        Path::new(SCHEMATHESIS).exists(),
        "{SCHEMATHESIS} is missing: ./tests/run installs it"
    );
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path(), &["--broker-listen", "off"]);
    let output = Command::new(SCHEMATHESIS)
        .current_dir(folder.path())
        .arg("run")
        .arg(format!("http://{}/v1/openapi.json", program.address("api")))
        .args(["--header", &format!("Authorization: Bearer {}", program.token())])
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
    assert!(!program.has_ended(), "simrelay ended:\n{said}");
}
