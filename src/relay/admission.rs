//! May this SIM connect, and by which rules. A look-up in the snapshot, no I/O.

use super::Refusal;
use crate::entrypoint::EntryPoint;
use crate::sim::{GroupId, SimSession};
use crate::store::Snapshot;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long both sides may be silent where the device's keep alive is 0 (Beam: 30 minutes).
pub const IDLE_WITHOUT_KEEP_ALIVE: Duration = Duration::from_secs(30 * 60);

/// A SIM and the entry point that rules it.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The SIM that calls.
    pub session: SimSession,
    /// The SIM's group.
    pub group_id: GroupId,
    /// The group's MQTT entry point.
    pub entry_point: Arc<EntryPoint>,
}

impl Admission {
    /// Looks the source address up and checks Beam's rules for a CONNECT.
    ///
    /// # Errors
    /// [`Refusal`] names the SIM or the address and what is missing.
    pub fn find(snapshot: &Snapshot, address: IpAddr, keep_alive: u16) -> Result<Self, Refusal> {
        let session = snapshot
            .session(address)
            .ok_or(Refusal::UnknownAddress(address.to_canonical()))?;
        let sim = &session.sim;
        let group_id = sim
            .group_id
            .clone()
            .ok_or_else(|| Refusal::NoGroup(sim.imsi.clone()))?;
        let entry_point = snapshot
            .entry_point(&group_id)
            .ok_or_else(|| Refusal::NoEntryPoint(group_id.clone()))?;
        if !entry_point.enabled {
            return Err(Refusal::Disabled(group_id));
        }
        if !matches!(keep_alive, 0 | 5..=1200) {
            return Err(Refusal::KeepAlive(keep_alive));
        }
        Ok(Self {
            session,
            group_id,
            entry_point,
        })
    }
}

/// When a connection counts as dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleRule {
    /// Nothing from the device for so long.
    Device(Duration),
    /// Nothing from either side for so long.
    Both(Duration),
}

impl IdleRule {
    /// How long it may be silent.
    #[must_use]
    pub fn limit(self) -> Duration {
        match self {
            Self::Device(limit) | Self::Both(limit) => limit,
        }
    }
}

/// Beam's rule: 1.5 times the keep alive in force (seconds), 30 minutes where it is 0.
#[must_use]
pub fn idle_rule(keep_alive: u16) -> IdleRule {
    match keep_alive {
        0 => IdleRule::Both(IDLE_WITHOUT_KEEP_ALIVE),
        seconds => IdleRule::Device(Duration::from_millis(u64::from(seconds) * 1500)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_limit_is_half_as_long_again_as_the_keep_alive() {
        for (keep_alive, expected) in [
            (0, IdleRule::Both(Duration::from_secs(1800))),
            (5, IdleRule::Device(Duration::from_millis(7500))),
            (60, IdleRule::Device(Duration::from_secs(90))),
            (1200, IdleRule::Device(Duration::from_secs(1800))),
        ] {
            assert_eq!(idle_rule(keep_alive), expected);
        }
    }
}
