//! SIMs as they are answered, one or a page of them.

use std::sync::Arc;

use axum::Json;

use super::identity::Identity;
use super::paging::{Listed, Page};
use super::previous::Previous;
use super::{ApiError, ApiState};
use crate::sim::Sim;

/// A page of SIMs.
pub(super) async fn show_page<I: Identity>(
    state: &ApiState,
    page: Page<&Arc<Sim>>,
) -> Result<Listed<I::Shape>, ApiError> {
    let previous = Previous::of(state, &page.elements).await;
    Ok(page.show(|sim| I::show(state, sim, previous.session(sim))))
}

/// One SIM.
pub(super) async fn show<I: Identity>(state: &ApiState, sim: &Arc<Sim>) -> Json<I::Shape> {
    let previous = Previous::of(state, &[sim]).await;
    Json(I::show(state, sim, previous.session(sim)))
}
