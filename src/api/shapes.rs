//! Groups and SIMs in SORACOM's shapes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::ApiState;
use crate::sessions::{Past, Session};
use crate::sim::{self, Tags};
use crate::store;

/// SIMs that share configuration.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Group {
    group_id: String,
    operator_id: String,
    /// Namespace to key to value.
    #[schema(value_type = BTreeMap<String, Object>)]
    configuration: Map<String, Value>,
    /// Always has a `name`.
    tags: Tags,
    /// Milliseconds since 1970, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<i64>,
    /// Milliseconds since 1970, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified_time: Option<i64>,
}

impl Group {
    pub(super) fn of(state: &ApiState, group: &store::Group) -> Self {
        Self {
            group_id: group.group_id.to_string(),
            operator_id: state.auth.operator().id().to_owned(),
            configuration: group.configuration.clone(),
            tags: tag_set(&group.tags),
            created_time: group.created_time,
            last_modified_time: group.last_modified_time,
        }
    }
}

/// A SIM. `addresses` and `imei` are this server's own addition.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sim {
    sim_id: String,
    operator_id: String,
    /// `ready`, `active`, `inactive`, `standby`, `suspended` or `terminated`.
    status: &'static str,
    tags: Tags,
    termination_enabled: bool,
    active_profile_id: String,
    /// By ICCID; there is one.
    profiles: BTreeMap<String, Profile>,
    session_status: SessionStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_session: Option<PreviousSession>,
    #[schema(value_type = Vec<String>)]
    addresses: Vec<IpAddr>,
    #[serde(flatten)]
    known: Known,
}

impl Sim {
    pub(super) fn of(state: &ApiState, sim: &sim::Sim, previous: Option<&Past>) -> Self {
        let (id, imsi) = (sim.sim_id.to_string(), sim.imsi.to_string());
        let status = sim.status.as_str();
        let subscriber = SimplifiedSubscriber {
            imsi: imsi.clone(),
            status,
            subscription: sim.kind.subscription(),
        };
        let profile = Profile {
            iccid: id.clone(),
            primary_imsi: imsi.clone(),
            subscribers: [(imsi, subscriber)].into(),
        };
        Self {
            sim_id: id.clone(),
            operator_id: state.auth.operator().id().to_owned(),
            status,
            tags: tag_set(&sim.tags),
            termination_enabled: true,
            active_profile_id: id.clone(),
            profiles: [(id, profile)].into(),
            session_status: SessionStatus::of(state.registry.sessions().of(&sim.imsi)),
            previous_session: previous.map(|past| PreviousSession::of(sim, past)),
            addresses: sim.addresses.clone(),
            known: Known {
                sim_type: sim.kind.sim_type.map(|sim_type| sim_type.as_str().to_owned()),
                ..Known::of(sim)
            },
        }
    }
}

/// The same SIM as the older calls show it, found by its IMSI.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subscriber {
    imsi: String,
    sim_id: String,
    iccid: String,
    operator_id: String,
    /// `ready`, `active`, `inactive`, `standby`, `suspended` or `terminated`.
    status: &'static str,
    /// `planArc01` of a virtual SIM; of others it is not known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription: Option<&'static str>,
    tags: Tags,
    termination_enabled: bool,
    session_status: SessionStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_session: Option<PreviousSession>,
    /// Where it is online from.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<IpAddr>,
    #[schema(value_type = Vec<String>)]
    addresses: Vec<IpAddr>,
    /// As `createdTime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    /// As `lastModifiedTime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified_at: Option<i64>,
    #[serde(flatten)]
    known: Known,
}

