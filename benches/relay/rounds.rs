//! Every case with every proxy, round after round, so that a machine's moods meet all alike; and the table.

use super::case::{CASES, Case, Size};
use super::figure::{median, shown};
use super::options::Options;
use super::proxy::Kind;
use std::collections::BTreeMap;

/// Figures of all rounds: by case and figure, in the order in which they came, then by proxy.
#[derive(Default)]
struct Results(BTreeMap<(usize, usize), Row>);

#[derive(Default)]
struct Row {
    what: &'static str,
    values: BTreeMap<Kind, Vec<f64>>,
}

pub fn run(options: &Options) {
    let size = if options.quick { Size::QUICK } else { Size::FULL };
    let rounds = if options.quick { 1 } else { options.rounds };
    let mut results = Results::default();
    for round in 1..=rounds {
        for (number, case) in wanted(options) {
            let mut kinds = Kind::installed();
            if options.floor {
                kinds.push(Kind::Floor);
            }
            // Who comes second finds the machine as the first has left it.
            if round % 2 == 0 {
                kinds.reverse();
            }
            for kind in kinds {
                eprintln!("{round}/{rounds} {}: {}: {kind}", case.letters, case.name);
                for (place, figure) in (case.run)(kind, &size).iter().enumerate() {
                    let row = results.0.entry((number, place)).or_default();
                    row.what = figure.what;
                    row.values.entry(kind).or_default().push(figure.value);
                }
            }
        }
    }
    print(&results, options.floor);
}

fn wanted(Options { only, floor, .. }: &Options) -> impl Iterator<Item = (usize, &'static Case)> {
    let numbered = CASES.iter().enumerate();
    numbered
        .filter(move |(_, case)| only.is_empty() || only.iter().any(|letters| letters == case.letters))
        .filter(move |(_, case)| !floor || !case.has_tls())
}

/// The letters that no case has.
pub fn unknown(only: &[String]) -> Option<&String> {
    only.iter().find(|letters| case(letters).is_none())
}

/// The letters of a case that has TLS.
pub fn with_tls(only: &[String]) -> Option<&String> {
    only.iter()
        .find(|letters| case(letters).is_some_and(Case::has_tls))
}

fn case(letters: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.letters == letters)
}

fn print(results: &Results, with_floor: bool) {
    let (floor, line) = match with_floor {
        true => (" floor | floor / HAProxy | spread |", "---|---|---|"),
        false => ("", ""),
    };
    println!("| | case | figure | HAProxy | simrelay | ratio | spread of the ratio |{floor}");
    println!("|---|---|---|---|---|---|---|{line}");
    for ((number, _), row) in &results.0 {
        let case = &CASES[*number];
        let values = |kind| row.values.get(&kind).map_or(&[][..], Vec::as_slice);
        let (haproxy, simrelay) = (values(Kind::Haproxy), values(Kind::Simrelay));
        let middle = |values: &[f64]| match values {
            [] => "-".to_owned(),
            some => shown(median(some)),
        };
        let floor = values(Kind::Floor);
        let floor = match with_floor {
            true => format!(" {} | {} |", middle(floor), ratio(haproxy, floor)),
            false => String::new(),
        };
        println!(
            "| {} | {} | {} | {} | {} | {} |{floor}",
            case.letters,
            case.name,
            row.what,
            middle(haproxy),
            middle(simrelay),
            ratio(haproxy, simrelay)
        );
    }
}

/// The median of the ratios to HAProxy within each round, and the least and the largest of them.
fn ratio(haproxy: &[f64], other: &[f64]) -> String {
    let pairs = haproxy.iter().zip(other);
    let mut ratios: Vec<_> = pairs
        .filter(|(haproxy, _)| **haproxy > 0.0)
        .map(|(haproxy, other)| other / haproxy)
        .collect();
    ratios.sort_by(f64::total_cmp);
    match (ratios.first(), ratios.last()) {
        (Some(least), Some(most)) => format!("{:.2} | {least:.2}-{most:.2}", median(&ratios)),
        _ => "- | -".to_owned(),
    }
}
