//! Those who behave do not notice those who do not: round trips of well-behaved connections, in quiet and under each
//! attack.
//!
//! `SIMRELAY_HOSTILE=5000` has 200 connections measured instead of 20, and larger attacks. Figures that count are of a
//! release build on a machine that does nothing else.

use crate::site::*;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const STRANGER: &str = "127.66.0.1";
/// A CONNECT that does not go on.
const BEGUN: &[u8] = b"\x10\x80\x01\0\x04MQ";

#[derive(Clone, Copy)]
struct Size {
    connections: usize,
    /// Round trips of each.
    rounds: usize,
    /// Connections of an attack.
    many: usize,
    /// After so long a measurement ends with what it has.
    longest: Duration,
}

fn size() -> Size {
    match std::env::var("SIMRELAY_HOSTILE") {
        Err(_) => Size {
            connections: 20,
            rounds: 10,
            many: 100,
            longest: Duration::from_secs(3),
        },
        Ok(number) => Size {
            connections: 200,
            rounds: 50,
            many: number.parse().expect("SIMRELAY_HOSTILE is a number"),
            longest: Duration::from_secs(20),
        },
    }
}

/// SIM 2 is the fleet that behaves.
struct Stage {
    broker: FakeBroker,
    relay: Simrelay,
    many: usize,
}

impl Stage {
    fn try_enter(&self, n: u8, id: &str) -> Option<(Device, Device)> {
        let mut device = self.relay.device(n);
        device.try_send(&Connect::new(Version::V5, id).bytes());
        // Who comes too fast is refused.
        std::thread::sleep(Duration::from_millis(10));
        let (upstream, _) = self.broker.admit(CONNACK_5);
        device.connack_or_end()?;
        Some((device, upstream))
    }
}

struct Fleet(Vec<(Device, Device)>);

struct Times {
    p50: Duration,
    p99: Duration,
    worst: Duration,
}

impl Fleet {
    fn connect(stage: &Stage, count: usize) -> Self {
        let connect = |n| {
            let mut device = stage.relay.device(2);
            device.send(&Connect::new(Version::V311, &format!("fleet-{n}")).bytes());
            let (upstream, _) = stage.broker.admit(CONNACK_311);
            device.expect(CONNACK_311);
            (device, upstream)
        };
        Self((0..count).map(connect).collect())
    }

    /// From PUBLISH to PUBACK, the broker's part being played at once.
    fn round_trips(&mut self, rounds: usize, longest: Duration) -> Times {
        let (packet, puback) = (publish("t/{{imsi}}", 1, 1, b"21.5"), puback(1));
        let arrives = publish(&format!("t/{}", imsi(2)), 1, 1, b"21.5");
        let (mut times, until) = (Vec::new(), Instant::now() + longest);
        for _ in 0..rounds {
            if Instant::now() > until {
                break;
            }
            for (device, upstream) in &mut self.0 {
                let begin = Instant::now();
                device.send(&packet);
                upstream.expect(&arrives);
                upstream.send(&puback);
                device.expect(&puback);
                times.push(begin.elapsed());
            }
        }
        times.sort_unstable();
        Times {
            p50: times[times.len() / 2],
            p99: times[times.len() * 99 / 100],
            worst: times[times.len() - 1],
        }
    }
}

/// Goes on until it is over; gives how often it did what it does.
type Attack = fn(&Stage, &AtomicBool) -> u64;

const ATTACKS: [(&str, Attack); 9] = [
    ("strangers connect again and again", |stage, over| {
        again_and_again(stage, over, STRANGER, &[BEGUN])
    }),
    ("a SIM connects again and again", |stage, over| {
        again_and_again(stage, over, &sim_address(1), &[BEGUN])
    }),
    ("TLS, HTTP, largest lengths as a first packet", |stage, over| {
        let largest = [0x30, 0xff, 0xff, 0xff, 0x7f];
        let first = [
            &b"\x16\x03\x01\x02\0\x01\0"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            &largest,
        ];
        again_and_again(stage, over, &sim_address(1), &first)
    }),
    ("strangers hold connections half open", |stage, over| {
        half_open(stage, over, STRANGER)
    }),
    ("a SIM holds connections half open", |stage, over| {
        half_open(stage, over, &sim_address(1))
    }),
    ("CONNECT dribbled byte by byte", dribble),
    ("properties by the thousand", bombs),
    ("topic aliases of nothing, as fast as can be", aliases),
    ("devices that never read", deaf),
];

fn again_and_again(stage: &Stage, over: &AtomicBool, source: &str, first: &[&[u8]]) -> u64 {
    let mut opened = 0;
    while !over.load(Relaxed) {
        let mut device = Device::from(source, stage.relay.relay());
        device.try_send(first[opened % first.len()]);
        // Ports in TIME_WAIT would end the attack.
        device.reset();
        opened += 1;
    }
    opened as u64
}

