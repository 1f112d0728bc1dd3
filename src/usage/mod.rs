//! What is counted for the bill, and where the counts go.
//!
//! A request is one message on one leg: one PUBLISH that passes is two. A connection counts in plain
//! numbers of its own ([`Counters`]); every interval a [`Meter`] reads them all and sums them by SIM.

mod counters;
mod meter;

pub use counters::{Counters, Counts, Reported};
pub use meter::{Meter, UsageKey};
