//! Those who behave do not notice those who do not: round trips of well-behaved connections, in quiet and under each
//! attack.
//!
//! `SIMRELAY_HOSTILE=5000` has 200 connections measured instead of 20, larger attacks, and the relay on a core of its
//! own, for which it has to be root; `SIMRELAY_ATTACK=half` takes only the attacks with this in their names. Figures that count are of a release build
//! on a machine that does nothing else.

use crate::site::*;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const STRANGER: &str = "127.66.0.1";
/// A CONNECT that does not go on.
const BEGUN: &[u8] = b"\x10\x80\x01\0\x04MQ";
/// From one round trip to the next: what attackers have of the core that they share with the devices.
const BETWEEN: Duration = Duration::from_micros(200);

#[derive(Clone, Copy)]
struct Size {
    connections: usize,
    /// Round trips of each.
    rounds: usize,
    /// Connections of an attack.
    many: usize,
    /// How often an attack has to get as far as it has to at least.
    times: u64,
    is_long: bool,
}

fn size() -> Size {
    match std::env::var("SIMRELAY_HOSTILE") {
        Err(_) => Size {
            connections: 20,
            rounds: 10,
            many: 100,
            times: 1,
            is_long: false,
        },
        Ok(number) => Size {
            connections: 200,
            rounds: 30,
            many: number.parse().expect("SIMRELAY_HOSTILE is a number"),
            times: 10,
            is_long: true,
        },
    }
}

/// SIM 2 is the fleet that behaves, SIM 1 the attacker.
struct Stage {
    broker: FakeBroker,
    relay: Simrelay,
    many: usize,
}

impl Stage {
    fn of(attack: &Attack, size: Size) -> Self {
        let broker = FakeBroker::listen();
        let config = Configuration::of(&entry_point(&broker.url())).sim(2, Some("g"));
        let room = (size.many + size.connections).to_string();
        let mut flags = vec!["--relay-workers", "1"];
        if attack.is_let_in {
            flags.extend(["--relay-max-rate-per-sim", "1000000"]);
            for limit in [
                "--relay-max-strangers",
                "--relay-max-handshakes",
                "--relay-max-handshakes-per-sim",
                "--relay-max-connections-per-sim",
            ] {
                flags.extend([limit, room.as_str()]);
            }
        }
        let relay = Simrelay::with(&config, &flags);
        if size.is_long {
            hold_to(1, relay.pid());
        }
        Self {
            broker,
            relay,
            many: size.many,
        }
    }

    fn enter(&self, n: u8, id: &str) -> (Device, Device) {
        let mut device = self.relay.device(n);
        device.send(&Connect::new(Version::V5, id).bytes());
        let (upstream, _) = self.broker.admit(CONNACK_5);
        device.expect(CONNACK_5);
        (device, upstream)
    }

    /// The sum of all metrics whose line begins like this.
    fn metric(&self, name: &str) -> u64 {
        let page = self.relay.http().get("/metrics").body;
        let lines = page.lines().filter(|line| line.starts_with(name));
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        lines.map(value).sum()
    }

    #[track_caller]
    fn wait_for_handshakes(&self, expected: usize) {
        let until = Instant::now() + SOON;
        loop {
            let handshakes = self.metric("simrelay_handshakes ");
            if handshakes == expected as u64 {
                return;
            }
            assert!(Instant::now() < until, "{handshakes} handshakes, not {expected}");
            // The relay's own time is what is measured meanwhile.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Keeps a process, and what it starts from now on, on one core. The long form needs two.
fn hold_to(core: usize, process: u32) {
    must_run("taskset", &["-acp", &core.to_string(), &process.to_string()]);
}

fn this_thread() -> String {
    let link = std::fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().to_owned()
}

/// A halted core takes longer to wake than a round trip takes: while this stands it is awake, by a thread that runs
/// when no other wants to.
struct Awake {
    is_over: Arc<AtomicBool>,
}

impl Awake {
    fn keep(core: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            must_run("taskset", &["-cp", &core.to_string(), &this_thread()]);
            must_run("chrt", &["--idle", "--pid", "0", &this_thread()]);
            ready.send(()).unwrap();
            while !ends.load(Relaxed) {
                std::hint::spin_loop();
            }
        });
        is_ready.recv().unwrap();
        Self { is_over }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
    }
}

/// Round trips of the same packets, each way.
struct Fleet {
    through_relay: Vec<(Device, Device)>,
    /// Past the relay, through a thread that passes bytes on, in the long form on the relay's core and before all others
    /// there. What these wait is the machine's, in the same moments.
    past_relay: Vec<(Device, Device)>,
}

/// How long round trips took.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn of_hundred(&mut self, part: usize) -> Duration {
        self.0.sort_unstable();
        self.0[(self.0.len() - 1) * part / 100]
    }
}

