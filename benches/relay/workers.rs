//! What a second worker brings, and what this machine can show of it.

use super::cores::{self, Placement};
use super::figure::{median, shown};
use super::options::Options;
use super::process::CpuClock;
use super::proxy::{Kind, Setup};
use super::rig::{Rig, on_runtime};
use super::sink::Door;
use super::uplink::{self, Flood};
use std::collections::BTreeMap;
use std::time::Duration;

const FLEET: u64 = 200;
const COLUMNS: [&str; 6] = [
    "messages/s",
    "CPU ns/message",
    "cores used by simrelay",
    "cores used by generator and stub",
    "CPU of the busiest worker, ns/message",
    "messages/s if no worker ever waited",
];

/// Case c with one worker and with two, nothing pinned but the generator.
pub fn run(options: &Options) {
    let (rounds, messages) = if options.quick {
        (1, 20_000)
    } else {
        (options.rounds, 10_000_000)
    };
    let mut results: BTreeMap<usize, Vec<[f64; 6]>> = BTreeMap::new();
    for round in 1..=rounds {
        for workers in [1, 2] {
            eprintln!("{round}/{rounds} {workers} worker(s)");
            let figures = on_runtime(measure(workers, messages));
            results.entry(workers).or_default().push(figures);
        }
    }
    let middle = |workers: usize, column: usize| {
        let values: Vec<_> = results[&workers].iter().map(|row| row[column]).collect();
        median(&values)
    };
    println!("{} core(s)\n", cores::count());
    println!("| 200 devices, QoS 0, as fast as they go | 1 worker | 2 workers | ratio |");
    println!("|---|---|---|---|");
    for (column, name) in COLUMNS.iter().enumerate() {
        let (one, two) = (middle(1, column), middle(2, column));
        println!("| {name} | {} | {} | {:.2} |", shown(one), shown(two), two / one);
    }
    println!(
        "\nThe last line is by CPU time: one over what the busiest worker spends on a message. The first can follow it\n\
         only where the workers have cores that generator and stub leave alone."
    );
}

async fn measure(workers: usize, messages: u64) -> [f64; 6] {
    let setup = Setup {
        placement: Placement::Anywhere,
        workers,
        ..Setup::of(Kind::Simrelay)
    };
    let rig = Rig::with(setup, Door::Plain, FLEET);
    let own = CpuClock::of(std::process::id());
    let fleet = uplink::warm(&rig, FLEET, Flood::Qos0).await;
    let before = (rig.proxy.cpu(), rig.proxy.threads("relay-"), own.read());
    let flooded = uplink::flood(&rig, fleet, messages / FLEET, Flood::Qos0).await;
    let after = (rig.proxy.cpu(), rig.proxy.threads("relay-"), own.read());
    assert_eq!(after.1.len(), workers, "the workers' threads are called relay-N");
    let spent = after.0 - before.0;
    let busiest = after
        .1
        .iter()
        .zip(&before.1)
        .map(|(after, before)| *after - *before);
    let count = flooded.messages as f64;
    let each = |spent: Duration| spent.as_nanos() as f64 / count;
    let busiest = each(busiest.max().unwrap());
    [
        count / flooded.seconds,
        each(spent),
        spent.as_secs_f64() / flooded.seconds,
        (after.2 - before.2).as_secs_f64() / flooded.seconds,
        busiest,
        1e9 / busiest,
    ]
}
