//! Somebody who has nothing to do with it.

use super::{CONNACK_311, Connect, Device, FakeBroker, Simrelay, Version, disconnect, puback, publish};

/// A connection that was there before and must not notice anything.
#[derive(Debug)]
pub(crate) struct Bystander {
    device: Device,
    upstream: Device,
    sent: u64,
}

impl Bystander {
    pub(crate) fn connect(relay: &Simrelay, broker: &FakeBroker) -> Self {
        let mut device = relay.device(2);
        device.send(&Connect::new(Version::V311, "bystander").bytes());
        let (upstream, _) = broker.admit(CONNACK_311);
        device.expect(CONNACK_311);
        Self {
            device,
            upstream,
            sent: 0,
        }
    }

    pub(crate) fn is_well(&mut self) {
        let packet = publish("t", 1, 1, b"fine");
        self.device.send(&packet);
        self.upstream.expect(&packet);
        self.upstream.send(&puback(1));
        self.device.expect(&puback(1));
        self.sent += 1;
    }

    /// Its count is right in the end.
    pub(crate) fn leave(mut self, relay: &Simrelay) {
        self.device.send(&disconnect());
        self.upstream.expect(&disconnect());
        drop(self.upstream);
        let line = relay.closed("bystander");
        assert_eq!(
            (&line["device_up"], &line["broker_up"]),
            (&self.sent.into(), &self.sent.into())
        );
    }
}
