//! What things cost where there are many of them: connections, SIMs, groups.

use super::api::Caller;
use super::device::{connect, connect_all, puback};
use super::figure::median;
use super::growth_picture::{Panel, Series, draw};
use super::options::Options;
use super::packet::Publishes;
use super::proxy::{Kind, Proxy, Setup};
use super::rig::{Rig, on_runtime};
use super::route::Route;
use super::sink::{Door, Sink};
use super::uplink::paced;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// How much is measured.
struct Size {
    connections: &'static [u64],
    seconds: f64,
    idle: Duration,
    sims: &'static [u64],
    groups: &'static [u64],
}

const FULL: Size = Size {
    connections: &[100, 300, 1_000, 3_000, 9_000],
    seconds: 5.0,
    idle: Duration::from_secs(30),
    sims: &[1_000, 10_000, 100_000],
    groups: &[10, 1_000, 10_000],
};
const QUICK: Size = Size {
    connections: &[20, 100],
    seconds: 0.2,
    idle: Duration::from_secs(2),
    sims: &[100, 1_000],
    groups: &[10, 100],
};
/// SIMs in the file where groups are counted.
const SIMS_OF_GROUPS: u64 = 10_000;
const RATE: u64 = 20_000;

/// One line of the CSV.
struct Point {
    proxy: Kind,
    measure: &'static str,
    by: &'static str,
    x: u64,
    value: f64,
}

/// Prints a CSV and draws the picture.
pub fn run(options: &Options) {
    let size = if options.quick { QUICK } else { FULL };
    let rounds = if options.quick { 1 } else { options.rounds };
    println!("proxy,measure,by,count,value");
    let mut points = Vec::new();
    for &connections in size.connections {
        for kind in Kind::installed() {
            let runs: Vec<_> = (0..rounds)
                .map(|_| on_runtime(by_connections(kind, connections, size.seconds)))
                .collect();
            add(&mut points, kind, "connections", connections, &runs);
        }
    }
    let most = size.connections[size.connections.len() - 1];
    let idle = on_runtime(idle_cpu(most, size.idle));
    add(&mut points, Kind::Simrelay, "connections", most, &[vec![idle]]);
    for &sims in size.sims {
        let runs: Vec<_> = (0..rounds)
            .map(|_| on_runtime(by_configuration(sims, 1)))
            .collect();
        add(&mut points, Kind::Simrelay, "SIMs", sims, &runs);
    }
    for &groups in size.groups {
        let sims = SIMS_OF_GROUPS.max(groups);
        let runs: Vec<_> = (0..rounds)
            .map(|_| on_runtime(by_configuration(sims, groups)))
            .collect();
        add(&mut points, Kind::Simrelay, "groups", groups, &runs);
    }
    on_paper(&points);
    if let Some(path) = options.picture() {
        std::fs::write(&path, picture(&points)).unwrap();
        eprintln!("{}", path.display());
    }
}

/// What a million connections would take, by what each took here where there were most.
fn on_paper(points: &[Point]) {
    let last = |measure| {
        let mut found = points.iter().rev();
        found.find(|point| (point.proxy, point.measure, point.by) == (Kind::Simrelay, measure, "connections"))
    };
    if let (Some(memory), Some(message), Some(idle)) = (last(MEMORY), last(CPU_MESSAGE), last(IDLE)) {
        eprintln!(
            "on paper, 1,000,000 connections: {:.1} GB resident, {:.1} % of a core while idle, {:.2} cores where each \
             sends a QoS 1 message a minute",
            memory.value / 1000.0,
            idle.value / 1000.0 * 1e6 / idle.x as f64,
            message.value * 1e6 / 60.0 / 1e6
        );
    }
}

/// The median of some runs of the same measures, noted and printed.
fn add(points: &mut Vec<Point>, proxy: Kind, by: &'static str, x: u64, runs: &[Vec<(&'static str, f64)>]) {
    for (place, (measure, _)) in runs[0].iter().enumerate() {
        let values: Vec<_> = runs.iter().map(|run| run[place].1).collect();
        let value = median(&values);
        println!("{proxy},{measure},{by},{x},{value:.1}");
        points.push(Point {
            proxy,
            measure,
            by,
            x,
            value,
        });
    }
}

const CPU_MESSAGE: &str = "CPU us/message";
const CPU_CONNECT: &str = "CPU us/connect";
const MEMORY: &str = "RSS bytes/connection";
const IDLE: &str = "idle CPU in thousandths of a percent of a core";
const START: &str = "start ms";
const PUT: &str = "PUT ms";
const FIRST_CONNECT: &str = "first CONNECT us";

