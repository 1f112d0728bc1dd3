//! How long a device waits for its PUBACK while others burden the relay.
//!
//! A hundred devices send through the proxy and a hundred straight to the broker stub, both in one thread that runs
//! before all others of its core. What the second hundred waits is the measuring machine's own, in the same moments.

mod burden;
mod probe;

use super::cores::Placement;
use super::options::Options;
use super::proxy::{Kind, Proxy, Setup};
use super::route::Route;
use super::sink::{Door, Sink};
use super::times::Times;
use burden::Burden;
use probe::{PROBES, Probe, Sample, Way};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How heavy the burdens are.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub quiet: Duration,
    pub large: usize,
    pub storm: u64,
    pub sims: u64,
    pub changes: usize,
    pub counted: u64,
    pub counting: Duration,
}

const FULL: Size = Size {
    quiet: Duration::from_secs(5),
    large: 200_000_000,
    storm: 2_000,
    sims: 100_000,
    changes: 5,
    counted: 2_000,
    counting: Duration::from_secs(10),
};
const QUICK: Size = Size {
    quiet: Duration::from_millis(500),
    large: 2_000_000,
    storm: 50,
    sims: 3_000,
    changes: 1,
    counted: 50,
    counting: Duration::from_secs(2),
};

/// Who is in which route.
pub const PROBED: usize = 0;
pub const PLAIN: usize = 1;
pub const TLS: usize = 2;
pub const CROWD: usize = 3;
/// First devices of the routes after the first.
const FIRST: [u64; 4] = [0, 1_000, 10_000, 20_000];
/// No wait may be longer, in microseconds.
const STALL: f64 = 10_000.0;

pub fn run(options: &Options) {
    let size = if options.quick { QUICK } else { FULL };
    let rounds = if options.quick { 1 } else { options.rounds };
    let placement = if options.unpinned {
        Placement::Anywhere
    } else {
        Placement::Apart
    };
    let mut waits: BTreeMap<(Burden, Kind, Way), Times> = BTreeMap::new();
    for round in 1..=rounds {
        for kind in Kind::installed() {
            eprintln!("{round}/{rounds} {kind}");
            for (burden, sample) in one_round(kind, placement, size) {
                waits
                    .entry((burden, kind, sample.way))
                    .or_default()
                    .add(sample.wait);
            }
        }
    }
    print(waits);
}

/// All burdens, one after the other, on one proxy.
fn one_round(kind: Kind, placement: Placement, size: Size) -> Vec<(Burden, Sample)> {
    let probed = Sink::bind();
    let burdened = Sink::bind();
    let routes = routes(&probed, &burdened, size);
    let setup = Setup {
        placement,
        api: true,
        usage_interval: 1,
        ..Setup::of(kind)
    };
    let proxy = Proxy::start(setup, &routes);
    let probe = Probe::start(&proxy, probed);
    let mut phases = Vec::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .on_thread_start(super::cores::run_last)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { burdened.serve() });
    let mut crowd = Vec::new();
    for burden in Burden::all(kind) {
        // What the one before has left over is not this one's.
        std::thread::sleep(size.quiet / 5);
        let began = Instant::now();
        burden::put_on(burden, &mut crowd, &runtime, &proxy, &burdened, &routes, size);
        phases.push((burden, began, Instant::now()));
    }
    let samples = probe.stop();
    let phase = |sample: &Sample| {
        let of = |(_, began, ended): &&(Burden, Instant, Instant)| {
            sample.sent <= *ended && sample.sent + sample.wait >= *began
        };
        phases.iter().find(of).map(|(burden, _, _)| *burden)
    };
    samples
        .into_iter()
        .filter_map(|sample| Some((phase(&sample)?, sample)))
        .collect()
}

fn routes(probed: &Sink, burdened: &Sink, size: Size) -> Vec<Route> {
    let plain = burdened.broker(Door::Plain);
    let others = PROBES + size.counted + size.storm;
    [
        (PROBES, probed.broker(Door::Plain)),
        (size.counted, plain.clone()),
        (size.storm, burdened.broker(Door::Full)),
        (size.sims - others, plain),
    ]
    .into_iter()
    .zip(FIRST)
    .map(|((devices, broker), first)| Route {
        first,
        ..Route::of(devices, broker)
    })
    .collect()
}

fn print(mut waits: BTreeMap<(Burden, Kind, Way), Times>) {
    println!("| burden | devices | messages | p50, us | p99, us | longest, us | over 10 ms |");
    println!("|---|---|---|---|---|---|---|");
    for ((burden, kind, way), times) in &mut waits {
        let through = match way {
            Way::Proxy => format!("through {kind}"),
            Way::Straight => format!("beside {kind}, straight to the stub"),
        };
        println!(
            "| {burden} | {through} | {} | {:.0} | {:.0} | {:.0} | {} |",
            times.count(),
            times.micros(0.5),
            times.micros(0.99),
            times.micros(1.0),
            times.over(STALL)
        );
    }
}
