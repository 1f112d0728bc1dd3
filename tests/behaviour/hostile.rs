//! Devices that mean harm, and strangers: they get so much and no more, and everybody else is served.
//!
//! `SIMRELAY_HOSTILE=5000` has the floods open so many connections instead of some hundreds.

use crate::site::*;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

const MIB: u64 = 1024 * 1024;
/// What the relay may need beyond what it needs at rest, whatever happens.
const ALLOWED: u64 = 16 * MIB;
const STRANGER: &str = "127.66.0.1";

/// Connections of a flood.
fn many() -> usize {
    many_or(300)
}

/// The same where another number is enough in the short form.
fn many_or(short: usize) -> usize {
    let given = std::env::var("SIMRELAY_HOSTILE").ok();
    given.map_or(short, |number| {
        number.parse().expect("SIMRELAY_HOSTILE is a number")
    })
}

/// SIM 2 is the bystander.
fn stage(flags: &[&str]) -> (FakeBroker, Simrelay, Bystander) {
    let broker = FakeBroker::listen();
    let config = Configuration::of(&entry_point(&broker.url()))
        .sim(2, Some("g"))
        .sim(3, Some("g"));
    let flags: Vec<_> = ["--relay-workers", "1"].iter().chain(flags).copied().collect();
    let relay = Simrelay::with(&config, &flags);
    let bystander = Bystander::connect(&relay, &broker);
    (broker, relay, bystander)
}

/// SIM `n` gets through to the broker.
fn enters(relay: &Simrelay, broker: &FakeBroker, n: u8, id: &str) -> (Device, Device) {
    let mut device = relay.device(n);
    device.send(&Connect::new(Version::V311, id).bytes());
    let (upstream, _) = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    (device, upstream)
}

fn refusals(relay: &Simrelay, kind: &str) -> u64 {
    let page = relay.http().get("/metrics").body;
    let name = format!("simrelay_connections_refused_total{{reason=\"{kind}\"}} ");
    let number = page.lines().find_map(|line| line.strip_prefix(&name));
    number.map_or(0, |number| number.parse().unwrap())
}

fn handshakes(relay: &Simrelay) -> u64 {
    gauge(relay, "simrelay_handshakes")
}

fn gauge(relay: &Simrelay, name: &str) -> u64 {
    let page = relay.http().get("/metrics").body;
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    page.lines().find_map(value).unwrap()
}

/// What is said of a connection that is closed at accept.
fn closed_at_accept(relay: &Simrelay, source: &str) -> serde_json::Value {
    let mut device = Device::from(source, relay.relay());
    let peer = device.stream.local_addr().unwrap().to_string();
    device.try_send(&Connect::new(Version::V5, "unread").bytes());
    device.expect_end();
    relay.wait_for("refusal", |line| {
        line["event"] == "refused" && line["address"] == peer.as_str()
    })
}

#[test]
fn strangers_that_say_nothing_have_a_budget_and_the_sims_another() {
    let (broker, relay, mut bystander) = stage(&["--relay-max-strangers", "20"]);
    let flood: Vec<_> = (0..many())
        .map(|_| Device::from(STRANGER, relay.relay()))
        .collect();
    let over = flood.len() as u64 - 20;
    wait_until("refusal of all the others", || {
        (refusals(&relay, "too_many_strangers") == over).then_some(())
    });
    assert_eq!(handshakes(&relay), 20);
    bystander.is_well();
    let _entered = enters(&relay, &broker, 1, "c");
    // Some lines tell of it, and one of the rest: most often, as ten seconds may end in the midst of it.
    let sum = relay.wait_for("summary", |line| line["event"] == "refused_more");
    let (lines, summaries) = wait_until("as many in the log as were refused", || {
        // The twenty are refused too, ten seconds later.
        let page = relay.http().get("/metrics").body;
        let counted = |line: &str| {
            let (name, count) = line.split_once(' ')?;
            name.starts_with("simrelay_connections_refused_total")
                .then(|| count.parse::<u64>().unwrap())
        };
        let refused: u64 = page.lines().filter_map(counted).sum();
        let lines = relay.lines(|line| line["event"] == "refused");
        let more = relay.lines(|line| line["event"] == "refused_more");
        let unsaid: u64 = more.iter().filter_map(|line| line["count"].as_u64()).sum();
        (unsaid + lines.len() as u64 == refused).then_some((lines, more.len()))
    });
    // Sixty before each summary; the last ones may be of a time that had no more than that, and so has no summary.
    let (least, most) = (60 * summaries, 60 * summaries + 60);
    assert!(
        (least..=most).contains(&lines.len()),
        "{} lines, {summaries} summaries",
        lines.len()
    );
    assert!(
        lines[0]["advice"].as_str().unwrap().contains("port"),
        "{}",
        lines[0]
    );
    assert!(sum["imsi"].is_null() && sum["kinds"].as_str().unwrap().contains("too_many_strangers"));
    drop(flood);
    // What they held is free again.
    wait_until("end of their handshakes", || {
        (handshakes(&relay) == 0).then_some(())
    });
    bystander.is_well();
}

