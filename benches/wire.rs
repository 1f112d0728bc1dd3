//! Cost per packet of the two scanners, of the splice and of the usage counter.
#![allow(missing_docs, clippy::expect_used)]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use simrelay::entrypoint::Scheme;
use simrelay::mqtt::{Connect, Downlink, Login, Scratch, TopicRewrite, Unchanged, Uplink, Version};
use simrelay::sim::{Imsi, Sim, SimId};
use simrelay::usage::{Counters, Counts, Meter, Reported, UsageKey};
use std::hint::black_box;
use std::sync::Arc;

const IMSI: &str = "440103000000001";
const HOLDER: &str = "{{imsi}}";
const BATCH: usize = 64 * 1024;

/// Replaces `{{imsi}}` and appends a suffix to topic names, as an entry point does.
#[derive(Debug, Clone, Copy)]
struct Rules {
    replace: bool,
    suffix: &'static str,
}

impl Rules {
    fn replace(self, topic: &str, suffix: &str, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let mut rest = topic;
        while self.replace
            && let Some(at) = memchr::memchr(b'{', rest.as_bytes())
        {
            let (before, from) = rest.split_at(at);
            let (value, len) = if from.starts_with(HOLDER) {
                (IMSI, HOLDER.len())
            } else {
                ("{", 1)
            };
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(value.as_bytes());
            rest = &from[len..];
        }
        if rest.len() == topic.len() && suffix.is_empty() {
            out.truncate(start);
            return false;
        }
        out.extend_from_slice(rest.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        true
    }
}

impl TopicRewrite for Rules {
    fn topic_name(&self, topic: &str, out: &mut Vec<u8>) -> bool {
        self.replace(topic, self.suffix, out)
    }

    fn topic_filter(&self, filter: &str, out: &mut Vec<u8>) -> bool {
        self.replace(filter, "", out)
    }

    fn response_topic(&self, topic: &str, out: &mut Vec<u8>) -> bool {
        self.replace(topic, "", out)
    }

    fn rewrites_filters(&self) -> bool {
        self.replace
    }

    fn rewrites_response_topics(&self) -> bool {
        self.replace
    }
}

const REPLACE: Rules = Rules {
    replace: true,
    suffix: "",
};

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut len = body.len();
    while len >= 0x80 {
        packet.push(len as u8 | 0x80);
        len >>= 7;
    }
    packet.push(len as u8);
    packet.extend_from_slice(body);
    packet
}

/// A PUBLISH with a payload of `payload` bytes.
fn publish(qos: u8, version: Version, topic: &str, payload: usize) -> Vec<u8> {
    let mut body = Vec::new();
    string(&mut body, topic.as_bytes());
    if qos > 0 {
        body.extend_from_slice(&[0, 7]);
    }
    if version == Version::V5 {
        body.push(0);
    }
    body.resize(body.len() + payload, b'x');
    framed(0x30 | qos << 1, &body)
}

/// As many whole packets as fit into one read.
fn batch(packet: &[u8]) -> (Vec<u8>, u64) {
    let count = (BATCH / packet.len()).max(1);
    (packet.repeat(count), count as u64)
}

fn uplink(
    c: &mut Criterion,
    name: &str,
    version: Version,
    rewrite: impl TopicRewrite + Copy,
    input: &[u8],
    count: u64,
) {
    let mut group = c.benchmark_group("uplink");
    group.throughput(Throughput::Elements(count));
    group.bench_function(BenchmarkId::from_parameter(name), |b| {
        let mut uplink = Uplink::new(version, rewrite);
        let mut scratch = Scratch::default();
        b.iter(|| {
            let passed = uplink.pass(black_box(input), &mut scratch);
            assert!(passed.violation.is_none());
            black_box(passed.bytes.len())
        });
    });
    group.finish();
}

