//! How much devices may take of the relay, together and each.

use crate::sim::Imsi;
use std::num::NonZeroU32;

/// Connections of one SIM unless told otherwise: more than a gateway with a client for every sensor opens.
const PER_SIM: usize = 1000;
/// Handshakes of one SIM unless told otherwise.
const HANDSHAKES_PER_SIM: usize = 250;
/// Handshakes in all unless told otherwise: at 100 ms each, 50,000 connections a second.
const HANDSHAKES: usize = 5000;
/// Handshakes of addresses that belong to no SIM unless told otherwise.
const STRANGERS: usize = 100;
/// New connections a second of one SIM unless told otherwise: each costs two lines of the log, and for a minute a port
/// towards the broker where the device leaves without DISCONNECT.
const RATE: u32 = 20;
/// Connections let in a second in all unless told otherwise: more than a core lets in.
const ACCEPTS: u32 = 20_000;
/// No default is larger; a container's descriptor limit may be a thousand million.
const MOST: u64 = 500_000;

/// How much devices may take of the relay. Each number is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all, handshakes among them.
    pub connections: usize,
    /// Connections of one SIM.
    pub per_sim: usize,
    /// Handshakes under way in all.
    pub handshakes: usize,
    /// Handshakes under way of one SIM.
    pub handshakes_per_sim: usize,
    /// Handshakes under way of all addresses that belong to no SIM.
    pub strangers: usize,
    /// New connections a second that one SIM, or all strangers together, may open for long.
    pub rate: u32,
    /// Connections let in a second, all together; `None` for as many as come. Those beyond it wait to be accepted.
    pub accepts: Option<NonZeroU32>,
}

impl Limits {
    /// What `descriptors` open files allow: two to a connection, and some left for all else. No SIM can take
    /// more than half of it, and strangers a tenth.
    #[must_use]
    pub fn of(descriptors: u64) -> Self {
        let spare = 100 + descriptors / 25;
        let connections = (descriptors.saturating_sub(spare) / 2).clamp(10, MOST) as usize;
        Self::sharing(connections)
    }

    /// So many connections in all, shared by the same rule.
    #[must_use]
    pub fn sharing(connections: usize) -> Self {
        let part = |parts: usize, most: usize| (connections / parts).clamp(1, most);
        Self {
            connections,
            per_sim: part(2, PER_SIM),
            handshakes: part(1, HANDSHAKES),
            handshakes_per_sim: part(4, HANDSHAKES_PER_SIM),
            strangers: part(10, STRANGERS),
            rate: RATE,
            accepts: NonZeroU32::new(ACCEPTS),
        }
    }
}

/// Which limit a new connection would go over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverLimit {
    /// That of connections in all.
    #[error("the relay carries {0} connections, as many as it may")]
    Connections(usize),
    /// That of connections of its SIM.
    #[error("SIM {imsi} has {limit} connections, as many as it may")]
    OfSim {
        /// The SIM.
        imsi: Imsi,
        /// The limit.
        limit: usize,
    },
    /// That of handshakes in all.
    #[error("{0} connections are being opened, as many as may be at a time")]
    Handshakes(usize),
    /// That of handshakes of its SIM.
    #[error("SIM {imsi} is opening {limit} connections, as many as it may at a time")]
    HandshakesOfSim {
        /// The SIM.
        imsi: Imsi,
        /// The limit.
        limit: usize,
    },
    /// That of handshakes of addresses that belong to no SIM.
    #[error("addresses that belong to no SIM are opening {0} connections, as many as they may at a time")]
    Strangers(usize),
    /// That of new connections a second.
    #[error("{} more than {limit} new connections a second", who(imsi.as_ref()))]
    Rate {
        /// The SIM; `None` for addresses that belong to no SIM.
        imsi: Option<Imsi>,
        /// The limit.
        limit: u32,
    },
}

fn who(imsi: Option<&Imsi>) -> String {
    imsi.map_or_else(
        || "addresses that belong to no SIM open".to_owned(),
        |imsi| format!("SIM {imsi} opens"),
    )
}

impl OverLimit {
    /// Its kind in one word, for counting and searching.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connections(_) => "too_many_connections",
            Self::OfSim { .. } => "too_many_connections_of_sim",
            Self::Handshakes(_) => "too_many_handshakes",
            Self::HandshakesOfSim { .. } => "too_many_handshakes_of_sim",
            Self::Strangers(_) => "too_many_strangers",
            Self::Rate { .. } => "too_fast",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Connections(_) => {
                "raise the limit of open files (LimitNOFILE= of the service) and --relay-max-connections, or add a relay"
            }
            Self::OfSim { .. } => {
                "check that the device closes the connections that it does not use, or raise --relay-max-connections-per-sim"
            }
            Self::Handshakes(_) => {
                "check that brokers answer quickly; if the machine has room, raise --relay-max-handshakes"
            }
            Self::HandshakesOfSim { .. } => {
                "check that the device ends its CONNECT and its broker answers, or raise --relay-max-handshakes-per-sim"
            }
            Self::Strangers(_) => {
                "something scans or floods the port: close it to other networks, or add the addresses to their SIMs"
            }
            Self::Rate { imsi: Some(_), .. } => {
                "check why the device connects again and again, or raise --relay-max-rate-per-sim"
            }
            Self::Rate { imsi: None, .. } => "something floods the port: close it to other networks",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_two_descriptors_and_nobody_gets_all() {
        for (descriptors, connections, per_sim, strangers) in [
            (0, 10, 5, 1),
            (256, 73, 36, 7),
            (1024, 442, 221, 44),
            (20_000, 9550, 1000, 100),
            (1 << 30, 500_000, 1000, 100),
        ] {
            let limits = Limits::of(descriptors);
            let found = (limits.connections, limits.per_sim, limits.strangers);
            assert_eq!(found, (connections, per_sim, strangers), "{descriptors}");
        }
    }
}
