//! Tells the program when it was built: a system clock that is behind that is wrong.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // For builds that are the same byte for byte (reproducible-builds.org).
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let built = given.and_then(|seconds| seconds.parse().ok());
    let built: u64 = built.unwrap_or_else(|| now().as_secs());
    println!("cargo:rustc-env=SIMRELAY_BUILT={built}");
}
