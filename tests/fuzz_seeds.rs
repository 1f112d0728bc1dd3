//! What the fuzzers check, for their seeds and for every input that they once found something with: cut short
//! at every byte, and changed in a few places.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout
)]

#[path = "../fuzz/checks/mod.rs"]
mod checks;

use std::path::{Path, PathBuf};

/// Changed seeds a target; `SIMRELAY_FUZZ=1000000` has more, which a release build runs in about a minute.
fn rounds() -> usize {
    let given = std::env::var("SIMRELAY_FUZZ").ok();
    given.map_or(2000, |number| number.parse().expect("SIMRELAY_FUZZ is a number"))
}

/// Numbers that look random and are the same in every run of as many rounds (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % end.max(1)
    }
}

/// One seed, changed in one to four places.
fn changed(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(input.len() + 1);
        match dice.below(6) {
            0 => input.truncate(at),
            1 => input.insert(at, dice.below(256) as u8),
            2 if at < input.len() => drop(input.remove(at)),
            3 if at < input.len() => input[at] ^= 1 << dice.below(8),
            4 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)],
            // Another stream behind this one, without its two bytes in front.
            _ => input.extend(seeds[dice.below(seeds.len())].iter().skip(2)),
        }
    }
    input
}

/// The seeds of a folder, in the order of their names.
fn seeds(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let files = std::fs::read_dir(all.join(folder)).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort_unstable();
    let read = |path: PathBuf| {
        let seed = std::fs::read(&path).unwrap();
        (path, seed)
    };
    paths.into_iter().map(read).collect()
}

/// Runs `check` on the seeds in these folders, cut at every byte, and on changed ones.
fn replay(folders: &[&str], check: fn(&[u8])) {
    let all = folders.iter().flat_map(|folder| seeds(folder));
    let seeds: Vec<Vec<u8>> = all.map(|(_, seed)| seed).collect();
    assert!(!seeds.is_empty(), "no seed");
    let checked = |input: &[u8]| {
        if std::panic::catch_unwind(|| check(input)).is_err() {
            panic!("the check fails on this input: {input:02x?}");
        }
    };
    for seed in &seeds {
        (0..=seed.len()).for_each(|end| checked(&seed[..end]));
    }
    let mut dice = Dice(rounds() as u64 | 1);
    for _ in 0..rounds() {
        checked(&changed(&seeds, &mut dice));
    }
}

#[test]
fn no_input_breaks_the_reader_of_the_devices_stream() {
    replay(&["uplink"], checks::uplink);
}

#[test]
fn no_input_breaks_the_reader_of_the_brokers_stream() {
    replay(&["downlink", "uplink"], checks::downlink);
}

#[test]
fn no_input_breaks_the_streams_of_version_201509() {
    replay(&["uplink"], checks::at_most_once);
}

#[test]
fn no_input_breaks_the_reader_of_a_connect() {
    replay(&["connect"], checks::connect);
}

#[test]
fn no_input_breaks_the_reader_of_a_connack() {
    replay(&["connack"], checks::connack);
}

#[test]
fn no_input_breaks_the_splice_of_a_topic() {
    replay(&["splice"], checks::splice);
}

#[test]
fn no_input_breaks_the_reader_of_an_entry_point() {
    replay(&["entry_point"], checks::entry_point);
}

/// Each is a statement of the Beam page or an example of docs/destinations.md.
#[test]
fn entry_points_are_taken_or_refused_as_the_names_of_the_seeds_say() {
    for (path, text) in seeds("entry_point") {
        let value = serde_json::from_slice(&text).unwrap();
        let taken = simrelay::entrypoint::EntryPoint::from_value(&value);
        let name = path.file_name().unwrap().to_str().unwrap();
        match name.split_once('-').unwrap().0 {
            "legal" => assert!(taken.is_ok(), "{name}: {:?}", taken.err()),
            "illegal" => assert!(taken.is_err(), "{name} is taken"),
            other => panic!("{name}: what is {other:?}?"),
        }
    }
}

#[test]
fn no_input_breaks_a_template() {
    replay(&["template"], checks::template);
}
