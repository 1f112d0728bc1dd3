//! The relay as its users meet it: the real program, real brokers, devices with addresses of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod site;

mod addresses;
mod admin;
mod bad_input;
mod changes;
mod commands;
mod counting;
#[cfg(feature = "embedded-broker")]
mod first_run;
mod isolation;
mod keep_alive;
mod load;
mod login;
mod refusals;
mod streams;
mod tls;
mod tools;
mod topics;
mod wills;
