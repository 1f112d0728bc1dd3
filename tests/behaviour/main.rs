//! The relay as its users meet it: the real program, real brokers, devices with addresses of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]
// What only the tests of the embedded broker use.
#![cfg_attr(not(feature = "embedded-broker"), allow(dead_code, unused_imports))]

mod site;

mod addresses;
mod admin;
mod bad_input;
mod bridge;
mod changes;
mod commands;
mod counting;
mod doctor;
#[cfg(feature = "embedded-broker")]
mod first_run;
mod isolation;
mod keep_alive;
mod library;
mod load;
mod login;
mod mail;
mod notifications;
mod package;
mod refusals;
mod security_levels;
mod streams;
mod systemd;
mod tls;
mod tools;
mod topics;
mod wills;
