//! Where the relay writes down what happens: usage, refusals, and the tally of all of it.

use super::Tally;
use super::line_budget::LineBudget;
use crate::database::Database;
use crate::logbook::LogBook;
use crate::usage::{Ledger, Meter};
use std::sync::Arc;

/// Where the relay writes down what happened.
#[derive(Debug, Clone)]
pub struct Books {
    /// Requests, for good.
    pub ledger: Arc<Ledger>,
    /// What went wrong.
    pub logbook: Arc<LogBook>,
    /// Numbers since the start.
    pub tally: Arc<Tally>,
    pub(super) meter: Meter,
    /// Refusals of late that got a log line.
    pub(super) lines: Arc<LineBudget>,
}

impl Books {
    /// Books that are kept in this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self {
            ledger: Arc::new(Ledger::new(database.clone())),
            logbook: Arc::new(LogBook::new(database.clone())),
            tally: Arc::default(),
            meter: Meter::default(),
            lines: Arc::default(),
        }
    }
}