/// A fleet comes, and sends 20,000 QoS 1 messages a second in all.
async fn by_connections(kind: Kind, count: u64, seconds: f64) -> Vec<(&'static str, f64)> {
    eprintln!("{kind}: {count} connections");
    let rig = Rig::new(kind, Door::Plain, count);
    drop(rig.connect(count.min(64)).await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (memory, cpu) = (rig.proxy.memory() as f64, rig.proxy.cpu());
    let fleet = rig.connect(count).await;
    let connect = rig.proxy.cpu() - cpu;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let grown = rig.proxy.memory() as f64 - memory;
    let cpu = rig.proxy.cpu();
    // Each device several times, or their first messages are most of what is measured.
    let seconds = seconds.max(count as f64 * 5.0 / RATE as f64);
    let messages = paced(&rig, fleet, RATE, seconds).await.count();
    let spent = rig.proxy.cpu() - cpu;
    vec![
        (CPU_MESSAGE, spent.as_nanos() as f64 / 1000.0 / messages as f64),
        (CPU_CONNECT, connect.as_nanos() as f64 / 1000.0 / count as f64),
        (MEMORY, grown / count as f64),
    ]
}

/// What timers and the ledger take of a core while nobody says anything, in percent.
async fn idle_cpu(count: u64, length: Duration) -> (&'static str, f64) {
    eprintln!("{count} connections, idle for {} s", length.as_secs());
    let rig = Rig::new(Kind::Simrelay, Door::Plain, count);
    let mut fleet = rig.connect(count).await;
    // All have something in the ledger.
    for device in &mut fleet {
        let topic = rig.proxy.uplink_topic(device.number);
        let mut publishes = Publishes::new(&topic, device.number, 1, 1);
        device.stream.write_all(publishes.next(1)).await.unwrap();
        puback(&mut device.stream, 0).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (began, cpu) = (Instant::now(), rig.proxy.cpu());
    tokio::time::sleep(length).await;
    let share = (rig.proxy.cpu() - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    (IDLE, share * 100_000.0)
}

/// simrelay with so many SIMs in so many groups: start, PUT, and how long SIMs wait that call for the first time.
async fn by_configuration(sims: u64, groups: u64) -> Vec<(&'static str, f64)> {
    eprintln!("{sims} SIMs, {groups} groups");
    let sink = Sink::bind();
    let broker = sink.broker(Door::Plain);
    let route = Route {
        groups,
        ..Route::of(sims, broker.clone())
    };
    let setup = Setup {
        api: true,
        ..Setup::of(Kind::Simrelay)
    };
    let proxy = Proxy::start(setup, &[route]);
    sink.serve();
    // The first connection of all brings more with it than a look-up.
    drop(connect_all(proxy.address(0), 0..10).await);
    let mut waits = Vec::new();
    for place in 1..=50 {
        let began = Instant::now();
        let device = connect(proxy.address(0), place * (sims - 1) / 50).await;
        waits.push(began.elapsed().as_nanos() as f64 / 1000.0);
        drop(device);
    }
    let caller = Caller::of(&proxy);
    let puts: Vec<_> = (0..5)
        .map(|n| millis(caller.put(0, &broker, &format!("put {n}"))))
        .collect();
    vec![
        (START, millis(proxy.took)),
        (PUT, median(&puts)),
        (FIRST_CONNECT, median(&waits)),
    ]
}

fn millis(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

fn picture(points: &[Point]) -> String {
    let panel = |title, unit, by: &'static str, measures: &[&'static str]| {
        let mut series = Vec::new();
        for &measure in measures {
            for kind in [Kind::Haproxy, Kind::Simrelay] {
                let of = |point: &&Point| (point.proxy, point.measure, point.by) == (kind, measure, by);
                let line: Vec<_> = points
                    .iter()
                    .filter(of)
                    .map(|point| (point.x, point.value))
                    .collect();
                let name = if measures.len() > 1 {
                    measure.to_owned()
                } else {
                    kind.to_string()
                };
                if !line.is_empty() {
                    series.push(Series { name, points: line });
                }
            }
        }
        Panel {
            title,
            unit,
            by,
            series,
        }
    };
    draw(&[
        panel(
            "QoS 1 messages, 20,000/s in all",
            "CPU, us a message",
            "connections",
            &[CPU_MESSAGE],
        ),
        panel(
            "Connections that come",
            "CPU, us each",
            "connections",
            &[CPU_CONNECT],
        ),
        panel("Idle connections", "memory, bytes each", "connections", &[MEMORY]),
        panel("SIMs in the file", "ms", "SIMs", &[START, PUT]),
        panel("Groups, 10,000 SIMs", "ms", "groups", &[START, PUT]),
        panel(
            "First CONNECT of a SIM",
            "us until its CONNACK",
            "SIMs",
            &[FIRST_CONNECT],
        ),
    ])
}
