//! Libraries of Python that know the clouds' tokens, in the environment that `tests/run` makes.

use std::path::Path;
use std::process::Command;

/// Runs `tests/python/{script}`, which has to succeed; gives what it printed.
#[track_caller]
pub(crate) fn python(script: &str, arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/test-venv/bin/python");
    assert!(python.exists(), "no {}: tests/run makes it", python.display());
    let output = Command::new(python)
        .arg(root.join("tests/python").join(script))
        .args(arguments)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {told}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
