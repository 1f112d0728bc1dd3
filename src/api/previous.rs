//! The sessions before, of the SIMs that an answer shows.

use std::collections::HashMap;
use std::sync::Arc;

use super::ApiState;
use crate::sessions::Past;
use crate::sim::Sim;

/// The last session of each SIM that is over, by IMSI.
pub(super) struct Previous(HashMap<String, Past>);

impl Previous {
    /// Those of `sims`. Without the database they are unknown: that is no reason not to show a SIM.
    pub(super) async fn of(state: &ApiState, sims: &[&Arc<Sim>]) -> Self {
        let imsis: Vec<&str> = sims.iter().map(|sim| sim.imsi.as_str()).collect();
        let found = state.history.last_ended(&imsis).await;
        Self(found.unwrap_or_else(|error| {
            tracing::warn!(%error, "the sessions of the past cannot be read");
            HashMap::new()
        }))
    }

    pub(super) fn session(&self, sim: &Sim) -> Option<&Past> {
        self.0.get(sim.imsi.as_str())
    }
}
