//! What the tests stand on: the real relay, real brokers, devices with addresses of their own.

mod bystander;
mod certificates;
mod cloud;
mod configuration;
mod device;
mod fake_broker;
mod http;
mod mosquitto;
mod network;
mod packet;
mod python;
mod service;
mod simrelay;
mod tool;

pub(crate) use bystander::Bystander;
pub(crate) use certificates::Authority;
pub(crate) use cloud::{Cloud, platform};
pub(crate) use configuration::{Configuration, entry_point, fleet_address, imei, imsi, sim_address, sim_id};
pub(crate) use device::Device;
pub(crate) use fake_broker::{FakeBroker, TlsBroker};
pub(crate) use http::{Answer, Http};
pub(crate) use mosquitto::{Mosquitto, Watcher, free_address};
pub(crate) use network::{
    has_read_to_the_end, hosts_from, inside_own_network, must_run, name_server_at, packet_rules, packets_met,
};
pub(crate) use packet::{
    CONNACK_5, CONNACK_311, Connect, PINGREQ, PINGRESP, Packet, Version, Will, auth, disconnect, frame,
    property_text, puback, publish, publish_5, read_packet, subscribe, unsubscribe,
};
pub(crate) use python::python;
pub(crate) use service::{Reply, WebService};
pub(crate) use simrelay::{Simrelay, bridge_login, run, run_in_environment, secret_file, told};
pub(crate) use tool::{mosquitto_pub, mosquitto_sub};

use std::time::{Duration, Instant};

/// How long anything may take that is expected to happen soon. Generous: the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Waits until `look` gives something; `what` says for what, if it never does.
pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
