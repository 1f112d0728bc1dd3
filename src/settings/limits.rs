//! Settings of what devices may take of the relay.

use crate::relay::Limits;
use clap::Args;
use std::num::{NonZeroU32, NonZeroUsize};

/// What devices may take of the relay. The defaults are of [`Limits`].
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Connections in all [default: what the limit of open files allows, two a connection, three with the embedded broker]
    #[arg(
        long = "relay-max-connections",
        env = "SIMRELAY_RELAY_MAX_CONNECTIONS",
        value_parser = super::count::at_least_one::<NonZeroUsize>,
        value_name = "N",
        global = true
    )]
    pub max_connections: Option<NonZeroUsize>,

    /// Connections of one SIM, those that are being closed among them [default: 1000, at most half of all]
    #[arg(
        long = "relay-max-connections-per-sim",
        env = "SIMRELAY_RELAY_MAX_CONNECTIONS_PER_SIM",
        value_parser = super::count::at_least_one::<NonZeroUsize>,
        value_name = "N",
        global = true
    )]
    pub max_connections_per_sim: Option<NonZeroUsize>,

    /// Connections being opened, from accept to the broker's answer [default: 5000]
    #[arg(
        long = "relay-max-handshakes",
        env = "SIMRELAY_RELAY_MAX_HANDSHAKES",
        value_parser = super::count::at_least_one::<NonZeroUsize>,
        value_name = "N",
        global = true
    )]
    pub max_handshakes: Option<NonZeroUsize>,

    /// Those of one SIM [default: 250, at most a quarter of all connections]
    #[arg(
        long = "relay-max-handshakes-per-sim",
        env = "SIMRELAY_RELAY_MAX_HANDSHAKES_PER_SIM",
        value_parser = super::count::at_least_one::<NonZeroUsize>,
        value_name = "N",
        global = true
    )]
    pub max_handshakes_per_sim: Option<NonZeroUsize>,

    /// Those of all addresses that belong to no SIM [default: 100, at most a tenth of all connections]
    #[arg(
        long = "relay-max-strangers",
        env = "SIMRELAY_RELAY_MAX_STRANGERS",
        value_parser = super::count::at_least_one::<NonZeroUsize>,
        value_name = "N",
        global = true
    )]
    pub max_strangers: Option<NonZeroUsize>,

    /// New connections a second that one SIM, or all addresses of no SIM together, may open; fifty times as many at once
    #[arg(
        long = "relay-max-rate-per-sim",
        env = "SIMRELAY_RELAY_MAX_RATE_PER_SIM",
        default_value = "20",
        value_parser = super::count::at_least_one::<NonZeroU32>,
        value_name = "N",
        global = true
    )]
    pub max_rate_per_sim: Option<NonZeroU32>,

    /// Connections let in a second, of all SIMs together; more wait in the kernel's queue. 0 for no limit
    #[arg(
        long = "relay-max-rate",
        env = "SIMRELAY_RELAY_MAX_RATE",
        default_value = "20000",
        value_name = "N",
        global = true
    )]
    pub max_rate: Option<u32>,
}

impl LimitArgs {
    /// The limits of a process that may have so many descriptors open.
    #[must_use]
    pub fn limits(&self, descriptors: u64) -> Limits {
        let own = self
            .max_connections
            .map_or_else(|| Limits::of(descriptors), |n| Limits::sharing(n.get()));
        let or = |given: Option<NonZeroUsize>, own: usize| given.map_or(own, NonZeroUsize::get);
        Limits {
            connections: own.connections,
            per_sim: or(self.max_connections_per_sim, own.per_sim),
            handshakes: or(self.max_handshakes, own.handshakes),
            handshakes_per_sim: or(self.max_handshakes_per_sim, own.handshakes_per_sim),
            strangers: or(self.max_strangers, own.strangers),
            rate: self.max_rate_per_sim.map_or(own.rate, NonZeroU32::get),
            accepts: self.max_rate.map_or(own.accepts, NonZeroU32::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_goes_before_what_follows_from_the_descriptors() {
        let given = LimitArgs {
            max_connections: NonZeroUsize::new(40),
            max_strangers: NonZeroUsize::new(7),
            ..LimitArgs::default()
        };
        let limits = given.limits(1_000_000);
        assert_eq!(
            (limits.connections, limits.per_sim, limits.strangers),
            (40, 20, 7)
        );
        assert_eq!(LimitArgs::default().limits(1024), Limits::of(1024));
        let unpaced = LimitArgs {
            max_rate: Some(0),
            ..LimitArgs::default()
        };
        assert_eq!(unpaced.limits(1024).accepts, None);
    }
}
