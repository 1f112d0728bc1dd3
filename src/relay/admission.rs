//! May this SIM connect, and by which rules. A look-up in the snapshot, no I/O.

use super::{Administrative, Refusal};
use crate::entrypoint::{EntryPoint, PlatformVersion};
use crate::mqtt::Version;
use crate::sim::Sim;
use crate::store::Snapshot;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The longest keep alive (Beam), in seconds.
pub(super) const LONGEST_KEEP_ALIVE: u16 = 1200;
/// How long both sides may be silent where the device's keep alive is 0 (Beam: 30 minutes).
const IDLE_WITHOUT_KEEP_ALIVE: Duration = Duration::from_secs(30 * 60);

/// A SIM and the entry point that rules it.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The SIM that calls.
    pub sim: Arc<Sim>,
    /// The MQTT entry point of its group.
    pub entry_point: Arc<EntryPoint>,
}

impl Admission {
    /// Looks the source address up and checks Beam's rules for a CONNECT.
    ///
    /// # Errors
    /// [`Refusal`] names the SIM or the address and what is missing.
    pub fn find(
        snapshot: &Snapshot,
        address: IpAddr,
        version: Version,
        keep_alive: u16,
    ) -> Result<Self, Refusal> {
        let known = snapshot.sim_at(address);
        let sim = known.ok_or(Refusal::UnknownAddress(address.to_canonical()))?;
        if !sim.status.may_connect() {
            return Err(Refusal::SwitchedOff(sim.imsi.clone(), sim.status));
        }
        if let Some(lock) = sim
            .imei_lock
            .clone()
            .filter(|lock| !lock.allows(sim.imei.as_ref()))
        {
            return Err(Refusal::ImeiLock {
                imsi: sim.imsi.clone(),
                imei: sim.imei.clone(),
                lock,
            });
        }
        let group_id = sim
            .group_id
            .as_ref()
            .ok_or_else(|| Refusal::NoGroup(sim.imsi.clone()))?;
        let found = snapshot.entry_point(group_id);
        let entry_point = found.ok_or_else(|| Refusal::NoEntryPoint(group_id.clone()))?;
        if !entry_point.enabled {
            return Err(Refusal::Disabled(group_id.clone()));
        }
        if entry_point.version == PlatformVersion::V201509 && version == Version::V5 {
            return Err(Refusal::TooNew(group_id.clone()));
        }
        if !matches!(keep_alive, 0 | 5..=LONGEST_KEEP_ALIVE) {
            return Err(Refusal::KeepAlive(keep_alive));
        }
        if let Some(platform) = entry_point.platform()
            && let Some(longest) = platform
                .longest_keep_alive()
                .filter(|longest| keep_alive > *longest)
        {
            return Err(Refusal::PlatformKeepAlive {
                keep_alive,
                platform,
                longest,
            });
        }
        Ok(Self {
            sim: Arc::clone(sim),
            entry_point,
        })
    }

    /// Why a connection from `address` may not go on under `snapshot`, if it may not.
    pub(super) fn lost(&self, address: IpAddr, snapshot: &Snapshot) -> Option<Administrative> {
        let was = &self.sim;
        let Some(now) = snapshot.sim_at(address) else {
            return Some(Administrative::SessionGone);
        };
        if (&now.imsi, &now.sim_id) != (&was.imsi, &was.sim_id) {
            return Some(Administrative::SessionGone);
        }
        if !now.status.may_connect() {
            return Some(Administrative::SimSwitchedOff);
        }
        if now.group_id != was.group_id {
            return Some(Administrative::GroupChanged);
        }
        match was
            .group_id
            .as_ref()
            .and_then(|group| snapshot.entry_point(group))
        {
            Some(entry_point) if entry_point.enabled => None,
            _ => Some(Administrative::EntryPointGone),
        }
    }
}

/// When a connection counts as dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IdleRule {
    pub(super) silence: Silence,
    /// How long that may last.
    pub(super) limit: Duration,
}

/// Whose silence counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// The device's, whatever the broker sends.
    OfDevice,
    /// That of both.
    OfBoth,
}

/// Beam's rule: 1.5 times the keep alive in force (seconds), 30 minutes where it is 0.
pub(super) fn idle_rule(keep_alive: u16) -> IdleRule {
    match keep_alive {
        0 => IdleRule {
            silence: Silence::OfBoth,
            limit: IDLE_WITHOUT_KEEP_ALIVE,
        },
        seconds => IdleRule {
            silence: Silence::OfDevice,
            limit: Duration::from_millis(u64::from(seconds) * 1500),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_limit_is_half_as_long_again_as_the_keep_alive() {
        for (keep_alive, expected) in [
            (0, (Silence::OfBoth, 1_800_000)),
            (5, (Silence::OfDevice, 7_500)),
            (60, (Silence::OfDevice, 90_000)),
            (1200, (Silence::OfDevice, 1_800_000)),
        ] {
            let rule = idle_rule(keep_alive);
            assert_eq!((rule.silence, rule.limit.as_millis()), expected);
        }
    }
}
