//! Which devices go to which broker.

use super::sink::Broker;

/// Which devices go to which broker.
#[derive(Debug, Clone)]
pub struct Route {
    pub first: u64,
    pub devices: u64,
    /// Over how many groups their SIMs are spread.
    pub groups: u64,
    pub broker: Broker,
}

impl Route {
    /// Devices from number 0 on, in one group.
    pub fn of(devices: u64, broker: Broker) -> Self {
        Self {
            first: 0,
            devices,
            groups: 1,
            broker,
        }
    }
}
