//! What connections counted, summed by SIM and entry point, and the usage lines in the log.

use super::Counts;
use crate::sim::{GroupId, Imsi};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a sum is for: one SIM through one entry point towards one kind of destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UsageKey {
    /// The SIM.
    pub imsi: Imsi,
    /// The group that held the entry point.
    pub group: Option<GroupId>,
    /// The entry point's key in the group.
    pub entry_point: &'static str,
    /// Whether the broker leg is MQTTS (`outMqtts`) or MQTT (`outMqtt`).
    pub tls: bool,
}

/// Sums by key.
pub type Sums = HashMap<UsageKey, Counts>;

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
        let active = |(_, counts): &(UsageKey, Counts)| counts.requests() > 0;
        let (due, waiting): (Sums, Sums) = std::mem::take(&mut self.0).into_iter().partition(active);
        self.0 = waiting;
        for (key, counts) in due {
            tracing::info!(
                event = "usage",
                imsi = %key.imsi,
                group = key.group.as_ref().map(GroupId::as_str),
                interval,
                in_mqtt = counts.device_leg(),
                out_mqtt = if key.tls { 0 } else { counts.broker_leg() },
                out_mqtts = if key.tls { counts.broker_leg() } else { 0 },
                device_up = counts.device_up,
                broker_up = counts.broker_up,
                broker_down = counts.broker_down,
                device_down = counts.device_down,
                bytes_up = counts.bytes_up,
                bytes_down = counts.bytes_down,
                "usage"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_one_sim_are_one_sum_for_each_kind_of_broker_leg() {
        let key = |tls| UsageKey {
            imsi: Imsi::new("440103000000001").unwrap(),
            group: None,
            entry_point: "mqtt://beam.soracom.io:1883",
            tls,
        };
        let meter = Meter::default();
        let one = Counts {
            device_up: 1,
            broker_up: 1,
            ..Counts::default()
        };
        meter.add(key(false), one);
        meter.add(key(false), one);
        meter.add(key(true), one);
        meter.add(key(true), Counts::default());
        let sums = meter.take();
        assert_eq!(sums[&key(false)].device_leg(), 2);
        assert_eq!(sums[&key(true)].device_leg(), 1);
        assert!(meter.take().is_empty());
    }
}
