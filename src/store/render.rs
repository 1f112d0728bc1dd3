//! From a [`Snapshot`] to the JSON of `entrypoints.json`: what [`super::document`] reads, the other way round.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::snapshot::{Group, Snapshot};
use crate::sim::{GroupId, Imei, ModuleType, Sim, SimStatus, SimType, SpeedClass, Tags};

#[derive(Serialize)]
struct DocumentForm<'a> {
    groups: Vec<GroupForm<'a>>,
    sims: Vec<SimForm<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupForm<'a> {
    group_id: &'a str,
    #[serde(skip_serializing_if = "Tags::is_empty")]
    tags: &'a Tags,
    configuration: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified_time: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SimForm<'a> {
    sim_id: &'a str,
    imsi: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    imei: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a str>,
    addresses: &'a [IpAddr],
    #[serde(skip_serializing_if = "Tags::is_empty")]
    tags: &'a Tags,
    /// The default goes without saying.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    imei_lock: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    sim_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed_class: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified_time: Option<i64>,
}

/// The text of the file.
///
/// # Errors
/// None in practice: every key is a string.
pub(super) fn text(snapshot: &Snapshot) -> serde_json::Result<Vec<u8>> {
    let document = DocumentForm {
        groups: snapshot.groups().iter().map(group_form).collect(),
        sims: snapshot.sims().iter().map(sim_form).collect(),
    };
    let mut text = serde_json::to_vec_pretty(&document)?;
    text.push(b'\n');
    Ok(text)
}

fn group_form(group: &Arc<Group>) -> GroupForm<'_> {
    GroupForm {
        group_id: group.group_id.as_str(),
        tags: &group.tags,
        configuration: &group.configuration,
        created_time: group.created_time,
        last_modified_time: group.last_modified_time,
    }
}

fn sim_form(sim: &Arc<Sim>) -> SimForm<'_> {
    SimForm {
        sim_id: sim.sim_id.as_str(),
        imsi: sim.imsi.as_str(),
        imei: sim.imei.as_ref().map(Imei::as_str),
        group_id: sim.group_id.as_ref().map(GroupId::as_str),
        addresses: &sim.addresses,
        tags: &sim.tags,
        status: (sim.status != SimStatus::default()).then(|| sim.status.as_str()),
        imei_lock: sim.imei_lock.as_ref().map(ToString::to_string),
        sim_type: sim.kind.sim_type.map(SimType::as_str),
        module_type: sim.kind.module_type.map(ModuleType::as_str),
        speed_class: sim.kind.speed_class.as_ref().map(SpeedClass::as_str),
        created_time: sim.created_time,
        last_modified_time: sim.last_modified_time,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::document;
    use super::*;

    #[test]
    fn what_is_written_is_what_was_read() {
        let value = json!({
            "groups": [{ "groupId": "b", "tags": { "name": "x" }, "configuration": { "SoracomAir": { "z": 1, "a": [null] } },
                         "createdTime": 1, "lastModifiedTime": 2 },
                       { "groupId": "a", "configuration": {} }],
            "sims": [{ "simId": "8981100000000000017", "imsi": "440103000000001", "imei": "352709570000018",
                       "groupId": "b", "addresses": ["10.0.0.1", "::1"], "tags": { "k": "v" },
                       "status": "suspended", "imeiLock": "352709570000018|ANONYMOUS", "type": "uicc",
                       "moduleType": "nano", "speedClass": "s1.standard", "createdTime": 3, "lastModifiedTime": 4 },
                     { "simId": "8981100000000000018", "imsi": "440103000000002", "addresses": [] }]
        });
        let document = document::parse(&value).unwrap();
        let text = String::from_utf8(text(&document.snapshot).unwrap()).unwrap();
        assert_eq!(text, format!("{value:#}\n"));
    }
}