fn half_open(stage: &Stage, over: &AtomicBool, source: &str) -> u64 {
    let mut opened = 0;
    while !over.load(Relaxed) {
        let mut held = Vec::new();
        while held.len() < stage.many && !over.load(Relaxed) {
            let mut device = Device::from(source, stage.relay.relay());
            device.try_send(BEGUN);
            held.push(device);
        }
        opened += held.len() as u64;
        held.into_iter().for_each(Device::reset);
    }
    opened
}

fn dribble(stage: &Stage, over: &AtomicBool) -> u64 {
    let connect = Connect::new(Version::V311, &"x".repeat(10_000)).bytes();
    let mut devices: Vec<_> = (0..200).map(|_| stage.relay.device(1)).collect();
    let mut bytes = 0;
    for byte in connect.chunks(1) {
        if over.load(Relaxed) {
            break;
        }
        for device in &mut devices {
            device.try_send(byte);
            bytes += 1;
        }
    }
    devices.into_iter().for_each(Device::reset);
    bytes
}

fn bombs(stage: &Stage, over: &AtomicBool) -> u64 {
    let properties = [0x26, 0, 1, b'k', 0, 1, b'v'].repeat(200_000);
    let bomb = publish_5("t", 0, 0, &properties, b"x");
    let mut thrown = 0;
    while !over.load(Relaxed) {
        let Some((mut device, _upstream)) = stage.try_enter(1, "bomb") else {
            continue;
        };
        device.try_send(&bomb);
        device.read_to_end();
        thrown += 1;
    }
    thrown
}

fn aliases(stage: &Stage, over: &AtomicBool) -> u64 {
    let (mut device, mut upstream) = stage.try_enter(3, "alias").unwrap();
    let batch = publish_5("", 0, 0, &[0x23, 0, 9], b"x").repeat(100);
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::copy(&mut upstream.stream, &mut std::io::sink()));
        let mut sent = 0;
        while !over.load(Relaxed) {
            device.send(&batch);
            sent += 100;
        }
        device.half_close();
        sent
    })
}

fn deaf(stage: &Stage, over: &AtomicBool) -> u64 {
    let packet = publish_5("t", 0, 0, &[], &[b'x'; 10_000]);
    let (mut held, mut sent) = (Vec::new(), 0);
    while !over.load(Relaxed) {
        if held.len() < 50 {
            let (device, upstream) = stage.try_enter(1, &format!("deaf-{}", held.len())).unwrap();
            upstream
                .stream
                .set_write_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            held.push((device, upstream));
        }
        // As much as it takes.
        for (_, upstream) in &mut held {
            while !over.load(Relaxed) && upstream.stream.write_all(&packet).is_ok() {
                sent += 1;
            }
        }
    }
    sent
}

#[test]
fn well_behaved_connections_are_served_under_each_attack() {
    let size = size();
    let broker = FakeBroker::listen();
    let config = Configuration::of(&entry_point(&broker.url()))
        .sim(2, Some("g"))
        .sim(3, Some("g"));
    let relay = Simrelay::with(&config, &["--relay-workers", "1"]);
    let stage = Stage {
        broker,
        relay,
        many: size.many,
    };
    let mut fleet = Fleet::connect(&stage, size.connections);
    // The first ones warm everything up.
    fleet.round_trips(1, size.longest);
    let mut table = format!(
        "round trips of {} connections, in microseconds\n",
        size.connections
    );
    let mut slow = Vec::new();
    for (name, attack) in ATTACKS {
        // Next to each other, as a machine is not the same all the time.
        let quiet = fleet.round_trips(size.rounds, size.longest);
        let over = AtomicBool::new(false);
        let begin = Instant::now();
        let (under, times) = std::thread::scope(|scope| {
            let attacking = scope.spawn(|| attack(&stage, &over));
            let under = fleet.round_trips(size.rounds, size.longest);
            over.store(true, Relaxed);
            (under, attacking.join().unwrap())
        });
        let micros = |time: Duration| time.as_micros();
        let row = format!(
            "{name:<46} p50 {:>6} -> {:>6}  p99 {:>6} -> {:>6} (x {:.2})  worst {:>7}  {:>8.0} times a second\n",
            micros(quiet.p50),
            micros(under.p50),
            micros(quiet.p99),
            micros(under.p99),
            under.p99.as_secs_f64() / quiet.p99.as_secs_f64(),
            micros(under.worst),
            times as f64 / begin.elapsed().as_secs_f64(),
        );
        eprint!("{row}");
        table += &row;
        // A machine that runs all tests at once measures itself; a relay that is held up takes seconds.
        if under.p99 > Duration::from_secs(1) + quiet.p99 * 2 {
            slow.push(name);
        }
        // What an attack leaves is not to be seen in the next one's quiet.
        settle(&stage);
    }
    assert!(slow.is_empty(), "{slow:?} held others up\n{table}");
}

/// Waits until the attack's handshakes and connections are gone.
fn settle(stage: &Stage) {
    wait_until("end of the attack's handshakes", || {
        let page = stage.relay.http().get("/metrics").body;
        page.lines()
            .any(|line| line == "simrelay_handshakes 0")
            .then_some(())
    });
}
