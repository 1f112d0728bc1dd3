//! The whole relay beside HAProxy, from outside: what a message, a connection and an idle connection cost.
//!
//!     cargo bench --bench relay              all cases, three times, about three minutes
//!     cargo bench --bench relay -- --quick   each case once and small: only that it runs
//!
//! The proxy under test runs on one core, the generator and the broker stub on another, where there are two.
//! HAProxy (Debian's package) forwards bytes; simrelay rewrites `{{imsi}}` in the topic of every PUBLISH, and
//! the stub checks that it did. CPU is the proxy's own clock, user and system.

#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod fleet;
mod proxy;
mod sink;

use proxy::{Kind, Proxy};
use std::collections::BTreeMap;

/// One thing that is measured.
struct Case {
    name: &'static str,
    unit: &'static str,
    run: fn(&Proxy, &sink::Sink, Size) -> f64,
}

#[derive(Clone, Copy)]
pub struct Size {
    pub messages: u64,
    pub connects: u64,
    pub idle: u64,
    pub seconds: u64,
}

const CASES: [Case; 5] = [
    Case {
        name: "1 device, QoS 0, as fast as it goes",
        unit: "CPU ns/message",
        run: fleet::pipelined_one,
    },
    Case {
        name: "200 devices, QoS 0, as fast as they go",
        unit: "CPU ns/message",
        run: fleet::pipelined_many,
    },
    Case {
        name: "200 devices, QoS 1, 20,000 messages/s",
        unit: "CPU ns/message",
        run: fleet::paced,
    },
    Case {
        name: "connect, CONNACK, DISCONNECT; 64 at a time",
        unit: "CPU us/connection",
        run: fleet::storm,
    },
    Case {
        name: "idle connections",
        unit: "RSS bytes/connection",
        run: fleet::idle,
    },
];

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (size, times) = if quick {
        (
            Size {
                messages: 100_000,
                connects: 500,
                idle: 300,
                seconds: 1,
            },
            1,
        )
    } else {
        (
            Size {
                messages: 4_000_000,
                connects: 8_000,
                idle: 8_000,
                seconds: 5,
            },
            3,
        )
    };
    proxy::pin_self(0);
    let sink = sink::Sink::start();
    let mut results: BTreeMap<(usize, Kind), Vec<f64>> = BTreeMap::new();
    for time in 1..=times {
        for (number, case) in CASES.iter().enumerate() {
            for kind in Kind::installed() {
                eprintln!("{time}/{times} {}: {kind}", case.name);
                let proxy = Proxy::start(kind, &sink, size.idle.max(256));
                let figure = (case.run)(&proxy, &sink, size);
                results.entry((number, kind)).or_default().push(figure);
            }
        }
    }
    print(&results);
}

fn print(results: &BTreeMap<(usize, Kind), Vec<f64>>) {
    println!("| case | figure | HAProxy | simrelay | ratio |");
    println!("|---|---|---|---|---|");
    for (number, case) in CASES.iter().enumerate() {
        let median = |kind| results.get(&(number, kind)).map(|figures| median(figures));
        let shown = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.0}"));
        let (haproxy, simrelay) = (median(Kind::Haproxy), median(Kind::Simrelay));
        let ratio = haproxy
            .zip(simrelay)
            .map_or("-".to_owned(), |(h, s)| format!("{:.2}", s / h));
        println!(
            "| {} | {} | {} | {} | {ratio} |",
            case.name,
            case.unit,
            shown(haproxy),
            shown(simrelay)
        );
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