#[derive(Default)]
struct Measured {
    through: Times,
    past: Times,
}

impl Fleet {
    fn connect(stage: &Stage, size: Size) -> Self {
        let through_relay = (0..size.connections).map(|n| stage.enter(2, &format!("fleet-{n}")));
        let past_relay = (0..size.connections.min(20)).map(|_| past_relay(size.is_long));
        Self {
            through_relay: through_relay.collect(),
            past_relay: past_relay.collect(),
        }
    }

    /// Goes round as often as it has to, and until there was `enough` of an attack.
    fn measure(&mut self, into: &mut Measured, size: Size, enough: impl Fn() -> bool) {
        let sent = publish_5("t/{{imsi}}", 1, 1, &[], b"21.5");
        let arrives = publish_5(&format!("t/{}", imsi(2)), 1, 1, &[], b"21.5");
        let (mut rounds, until) = (0, Instant::now() + SOON);
        let mut past = (0..self.past_relay.len()).cycle();
        while (rounds < size.rounds || !enough()) && Instant::now() < until {
            for (device, upstream) in &mut self.through_relay {
                let time = round_trip(device, upstream, &sent, &arrives);
                into.through.0.push(time);
                let (device, upstream) = &mut self.past_relay[past.next().unwrap()];
                let time = round_trip(device, upstream, &sent, &sent);
                into.past.0.push(time);
                std::thread::sleep(BETWEEN);
            }
            rounds += 1;
        }
    }
}

/// From PUBLISH to PUBACK, the broker's part being played at once.
fn round_trip(device: &mut Device, upstream: &mut Device, sent: &[u8], arrives: &[u8]) -> Duration {
    let begin = Instant::now();
    device.send(sent);
    upstream.expect(arrives);
    upstream.send(&puback(1));
    device.expect(&puback(1));
    begin.elapsed()
}

/// Both ends of a way whose middle reads what comes and writes it, in turn, until one end goes.
fn past_relay(is_long: bool) -> (Device, Device) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = || {
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let far = listener.accept().unwrap().0;
        far.set_nodelay(true).unwrap();
        (Device::new(near), far)
    };
    let ((device, mut near), (upstream, mut far)) = (connect(), connect());
    std::thread::spawn(move || {
        if is_long {
            must_run("taskset", &["-cp", "1", &this_thread()]);
            must_run("chrt", &["--fifo", "--pid", "1", &this_thread()]);
        }
        let mut buffer = [0; 1024];
        let mut pass = |from: &mut TcpStream, to: &mut TcpStream| match from.read(&mut buffer) {
            Ok(length @ 1..) => to.write_all(&buffer[..length]).is_ok(),
            _ => false,
        };
        while pass(&mut near, &mut far) && pass(&mut far, &mut near) {}
    });
    (device, upstream)
}

/// How far an attack has come.
#[derive(Default)]
struct Progress {
    done: AtomicU64,
    is_over: AtomicBool,
}

impl Progress {
    fn did(&self, more: usize) {
        self.done.fetch_add(more as u64, Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Relaxed)
    }
}

struct Attack {
    name: &'static str,
    /// Past the limits of a SIM and of strangers, which are raised for it.
    is_let_in: bool,
    run: fn(&Stage, &Progress),
    /// Metrics in which the relay counts it.
    counted_as: &'static str,
    /// So much has to be done at least, and counted by the relay.
    least: u64,
}

