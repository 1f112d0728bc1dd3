//! What connections counted, summed by SIM and entry point, and the usage lines in the log.

use super::Counts;
use crate::entrypoint::Scheme;
use crate::sim::{GroupId, Imsi, Sim};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a sum is for: one SIM in one group, through its entry point for MQTT, towards one kind of destination.
///
/// Holds the SIM rather than its names, as there are as many keys as SIMs that speak.
#[derive(Debug, Clone)]
pub struct UsageKey {
    sim: Arc<Sim>,
    scheme: Scheme,
}

impl UsageKey {
    /// A key for `sim` in the group that it is in.
    #[must_use]
    pub fn new(sim: Arc<Sim>, scheme: Scheme) -> Self {
        Self { sim, scheme }
    }

    /// The SIM.
    #[must_use]
    pub fn imsi(&self) -> &Imsi {
        &self.sim.imsi
    }

    /// The group that held the entry point.
    #[must_use]
    pub fn group(&self) -> Option<&GroupId> {
        self.sim.group_id.as_ref()
    }

    /// Whether the broker leg is MQTT (`outMqtt`) or MQTTS (`outMqtts`).
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What makes it this key and no other.
    fn parts(&self) -> (&Imsi, Option<&GroupId>, Scheme) {
        (self.imsi(), self.group(), self.scheme)
    }
}

impl PartialEq for UsageKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for UsageKey {}

impl Hash for UsageKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

/// Sums by key.
pub type Sums = HashMap<UsageKey, Counts, RandomState>;

/// Where connections hand in what they counted, once each, and the bookkeeper takes it out, once.
#[derive(Debug, Default, Clone)]
pub struct Meter {
    handed_in: Arc<Mutex<Sums>>,
}

impl Meter {
    /// Adds what a connection counted since it last reported.
    pub fn add(&self, key: UsageKey, counts: Counts) {
        if !counts.is_zero() {
            *self.lock().entry(key).or_default() += counts;
        }
    }

    /// Everything added since the last call.
    #[must_use]
    pub fn take(&self) -> Sums {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Sums> {
        self.handed_in.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The usage lines of the log, gathered until they are due.
#[derive(Debug, Default)]
pub struct UsageLines(Sums);

impl UsageLines {
    /// Adds to the next line of `key`.
    pub fn add(&mut self, key: &UsageKey, counts: &Counts) {
        match self.0.get_mut(key) {
            Some(sum) => *sum += *counts,
            None => drop(self.0.insert(key.clone(), *counts)),
        }
    }

    /// Writes one line for each key that had a request since the last call; the bytes of the others wait
    /// for their next request. `interval` is in seconds.
    pub fn log(&mut self, interval: u64) {
        self.0.retain(|key, counts| {
            let waits = counts.requests() == 0;
            if !waits {
                line(key, counts, interval);
            }
            waits
        });
    }
}

fn line(key: &UsageKey, counts: &Counts, interval: u64) {
    let (out_mqtt, out_mqtts) = match key.scheme {
        Scheme::Mqtt => (counts.broker_leg(), 0),
        Scheme::Mqtts => (0, counts.broker_leg()),
    };
    tracing::info!(
        event = "usage",
        imsi = %key.imsi(),
        group = key.group().map(GroupId::as_str),
        interval,
        in_mqtt = counts.device_leg(),
        out_mqtt,
        out_mqtts,
        device_up = counts.device_up,
        broker_up = counts.broker_up,
        broker_down = counts.broker_down,
        device_down = counts.device_down,
        bytes_up = counts.bytes_up,
        bytes_down = counts.bytes_down,
        "usage"
    );
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sim::SimId;

    pub(in crate::usage) fn key_of(imsi: &str, scheme: Scheme) -> UsageKey {
        let sim_id = SimId::new("8981100000000000017").unwrap();
        let mut sim = Sim::new(sim_id, Imsi::new(imsi).unwrap());
        sim.group_id = Some(GroupId::new("default").unwrap());
        UsageKey::new(Arc::new(sim), scheme)
    }

    #[test]
    fn connections_of_one_sim_are_one_sum_for_each_kind_of_broker_leg() {
        let key = |scheme| key_of("440103000000001", scheme);
        let meter = Meter::default();
        let one = Counts {
            device_up: 1,
            broker_up: 1,
            ..Counts::default()
        };
        meter.add(key(Scheme::Mqtt), one);
        meter.add(key(Scheme::Mqtt), one);
        meter.add(key(Scheme::Mqtts), one);
        meter.add(key(Scheme::Mqtts), Counts::default());
        let sums = meter.take();
        assert_eq!(sums[&key(Scheme::Mqtt)].device_leg(), 2);
        assert_eq!(sums[&key(Scheme::Mqtts)].device_leg(), 1);
        assert!(meter.take().is_empty());
    }

    #[test]
    fn keys_differ_in_sim_group_and_kind_of_broker_leg() {
        let key = key_of("440103000000001", Scheme::Mqtt);
        assert_eq!(key, key_of("440103000000001", Scheme::Mqtt));
        assert_ne!(key, key_of("440103000000002", Scheme::Mqtt));
        assert_ne!(key, key_of("440103000000001", Scheme::Mqtts));
        let sim = Sim {
            group_id: None,
            ..Sim::clone(&key.sim)
        };
        assert_ne!(key, UsageKey::new(Arc::new(sim), Scheme::Mqtt));
    }
}
