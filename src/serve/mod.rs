//! `simrelay run` and its parts: services started in order, signals, services shut down in order.

mod admin;
mod banner;
mod bridge;
mod configuration;
mod error;
mod notifier;
mod relay;
mod signals;
mod site;
mod systemd;

pub use bridge::bridge;
pub use error::{NotifierError, StartError};
pub use notifier::notifier;
pub use site::run;
