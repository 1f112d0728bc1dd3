//! The relay as its users meet it: the real program, real brokers, devices with addresses of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]
// What only the tests of the embedded broker use.
#![cfg_attr(not(feature = "embedded-broker"), allow(dead_code, unused_imports))]

mod site;

mod acknowledgements;
mod addresses;
mod admin;
mod api_tls;
mod audit;
mod aws;
mod azure;
mod bad_input;
mod bridge;
mod changes;
mod commands;
mod counting;
mod doctor;
mod elsewhere;
mod expiry;
mod faults;
#[cfg(feature = "embedded-broker")]
mod first_run;
mod floods;
mod google;
mod hostile;
mod hostile_latency;
mod isolation;
mod keep_alive;
mod library;
mod load;
mod local_ports;
mod login;
mod mail;
mod names;
mod notifications;
mod one_relay;
mod ownership;
mod package;
mod platform_version;
mod pubnub;
mod readiness;
mod refusals;
mod rotation;
mod secrets;
mod security_levels;
mod service_metrics;
mod slow_callers;
mod streams;
mod systemd;
mod tls;
mod tokens;
mod tools;
mod topics;
mod wills;
mod wrong_tokens;
