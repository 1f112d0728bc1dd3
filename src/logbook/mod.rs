//! What went wrong, per SIM, for the person who has to mend it: bounded, and kept over restarts.
//!
//! The data plane drops entries into a [`Queue`] and never waits; every second the [`LogBook`] writes them
//! to SQLite. A flood is cut off in the queue, source by source, and counted.

mod book;
mod queue;

use crate::sim::Imsi;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

pub use book::{Found, LogBook, LogBookError, LogQuery, PageKey};
pub use queue::Queue;

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A SIM.
    Sim(Imsi),
    /// A source address that belongs to no SIM.
    Address(IpAddr),
}

/// What kind of [`Source`] it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A SIM.
    Sim,
    /// A source address that belongs to no SIM.
    Address,
}

impl Source {
    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::Sim(_) => SourceKind::Sim,
            Self::Address(_) => SourceKind::Address,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sim(imsi) => imsi.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The broker leg failed.
    Error,
    /// The device or its configuration has to change.
    Warning,
    /// An administrator's doing.
    Info,
}

impl Level {
    /// Its name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One thing that went wrong.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub time: i64,
    /// To whom.
    pub source: Source,
    /// How bad it is.
    pub level: Level,
    /// What, as a JSON object.
    pub body: serde_json::Map<String, serde_json::Value>,
}

/// The longest text in a body, in characters: client ids and brokers' answers come from outside.
const MAX_TEXT: usize = 512;

/// `text` as it may stand in a body.
#[must_use]
pub fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}