const ATTACKS: [Attack; 13] = [
    Attack {
        name: "strangers connect again and again",
        is_let_in: false,
        run: |stage, progress| again_and_again(stage, progress, STRANGER),
        counted_as: "simrelay_connections_refused_total{",
        least: 500,
    },
    Attack {
        name: "a SIM connects again and again",
        is_let_in: false,
        run: |stage, progress| again_and_again(stage, progress, &sim_address(1)),
        counted_as: "simrelay_connections_refused_total{",
        least: 500,
    },
    Attack {
        name: "the same, let in",
        is_let_in: true,
        run: |stage, progress| again_and_again(stage, progress, &sim_address(1)),
        counted_as: "simrelay_connections_refused_total{reason=\"device_left\"}",
        least: 500,
    },
    Attack {
        name: "TLS, HTTP, largest lengths as a first packet",
        is_let_in: true,
        run: other_first_packets,
        counted_as: "simrelay_connections_refused_total{reason=\"not_connect\"}",
        least: 500,
    },
    Attack {
        name: "strangers hold connections half open",
        is_let_in: true,
        run: |stage, progress| half_open(stage, progress, STRANGER),
        counted_as: "simrelay_connections_refused_total{reason=\"device_left\"}",
        least: 100,
    },
    Attack {
        name: "a SIM holds connections half open",
        is_let_in: true,
        run: |stage, progress| half_open(stage, progress, &sim_address(1)),
        counted_as: "simrelay_connections_refused_total{reason=\"device_left\"}",
        least: 100,
    },
    Attack {
        name: "a SIM opens connections, which all leave at once",
        is_let_in: true,
        run: come_and_leave,
        counted_as: "simrelay_connections_closed_total{",
        least: 20,
    },
    Attack {
        name: "CONNECT dribbled byte by byte",
        is_let_in: true,
        run: dribble,
        counted_as: "simrelay_connections_refused_total{reason=\"keep_alive\"}",
        least: 20,
    },
    Attack {
        name: "properties by the thousand, which pass",
        is_let_in: true,
        run: large_heads,
        counted_as: "simrelay_requests_total{leg=\"broker\",direction=\"up\"}",
        least: 100,
    },
    Attack {
        name: "more properties than are read or held",
        is_let_in: true,
        run: bombs,
        counted_as: "simrelay_connections_closed_total{ending=\"device_violation\"}",
        least: 3,
    },
    Attack {
        name: "topic aliases of nothing, as fast as can be",
        is_let_in: true,
        run: aliases,
        counted_as: "simrelay_requests_total{leg=\"broker\",direction=\"up\"}",
        least: 100_000,
    },
    Attack {
        name: "pings, as fast as can be",
        is_let_in: true,
        run: pings,
        counted_as: "simrelay_bytes_total{direction=\"up\"}",
        least: 200_000,
    },
    Attack {
        name: "devices that never read",
        is_let_in: true,
        run: deaf,
        counted_as: "simrelay_connections_closed_total{",
        least: 10,
    },
];

fn again_and_again(stage: &Stage, progress: &Progress, source: &str) {
    while progress.goes_on() {
        let mut device = Device::from(source, stage.relay.relay());
        device.try_send(BEGUN);
        // Ports in TIME_WAIT would end the attack.
        device.reset();
        progress.did(1);
    }
}

fn other_first_packets(stage: &Stage, progress: &Progress) {
    let first = [
        &b"\x16\x03\x01\x02\0\x01\0"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x30, 0xff, 0xff, 0xff, 0x7f],
    ];
    let mut open = VecDeque::new();
    for packet in first.iter().cycle() {
        let mut device = stage.relay.device(1);
        device.try_send(packet);
        open.push_back(device);
        if open.len() == 50 || !progress.goes_on() {
            let mut device = open.pop_front().unwrap();
            device.expect_end();
            device.reset();
            progress.did(1);
        }
        if !progress.goes_on() {
            break;
        }
    }
}

fn half_open(stage: &Stage, progress: &Progress, source: &str) {
    while progress.goes_on() {
        let mut held = Vec::new();
        while held.len() < stage.many && progress.goes_on() {
            let mut device = Device::from(source, stage.relay.relay());
            device.try_send(BEGUN);
            held.push(device);
        }
        // A wave that is broken off need not arrive whole.
        if progress.goes_on() {
            stage.wait_for_handshakes(held.len());
        }
        progress.did(held.len());
        held.into_iter().for_each(Device::reset);
        stage.wait_for_handshakes(0);
    }
}

