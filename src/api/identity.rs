//! The two names of one thing: a SIM by its SIM id, a subscriber by its IMSI. The calls are the same, the
//! path and the shape of the answer differ.

use std::sync::Arc;

use serde_json::Value;

use super::{ApiError, ApiState, shapes};
use crate::sim::{Imsi, Sim, SimId};
use crate::store::Snapshot;

/// How a SIM is named and shown.
pub(super) trait Identity: Send + Sync + 'static {
    /// Where its calls are.
    const ROOT: &'static str;
    /// What is the last key of a page.
    type Key: std::str::FromStr<Err: ToString> + Send;

    /// The SIM of a path.
    fn find(snapshot: &Snapshot, id: &str) -> Result<Arc<Sim>, ApiError>;
    /// What to ask for the next page with.
    fn key(sim: &Sim) -> String;
    /// Pages are in the order of the keys.
    fn behind<'a>(snapshot: &'a Snapshot, last: Option<&Self::Key>) -> impl Iterator<Item = &'a Arc<Sim>>;
    /// The SIM in the shape of these calls.
    fn show(state: &ApiState, sim: &Sim) -> Value;
}

/// `/v1/sims/{sim_id}`
pub(super) struct BySimId;

impl Identity for BySimId {
    const ROOT: &'static str = "/v1/sims";
    type Key = SimId;

    fn find(snapshot: &Snapshot, id: &str) -> Result<Arc<Sim>, ApiError> {
        let found = SimId::new(id).ok().and_then(|id| snapshot.sim(&id).cloned());
        found.ok_or_else(|| ApiError::NoSuchSim(id.to_owned()))
    }

    fn key(sim: &Sim) -> String {
        sim.sim_id.to_string()
    }

    fn behind<'a>(snapshot: &'a Snapshot, last: Option<&SimId>) -> impl Iterator<Item = &'a Arc<Sim>> {
        snapshot.sims_behind(last)
    }

    fn show(state: &ApiState, sim: &Sim) -> Value {
        shapes::sim(state, sim)
    }
}

/// `/v1/subscribers/{imsi}`
pub(super) struct ByImsi;

impl Identity for ByImsi {
    const ROOT: &'static str = "/v1/subscribers";
    type Key = Imsi;

    fn find(snapshot: &Snapshot, id: &str) -> Result<Arc<Sim>, ApiError> {
        let found = Imsi::new(id)
            .ok()
            .and_then(|imsi| snapshot.sim_by_imsi(&imsi).cloned());
        found.ok_or_else(|| ApiError::NoSuchSubscriber(id.to_owned()))
    }

    fn key(sim: &Sim) -> String {
        sim.imsi.to_string()
    }

    fn behind<'a>(snapshot: &'a Snapshot, last: Option<&Imsi>) -> impl Iterator<Item = &'a Arc<Sim>> {
        snapshot.subscribers_behind(last)
    }

    fn show(state: &ApiState, sim: &Sim) -> Value {
        shapes::subscriber(state, sim)
    }
}
