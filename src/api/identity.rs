//! The two names of one thing: a SIM by its SIM id, a subscriber by its IMSI. The calls are the same, the
//! path and the shape of the answer differ.

use std::sync::Arc;

use serde::Serialize;

use super::shapes::{self, Subscriber};
use super::twin::{Routes, of_subscribers};
use super::{ApiError, ApiState};
use crate::sessions::Past;
use crate::sim::{Imsi, Sim, SimId};
use crate::store::Snapshot;

/// How a SIM is named and shown.
pub(super) trait Identity: Send + Sync + 'static {
    /// What is the last key of a page.
    type Key: std::str::FromStr<Err: ToString> + Send;
    /// How an answer shows it.
    type Shape: Serialize + Send;

    /// Its routes, which are declared with the path and the shape of SIMs.
    fn routes(of_sims: Routes) -> Routes;
    /// The SIM of a path.
    fn find(snapshot: &Snapshot, id: &str) -> Result<Arc<Sim>, ApiError>;
    /// What to ask for the next page with.
    fn key(sim: &Sim) -> String;
    /// Pages are in the order of the keys.
    fn behind<'a>(snapshot: &'a Snapshot, last: Option<&Self::Key>) -> impl Iterator<Item = &'a Arc<Sim>>;
    /// The SIM in the shape of these calls, with its session before the one of now.
    fn show(state: &ApiState, sim: &Sim, previous: Option<&Past>) -> Self::Shape;
}

/// `/v1/sims/{sim_id}`
pub(super) struct BySimId;

impl Identity for BySimId {
    type Key = SimId;
    type Shape = shapes::Sim;

    fn routes(of_sims: Routes) -> Routes {
        of_sims
    }

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

    fn show(state: &ApiState, sim: &Sim, previous: Option<&Past>) -> shapes::Sim {
        shapes::Sim::of(state, sim, previous)
    }
}

/// `/v1/subscribers/{imsi}`
pub(super) struct ByImsi;

impl Identity for ByImsi {
    type Key = Imsi;
    type Shape = Subscriber;

    fn routes(of_sims: Routes) -> Routes {
        of_subscribers(of_sims)
    }

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

    fn show(state: &ApiState, sim: &Sim, previous: Option<&Past>) -> Subscriber {
        Subscriber::of(state, sim, previous)
    }
}
