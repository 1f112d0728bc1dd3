use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::document;
use super::*;
use crate::entrypoint::MQTT_ENTRY_POINT;
use crate::sim::{GroupId, Imsi, Sim, SimId, SimKind, SimStatus, Tags};
use crate::store::{Group, GroupChange, GroupEdit, NewSim, SimChange, SimEdit};

fn snapshot() -> Snapshot {
    let document = json!({
        "groups": [
            { "groupId": "a", "configuration": { "SoracomAir": { "z": 1, "y": 2, "x": 3 } } },
            { "groupId": "b" } ],
        "sims": [
            { "simId": "8981100000000000001", "imsi": "440100000000001", "groupId": "a", "addresses": ["10.0.0.1"] },
            { "simId": "8981100000000000002", "imsi": "440100000000002", "tags": { "k": "v" } } ]
    });
    document::parse(&document).unwrap().snapshot
}

fn group_changed(group: &str, change: GroupChange) -> Result<Arc<Group>, String> {
    let id = GroupId::new(group).unwrap();
    let (after, _) =
        apply(&snapshot(), &Change::Group(id.clone(), change)).map_err(|error| error.to_string())?;
    Ok(Arc::clone(after.group(&id).ok_or("gone")?))
}

fn configuration(group: &str, change: GroupChange) -> Result<String, String> {
    let group = group_changed(group, change)?;
    assert!(group.last_modified_time.unwrap() > 1_600_000_000_000);
    Ok(Value::Object(group.configuration.clone()).to_string())
}

fn put(namespace: &str, entries: &[(&str, Value)]) -> GroupChange {
    GroupChange::Edit(GroupEdit::Put {
        namespace: namespace.to_owned(),
        entries: entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
    })
}

fn delete(namespace: &str, key: &str) -> GroupChange {
    GroupChange::Edit(GroupEdit::DeleteKey {
        namespace: namespace.to_owned(),
        key: key.to_owned(),
    })
}

fn delete_namespace(namespace: &str) -> GroupChange {
    GroupChange::Edit(GroupEdit::DeleteNamespace {
        namespace: namespace.to_owned(),
    })
}

fn sim_changed(sim: u8, change: SimChange) -> Result<Arc<Sim>, String> {
    let id = sim_id(sim);
    let (after, _) =
        apply(&snapshot(), &Change::Sim(id.clone(), change)).map_err(|error| error.to_string())?;
    Ok(Arc::clone(after.sim(&id).ok_or("gone")?))
}

fn sim_id(n: u8) -> SimId {
    SimId::new(&format!("898110000000000000{n}")).unwrap()
}

fn create(imsi: u8, group: Option<&str>, addresses: &[&str]) -> SimChange {
    SimChange::Create(new(imsi, group, addresses))
}

fn new(imsi: u8, group: Option<&str>, addresses: &[&str]) -> NewSim {
    NewSim {
        imsi: Imsi::new(&format!("44010000000000{imsi}")).unwrap(),
        imei: None,
        group_id: group.map(|id| GroupId::new(id).unwrap()),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        tags: Tags::new(),
        kind: SimKind::default(),
    }
}

