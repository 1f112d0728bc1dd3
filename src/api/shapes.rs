//! Groups and SIMs in SORACOM's shapes.

use serde_json::{Map, Value, json};

use super::ApiState;
use crate::sessions::Session;
use crate::sim::{GroupId, Sim, Tags};
use crate::store::Group;

/// A group.
pub(super) fn group(state: &ApiState, group: &Group) -> Value {
    with_known(
        json!({
            "groupId": group.group_id.as_str(),
            "operatorId": state.auth.operator().id(),
            "configuration": Value::Object(group.configuration.clone()),
            "tags": tag_set(&group.tags),
        }),
        [
            ("createdTime", group.created_time.map(Value::from)),
            ("lastModifiedTime", group.last_modified_time.map(Value::from)),
        ],
    )
}

/// A SIM. Its addresses and its IMEI are our own addition.
pub(super) fn sim(state: &ApiState, sim: &Sim) -> Value {
    let (id, imsi) = (sim.sim_id.as_str(), sim.imsi.as_str());
    let subscriber = json!({ "imsi": imsi, "status": sim.status.as_str() });
    with_known(
        json!({
            "simId": id,
            "operatorId": state.auth.operator().id(),
            "status": sim.status.as_str(),
            "tags": tag_set(&sim.tags),
            "terminationEnabled": true,
            "activeProfileId": id,
            "profiles": { id: { "iccid": id, "primaryImsi": imsi, "subscribers": { imsi: subscriber } } },
            "sessionStatus": session_status(state.registry.sessions().of(&sim.imsi)),
            "addresses": sim.addresses,
        }),
        [
            ("groupId", sim.group_id.as_ref().map(|id| id.as_str().into())),
            ("imei", sim.imei.as_ref().map(|imei| imei.as_str().into())),
            ("createdTime", sim.created_time.map(Value::from)),
            ("lastModifiedTime", sim.last_modified_time.map(Value::from)),
        ],
    )
}

/// The same SIM as the older calls show it, found by its IMSI.
pub(super) fn subscriber(state: &ApiState, sim: &Sim) -> Value {
    let session = state.registry.sessions().of(&sim.imsi);
    let address = session.as_ref().map(|session| session.address.to_string().into());
    with_known(
        json!({
            "imsi": sim.imsi.as_str(),
            "simId": sim.sim_id.as_str(),
            "iccid": sim.sim_id.as_str(),
            "operatorId": state.auth.operator().id(),
            "status": sim.status.as_str(),
            "tags": tag_set(&sim.tags),
            "terminationEnabled": true,
            "sessionStatus": session_status(session),
            "addresses": sim.addresses,
        }),
        [
            ("groupId", sim.group_id.as_ref().map(|id| id.as_str().into())),
            ("imei", sim.imei.as_ref().map(|imei| imei.as_str().into())),
            ("ipAddress", address),
            ("createdAt", sim.created_time.map(Value::from)),
            ("createdTime", sim.created_time.map(Value::from)),
            ("lastModifiedAt", sim.last_modified_time.map(Value::from)),
            ("lastModifiedTime", sim.last_modified_time.map(Value::from)),
        ],
    )
}

/// Online means: has a live connection now.
fn session_status(session: Option<Session>) -> Value {
    let Some(session) = session else {
        return json!({ "online": false });
    };
    json!({
        "online": true,
        "imsi": session.sim.imsi.as_str(),
        "imei": session.sim.imei.as_ref().map(crate::sim::Imei::as_str),
        "ueIpAddress": session.address,
        "sessionId": session.id.to_string(),
        "lastUpdatedAt": session.updated,
    })
}

/// "TagSet always contains at least name".
fn tag_set(tags: &Tags) -> Tags {
    let mut tags = tags.clone();
    tags.entry("name".to_owned()).or_default();
    tags
}

/// The id of a group, where there is one.
pub(super) fn group_id(sim: &Sim) -> Option<&str> {
    sim.group_id.as_ref().map(GroupId::as_str)
}

/// `object` with those of `fields` that have a value.
fn with_known<const N: usize>(mut object: Value, fields: [(&str, Option<Value>); N]) -> Value {
    let known = fields
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    object.as_object_mut().unwrap_or(&mut Map::new()).extend(known);
    object
}
