//! The steady state on streams in memory and paused time: half an hour passes in a millisecond.

use super::*;
use crate::entrypoint::EntryPoint;
use crate::event_loop::{self, EventLoop, TcpStream};
use crate::mqtt::{AtMostOnce, Unchanged, Version, Violation};
use crate::relay::Admission;
use crate::relay::linger::{DUE, LINGER};
use crate::relay::streams::AsSent;
use crate::relay::wheel::TICK;
use crate::sim::{Imsi, Sim, SimId};
use crate::timers::Timekeeper;
use socket2::SockRef;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};

const PINGREQ: [u8; 2] = [0xc0, 0];
const PINGRESP: [u8; 2] = [0xd0, 0];
const PUBLISH: [u8; 6] = [0x30, 4, 0, 1, b't', b'x'];
const DISCONNECT: [u8; 2] = [0xe0, 0];

/// Both ends of a connection that is carried, and how it ended.
struct Site {
    device: DuplexStream,
    broker: DuplexStream,
    connection: Arc<Connection>,
    carried: JoinHandle<Ending>,
    began: Instant,
}

fn connection(version: Version, keep_alive: u16) -> Arc<Connection> {
    let sim = Sim::new(
        SimId::new("8981100000000000017").unwrap(),
        Imsi::new("440103000000001").unwrap(),
    );
    let value = serde_json::json!({ "destination": "mqtt://127.0.0.1" });
    let entry_point = EntryPoint::from_value(&value).unwrap().entry_point;
    let admission = Admission {
        sim: Arc::new(sim),
        entry_point: Arc::new(entry_point),
    };
    let peer = "127.0.0.1:40000".parse().unwrap();
    Arc::new(Connection::new(
        1,
        admission,
        peer,
        "c".into(),
        version,
        keep_alive,
        None,
    ))
}

fn site(keep_alive: u16, buffer: usize) -> Site {
    site_of(AsSent::new(Version::V311, Unchanged), keep_alive, buffer)
}

/// The same under platform version 201509.
fn acknowledging_site(keep_alive: u16, buffer: usize) -> Site {
    let streams = Box::new(AtMostOnce::new(Version::V311, Unchanged));
    site_of(streams, keep_alive, buffer)
}

fn site_of<S: Streams + Unpin + Send + 'static>(streams: S, keep_alive: u16, buffer: usize) -> Site {
    let (device, device_leg) = duplex(buffer);
    let (broker, broker_leg) = duplex(buffer);
    let connection = connection(Version::V311, keep_alive);
    let carry = Carry::new(device_leg, broker_leg, streams, Arc::clone(&connection));
    let began = Instant::now();
    let carried = tokio::spawn(carry);
    tokio::spawn(look(Arc::clone(&connection)));
    Site {
        device,
        broker,
        connection,
        carried,
        began,
    }
}

/// What the worker's wheel does.
async fn look(connection: Arc<Connection>) {
    loop {
        sleep(TICK).await;
        if connection.idle_in(Instant::now().into_std()).is_zero() {
            connection.look();
        }
    }
}

impl Site {
    async fn ending(self) -> (Ending, Duration) {
        let ending = self.carried.await.unwrap();
        (ending, self.began.elapsed())
    }
}

/// Not before `seconds`, and not more than a step of the wheel later.
fn about(elapsed: Duration, seconds: f32) -> bool {
    (seconds - 0.1..seconds + TICK.as_secs_f32() + 0.1).contains(&elapsed.as_secs_f32())
}

