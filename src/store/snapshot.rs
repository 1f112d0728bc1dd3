//! What is true at one moment: groups, SIMs and the addresses they call from.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::entrypoint::EntryPoint;
use crate::sim::{GroupId, Imsi, Sim, SimSession};

/// A group of SIMs that share configuration.
#[derive(Clone, PartialEq)]
pub struct Group {
    /// Its id.
    pub group_id: GroupId,
    /// Free labels of the admin; `name` is the one that people see.
    pub tags: BTreeMap<String, String>,
    /// Namespace to key to value, as it was written. May hold passwords, so `Debug` does not show it.
    pub configuration: Map<String, Value>,
    /// The MQTT entry point in it, checked.
    pub beam: Option<Arc<EntryPoint>>,
    /// When it was made, in milliseconds since 1970, where known.
    pub created_time: Option<i64>,
    /// When it was last changed through the API, in milliseconds since 1970, where known.
    pub last_modified_time: Option<i64>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("group_id", &self.group_id)
            .field("tags", &self.tags)
            .field("beam", &self.beam)
            .finish_non_exhaustive()
    }
}

/// Groups and SIMs at one moment. Never changes; a change makes a new one.
#[derive(Default)]
pub struct Snapshot {
    groups: Vec<Arc<Group>>,
    group_index: HashMap<GroupId, usize>,
    sims: Vec<Arc<Sim>>,
    by_address: HashMap<IpAddr, Arc<Sim>>,
    by_imsi: HashMap<Imsi, Arc<Sim>>,
}

impl Snapshot {
    /// Indexes groups and SIMs, which must not contradict each other (see [`super::document`]).
    pub(super) fn new(groups: Vec<Arc<Group>>, sims: Vec<Arc<Sim>>) -> Self {
        let group_index = groups
            .iter()
            .enumerate()
            .map(|(at, group)| (group.group_id.clone(), at))
            .collect();
        let by_imsi = sims
            .iter()
            .map(|sim| (sim.imsi.clone(), Arc::clone(sim)))
            .collect();
        let addresses = |sim: &Arc<Sim>| {
            sim.addresses
                .iter()
                .map(|&ip| (ip, Arc::clone(sim)))
                .collect::<Vec<_>>()
        };
        let by_address = sims.iter().flat_map(addresses).collect();
        Self {
            groups,
            group_index,
            sims,
            by_address,
            by_imsi,
        }
    }

    /// Who calls from `address`, which may be an IPv4 address inside IPv6.
    #[must_use]
    pub fn session(&self, address: IpAddr) -> Option<SimSession> {
        let address = address.to_canonical();
        let sim = Arc::clone(self.by_address.get(&address)?);
        Some(SimSession { sim, address })
    }

    /// The SIM with this IMSI.
    #[must_use]
    pub fn sim_by_imsi(&self, imsi: &Imsi) -> Option<&Arc<Sim>> {
        self.by_imsi.get(imsi)
    }

    /// All SIMs, in the order of the file.
    #[must_use]
    pub fn sims(&self) -> &[Arc<Sim>] {
        &self.sims
    }

    /// The group with this id.
    #[must_use]
    pub fn group(&self, id: &GroupId) -> Option<&Arc<Group>> {
        self.group_index.get(id).map(|&at| &self.groups[at])
    }

    /// All groups, in the order of the file.
    #[must_use]
    pub fn groups(&self) -> &[Arc<Group>] {
        &self.groups
    }

    /// The MQTT entry point of a group.
    #[must_use]
    pub fn entry_point(&self, group: &GroupId) -> Option<Arc<EntryPoint>> {
        self.group(group)?.beam.clone()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Snapshot({} groups, {} SIMs)",
            self.groups.len(),
            self.sims.len()
        )
    }
}