#[test]
fn a_sim_that_opens_connections_without_end_stops_at_its_own_limit() {
    let (broker, relay, mut bystander) = stage(&["--relay-max-connections-per-sim", "5"]);
    let mut own: Vec<_> = (0..5)
        .map(|n| enters(&relay, &broker, 1, &format!("c{n}")))
        .collect();
    for (version, code) in [(Version::V311, 3), (Version::V5, 0x97)] {
        let mut sixth = relay.device(1);
        let connack = sixth.connect(&Connect::new(version, "sixth"));
        assert_eq!(connack.body()[1], code, "{connack:?}");
    }
    let line = relay.wait_for("refusal", |line| line["event"] == "refused");
    assert_eq!(
        (line["client_id"].as_str(), line["imsi"].as_str()),
        (Some("sixth"), Some(imsi(1).as_str()))
    );
    assert!(
        line["reason"].as_str().unwrap().contains("has 5 connections"),
        "{line}"
    );
    assert!(
        line["advice"]
            .as_str()
            .unwrap()
            .contains("--relay-max-connections-per-sim")
    );
    broker.expect_no_dial();
    bystander.is_well();
    let _other = enters(&relay, &broker, 3, "other");
    drop(own.pop());
    relay.closed("c4");
    let _again = enters(&relay, &broker, 1, "again");
}

#[test]
fn a_sim_whose_handshakes_never_end_stops_at_its_own_limit() {
    let (broker, relay, mut bystander) = stage(&["--relay-max-handshakes-per-sim", "10"]);
    let flood: Vec<_> = (0..many()).map(|_| relay.device(1)).collect();
    let over = flood.len() as u64 - 10;
    wait_until("refusal of all the others", || {
        (refusals(&relay, "too_many_handshakes_of_sim") == over).then_some(())
    });
    bystander.is_well();
    let _other = enters(&relay, &broker, 3, "other");
    drop(flood);
    wait_until("end of their handshakes", || {
        (handshakes(&relay) == 0).then_some(())
    });
    let _entered = enters(&relay, &broker, 1, "c");
}