#[tokio::test(start_paused = true)]
async fn a_silent_device_is_cut_after_one_and_a_half_times_its_keep_alive() {
    for keep_alive in [5, 60, 1200] {
        let (ending, elapsed) = site(keep_alive, 64).ending().await;
        assert!(matches!(ending, Ending::DeviceIdle { .. }), "{ending}");
        assert!(
            about(elapsed, f32::from(keep_alive) * 1.5),
            "{elapsed:?} for {keep_alive}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_packet_of_the_device_gives_it_the_whole_time_again() {
    let mut site = site(10, 64);
    for _ in 0..20 {
        sleep(Duration::from_secs(14)).await;
        site.device.write_all(&PINGREQ).await.unwrap();
    }
    let (ending, elapsed) = site.ending().await;
    assert!(matches!(ending, Ending::DeviceIdle { .. }), "{ending}");
    assert!(about(elapsed, 20.0 * 14.0 + 15.0), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_sends_does_not_keep_a_silent_device_alive() {
    let mut site = site(10, 1024);
    for _ in 0..14 {
        sleep(Duration::from_secs(1)).await;
        site.broker.write_all(&PUBLISH).await.unwrap();
    }
    let (ending, elapsed) = site.ending().await;
    assert!(matches!(ending, Ending::DeviceIdle { .. }), "{ending}");
    assert!(about(elapsed, 15.0), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn without_keep_alive_half_an_hour_of_silence_on_both_sides_ends_it() {
    let mut site = site(0, 64);
    sleep(Duration::from_secs(29 * 60)).await;
    site.broker.write_all(&PINGRESP).await.unwrap();
    sleep(Duration::from_secs(29 * 60)).await;
    site.device.write_all(&PINGREQ).await.unwrap();
    let (ending, elapsed) = site.ending().await;
    assert!(matches!(ending, Ending::Quiet { .. }), "{ending}");
    assert!(about(elapsed, 88.0 * 60.0), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_device_is_not_blamed_for_a_broker_that_takes_nothing() {
    let mut site = site(10, 16);
    let flood = tokio::spawn(async move { while site.device.write_all(&PUBLISH).await.is_ok() {} });
    let ending = site.carried.await.unwrap();
    assert!(matches!(ending, Ending::BrokerStalled { .. }), "{ending}");
    flood.abort();
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_reads_slowly_is_not_one_that_takes_nothing() {
    let mut site = site(10, 16);
    let flood = tokio::spawn(async move { while site.device.write_all(&PUBLISH).await.is_ok() {} });
    for _ in 0..60 {
        sleep(Duration::from_secs(5)).await;
        site.broker.read_exact(&mut [0; 2]).await.unwrap();
        assert!(!site.carried.is_finished());
    }
    flood.abort();
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_takes_no_more_is_still_heard() {
    let mut site = site_of(AsSent::new(Version::V5, Unchanged), 10, 64);
    let too_large = [0xe0, 2, 0x95, 0];
    site.broker.write_all(&too_large).await.unwrap();
    drop(site.broker);
    site.device
        .write_all(&[0x30, 5, 0, 1, b't', 0, b'x'])
        .await
        .unwrap();
    let ending = site.carried.await.unwrap();
    assert!(matches!(ending, Ending::BrokerDisconnected(0x95)), "{ending}");
    let mut heard = Vec::new();
    site.device.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, too_large);
}

#[tokio::test(start_paused = true)]
async fn what_a_broker_did_not_take_is_not_acknowledged() {
    let mut site = acknowledging_site(10, 64);
    site.device
        .write_all(&[0x32, 6, 0, 1, b't', 0, 1, b'x'])
        .await
        .unwrap();
    drop(site.broker);
    let ending = site.carried.await.unwrap();
    assert!(matches!(ending, Ending::BrokerLost(_)), "{ending}");
    let mut heard = Vec::new();
    site.device.read_to_end(&mut heard).await.unwrap();
    assert!(heard.is_empty(), "{heard:02x?}");
}

#[tokio::test(start_paused = true)]
async fn after_half_a_close_the_broker_may_still_answer() {
    let mut site = site(10, 64);
    site.device.write_all(&PUBLISH).await.unwrap();
    site.device.shutdown().await.unwrap();
    let mut seen = Vec::new();
    site.broker.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, PUBLISH);
    site.broker.write_all(&[0x40, 2, 0, 1]).await.unwrap();
    let mut answer = [0; 4];
    site.device.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0x40, 2, 0, 1]);
    site.broker.shutdown().await.unwrap();
    assert!(matches!(site.carried.await.unwrap(), Ending::DeviceClosed));
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_arrives_and_a_broker_that_does_not_close_is_told_by_a_fin_and_then_left_alone() {
    let mut site = site(0, 64);
    site.device
        .write_all(&[PUBLISH.as_slice(), &DISCONNECT, &PUBLISH].concat())
        .await
        .unwrap();
    let mut seen = [0; 8];
    site.broker.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, [PUBLISH.as_slice(), &DISCONNECT].concat()[..]);
    let sent = Instant::now();
    assert_eq!(site.broker.read(&mut seen).await.unwrap(), 0);
    assert!(about(sent.elapsed(), DUE.as_secs_f32()), "{:?}", sent.elapsed());
    let ending = site.carried.await.unwrap();
    assert!(matches!(ending, Ending::DeviceDisconnected), "{ending}");
    let elapsed = sent.elapsed();
    assert!(about(elapsed, (DUE + LINGER).as_secs_f32()), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_slow_after_a_disconnect_gets_all_that_came_before_it() {
    let mut site = site(0, 64);
    let sent = [PUBLISH.repeat(20).as_slice(), &DISCONNECT].concat();
    site.device.write_all(&sent).await.unwrap();
    tokio::time::sleep(DUE * 4).await;
    let mut seen = Vec::new();
    site.broker.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, sent);
    drop(site.broker);
    let ending = site.carried.await.unwrap();
    assert!(matches!(ending, Ending::DeviceDisconnected), "{ending}");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_gone_after_its_disconnect_does_not_hold_it_back() {
    let mut site = site(0, 64);
    site.device
        .write_all(&[PUBLISH.as_slice(), &DISCONNECT].concat())
        .await
        .unwrap();
    drop(site.device);
    let mut seen = [0; 8];
    site.broker.write_all(&PUBLISH).await.unwrap();
    site.broker.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen[6..], DISCONNECT);
    drop(site.broker);
    assert!(matches!(site.carried.await.unwrap(), Ending::DeviceDisconnected));
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_violation_still_arrives_and_counts() {
    let mut site = site(0, 64);
    site.device
        .write_all(&[PUBLISH.as_slice(), &[0x10, 0]].concat())
        .await
        .unwrap();
    let mut seen = Vec::new();
    site.broker.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, PUBLISH);
    let ending = site.carried.await.unwrap();
    assert!(
        matches!(ending, Ending::DeviceViolation(Violation::Unexpected(_))),
        "{ending}"
    );
    let counts = site.connection.counters.read();
    assert_eq!((counts.device_up, counts.broker_up), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn garbage_from_the_broker_does_not_reach_the_device() {
    let mut site = site(0, 64);
    site.broker
        .write_all(&[PUBLISH.as_slice(), b"HTTP/1.1"].concat())
        .await
        .unwrap();
    let ending = site.carried.await.unwrap();
    assert!(matches!(ending, Ending::BrokerViolation(_)), "{ending}");
    let mut seen = Vec::new();
    site.device.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, PUBLISH);
}

#[tokio::test(start_paused = true)]
async fn an_administrators_word_ends_it_at_once() {
    let site = site(0, 64);
    advance(Duration::from_secs(1)).await;
    site.connection.close(Administrative::EntryPointGone);
    let (ending, elapsed) = site.ending().await;
    assert!(
        matches!(ending, Ending::Administrative(Administrative::EntryPointGone)),
        "{ending}"
    );
    assert!(about(elapsed, 1.0), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_counts_on_the_broker_leg_only_when_the_broker_took_it() {
    let mut site = site(0, 4);
    site.device.write_all(&PUBLISH).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let counts = site.connection.counters.read();
    assert_eq!((counts.device_up, counts.broker_up), (1, 0));
    let mut seen = [0; 6];
    site.broker.read_exact(&mut seen).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(site.connection.counters.read().broker_up, 1);
}

/// Whether the connection goes on, once its task has had time to look.
async fn goes_on(site: &Site) -> bool {
    sleep(Duration::from_secs(1)).await;
    !site.carried.is_finished()
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_closes_between_two_packets_of_the_device() {
    let mut site = site(0, 64);
    site.device.write_all(&PUBLISH[..5]).await.unwrap();
    site.connection.close(Administrative::TokenEnds);
    assert!(goes_on(&site).await);
    site.device.write_all(&PUBLISH[5..]).await.unwrap();
    let mut arrived = Vec::new();
    site.broker.read_to_end(&mut arrived).await.unwrap();
    assert_eq!(arrived, PUBLISH);
    let (ending, _) = site.ending().await;
    assert!(
        matches!(ending, Ending::Administrative(Administrative::TokenEnds)),
        "{ending}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_closes_between_two_packets_of_the_broker() {
    let mut site = site(0, 64);
    site.broker.write_all(&PUBLISH[..5]).await.unwrap();
    site.connection.close(Administrative::TokenEnds);
    assert!(goes_on(&site).await);
    site.broker.write_all(&PUBLISH[5..]).await.unwrap();
    let mut arrived = [0; PUBLISH.len()];
    site.device.read_exact(&mut arrived).await.unwrap();
    assert_eq!(arrived, PUBLISH);
    let (ending, _) = site.ending().await;
    assert!(
        matches!(ending, Ending::Administrative(Administrative::TokenEnds)),
        "{ending}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_over_waits_for_no_packet() {
    let mut site = site(0, 64);
    site.device.write_all(&PUBLISH[..5]).await.unwrap();
    site.connection.close(Administrative::TokenEnds);
    assert!(goes_on(&site).await);
    site.connection.close(Administrative::TokenOver);
    let (ending, _) = site.ending().await;
    assert!(
        matches!(ending, Ending::Administrative(Administrative::TokenOver)),
        "{ending}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_to_close_at_once_does_so_though_its_token_ends_the_moment_after() {
    let mut site = site(0, 64);
    site.device.write_all(&PUBLISH[..5]).await.unwrap();
    assert!(goes_on(&site).await);
    site.connection.close(Administrative::ByAdministrator);
    site.connection.close(Administrative::TokenEnds);
    let (ending, _) = site.ending().await;
    assert!(
        matches!(ending, Ending::Administrative(Administrative::ByAdministrator)),
        "{ending}"
    );
}

/// A QoS 1 PUBLISH and its PUBACK.
fn message(id: u16) -> ([u8; 8], [u8; 4]) {
    let [high, low] = id.to_be_bytes();
    ([0x32, 6, 0, 1, b't', high, low, b'x'], [0x40, 2, high, low])
}

#[tokio::test(start_paused = true)]
async fn a_message_is_acknowledged_when_the_broker_took_its_last_byte() {
    let mut site = acknowledging_site(0, 4);
    let device = tokio::spawn(async move {
        site.device.write_all(&message(7).0).await.unwrap();
        let mut answer = [0; 4];
        site.device.read_exact(&mut answer).await.unwrap();
        answer
    });
    sleep(Duration::from_secs(1)).await;
    assert!(!device.is_finished(), "4 of 6 bytes are with the broker");
    let counts = site.connection.counters.read();
    assert_eq!((counts.device_up, counts.broker_up), (1, 0));
    let mut seen = [0; 6];
    site.broker.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, PUBLISH);
    assert_eq!(device.await.unwrap(), message(7).1);
    assert_eq!(site.connection.counters.read().broker_up, 1);
}

#[tokio::test(start_paused = true)]
async fn answers_go_out_between_the_packets_of_a_slow_broker() {
    let mut site = acknowledging_site(0, 1024);
    site.broker.write_all(&PUBLISH[..3]).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    site.device.write_all(&message(1).0).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    site.broker.write_all(&PUBLISH[3..]).await.unwrap();
    site.broker.write_all(&PUBLISH).await.unwrap();
    let mut seen = [0; 16];
    site.device.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, [&PUBLISH[..], &message(1).1, &PUBLISH].concat()[..]);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_never_reads_its_answers_is_not_read_and_ends() {
    let mut site = acknowledging_site(10, 64);
    let mut broker = site.broker;
    let sink = tokio::spawn(async move { tokio::io::copy(&mut broker, &mut tokio::io::sink()).await });
    let flood = tokio::spawn(async move {
        let mut sent = 0_u32;
        while site.device.write_all(&message(1).0).await.is_ok() {
            sent += 1;
        }
        sent
    });
    let ending = site.carried.await.unwrap();
    assert!(matches!(ending, Ending::DeviceStalled { .. }), "{ending}");
    let sent = flood.await.unwrap();
    assert!((4096..5000).contains(&sent), "{sent} messages were taken");
    sink.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_device_that_reads_its_answers_late_is_read_on() {
    const MESSAGES: u16 = 20_000;
    let site = acknowledging_site(0, 64);
    let mut broker = site.broker;
    let arrived = tokio::spawn(async move {
        let mut seen = Vec::new();
        broker.read_to_end(&mut seen).await.unwrap();
        seen
    });
    let (mut from_relay, mut to_relay) = tokio::io::split(site.device);
    let flood = tokio::spawn(async move {
        for id in 1..=MESSAGES {
            to_relay.write_all(&message(id).0).await.unwrap();
        }
        to_relay.shutdown().await.unwrap();
    });
    sleep(Duration::from_secs(60)).await;
    assert!(
        !flood.is_finished(),
        "the device is read although it does not read"
    );
    for id in 1..=MESSAGES {
        let mut answer = [0; 4];
        from_relay.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, message(id).1);
    }
    flood.await.unwrap();
    assert_eq!(arrived.await.unwrap(), PUBLISH.repeat(MESSAGES.into()));
    assert!(matches!(site.carried.await.unwrap(), Ending::DeviceClosed));
}

impl Bare for DuplexStream {
    fn bare(&self) -> Option<&TcpStream> {
        None
    }
}

/// A PUBLISH of `len` bytes that differ, and a packet behind it.
fn large(len: usize, behind: [u8; 2]) -> Vec<u8> {
    let mut packet = vec![0x30];
    let mut remaining = 3 + len;
    for _ in 0..3 {
        packet.push(remaining as u8 & 0x7f | 0x80);
        remaining >>= 7;
    }
    packet.push(remaining as u8);
    packet.extend_from_slice(&[0, 1, b't']);
    packet.extend((0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8));
    packet.extend_from_slice(&behind);
    packet
}

/// Sends `packet` and gives what comes out at the other end, which now takes little at a time, now much.
async fn through(from: &mut TcpStream, to: &mut TcpStream, packet: &[u8]) -> Vec<u8> {
    let mut got = Vec::new();
    let taking = async {
        while got.len() < packet.len() {
            let mut part = vec![0; if got.len() % 2 == 0 { 1_001 } else { 900_000 }];
            let n = to.read(&mut part).await.unwrap();
            assert!(n > 0);
            got.extend_from_slice(&part[..n]);
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::join!(async { from.write_all(packet).await.unwrap() }, taking);
    got
}

#[cfg(target_os = "linux")]
#[test]
fn the_body_of_a_large_packet_goes_from_socket_to_socket_and_all_else_is_read() {
    on_real_sockets(large_packets_both_ways());
}

#[cfg(target_os = "linux")]
fn on_real_sockets(work: impl Future<Output = ()> + 'static) {
    let timers = Timekeeper::start().unwrap();
    let _kept = timers.serve_this_thread();
    EventLoop::new(|| ()).unwrap().run(work).unwrap();
}

#[cfg(target_os = "linux")]
async fn large_packets_both_ways() {
    let ((mut device, device_leg), (mut broker, broker_leg)) =
        (event_loop::pair().await, event_loop::pair().await);
    let connection = connection(Version::V311, 0);
    let streams = AsSent::new(Version::V311, Unchanged);
    let carry = Carry::new(device_leg, broker_leg, streams, Arc::clone(&connection));
    let (tell, carried) = tokio::sync::oneshot::channel();
    event_loop::spawn(async move { assert!(tell.send(carry.await).is_ok()) });
    let packet = large(60_000, PINGREQ);
    assert!(through(&mut device, &mut broker, &packet).await == packet);
    assert!(!bypass::was_used());
    let mut len = packet.len();
    let packet = large(12_000_000, PINGREQ);
    assert!(through(&mut device, &mut broker, &packet).await == packet);
    assert!(bypass::was_used());
    len += packet.len();
    let counts = connection.counters.read();
    assert_eq!((counts.device_up, counts.broker_up), (2, 2));
    assert_eq!(counts.bytes_up, len as u64);
    let packet = large(12_000_000, PINGRESP);
    assert!(through(&mut broker, &mut device, &packet).await == packet);
    let counts = connection.counters.read();
    assert_eq!((counts.broker_down, counts.device_down), (1, 1));
    assert_eq!(counts.bytes_down, packet.len() as u64);
    device.write_all(&DISCONNECT).await.unwrap();
    drop(broker);
    assert!(matches!(carried.await.unwrap(), Ending::DeviceDisconnected));
}

#[cfg(target_os = "linux")]
#[test]
fn urgent_data_in_a_large_packet_holds_up_nothing_behind_it() {
    on_real_sockets(urgent_data_where_a_splice_begins());
}

#[cfg(target_os = "linux")]
async fn urgent_data_where_a_splice_begins() {
    let ((mut device, device_leg), (mut broker, broker_leg)) =
        (event_loop::pair().await, event_loop::pair().await);
    let packet = large(1_000_000, PINGREQ);
    // One read and one splice, both as large as can be.
    let (before, behind) = packet.split_at(2 * portion::LARGEST);
    SockRef::from(&device_leg)
        .set_recv_buffer_size(4 * before.len())
        .unwrap();
    device.write_all(before).await.unwrap();
    SockRef::from(&device).send_out_of_band(b"!").unwrap();
    let streams = AsSent::new(Version::V311, Unchanged);
    let carry = Carry::new(device_leg, broker_leg, streams, connection(Version::V311, 0));
    event_loop::spawn(async move { drop(carry.await) });
    let mut got = vec![0; packet.len()];
    let all = async { tokio::join!(device.write_all(behind), broker.read_exact(&mut got)) };
    let (sent, taken) = tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
    sent.and(taken).unwrap();
    assert!(got == packet);
}
