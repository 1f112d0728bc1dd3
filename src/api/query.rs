//! The search for SIMs: parts of words, upper and lower case alike.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::identity::Identity;
use super::paging::{Asked, Listed, PageQuery};
use super::sim_answer::show_page;
use super::{ApiError, ApiState, shapes};
use crate::sim::{GroupId, Sim};
use crate::store::Snapshot;

/// Elements of a page where the caller says nothing, as SORACOM has it.
const USUAL: usize = 10;

/// What may be searched for. The last ones no SIM has here, so nothing matches them.
const TERMS: [&str; 13] = [
    "name",
    "group",
    "group_id",
    "sim_id",
    "imsi",
    "iccid",
    "tag",
    "status",
    "module_type",
    "msisdn",
    "serial_number",
    "bundles",
    "subscription",
];

/// What the document says of [`TERMS`]. Each may be given several times, and with several values between commas.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only their names and schemas are used")]
struct Terms {
    name: Option<Vec<String>>,
    /// The name of the group.
    group: Option<Vec<String>>,
    group_id: Option<Vec<String>>,
    sim_id: Option<Vec<String>>,
    imsi: Option<Vec<String>>,
    iccid: Option<Vec<String>>,
    /// The value of any tag.
    tag: Option<Vec<String>>,
    status: Option<Vec<String>>,
    msisdn: Option<Vec<String>>,
    serial_number: Option<Vec<String>>,
    bundles: Option<Vec<String>>,
    subscription: Option<Vec<String>>,
    module_type: Option<Vec<String>>,
}

/// How terms are combined, and what holds for all.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Mode {
    /// `and` is usual.
    search_type: Option<String>,
    /// `NA` (usual), `ONLINE` or `OFFLINE`.
    session_status: Option<String>,
}

/// A search that can be made.
struct Search {
    /// Name and value, in lower case.
    terms: Vec<(String, String)>,
    any: bool,
    online: Option<bool>,
}

impl Search {
    fn new(query: Vec<(String, String)>, mode: &Mode) -> Result<Self, ApiError> {
        let given = |text: &Option<String>| text.as_deref().unwrap_or_default().to_lowercase();
        let any = match given(&mode.search_type).as_str() {
            "" | "and" => false,
            "or" => true,
            other => return Err(refuse("search_type", other, "\"and\" or \"or\"")),
        };
        let online = match given(&mode.session_status).as_str() {
            "" | "na" => None,
            "online" => Some(true),
            "offline" => Some(false),
            other => return Err(refuse("session_status", other, "NA, ONLINE or OFFLINE")),
        };
        let mut terms = Vec::new();
        for (name, values) in query
            .into_iter()
            .filter(|(name, _)| TERMS.contains(&name.as_str()))
        {
            for value in values.split(',').filter(|_| !values.is_empty()) {
                if value.chars().count() < 2 {
                    return Err(refuse(&name, value, "of 2 characters or more"));
                }
                terms.push((name.clone(), value.to_lowercase()));
            }
        }
        Ok(Self { terms, any, online })
    }

    fn matches(&self, sim: &Sim, snapshot: &Snapshot, online: impl FnOnce() -> bool) -> bool {
        let has = |(name, value): &(String, String)| has(sim, snapshot, name, value);
        let found = if self.any && !self.terms.is_empty() {
            self.terms.iter().any(has)
        } else {
            self.terms.iter().all(has)
        };
        found && self.online.is_none_or(|wanted| wanted == online())
    }
}

fn refuse(name: &str, value: &str, allowed: &str) -> ApiError {
    ApiError::InvalidQuery(format!("{name}: {value:?} is not {allowed}"))
}

fn has(sim: &Sim, snapshot: &Snapshot, name: &str, value: &str) -> bool {
    let contains = |text: &str| text.to_lowercase().contains(value);
    let group = || sim.group_id.as_ref().and_then(|id| snapshot.group(id));
    match name {
        "name" => sim.tags.get("name").is_some_and(|name| contains(name)),
        "group" => group()
            .and_then(|group| group.tags.get("name"))
            .is_some_and(|name| contains(name)),
        "group_id" => sim.group_id.as_ref().map(GroupId::as_str).is_some_and(contains),
        "sim_id" | "iccid" => contains(sim.sim_id.as_str()),
        "imsi" => contains(sim.imsi.as_str()),
        "tag" => sim.tags.values().any(|tag| contains(tag)),
        "status" => contains(sim.status.as_str()),
        "module_type" => sim.kind.module_type.is_some_and(|form| contains(form.as_str())),
        _ => false,
    }
}

/// SIMs that are like what is searched for, by parts of words, upper and lower case alike.
#[utoipa::path(
    get,
    path = "/v1/query/sims",
    tag = "sims",
    params(Terms, Mode, PageQuery),
    responses((status = 200, body = Vec<shapes::Sim>))
)]
pub(super) async fn search<I: Identity>(
    State(state): State<ApiState>,
    asked: Asked<PageQuery>,
    terms: Asked<Vec<(String, String)>>,
    mode: Asked<Mode>,
) -> Result<Listed<I::Shape>, ApiError> {
    let (limit, last) = (asked.query.limit(USUAL)?.min(100), asked.query.last::<I::Key>()?);
    let search = Search::new(terms.query, &mode.query)?;
    let (snapshot, sessions) = (state.store.snapshot(), state.registry.sessions());
    let online = |sim: &Sim| sessions.of(&sim.imsi).is_some();
    let found =
        I::behind(&snapshot, last.as_ref()).filter(|sim| search.matches(sim, &snapshot, || online(sim)));
    show_page::<I>(&state, asked.page(found, limit, |sim| I::key(sim))).await
}