fn come_and_leave(stage: &Stage, progress: &Progress) {
    while progress.goes_on() {
        let mut held = Vec::new();
        while held.len() < stage.many / 5 && progress.goes_on() {
            held.push(stage.enter(1, &format!("c{}", held.len())));
        }
        progress.did(held.len());
        for (device, upstream) in held {
            // The relay has some 28,000 ports towards a broker, and one that it closes first rests for a minute.
            upstream.reset();
            device.reset();
        }
    }
}

fn dribble(stage: &Stage, progress: &Progress) {
    // Only who has read it to its end refuses its keep alive.
    let connect = Connect::new(Version::V311, &"x".repeat(300))
        .keep_alive(1)
        .bytes();
    while progress.goes_on() {
        let devices = (stage.many / 5).min(200);
        let mut devices: Vec<_> = (0..devices).map(|_| stage.relay.device(1)).collect();
        for byte in connect.chunks(1) {
            for device in &mut devices {
                device.try_send(byte);
            }
        }
        for mut device in devices {
            let answer = device.connack_or_end();
            progress.did(usize::from(answer.is_some()));
            device.reset();
        }
    }
}

/// PUBLISH with so many user properties of seven bytes.
fn bomb(properties: usize) -> Vec<u8> {
    let properties = [0x26, 0, 1, b'k', 0, 1, b'v'].repeat(properties);
    publish_5("t", 0, 0, &properties, b"x")
}

fn large_heads(stage: &Stage, progress: &Progress) {
    let (mut device, mut upstream) = stage.enter(1, "large");
    // As many as a head may have.
    let packet = bomb(2048);
    while progress.goes_on() {
        device.send(&packet);
        upstream.expect(&packet);
        progress.did(1);
    }
}

fn bombs(stage: &Stage, progress: &Progress) {
    // More than are read, and more than are held.
    let bombs = [bomb(37_000), bomb(200_000)];
    for bomb in bombs.iter().cycle() {
        if !progress.goes_on() {
            break;
        }
        let (mut device, _upstream) = stage.enter(1, "bomb");
        device.try_send(bomb);
        device.read_to_end();
        progress.did(1);
    }
}

fn aliases(stage: &Stage, progress: &Progress) {
    let batch = publish_5("", 0, 0, &[0x23, 0, 9], b"x").repeat(100);
    flood(stage, progress, &batch, 100);
}

fn pings(stage: &Stage, progress: &Progress) {
    let batch = PINGREQ.repeat(500);
    flood(stage, progress, &batch, batch.len());
}

/// Sends `batch` over and over, which is so much of the attack.
fn flood(stage: &Stage, progress: &Progress, batch: &[u8], much: usize) {
    let (mut device, mut upstream) = stage.enter(1, "flood");
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::copy(&mut upstream.stream, &mut std::io::sink()));
        while progress.goes_on() {
            device.send(batch);
            progress.did(much);
        }
        device.half_close();
    });
}

fn deaf(stage: &Stage, progress: &Progress) {
    let packet = publish_5("t", 0, 0, &[], &[b'x'; 10_000]);
    while progress.goes_on() {
        let held: Vec<_> = (0..10).map(|n| stage.enter(1, &format!("deaf-{n}"))).collect();
        for (_, upstream) in &held {
            let mut broker = &upstream.stream;
            broker.set_write_timeout(Some(Duration::from_millis(5))).unwrap();
            // As much as it takes.
            while broker.write_all(&packet).is_ok() {}
        }
        progress.did(held.len());
        for (device, upstream) in held {
            upstream.reset();
            device.reset();
        }
    }
}