#[test]
fn twenty_sims_that_hold_all_handshakes_keep_new_connections_out_and_touch_no_open_one() {
    // With SIMRELAY_HOSTILE=5000 these are the defaults.
    let each = many() / 20;
    let (all, each_flag) = ((20 * each).to_string(), each.to_string());
    let broker = FakeBroker::listen();
    let sims = 3..23;
    let config = sims.clone().fold(
        Configuration::of(&entry_point(&broker.url())).sim(2, Some("g")),
        |config, n| config.sim(n, Some("g")),
    );
    let flags = [
        ["--relay-max-handshakes", &all],
        ["--relay-max-handshakes-per-sim", &each_flag],
    ];
    let relay = Simrelay::with(&config, &flags.concat());
    let mut bystander = Bystander::connect(&relay, &broker);
    let flood: Vec<_> = sims
        .flat_map(|n| (0..each).map(move |_| n))
        .map(|n| relay.device(n))
        .collect();
    wait_until("all handshakes taken", || {
        (handshakes(&relay) == flood.len() as u64).then_some(())
    });
    assert_eq!(gauge(&relay, "simrelay_handshakes_limit"), flood.len() as u64);
    // Not the limit of any SIM: the twenty-first finds no room, as little as a stranger does.
    let line = closed_at_accept(&relay, &sim_address(1));
    assert_eq!(line["imsi"], imsi(1));
    let reason = line["reason"].as_str().unwrap();
    assert!(
        reason.contains(&format!("{all} connections are being opened")),
        "{line}"
    );
    let advice = line["advice"].as_str().unwrap();
    assert!(advice.contains("--relay-max-handshakes"), "{line}");
    let line = closed_at_accept(&relay, STRANGER);
    assert!(line["imsi"].is_null(), "{line}");
    wait_until("count of both", || {
        (refusals(&relay, "too_many_handshakes") == 2).then_some(())
    });
    broker.expect_no_dial();
    bystander.is_well();
    drop(flood);
    wait_until("end of their handshakes", || {
        (handshakes(&relay) == 0).then_some(())
    });
    let _entered = enters(&relay, &broker, 1, "c");
    bystander.leave(&relay);
}

#[test]
fn connections_in_all_have_a_limit_and_who_leaves_makes_room() {
    let flags = [
        "--relay-max-connections",
        "8",
        "--relay-max-connections-per-sim",
        "5",
    ];
    let (broker, relay, mut bystander) = stage(&flags);
    let mut open: Vec<_> = [1, 1, 1, 1, 3, 3, 3]
        .into_iter()
        .enumerate()
        .map(|(at, n)| enters(&relay, &broker, n, &format!("c{at}")))
        .collect();
    assert_eq!(gauge(&relay, "simrelay_connections"), 8);
    assert_eq!(gauge(&relay, "simrelay_connections_limit"), 8);
    for (over, source) in [sim_address(1), sim_address(3), STRANGER.to_owned()]
        .iter()
        .enumerate()
    {
        let line = closed_at_accept(&relay, source);
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains("carries 8 connections"), "{line}");
        let advice = line["advice"].as_str().unwrap();
        assert!(
            advice.contains("LimitNOFILE=") && advice.contains("--relay-max-connections"),
            "{line}"
        );
        wait_until("count of it", || {
            (refusals(&relay, "too_many_connections") == over as u64 + 1).then_some(())
        });
    }
    broker.expect_no_dial();
    bystander.is_well();
    drop(open.pop());
    wait_until("room for another", || {
        (gauge(&relay, "simrelay_connections") == 7).then_some(())
    });
    let _entered = enters(&relay, &broker, 1, "again");
    bystander.leave(&relay);
}

#[test]
fn a_sim_that_connects_again_and_again_is_slowed_down_and_no_other() {
    let (broker, relay, mut bystander) = stage(&["--relay-max-rate-per-sim", "1"]);
    for _ in 0..80 {
        drop(relay.device(1));
    }
    wait_until("refusals", || (refusals(&relay, "too_fast") >= 20).then_some(()));
    bystander.is_well();
    let _other = enters(&relay, &broker, 3, "other");
    // Its pace is one a second.
    wait_until("a way in for it", || {
        let mut device = relay.device(1);
        device.try_send(&Connect::new(Version::V311, "c").bytes());
        device
            .stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let refused = std::io::Read::read(&mut device.stream, &mut [0]);
        // Nothing yet, rather than the end: the broker is being waited for.
        let is_in = refused.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        if !is_in {
            std::thread::sleep(Duration::from_millis(200));
        }
        is_in.then_some(())
    });
}

