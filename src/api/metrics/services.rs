//! Numbers of the services that run beside the relay.

use super::Page;
use crate::bridge::Outbox;
use crate::notifier::{Counters, DeliveryCounters};

impl Page {
    /// Destinations are those of `notifications.json`.
    pub(super) fn of_notifier(&mut self, counters: &Counters) {
        for (name, help, number) in counters.numbers() {
            self.counter(&format!("notifier_{name}"), help, number);
        }
        let destinations = counters.destinations();
        type Number = fn(&DeliveryCounters) -> u64;
        let numbers: [(&str, &str, Number); 3] = [
            ("delivered", "Notifications that the destination took", |d| {
                d.delivered
            }),
            ("failed", "Attempts that failed and will be made again", |d| {
                d.failed
            }),
            (
                "dead",
                "Notifications that the destination will never take",
                |d| d.dead,
            ),
        ];
        for (name, help, number) in numbers {
            let of = |(destination, of): (&String, &DeliveryCounters)| {
                (vec![("destination", destination.clone())], number(of))
            };
            self.counters(&format!("notifier_{name}"), help, destinations.iter().map(of));
        }
    }

    pub(super) fn of_bridge(&mut self, outbox: &Outbox, parked: Option<u64>) {
        for (name, help, number) in outbox.counters().numbers() {
            self.counter(&format!("bridge_{name}"), help, number);
        }
        let refusals = outbox.counters().refusals().into_iter();
        let of = |(status, number): (u16, u64)| (vec![("status", status.to_string())], number);
        self.counters(
            "bridge_http_refusals",
            "Requests that were not served, by HTTP status",
            refusals.map(of),
        );
        self.gauge(
            "bridge_waiting",
            "Messages that the broker has not taken yet",
            outbox.len(),
        );
        if let Some(parked) = parked.and_then(|parked| usize::try_from(parked).ok()) {
            self.gauge(
                "bridge_parked",
                "Messages that the broker would not have and that wait for an operator",
                parked,
            );
        }
        self.gauge(
            "bridge_broker_down",
            "1 if the broker could not be reached when it was last tried",
            usize::from(outbox.is_down()),
        );
    }
}