#[test]
fn a_put_overwrites_its_keys_whole_keeps_the_others_and_their_order() {
    let change = put("SoracomAir", &[("y", json!({ "new": [] })), ("w", json!("any"))]);
    assert_eq!(
        configuration("a", change).unwrap(),
        r#"{"SoracomAir":{"z":1,"y":{"new":[]},"x":3,"w":"any"}}"#
    );
    let made = configuration("b", put("SoracomFunk", &[("k", json!(null))])).unwrap();
    assert_eq!(made, r#"{"SoracomFunk":{"k":null}}"#);
}

#[test]
fn deletions_take_what_is_there_and_say_what_is_not() {
    assert_eq!(
        configuration("a", delete("SoracomAir", "y")).unwrap(),
        r#"{"SoracomAir":{"z":1,"x":3}}"#
    );
    assert_eq!(configuration("a", delete_namespace("SoracomAir")).unwrap(), "{}");
    let tag = || GroupChange::Edit(GroupEdit::DeleteTag("q".to_owned()));
    for (group, change, expected) in [
        (
            "a",
            delete("SoracomAir", "q"),
            "namespace \"SoracomAir\" of group \"a\" has no key \"q\"",
        ),
        (
            "b",
            delete("SoracomAir", "q"),
            "namespace \"SoracomAir\" of group \"b\" has no key \"q\"",
        ),
        (
            "b",
            delete_namespace("SoracomAir"),
            "group \"b\" has no namespace \"SoracomAir\"",
        ),
        ("c", delete_namespace("SoracomAir"), "there is no group \"c\""),
        ("b", tag(), "group \"b\" has no tag \"q\""),
    ] {
        assert_eq!(group_changed(group, change).unwrap_err(), expected);
    }
}

#[test]
fn only_known_namespaces_and_valid_entry_points_are_taken() {
    let error = group_changed("a", put("SoracomBean", &[])).unwrap_err();
    assert!(
        error.contains("\"SoracomBean\" is not a namespace; allowed are SoracomAir,"),
        "{error}"
    );
    let bad = json!({ "destination": "x", "enabled": 1 });
    assert_eq!(
        group_changed("a", put("SoracomBeam", &[(MQTT_ENTRY_POINT, bad)])).unwrap_err(),
        "SoracomBeam[\"mqtt://beam.soracom.io:1883\"].enabled: 1 is not true or false; \
         SoracomBeam[\"mqtt://beam.soracom.io:1883\"].destination: \"x\" is not a URL that begins with mqtt:// or mqtts://"
    );
    assert!(group_changed("a", put("SoracomHarvest", &[("anything", json!([1]))])).is_ok());
}

#[test]
fn the_entry_point_in_force_follows_the_configuration() {
    let good = put(
        "SoracomBeam",
        &[(MQTT_ENTRY_POINT, json!({ "destination": "mqtt://b:9" }))],
    );
    let id = GroupId::new("a").unwrap();
    let (after, _) = apply(&snapshot(), &Change::Group(id.clone(), good)).unwrap();
    assert_eq!(after.entry_point(&id).unwrap().destination.port(), 9);
    for change in [
        delete("SoracomBeam", MQTT_ENTRY_POINT),
        delete_namespace("SoracomBeam"),
    ] {
        let (gone, _) = apply(&after, &Change::Group(id.clone(), change)).unwrap();
        assert!(gone.entry_point(&id).is_none());
    }
}

#[test]
fn a_group_is_made_once_and_goes_only_when_empty() {
    let create = || GroupChange::Create {
        tags: Tags::new(),
        configuration: Map::new(),
    };
    assert!(group_changed("c", create()).unwrap().created_time.is_some());
    assert_eq!(
        group_changed("a", create()).unwrap_err(),
        "there is a group \"a\" already"
    );
    let error = group_changed("a", GroupChange::Delete).unwrap_err();
    assert!(
        error.starts_with("group \"a\" has 1 SIM(s): move them"),
        "{error}"
    );
    assert_eq!(group_changed("b", GroupChange::Delete).unwrap_err(), "gone");
}

#[test]
fn nothing_of_a_sim_that_must_be_unique_is_twice() {
    let made = sim_changed(3, create(3, Some("b"), &["10.0.0.3", "::ffff:10.0.0.3"])).unwrap();
    assert_eq!(made.addresses, ["10.0.0.3".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(made.status, SimStatus::Active);
    for (sim, change, expected) in [
        (
            1,
            create(3, None, &[]),
            "the SIM id \"8981100000000000001\" is that of SIM 8981100000000000001 already",
        ),
        (
            3,
            create(1, None, &[]),
            "the IMSI \"440100000000001\" is that of SIM 8981100000000000001 already",
        ),
        (
            3,
            create(3, None, &["::ffff:10.0.0.1"]),
            "the address \"10.0.0.1\" is that of SIM 8981100000000000001 already",
        ),
        (3, create(3, Some("q"), &[]), "groupId: there is no group \"q\""),
        (
            2,
            SimChange::Edit(SimEdit::SetAddresses(vec!["10.0.0.1".parse().unwrap()])),
            "the address \"10.0.0.1\" is that of SIM 8981100000000000001 already",
        ),
        (4, SimChange::Delete, "there is no SIM \"8981100000000000004\""),
    ] {
        assert_eq!(sim_changed(sim, change).unwrap_err(), expected);
    }
    assert!(
        sim_changed(
            1,
            SimChange::Edit(SimEdit::SetAddresses(vec!["10.0.0.1".parse().unwrap()]))
        )
        .is_ok()
    );
}

#[test]
fn a_terminated_sim_stays_so() {
    let terminate = Change::Sim(
        sim_id(1),
        SimChange::Edit(SimEdit::SetStatus(SimStatus::Terminated)),
    );
    let (after, _) = apply(&snapshot(), &terminate).unwrap();
    let activate = Change::Sim(sim_id(1), SimChange::Edit(SimEdit::SetStatus(SimStatus::Active)));
    assert!(matches!(
        apply(&after, &activate),
        Err(ChangeError::Terminated(_))
    ));
}

#[test]
fn what_nobody_could_delete_again_is_not_made() {
    let tags = Tags::from([(String::new(), "v".to_owned())]);
    let text = "tags: the name of a tag must not be empty";
    assert_eq!(
        group_changed("a", GroupChange::Edit(GroupEdit::PutTags(tags.clone()))).unwrap_err(),
        text
    );
    assert_eq!(
        sim_changed(1, SimChange::Edit(SimEdit::PutTags(tags.clone()))).unwrap_err(),
        text
    );
    let tagged = SimChange::Create(NewSim {
        tags: tags.clone(),
        ..new(3, None, &[])
    });
    assert_eq!(sim_changed(3, tagged).unwrap_err(), text);
    let configuration = Map::new();
    let tagged = GroupChange::Create { tags, configuration };
    assert_eq!(group_changed("c", tagged).unwrap_err(), text);

    let key = put("SoracomAir", &[("", json!(1))]);
    assert_eq!(
        group_changed("a", key).unwrap_err(),
        "SoracomAir: a key must not be empty"
    );
    let configuration = json!({ "SoracomAir": { "": 1 } });
    let keyed = GroupChange::Create {
        tags: Tags::new(),
        configuration: configuration.as_object().unwrap().clone(),
    };
    assert_eq!(
        group_changed("c", keyed).unwrap_err(),
        "SoracomAir: a key must not be empty"
    );
}