#[test]
fn a_fleet_that_comes_faster_than_may_waits_and_nobody_is_refused() {
    let (broker, relay, mut bystander) = stage(&["--relay-max-rate", "20"]);
    let began = Instant::now();
    // All of them are in the kernel's queue at once.
    let mut fleet: Vec<_> = (0..60)
        .map(|n| {
            let mut device = relay.device(1 + 2 * (n % 2));
            device.send(&Connect::new(Version::V311, &format!("c{n}")).bytes());
            device
        })
        .collect();
    let mut brokers = Vec::new();
    for n in 0..fleet.len() {
        brokers.push(broker.admit(CONNACK_311));
        if n % 10 == 0 {
            bystander.is_well();
        }
    }
    for device in &mut fleet {
        device.expect(CONNACK_311);
    }
    // Two at once, as many as come in 100 ms, and the bystander was before them.
    assert!(
        began.elapsed() >= Duration::from_millis(2800),
        "{:?}",
        began.elapsed()
    );
    let page = relay.http().get("/metrics").body;
    let line = |start: &str| page.lines().find_map(|line| line.strip_prefix(start));
    let pauses: u64 = line("simrelay_accept_pauses_total ").unwrap().parse().unwrap();
    assert!(pauses > 0);
    assert_eq!(line("simrelay_accept_rate_limit "), Some("20"));
    assert_eq!(line("simrelay_connections_refused_total"), None);
    let said = relay.wait_for("line about it", |line| line["event"] == "accept_paused");
    assert_eq!(said["limit"], 20);
    assert!(
        said["message"].as_str().unwrap().contains("--relay-max-rate"),
        "{said}"
    );
    let lines = relay.lines(|line| line["event"] == "accept_paused").len() as u64;
    assert!(lines <= 1 + began.elapsed().as_secs() / 10, "{lines} lines");
    // Whoever is refused takes nothing of it.
    for _ in 0..40 {
        Device::from(STRANGER, relay.relay()).reset();
    }
    let _entered = enters(&relay, &broker, 3, "after");
}

#[test]
fn without_a_free_descriptor_connections_live_on_and_new_ones_come_when_there_is_one() {
    let (broker, relay, mut bystander) = stage(&[]);
    let descriptors = || {
        let folder = format!("/proc/{}/fd", relay.pid());
        std::fs::read_dir(folder).unwrap().count()
    };
    let limit = descriptors() + 20;
    let limit = format!("--nofile={limit}:{limit}");
    let pid = relay.pid().to_string();
    assert!(
        Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status()
            .unwrap()
            .success()
    );
    let flood: Vec<_> = (0..60).map(|_| relay.device(1)).collect();
    let line = relay.wait_for("complaint", |line| line["event"] == "cannot_accept");
    assert!(
        line["message"].as_str().unwrap().contains("limit of open files"),
        "{line}"
    );
    bystander.is_well();
    drop(flood);
    let _entered = enters(&relay, &broker, 1, "late");
    bystander.is_well();
    assert_eq!(relay.lines(|line| line["event"] == "cannot_accept").len(), 1);
}

#[test]
fn every_packet_in_every_state_and_the_largest_lengths_cost_nothing_and_hurt_nobody() {
    let (broker, relay, mut bystander) = stage(&[]);
    let at_rest = relay.memory();
    let mut held = Vec::new();
    for kind in 0..16_u8 {
        for flags in [0, 2, 15] {
            let first = kind << 4 | flags;
            for rest in [
                &[0][..],
                &[0xff, 0xff, 0xff, 0x7f],
                &[0x80, 0x80, 0x80, 0x80, 1],
                &[2, 0, 0],
            ] {
                let packet = [&[first], rest].concat();
                let mut before = relay.device(1);
                before.try_send(&packet);
                held.push(before);
            }
        }
        // Behind a CONNECT, before and after its answer.
        for packet in [vec![kind << 4, 0], vec![kind << 4, 0xff, 0xff, 0xff, 0x7f]] {
            let connect = Connect::new(Version::V5, "c").bytes();
            let mut ahead = relay.device(3);
            ahead.try_send(&[connect.as_slice(), &packet].concat());
            let (upstream, _) = broker.admit(CONNACK_5);
            let (mut behind, other) = {
                let mut device = relay.device(3);
                device.send(&connect);
                let (upstream, _) = broker.admit(CONNACK_5);
                device.expect(CONNACK_5);
                (device, upstream)
            };
            behind.try_send(&packet);
            held.extend([ahead, upstream, behind, other]);
            bystander.is_well();
        }
        // The budget of SIM 1 is for handshakes that are under way.
        if kind % 4 == 3 {
            let grown = relay.memory().saturating_sub(at_rest);
            assert!(grown < ALLOWED, "{} MiB more", grown / MIB);
            held.clear();
            wait_until("end of handshakes", || (handshakes(&relay) == 0).then_some(()));
        }
    }
    bystander.leave(&relay);
}

