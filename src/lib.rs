//! simrelay: a self-hosted cellular MQTT relay in the style of SORACOM Beam.

pub mod api;
pub mod entrypoint;
pub mod explain;
pub mod mqtt;
pub mod sim;
pub mod store;