#[test]
fn well_behaved_connections_are_served_under_each_attack() {
    let size = size();
    let _awake = size.is_long.then(|| {
        hold_to(0, std::process::id());
        Awake::keep(1)
    });
    let mut slow = Vec::new();
    let mut table = format!(
        "round trips of {} connections, in microseconds; (past the relay, in the same moments)\n",
        size.connections
    );
    let only = std::env::var("SIMRELAY_ATTACK").unwrap_or_default();
    let attacks = ATTACKS.iter().filter(|attack| attack.name.contains(&only));
    assert!(attacks.clone().count() > 0, "no attack has {only:?} in its name");
    for attack in attacks {
        let (row, is_slow) = under(attack, size);
        eprint!("{row}");
        table += &row;
        if is_slow {
            slow.push(attack.name);
        }
    }
    assert!(slow.is_empty(), "{slow:?} held others up\n{table}");
}

/// What the fleet feels of `attack`, and whether that is too much.
fn under(attack: &Attack, size: Size) -> (String, bool) {
    let stage = Stage::of(attack, size);
    let mut fleet = Fleet::connect(&stage, size);
    let (mut quiet, mut attacked) = (Measured::default(), Measured::default());
    // An attacker keeps the core of the devices awake by itself. One more thread would take its time from it.
    let awake = size.is_long.then(|| Awake::keep(0));
    // The first ones warm everything up.
    fleet.measure(&mut Measured::default(), size, || true);
    fleet.measure(&mut quiet, size, || true);
    drop(awake);
    let (counted, progress) = (stage.metric(attack.counted_as), Progress::default());
    let least = attack.least * size.times;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let attacking = scope.spawn(|| {
            if size.is_long {
                // Attackers have machines of their own: they do not keep the devices from the core that they share here.
                must_run("chrt", &["--idle", "--pid", "0", &this_thread()]);
            }
            (attack.run)(&stage, &progress);
        });
        fleet.measure(&mut attacked, size, || progress.done.load(Relaxed) >= least);
        progress.is_over.store(true, Relaxed);
        attacking.join().unwrap();
        let done = progress.done.load(Relaxed);
        assert!(done >= least, "{}: {done} is not much of an attack", attack.name);
    });
    let lasted = began.elapsed();
    // Not all that an attacker sends need get as far: the kernel drops what its queue has no room for.
    let mut done = 0;
    wait_until(&format!("{}, counted by the relay", attack.name), || {
        done = stage.metric(attack.counted_as) - counted;
        (done >= least).then_some(())
    });
    stage.wait_for_handshakes(0);
    let awake = size.is_long.then(|| Awake::keep(0));
    fleet.measure(&mut quiet, size, || true);
    drop(awake);
    let mut figures = |part: usize| {
        let micros =
            |of: &mut Measured| [&mut of.through, &mut of.past].map(|way| way.of_hundred(part).as_micros());
        let ([quiet, quiet_past], [attacked, attacked_past]) = (micros(&mut quiet), micros(&mut attacked));
        format!("{quiet:>6} ({quiet_past:>5}) -> {attacked:>6} ({attacked_past:>5})")
    };
    let row = format!(
        "{:<48} p50 {}  p99 {}  worst {}  {:>9.0} a second\n",
        attack.name,
        figures(50),
        figures(99),
        figures(100),
        done as f64 / lasted.as_secs_f64(),
    );
    (row, is_too_slow(&mut quiet, &mut attacked, size))
}

/// A 99th of a hundred that takes no longer is well, whatever the quiet: a cellular link takes forty times as long.
const WELL: Duration = Duration::from_millis(1);

fn is_too_slow(quiet: &mut Measured, attacked: &mut Measured, size: Size) -> bool {
    if size.is_long {
        let past = attacked.past.of_hundred(99);
        let by_machine = past.saturating_sub(quiet.past.of_hundred(99));
        let allowed = (quiet.through.of_hundred(99) * 2).max(WELL) + by_machine;
        return attacked.through.of_hundred(99) > allowed;
    }
    // All tests run at once, so the machine itself takes what it takes: a relay that is held up takes more at each.
    [(50, Duration::from_millis(20)), (99, Duration::from_millis(250))]
        .into_iter()
        .any(|(part, more)| {
            let machine = quiet.through.of_hundred(part).max(attacked.past.of_hundred(part));
            attacked.through.of_hundred(part) > machine * 2 + more
        })
}