#[test]
fn properties_by_the_thousand_and_aliases_of_nothing_reach_the_broker_or_end_their_own_connection() {
    let (broker, relay, mut bystander) = stage(&[]);
    let at_rest = relay.memory();
    let mut properties = Vec::new();
    for _ in 0..200_000 {
        properties.extend([0x26, 0, 1, b'k', 0, 1, b'v']);
    }
    let connect = Connect::new(Version::V5, "bomb").bytes();
    let enter = |id: &str| {
        let mut device = relay.device(1);
        device.send(&Connect::new(Version::V5, id).bytes());
        let (upstream, _) = broker.admit(CONNACK_5);
        device.expect(CONNACK_5);
        (device, upstream)
    };
    // In a PUBLISH they are the two ends' business: they pass, or end this connection.
    let (mut device, mut upstream) = enter("bomb");
    device.try_send(&publish_5("t", 0, 0, &properties, b"x"));
    let code = device.read_to_end();
    assert_eq!((code[0].kind(), code[0].body()[0]), (14, 0x95), "{code:?}");
    upstream.expect_end();
    bystander.is_well();
    // Those that are short enough to be held are still too many to be read one by one, in each place of the packet.
    let many = &properties[..2049 * 7];
    let will = Will {
        properties: many.to_vec(),
        ..Will::new("w", "gone")
    };
    for (connect, place) in [
        (Connect::new(Version::V5, "many").properties(many), "CONNECT"),
        (Connect::new(Version::V5, "many").will(will), "will"),
    ] {
        let mut device = relay.device(1);
        device.send(&connect.bytes());
        let answer = device.read_to_end();
        assert_eq!(answer[0].body()[1], 0x95, "{place}: {answer:?}");
    }
    let (mut device, mut upstream) = enter("many");
    let (fine, much) = (&many[7..], many);
    device.send(&publish_5("t", 0, 0, fine, b"x"));
    upstream.expect(&publish_5("t", 0, 0, fine, b"x"));
    device.send(&publish_5("t", 0, 0, much, b"x"));
    let code = device.read_to_end();
    assert_eq!((code[0].kind(), code[0].body()[0]), (14, 0x95), "{code:?}");
    upstream.expect_end();
    // So are large ones in a CONNECT; what it announces is not waited for.
    let mut large = relay.device(1);
    large.try_send(&Connect::new(Version::V5, "large").properties(&properties).bytes());
    let answer = large.read_to_end();
    assert_eq!(answer[0].body()[1], 0x95, "{answer:?}");
    // A length of properties that lies.
    let mut lying = connect.clone();
    lying[12] = 0x7f;
    let mut device = relay.device(1);
    device.try_send(&lying);
    assert_eq!(device.read_to_end()[0].body()[1], 0x81);
    // An alias that was never set, alias 0, the largest: between device and broker.
    let (mut device, mut upstream) = enter("alias");
    for alias in [[0x23, 0, 9], [0x23, 0xff, 0xff]] {
        let packet = publish_5("", 0, 0, &alias, b"x");
        device.send(&packet);
        upstream.expect(&packet);
    }
    bystander.is_well();
    let grown = relay.memory().saturating_sub(at_rest);
    assert!(grown < ALLOWED, "{} MiB more", grown / MIB);
}

/// What the relay's memory has grown by for each of `count` connections.
fn grown_each(relay: &Simrelay, at_rest: u64, count: usize) -> u64 {
    relay.memory().saturating_sub(at_rest) / count as u64
}

