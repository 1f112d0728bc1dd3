//! What is compared.

use super::connections::{self, STORM_SIMS};
use super::figure::Figure;
use super::large;
use super::proxy::Kind;
use super::rig::{Rig, on_runtime};
use super::sink::Door;
use super::uplink::{self, Flood};
use super::{downlink, system_calls};

const FLEET: u64 = 200;
/// Messages a second of the paced cases.
const RATE: u64 = 20_000;

/// One thing that is measured.
pub struct Case {
    pub letters: &'static str,
    pub name: &'static str,
    pub run: fn(Kind, &Size) -> Vec<Figure>,
}

impl Case {
    /// Whether there is TLS towards the broker.
    pub fn has_tls(&self) -> bool {
        self.letters.starts_with('h')
    }
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub messages: u64,
    pub acknowledged: u64,
    pub seconds: f64,
    pub connects: u64,
    pub tls_connects: u64,
    pub idle: u64,
    pub tls_idle: u64,
    pub large: usize,
    pub traced: u64,
}

impl Size {
    pub const FULL: Self = Self {
        messages: 10_000_000,
        acknowledged: 4_000_000,
        seconds: 5.0,
        connects: 20_000,
        tls_connects: 3_000,
        idle: 9_000,
        tls_idle: 2_000,
        large: 200_000_000,
        traced: 4_000,
    };
    /// Only that it runs.
    pub const QUICK: Self = Self {
        messages: 20_000,
        acknowledged: 20_000,
        seconds: 0.2,
        connects: 200,
        tls_connects: 100,
        idle: 200,
        tls_idle: 50,
        large: 5_000_000,
        traced: 400,
    };
}

pub const CASES: [Case; 14] = [
    Case {
        letters: "a",
        name: "1 device, QoS 0, as fast as it goes",
        run: |kind, size| {
            measured(kind, Door::Plain, 1, async |rig| {
                uplink::flood_cost(rig, 1, size.messages, Flood::Qos0).await
            })
        },
    },
    Case {
        letters: "b",
        name: "200 devices, QoS 1, 20,000 messages/s in all",
        run: |kind, size| {
            measured(kind, Door::Plain, FLEET, async |rig| {
                uplink::paced_cost(rig, FLEET, RATE, size.seconds).await
            })
        },
    },
    Case {
        letters: "c",
        name: "200 devices, QoS 0, as fast as they go",
        run: |kind, size| {
            measured(kind, Door::Plain, FLEET, async |rig| {
                uplink::flood_cost(rig, FLEET, size.messages, Flood::Qos0).await
            })
        },
    },
    Case {
        letters: "c1",
        name: "200 devices, QoS 1, 100 unacknowledged each",
        run: |kind, size| {
            measured(kind, Door::Plain, FLEET, async |rig| {
                uplink::flood_cost(rig, FLEET, size.acknowledged, Flood::Qos1).await
            })
        },
    },
    Case {
        letters: "d",
        name: "broker to 200 devices, 20,000 messages/s in all",
        run: |kind, size| {
            measured(kind, Door::Plain, FLEET, async |rig| {
                downlink::paced(rig, FLEET, RATE, size.seconds).await
            })
        },
    },
    Case {
        letters: "d2",
        name: "broker to 200 devices, as fast as it goes",
        run: |kind, size| {
            measured(kind, Door::Plain, FLEET, async |rig| {
                downlink::flood(rig, FLEET, size.messages).await
            })
        },
    },
    Case {
        letters: "e",
        name: "connect, CONNACK, DISCONNECT; 64 at a time",
        run: |kind, size| {
            measured(kind, Door::Plain, STORM_SIMS, async |rig| {
                connections::storm(rig, size.connects).await
            })
        },
    },
    Case {
        letters: "f",
        name: "idle connections",
        run: |kind, size| {
            measured(kind, Door::Plain, size.idle, async |rig| {
                connections::idle(rig, size.idle).await
            })
        },
    },
    Case {
        letters: "g",
        name: "one PUBLISH of 200 MB",
        run: |kind, size| {
            measured(kind, Door::Plain, 1, async |rig| {
                large::publish(rig, size.large).await
            })
        },
    },
    Case {
        letters: "hb",
        name: "as b, TLS to the broker",
        run: |kind, size| {
            measured(kind, Door::Full, FLEET, async |rig| {
                uplink::paced_cost(rig, FLEET, RATE, size.seconds).await
            })
        },
    },
    Case {
        letters: "he",
        name: "as e, TLS to the broker, full handshakes",
        run: |kind, size| {
            measured(kind, Door::Full, STORM_SIMS, async |rig| {
                connections::storm(rig, size.tls_connects).await
            })
        },
    },
    Case {
        letters: "hr",
        name: "as e, TLS to the broker, which gives tickets",
        run: |kind, size| {
            measured(kind, Door::Resuming, STORM_SIMS, async |rig| {
                connections::storm(rig, size.tls_connects).await
            })
        },
    },
    Case {
        letters: "hf",
        name: "idle connections, TLS to the broker",
        run: |kind, size| {
            measured(kind, Door::Full, size.tls_idle, async |rig| {
                connections::idle(rig, size.tls_idle).await
            })
        },
    },
    Case {
        letters: "s",
        name: "200 devices, QoS 1, one message at a time",
        run: |kind, size| {
            measured(kind, Door::Plain, FLEET, async |rig| {
                system_calls::per_message(rig, size.traced).await
            })
        },
    },
];

fn measured(
    kind: Kind,
    door: Door,
    devices: u64,
    work: impl AsyncFnOnce(&Rig) -> Vec<Figure>,
) -> Vec<Figure> {
    on_runtime(async {
        let rig = Rig::new(kind, door, devices);
        work(&rig).await
    })
}
