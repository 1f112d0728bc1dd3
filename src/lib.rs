//! simrelay: a self-hosted cellular MQTT relay in the style of SORACOM Beam.
#[cfg(feature = "embedded-broker")]
pub mod broker;
pub mod cli;
pub mod entrypoint;
pub mod logging;
pub mod mqtt;
pub mod relay;
pub mod serve;
pub mod settings;
pub mod sim;
pub mod store;
pub mod upstream;
pub mod usage;