#[test]
fn a_device_that_reads_nothing_makes_the_relay_hold_one_read_and_no_more() {
    let (broker, relay, mut bystander) = stage(&[]);
    // The kernel holds megabytes for each of them: no more than one SIM may have.
    let mut pairs: Vec<_> = (0..many_or(100).min(1000))
        .map(|n| enters(&relay, &broker, 3, &n.to_string()))
        .collect();
    let at_rest = relay.memory();
    // A message without end for each of them.
    for (_, upstream) in &mut pairs {
        upstream.send(&[0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b't']);
        upstream.stream.set_nonblocking(true).unwrap();
    }
    let piece = vec![0; 256 * 1024];
    let (mut all, mut rounds_without) = (0, 0);
    while rounds_without < 5 {
        let mut taken = 0;
        for (_, upstream) in &pairs {
            while let Ok(length) = (&upstream.stream).write(&piece) {
                taken += length;
            }
        }
        all += taken;
        rounds_without = if taken == 0 { rounds_without + 1 } else { 0 };
        std::thread::sleep(Duration::from_millis(100));
    }
    bystander.is_well();
    let each = grown_each(&relay, at_rest, pairs.len());
    eprintln!(
        "{} devices that read nothing: {each} bytes each in the relay, {} in the kernel's buffers of four sockets",
        pairs.len(),
        all / pairs.len()
    );
    assert!(
        each < 64 * 1024 + ALLOWED / pairs.len() as u64,
        "{each} bytes each"
    );
}

#[test]
fn a_packet_that_is_gathered_whole_costs_no_more_than_has_come_of_it() {
    let (broker, relay, mut bystander) = stage(&[]);
    let mut pairs: Vec<_> = (0..many() / 10)
        .map(|n| enters(&relay, &broker, 3, &n.to_string()))
        .collect();
    let at_rest = relay.memory();
    // A SUBSCRIBE of 262,000 bytes that lacks its last thousand.
    let head = [&[0x82, 0xf0, 0xfe, 0x0f][..], &vec![0; 261_000]].concat();
    for (device, _) in &mut pairs {
        device.send(&head);
    }
    wait_until("all of it at the relay", || {
        (grown_each(&relay, at_rest, pairs.len()) > 240_000).then_some(())
    });
    bystander.is_well();
    let each = grown_each(&relay, at_rest, pairs.len());
    eprintln!("{} heads of 261,000 bytes: {each} bytes each", pairs.len());
    assert!(each < 400_000, "{each} bytes each");
}

/// The 99th of 100 round trips through the relay.
fn p99(device: &mut Device, upstream: &mut Device, rounds: usize) -> Duration {
    let mut times: Vec<_> = (0..rounds)
        .map(|_| {
            let packet = publish("t", 1, 1, b"x");
            let begin = Instant::now();
            device.send(&packet);
            upstream.expect(&packet);
            upstream.send(&puback(1));
            device.expect(&puback(1));
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[rounds * 99 / 100]
}

#[test]
fn a_flood_of_new_connections_does_not_hold_up_those_that_are_there() {
    let (broker, relay, _bystander) = stage(&[]);
    let (mut device, mut upstream) = enters(&relay, &broker, 3, "measured");
    let quiet = p99(&mut device, &mut upstream, 1000);
    let (done, ended) = (std::sync::atomic::AtomicBool::new(false), many());
    let (flooded, opened) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut opened = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) || opened < ended {
                let mut device = Device::from(STRANGER, relay.relay());
                device.try_send(b"\x10\x80\x01\0\x04MQ");
                opened += 1;
            }
            opened
        });
        let flooded = p99(&mut device, &mut upstream, 1000);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        (flooded, flood.join().unwrap())
    });
    eprintln!("p99 of a round trip: {quiet:?} quiet, {flooded:?} under {opened} connections");
    // A machine that runs all tests at once measures itself; a relay that is held up takes seconds.
    assert!(
        flooded < Duration::from_secs(1) + quiet * 2,
        "{flooded:?}, {quiet:?} before"
    );
}
