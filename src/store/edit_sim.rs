//! Changes of a SIM: nothing that must be unique may be twice.

use std::net::IpAddr;
use std::sync::Arc;

use super::change::{NewSim, SimChange, SimEdit};
use super::tags::{delete_tag, put_tags};
use super::{ChangeError, Snapshot};
use crate::clock::now_millis;
use crate::sim::{GroupId, Sim, SimId, SimStatus, Tags};

/// What is true after `change`.
///
/// # Errors
/// The SIM or its group is not there, or another SIM has the identifier or the address.
pub(super) fn apply(snapshot: &Snapshot, id: &SimId, change: &SimChange) -> Result<Snapshot, ChangeError> {
    let mut sims = snapshot.sims().to_vec();
    let at = sims.iter().position(|sim| sim.sim_id == *id);
    match (change, at) {
        (SimChange::Create(_), Some(_)) => return Err(taken("SIM id", id, id)),
        (SimChange::Create(new), None) => sims.push(Arc::new(create(snapshot, id, new)?)),
        (_, None) => return Err(ChangeError::NoSuchSim(id.clone())),
        (SimChange::Delete, Some(at)) => {
            sims.remove(at);
        }
        (SimChange::Edit(what), Some(at)) => {
            let mut sim = Sim::clone(&sims[at]);
            edit(snapshot, &mut sim, what)?;
            sim.last_modified_time = Some(now_millis());
            sims[at] = Arc::new(sim);
        }
    }
    Ok(Snapshot::new(snapshot.groups().to_vec(), sims))
}

fn create(snapshot: &Snapshot, id: &SimId, new: &NewSim) -> Result<Sim, ChangeError> {
    if let Some(other) = snapshot.sim_by_imsi(&new.imsi) {
        return Err(taken("IMSI", &new.imsi, &other.sim_id));
    }
    let mut tags = Tags::new();
    put_tags(&mut tags, &new.tags)?;
    let time = Some(now_millis());
    Ok(Sim {
        imei: new.imei.clone(),
        group_id: existing(snapshot, new.group_id.as_ref())?,
        addresses: free(snapshot, id, &new.addresses)?,
        tags,
        kind: new.kind.clone(),
        created_time: time,
        last_modified_time: time,
        ..Sim::new(id.clone(), new.imsi.clone())
    })
}

fn edit(snapshot: &Snapshot, sim: &mut Sim, edit: &SimEdit) -> Result<(), ChangeError> {
    match edit {
        SimEdit::SetGroup(group) => sim.group_id = existing(snapshot, group.as_ref())?,
        SimEdit::SetStatus(_) if sim.status == SimStatus::Terminated => {
            return Err(ChangeError::Terminated(sim.sim_id.clone()));
        }
        SimEdit::SetStatus(status) => sim.status = *status,
        SimEdit::SetAddresses(addresses) => sim.addresses = free(snapshot, &sim.sim_id, addresses)?,
        SimEdit::SetImei(imei) => sim.imei.clone_from(imei),
        SimEdit::SetImeiLock(lock) => sim.imei_lock.clone_from(lock),
        SimEdit::PutTags(tags) => put_tags(&mut sim.tags, tags)?,
        SimEdit::DeleteTag(tag) => delete_tag(&mut sim.tags, tag, || format!("SIM {}", sim.sim_id))?,
    }
    Ok(())
}

fn existing(snapshot: &Snapshot, group: Option<&GroupId>) -> Result<Option<GroupId>, ChangeError> {
    match group {
        Some(id) if snapshot.group(id).is_none() => Err(ChangeError::UnknownGroup(id.clone())),
        group => Ok(group.cloned()),
    }
}

/// The addresses in their plain form, if no other SIM has one of them.
fn free(snapshot: &Snapshot, id: &SimId, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, ChangeError> {
    let mut plain = Vec::with_capacity(addresses.len());
    for address in addresses.iter().map(IpAddr::to_canonical) {
        if let Some(other) = snapshot.sim_at(address).filter(|sim| sim.sim_id != *id) {
            return Err(taken("address", &address, &other.sim_id));
        }
        if !plain.contains(&address) {
            plain.push(address);
        }
    }
    Ok(plain)
}

fn taken(what: &'static str, value: &dyn ToString, by: &SimId) -> ChangeError {
    ChangeError::Taken {
        what,
        value: value.to_string(),
        by: by.clone(),
    }
}