impl Subscriber {
    pub(super) fn of(state: &ApiState, sim: &sim::Sim, previous: Option<&Past>) -> Self {
        let session = state.registry.sessions().of(&sim.imsi);
        Self {
            imsi: sim.imsi.to_string(),
            sim_id: sim.sim_id.to_string(),
            iccid: sim.sim_id.to_string(),
            operator_id: state.auth.operator().id().to_owned(),
            status: sim.status.as_str(),
            subscription: sim.kind.subscription(),
            tags: tag_set(&sim.tags),
            termination_enabled: true,
            ip_address: session.as_ref().map(|session| session.address),
            session_status: SessionStatus::of(session),
            previous_session: previous.map(|past| PreviousSession::of(sim, past)),
            addresses: sim.addresses.clone(),
            created_at: sim.created_time,
            last_modified_at: sim.last_modified_time,
            known: Known {
                sim_type: sim.kind.speed_class.as_ref().map(ToString::to_string),
                ..Known::of(sim)
            },
        }
    }
}

/// What both shapes show of a SIM where it is known.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Known {
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<String>,
    /// The modem it sits in.
    #[serde(skip_serializing_if = "Option::is_none")]
    imei: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    imei_lock: Option<ImeiLock>,
    /// Of a SIM its type, of a subscriber its speed class, as SORACOM has it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    sim_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed_class: Option<String>,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<i64>,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified_time: Option<i64>,
}

impl Known {
    fn of(sim: &sim::Sim) -> Self {
        Self {
            group_id: sim.group_id.as_ref().map(ToString::to_string),
            imei: sim.imei.as_ref().map(ToString::to_string),
            imei_lock: sim.imei_lock.as_ref().map(|lock| ImeiLock {
                imei: lock.to_string(),
            }),
            sim_type: None,
            module_type: sim.kind.form().map(sim::ModuleType::as_str),
            speed_class: sim.kind.speed_class.as_ref().map(ToString::to_string),
            created_time: sim.created_time,
            last_modified_time: sim.last_modified_time,
        }
    }
}

/// The modem that a SIM may be used in.
#[derive(Debug, Serialize, ToSchema)]
struct ImeiLock {
    /// With `|ANONYMOUS` behind it where the SIM may connect as well while its IMEI is not known.
    imei: String,
}

/// What is on a SIM.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Profile {
    iccid: String,
    primary_imsi: String,
    /// By IMSI; there is one.
    subscribers: BTreeMap<String, SimplifiedSubscriber>,
}

/// A subscription on a SIM.
#[derive(Debug, Serialize, ToSchema)]
struct SimplifiedSubscriber {
    imsi: String,
    status: &'static str,
    /// `planArc01` of a virtual SIM; of others it is not known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription: Option<&'static str>,
}

/// Online means: has a live connection now.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SessionStatus {
    online: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    imsi: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    imei: Option<String>,
    /// Where the latest connection came from.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ue_ip_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<i64>,
}

impl SessionStatus {
    fn of(session: Option<Session>) -> Self {
        let Some(session) = session else {
            return Self::default();
        };
        Self {
            online: true,
            imsi: Some(session.sim.imsi.to_string()),
            imei: session.sim.imei.as_ref().map(ToString::to_string),
            ue_ip_address: Some(session.address),
            session_id: Some(session.id.to_string()),
            last_updated_at: Some(session.updated),
        }
    }
}

/// The session before, of the last 32 days.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PreviousSession {
    imsi: String,
    imei: Option<String>,
    ue_ip_address: String,
    session_id: String,
    /// Milliseconds since 1970.
    created_time: i64,
    /// Milliseconds since 1970.
    deleted_time: i64,
}

impl PreviousSession {
    fn of(sim: &sim::Sim, past: &Past) -> Self {
        Self {
            imsi: sim.imsi.to_string(),
            imei: past.imei.clone(),
            ue_ip_address: past.address.clone(),
            session_id: past.session_id.clone(),
            created_time: past.created_time,
            deleted_time: past.time,
        }
    }
}

/// "TagSet always contains at least name".
fn tag_set(tags: &Tags) -> Tags {
    let mut tags = tags.clone();
    tags.entry("name".to_owned()).or_default();
    tags
}
