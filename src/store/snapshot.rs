//! What is true at one moment: groups, SIMs and the addresses they call from.

use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::entrypoint::EntryPoint;
use crate::sim::{GroupId, Imsi, Sim, SimId, Tags};

/// A group of SIMs that share configuration.
#[derive(Clone, PartialEq)]
pub struct Group {
    /// Its id.
    pub group_id: GroupId,
    /// Free labels of the admin; `name` is the one that people see.
    pub tags: Tags,
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
    sims: Vec<Arc<Sim>>,
    // Sorted, as lists are paged by these identifiers; a key that is gone then still has its place.
    by_group_id: BTreeMap<GroupId, usize>,
    by_sim_id: BTreeMap<SimId, usize>,
    by_imsi: BTreeMap<Imsi, usize>,
    by_address: HashMap<IpAddr, usize, RandomState>,
}

impl Snapshot {
    /// Indexes groups and SIMs, which must not contradict each other (see [`super::document`]).
    pub(super) fn new(groups: Vec<Arc<Group>>, sims: Vec<Arc<Sim>>) -> Self {
        let sims_at = || sims.iter().enumerate();
        Self {
            by_group_id: (groups.iter().enumerate())
                .map(|(at, group)| (group.group_id.clone(), at))
                .collect(),
            by_sim_id: sims_at().map(|(at, sim)| (sim.sim_id.clone(), at)).collect(),
            by_imsi: sims_at().map(|(at, sim)| (sim.imsi.clone(), at)).collect(),
            by_address: sims_at()
                .flat_map(|(at, sim)| sim.addresses.iter().map(move |&address| (address, at)))
                .collect(),
            groups,
            sims,
        }
    }

    /// The SIM that calls from `address`, which may be an IPv4 address inside IPv6.
    #[must_use]
    pub fn sim_at(&self, address: IpAddr) -> Option<&Arc<Sim>> {
        self.by_address
            .get(&address.to_canonical())
            .map(|&at| &self.sims[at])
    }

    /// The SIM with this IMSI.
    #[must_use]
    pub fn sim_by_imsi(&self, imsi: &Imsi) -> Option<&Arc<Sim>> {
        self.by_imsi.get(imsi).map(|&at| &self.sims[at])
    }

    /// The SIM with this id.
    #[must_use]
    pub fn sim(&self, id: &SimId) -> Option<&Arc<Sim>> {
        self.by_sim_id.get(id).map(|&at| &self.sims[at])
    }

    /// All SIMs, in the order of the file.
    #[must_use]
    pub fn sims(&self) -> &[Arc<Sim>] {
        &self.sims
    }

    /// SIMs in the order of their ids, from behind `last` on.
    pub fn sims_behind(&self, last: Option<&SimId>) -> impl Iterator<Item = &Arc<Sim>> {
        behind(&self.by_sim_id, last).map(|at| &self.sims[at])
    }

    /// SIMs in the order of their IMSIs, from behind `last` on.
    pub fn subscribers_behind(&self, last: Option<&Imsi>) -> impl Iterator<Item = &Arc<Sim>> {
        behind(&self.by_imsi, last).map(|at| &self.sims[at])
    }

    /// The group with this id.
    #[must_use]
    pub fn group(&self, id: &GroupId) -> Option<&Arc<Group>> {
        self.by_group_id.get(id).map(|&at| &self.groups[at])
    }

    /// All groups, in the order of the file.
    #[must_use]
    pub fn groups(&self) -> &[Arc<Group>] {
        &self.groups
    }

    /// Groups in the order of their ids, from behind `last` on.
    pub fn groups_behind(&self, last: Option<&GroupId>) -> impl Iterator<Item = &Arc<Group>> {
        behind(&self.by_group_id, last).map(|at| &self.groups[at])
    }

    /// The MQTT entry point of a group.
    #[must_use]
    pub fn entry_point(&self, group: &GroupId) -> Option<Arc<EntryPoint>> {
        self.group(group)?.beam.clone()
    }
}

fn behind<K: Ord>(index: &BTreeMap<K, usize>, last: Option<&K>) -> impl Iterator<Item = usize> {
    let start = last.map_or(Bound::Unbounded, Bound::Excluded);
    index.range((start, Bound::Unbounded)).map(|(_, &at)| at)
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
