//! What the fuzzers check, for their seeds and for every input that they once found something with, also cut
//! short at every byte.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout
)]

#[path = "../fuzz/checks/mod.rs"]
mod checks;

/// Runs `check` on the seeds in these folders.
fn replay(folders: &[&str], check: fn(&[u8])) {
    let mut seen = 0;
    for folder in folders {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/seeds")
            .join(folder);
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let seed = std::fs::read(&path).unwrap();
            // The name is shown if the check fails.
            println!("{}", path.display());
            for end in 0..=seed.len() {
                check(&seed[..end]);
            }
            seen += 1;
        }
    }
    assert!(seen > 0, "no seed");
}

#[test]
fn the_devices_stream() {
    replay(&["uplink"], checks::uplink);
}

#[test]
fn the_brokers_stream() {
    replay(&["downlink", "uplink"], checks::downlink);
}

#[test]
fn the_stream_of_201509() {
    replay(&["uplink"], checks::at_most_once);
}

#[test]
fn connect_and_connack() {
    replay(&["connect", "uplink"], checks::connect);
}

#[test]
fn the_splice() {
    replay(&["splice"], checks::splice);
}

#[test]
fn entry_points() {
    replay(&["entry_point"], checks::entry_point);
}

#[test]
fn templates() {
    replay(&["template"], checks::template);
}
