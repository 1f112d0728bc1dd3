//! Sums by SIM, and the usage lines in the log.

use super::Counts;
use crate::sim::{Imsi, Sim};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a sum is for: one SIM towards one kind of destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UsageKey {
    /// The SIM.
    pub imsi: Imsi,
    /// Whether the broker leg is MQTTS (`outMqtts`) or MQTT (`outMqtt`).
    pub tls: bool,
}

impl UsageKey {
    /// The key for one SIM and one kind of broker leg.
    #[must_use]
    pub fn new(sim: &Sim, tls: bool) -> Self {
        Self {
            imsi: sim.imsi.clone(),
            tls,
        }
    }
}

/// Collects what connections counted since the last line, and writes one line for each active SIM.
#[derive(Debug, Default, Clone)]
pub struct Meter {
    since_last: Arc<Mutex<HashMap<UsageKey, Counts>>>,
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
    pub fn take(&self) -> HashMap<UsageKey, Counts> {
        std::mem::take(&mut *self.lock())
    }

    /// Writes one line for each SIM that was active since the last call. `interval` is in seconds.
    pub fn log(&self, interval: u64) {
        for (UsageKey { imsi, tls }, counts) in self.take() {
            tracing::info!(
                event = "usage",
                %imsi,
                interval,
                in_mqtt = counts.device_leg(),
                out_mqtt = if tls { 0 } else { counts.broker_leg() },
                out_mqtts = if tls { counts.broker_leg() } else { 0 },
                device_up = counts.device_up,
                broker_up = counts.broker_up,
                broker_down = counts.broker_down,
                device_down = counts.device_down,
                "usage"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UsageKey, Counts>> {
        self.since_last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_one_sim_are_one_sum_for_each_kind_of_broker_leg() {
        let imsi = Imsi::new("440103000000001").unwrap();
        let key = |tls| UsageKey {
            imsi: imsi.clone(),
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
