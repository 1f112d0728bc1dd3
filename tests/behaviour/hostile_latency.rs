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
/// From one new connection of a SIM to the next, at the pace that it has by default.
const PACE: Duration = Duration::from_millis(50);
/// Connections that it opens ahead of that pace, and holds at once: a few less than it may have by default.
const AT_ONCE: u64 = 900;
/// Bytes of a large packet that come at once.
const SEGMENT: usize = 4 * 1460;
/// How long connections stand of which nobody knows how many were let in.
const STANDING: Duration = Duration::from_millis(100);

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

/// What holds the attacker back.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Limits {
    /// Those that the relay has unless it is told others.
    Default,
    /// Raised until all of the attack comes through.
    Raised,
}

/// SIM 2 is the fleet that behaves, SIM 1 the attacker.
struct Stage {
    broker: FakeBroker,
    relay: Simrelay,
    limits: Limits,
    many: usize,
    /// Connections that the attacker opened.
    opened: AtomicU64,
}

impl Stage {
    fn with(limits: Limits, size: Size) -> Self {
        let broker = FakeBroker::listen();
        let config = Configuration::of(&entry_point(&broker.url())).sim(2, Some("g"));
        let room = (size.many + size.connections).to_string();
        let mut flags = vec!["--relay-workers", "1"];
        if limits == Limits::Raised {
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
            limits,
            many: size.many,
            opened: AtomicU64::new(0),
        }
    }

    fn enter(&self, n: u8, id: &str) -> (Device, Device) {
        let mut device = self.relay.device(n);
        device.send(&Connect::new(Version::V5, id).bytes());
        let (upstream, _) = self.broker.admit(CONNACK_5);
        device.expect(CONNACK_5);
        (device, upstream)
    }