fn uplinks(c: &mut Criterion) {
    const PLAIN: &str = "sensors/440103000000001/temp";
    const HOLDING: &str = "sensors/{{imsi}}/temp";
    let v4 = Version::V311;
    let suffix = Rules {
        replace: false,
        suffix: "/440103000000001",
    };
    let both = Rules {
        replace: true,
        ..suffix
    };
    let (input, count) = batch(&publish(0, v4, PLAIN, 64));
    uplink(c, "64 B, no rules", v4, Unchanged, &input, count);
    uplink(c, "64 B, nothing to replace", v4, REPLACE, &input, count);
    uplink(c, "64 B, suffix", v4, suffix, &input, count);
    let (input, count) = batch(&publish(0, v4, HOLDING, 64));
    uplink(c, "64 B, imsi", v4, REPLACE, &input, count);
    uplink(c, "64 B, imsi and suffix", v4, both, &input, count);
    let (input, count) = batch(&publish(0, Version::V5, HOLDING, 64));
    uplink(c, "64 B, imsi, MQTT 5", Version::V5, REPLACE, &input, count);
    uplink(
        c,
        "QoS 1, one packet, imsi",
        v4,
        REPLACE,
        &publish(1, v4, HOLDING, 64),
        1,
    );
    uplink(
        c,
        "4 KiB, one packet, imsi",
        v4,
        REPLACE,
        &publish(0, v4, HOLDING, 4096),
        1,
    );
    let (input, count) = batch(&publish(0, v4, HOLDING, 4096));
    uplink(c, "4 KiB, imsi", v4, REPLACE, &input, count);
    let mut body = vec![0, 7];
    for filter in ["cmd/{{imsi}}/#", "all/+/news"] {
        string(&mut body, filter.as_bytes());
        body.push(1);
    }
    uplink(c, "SUBSCRIBE, two filters", v4, REPLACE, &framed(0x82, &body), 1);
}

fn connect(c: &mut Criterion) {
    let mut body = Vec::new();
    string(&mut body, b"MQTT");
    body.extend_from_slice(&[4, 0xc6, 0, 60]);
    for field in ["device-0001", "status/{{imsi}}", "offline", "user", "password"] {
        string(&mut body, field.as_bytes());
    }
    let packet = framed(0x10, &body);
    let login = Login::Fixed {
        username: Some("relay"),
        password: Some(b"relay-password"),
    };
    let mut group = c.benchmark_group("connect");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse and patch", |b| {
        b.iter(|| {
            let connect = Connect::parse(black_box(&packet)).expect("a legal CONNECT");
            black_box(connect.patched(login, &REPLACE).expect("a short will topic"))
        });
    });
    group.finish();
}

fn downlink(c: &mut Criterion) {
    let mut group = c.benchmark_group("downlink");
    for (name, payload) in [("64 B", 64), ("4 KiB", 4096)] {
        let (input, count) = batch(&publish(
            0,
            Version::V311,
            "sensors/440103000000001/temp",
            payload,
        ));
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            let mut downlink = Downlink::new(Version::V311);
            b.iter(|| {
                let scanned = downlink.scan(black_box(&input));
                assert!(scanned.violation.is_none());
                black_box(scanned.requests)
            });
        });
    }
    group.finish();
}

/// What one PUBLISH that passes adds on its connection, and what the report of each second makes of it.
fn usage(c: &mut Criterion) {
    let sim_id: SimId = "8981100000000000017".parse().expect("a SIM id");
    let imsi: Imsi = IMSI.parse().expect("an IMSI");
    let sim = Arc::new(Sim::new(sim_id, imsi));
    let key = || UsageKey::new(Arc::clone(&sim), Scheme::Mqtt);
    let one = Counts {
        device_up: 1,
        broker_up: 1,
        bytes_up: 93,
        ..Counts::default()
    };
    let mut group = c.benchmark_group("usage");
    group.throughput(Throughput::Elements(1));
    group.bench_function("a PUBLISH on its connection", |b| {
        let counters = Counters::default();
        b.iter(|| {
            let counters = black_box(&counters);
            counters.from_device(black_box(93), black_box(1));
            counters.to_broker(black_box(1));
        });
        assert!(counters.read().device_up > 0);
    });
    group.bench_function("report of an idle connection", |b| {
        let (counters, reported) = (Counters::default(), Reported::default());
        b.iter(|| black_box(&reported).catch_up(&black_box(&counters).read()));
    });
    group.bench_function("report, first request of a SIM", |b| {
        b.iter_batched(
            Meter::default,
            |meter| {
                meter.add(key(), black_box(one));
                meter
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("report, following request of a SIM", |b| {
        let meter = Meter::default();
        meter.add(key(), one);
        b.iter(|| black_box(&meter).add(key(), black_box(one)));
        assert_eq!(meter.take().len(), 1);
    });
    group.finish();
}

criterion_group!(benches, uplinks, connect, downlink, usage);
criterion_main!(benches);
