//! The search for SIMs: parts of words, upper and lower case alike.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::identity::Identity;
use super::paging::{Asked, Listed, PageQuery};
use super::sim_answer::show_page;
use super::{ApiError, ApiState, shapes};
use crate::sessions::Sessions;
use crate::sim::{GroupId, Imei, ModuleType, Sim, SimStatus};
use crate::store::Snapshot;

/// Elements of a page where the caller says nothing, as SORACOM has it.
const USUAL: usize = 10;

/// What may be searched for. The last ones no SIM has here, so nothing matches them.
const TERMS: [&str; 15] = [
    "name",
    "group",
    "group_id",
    "sim_id",
    "imsi",
    "imei",
    "active_profile_id",
    "iccid",
    "tag",
    "status",
    "module_type",
    "subscription",
    "msisdn",
    "serial_number",
    "bundles",
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
    /// Of the modem that the SIM sits in, or is online with.
    imei: Option<Vec<String>>,
    iccid: Option<Vec<String>>,
    /// As `iccid`: there is one profile on a SIM.
    active_profile_id: Option<Vec<String>>,
    /// The value of any tag.
    tag: Option<Vec<String>>,
    status: Option<Vec<String>>,
    msisdn: Option<Vec<String>>,
    serial_number: Option<Vec<String>>,
    bundles: Option<Vec<String>>,
    /// Whole; `planArc01` is that of virtual SIMs, others are not known here.
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
    /// No SIM is on its way here, so `true` finds nothing.
    subscribers_in_transit: Option<bool>,
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
            other => return Err(ApiError::not_allowed("search_type", other, "\"and\" or \"or\"")),
        };
        let online = match given(&mode.session_status).as_str() {
            "" | "na" => None,
            "online" => Some(true),
            "offline" => Some(false),
            other => {
                let allowed = "NA, ONLINE or OFFLINE";
                return Err(ApiError::not_allowed("session_status", other, allowed));
            }
        };
        let mut terms = terms(query)?;
        if mode.subscribers_in_transit == Some(true) {
            terms.push(("subscribers_in_transit".to_owned(), "true".to_owned()));
        }
        Ok(Self { terms, any, online })
    }

    fn matches(&self, sim: &Sim, snapshot: &Snapshot, sessions: &Sessions) -> bool {
        let has = |(name, value): &(String, String)| has(sim, snapshot, sessions, name, value);
        let found = if self.any && !self.terms.is_empty() {
            self.terms.iter().any(has)
        } else {
            self.terms.iter().all(has)
        };
        let is_online = || sessions.of(&sim.imsi).is_some();
        found && self.online.is_none_or(|wanted| wanted == is_online())
    }
}

/// What is searched for, value by value.
fn terms(query: Vec<(String, String)>) -> Result<Vec<(String, String)>, ApiError> {
    let mut terms = Vec::new();
    for (name, values) in query
        .into_iter()
        .filter(|(name, _)| TERMS.contains(&name.as_str()))
    {
        for value in values.split(',').filter(|_| !values.is_empty()) {
            if value.chars().count() < 2 {
                return Err(ApiError::not_allowed(&name, value, "of 2 characters or more"));
            }
            let term = (name.clone(), value.to_lowercase());
            refuse_part_of_no_word(&term)?;
            terms.push(term);
        }
    }
    Ok(terms)
}

/// Where there are only certain words, one that is part of none of them was mistyped.
fn refuse_part_of_no_word((name, value): &(String, String)) -> Result<(), ApiError> {
    let words: Vec<&str> = match name.as_str() {
        // SORACOM has one more, which no SIM has here.
        "status" => SimStatus::ALL
            .map(SimStatus::as_str)
            .into_iter()
            .chain(["shipped"])
            .collect(),
        "module_type" => ModuleType::ALL.iter().map(|form| form.as_str()).collect(),
        _ => return Ok(()),
    };
    if words.iter().any(|word| word.to_lowercase().contains(value)) {
        return Ok(());
    }
    let allowed = format!("one of {}, nor a part of one", words.join(", "));
    Err(ApiError::not_allowed(name, value, &allowed))
}

fn has(sim: &Sim, snapshot: &Snapshot, sessions: &Sessions, name: &str, value: &str) -> bool {
    let contains = |text: &str| text.to_lowercase().contains(value);
    let group = || sim.group_id.as_ref().and_then(|id| snapshot.group(id));
    match name {
        "name" => sim.tags.get("name").is_some_and(|name| contains(name)),
        "group" => group()
            .and_then(|group| group.tags.get("name"))
            .is_some_and(|name| contains(name)),
        "group_id" => sim.group_id.as_ref().map(GroupId::as_str).is_some_and(contains),
        // There is one profile on a SIM, and its id is that of the SIM.
        "sim_id" | "iccid" | "active_profile_id" => contains(sim.sim_id.as_str()),
        "imsi" => contains(sim.imsi.as_str()),
        "imei" => {
            let contains = |sim: &Sim| sim.imei.as_ref().map(Imei::as_str).is_some_and(contains);
            contains(sim)
                || sessions
                    .of(&sim.imsi)
                    .is_some_and(|session| contains(&session.sim))
        }
        "tag" => sim.tags.values().any(|tag| contains(tag)),
        "status" => contains(sim.status.as_str()),
        "module_type" => sim.kind.form().is_some_and(|form| contains(form.as_str())),
        "subscription" => sim
            .kind
            .subscription()
            .is_some_and(|name| name.to_lowercase() == value),
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
    let found = I::behind(&snapshot, last.as_ref()).filter(|sim| search.matches(sim, &snapshot, sessions));
    show_page::<I>(&state, asked.page(found, limit, |sim| I::key(sim))).await
}