    /// A connection of the attacker, who is not held back: where there are limits he keeps the pace of one SIM.
    fn intrude(&self, id: &str) -> (Device, Device) {
        let opened = self.opened.fetch_add(1, Relaxed);
        if self.limits == Limits::Default && opened >= AT_ONCE {
            std::thread::sleep(PACE);
        }
        self.enter(1, id)
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
/// when no other wants to, attackers included.
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
                (0..1000).for_each(|_| std::hint::spin_loop());
                std::thread::yield_now();
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
    run: fn(&Stage, &Progress),
    /// How it shows that the attack arrives, under the limits that the relay has by default.
    by_default: Counted,
    /// The same where it comes through, if limits hold some of it back.
    raised: Option<Counted>,
}

/// Metrics in which the relay counts an attack, and how much there has to be of it at least.
#[derive(Clone, Copy)]
struct Counted(&'static str, u64);

const REFUSED: &str = "simrelay_connections_refused_total{";
const LEFT: &str = "simrelay_connections_refused_total{reason=\"device_left\"}";
const CLOSED: &str = "simrelay_connections_closed_total{";
const VIOLATED: &str = "simrelay_connections_closed_total{ending=\"device_violation\"}";
const PASSED: &str = "simrelay_requests_total{leg=\"broker\",direction=\"up\"}";

const ATTACKS: [Attack; 12] = [
    Attack {
        name: "strangers connect again and again",
        run: |stage, progress| again_and_again(stage, progress, STRANGER),
        by_default: Counted(REFUSED, 500),
        raised: Some(Counted(LEFT, 500)),
    },
    Attack {
        name: "a SIM connects again and again",
        run: |stage, progress| again_and_again(stage, progress, &sim_address(1)),
        by_default: Counted(REFUSED, 500),
        raised: Some(Counted(LEFT, 500)),
    },
    Attack {
        name: "TLS, HTTP, largest lengths as a first packet",
        run: other_first_packets,
        by_default: Counted(REFUSED, 500),
        raised: Some(Counted(
            "simrelay_connections_refused_total{reason=\"not_connect\"}",
            500,
        )),
    },
    Attack {
        name: "strangers hold connections half open",
        run: |stage, progress| half_open(stage, progress, STRANGER),
        by_default: Counted(REFUSED, 100),
        raised: Some(Counted(LEFT, 100)),
    },
    Attack {
        name: "a SIM holds connections half open",
        run: |stage, progress| half_open(stage, progress, &sim_address(1)),
        by_default: Counted(REFUSED, 100),
        raised: Some(Counted(LEFT, 100)),
    },
    Attack {
        name: "a SIM opens connections, which all leave at once",
        run: come_and_leave,
        by_default: Counted(CLOSED, 20),
        raised: Some(Counted(CLOSED, 20)),
    },
    Attack {
        name: "CONNECT dribbled byte by byte",
        run: dribble,
        by_default: Counted(REFUSED, 20),
        raised: Some(Counted(
            "simrelay_connections_refused_total{reason=\"keep_alive\"}",
            20,
        )),
    },
    Attack {
        name: "properties by the thousand, which pass",
        run: large_heads,
        by_default: Counted(PASSED, 100),
        raised: None,
    },
    Attack {
        name: "more properties than are read or held",
        run: bombs,
        by_default: Counted(VIOLATED, 3),
        raised: Some(Counted(VIOLATED, 3)),
    },
    Attack {
        name: "topic aliases of nothing, as fast as can be",
        run: aliases,
        by_default: Counted(PASSED, 100_000),
        raised: None,
    },
    Attack {
        name: "pings, as fast as can be",
        run: pings,
        by_default: Counted("simrelay_bytes_total{direction=\"up\"}", 200_000),
        raised: None,
    },
    Attack {
        name: "devices that never read",
        run: deaf,
        by_default: Counted(CLOSED, 10),
        raised: None,
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
        match stage.limits {
            Limits::Default => std::thread::sleep(STANDING),
            // A wave that is broken off need not arrive whole.
            Limits::Raised if !progress.goes_on() => {}
            Limits::Raised => stage.wait_for_handshakes(held.len()),
        }
        progress.did(held.len());
        held.into_iter().for_each(Device::reset);
        stage.wait_for_handshakes(0);
    }
}

fn come_and_leave(stage: &Stage, progress: &Progress) {
    let wave = match stage.limits {
        Limits::Default => (stage.many / 5).min(AT_ONCE as usize),
        Limits::Raised => stage.many / 5,
    };
    while progress.goes_on() {
        let mut held = Vec::new();
        while held.len() < wave && progress.goes_on() {
            held.push(stage.intrude(&format!("c{}", held.len())));
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
    let (mut device, mut upstream) = stage.intrude("large");
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
        let (mut device, _upstream) = stage.intrude("bomb");
        // As a network brings it: one call for all of it would keep the devices' core for as long as it lasts.
        bomb.chunks(SEGMENT).for_each(|part| device.try_send(part));
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
    let (mut device, mut upstream) = stage.intrude("flood");
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
        let held: Vec<_> = (0..10).map(|n| stage.intrude(&format!("deaf-{n}"))).collect();
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
        [0, 1].map(Awake::keep)
    });
    let mut slow = Vec::new();
    let mut table = format!(
        "round trips of {} connections, in microseconds; (past the relay, in the same moments)\n",
        size.connections
    );
    let only = std::env::var("SIMRELAY_ATTACK").unwrap_or_default();
    let attacks = ATTACKS.iter().filter(|attack| attack.name.contains(&only));
    assert!(attacks.clone().count() > 0, "no attack has {only:?} in its name");
    let by_default = attacks
        .clone()
        .map(|attack| (Limits::Default, attack, attack.by_default));
    let raised = attacks.filter_map(|attack| Some((Limits::Raised, attack, attack.raised?)));
    for (limits, attack, counted) in by_default.chain(raised) {
        let (row, is_slow) = under(attack, counted, limits, size);
        eprint!("{row}");
        table += &row;
        if is_slow {
            slow.push((attack.name, limits));
        }
    }
    assert!(slow.is_empty(), "{slow:?} held others up\n{table}");
}

/// What the fleet feels of `attack`, and whether that is too much.
fn under(attack: &Attack, Counted(metrics, least): Counted, limits: Limits, size: Size) -> (String, bool) {
    let stage = Stage::with(limits, size);
    let mut fleet = Fleet::connect(&stage, size);
    let (mut quiet, mut attacked) = (Measured::default(), Measured::default());
    // The first ones warm everything up.
    fleet.measure(&mut Measured::default(), size, || true);
    fleet.measure(&mut quiet, size, || true);
    let (counted, progress) = (stage.metric(metrics), Progress::default());
    let least = least * size.times;
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
        done = stage.metric(metrics) - counted;
        (done >= least).then_some(())
    });
    stage.wait_for_handshakes(0);
    fleet.measure(&mut quiet, size, || true);
    let mut figures = |part: usize| {
        let micros =
            |of: &mut Measured| [&mut of.through, &mut of.past].map(|way| way.of_hundred(part).as_micros());
        let ([quiet, quiet_past], [attacked, attacked_past]) = (micros(&mut quiet), micros(&mut attacked));
        format!("{quiet:>6} ({quiet_past:>5}) -> {attacked:>6} ({attacked_past:>5})")
    };
    let row = format!(
        "{:<48} {:<7} p50 {}  p99 {}  worst {}  {:>9.0} a second\n",
        attack.name,
        format!("{limits:?}"),
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
