//! What the devices, their SIMs and their topics are called.

use std::net::Ipv4Addr;

const FIRST_ADDRESS: u32 = u32::from_be_bytes([127, 1, 0, 1]);
const FIRST_IMSI: u64 = 440_101_000_000_000;
const FIRST_SIM_ID: u64 = 8_981_100_000_000_000_000;

/// The address that a device calls from.
pub fn address(device: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST_ADDRESS + device as u32)
}

pub fn imsi(device: u64) -> u64 {
    FIRST_IMSI + device
}

pub fn sim_id(device: u64) -> u64 {
    FIRST_SIM_ID + device
}

pub fn client_id(device: u64) -> String {
    format!("device-{device}")
}

/// The device with this client id.
pub fn device(client_id: &[u8]) -> Option<u64> {
    std::str::from_utf8(client_id)
        .ok()?
        .strip_prefix("device-")?
        .parse()
        .ok()
}

/// The topic that the broker must see.
pub fn uplink_topic(device: u64) -> String {
    format!("sensors/{}/temp", imsi(device))
}

/// The topic that the broker sends to.
pub fn downlink_topic(device: u64) -> String {
    format!("commands/{}/set", imsi(device))
}
