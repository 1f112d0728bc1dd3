//! What is counted for the bill, and where the counts go.
//!
//! A request is one message on one leg: one PUBLISH that passes is two. A connection counts in plain
//! numbers of its own ([`Counters`]); every second they are read and handed to the [`Meter`], from where
//! each delta goes once into the next log line ([`UsageLines`]) and once into the [`Ledger`], by way of
//! [`Pending`], which keeps what the database did not take yet.

mod counters;
mod ledger;
mod meter;
mod pending;
mod period;

pub use counters::{Counters, Counts, Reported};
pub use ledger::{ExportRow, Ledger, LedgerError, StatsRow};
pub use meter::{Meter, Sums, UsageKey, UsageLines};
pub use pending::Pending;
pub use period::{InvalidPeriod, Period, UNDATED};
