//! What a change makes of the file is read again before it is written: a file that is written has to be one that the next
//! start can read, whatever a value holds. Only the part that the change has touched, as to read the groups and SIMs of a
//! large site takes the better part of a second.

use super::change::Change;
use super::snapshot::Snapshot;
use super::{ChangeError, document, render};
use crate::json::strict;

/// Refuses a change with which the file would not say the same when it is read.
///
/// # Errors
/// Why it would not: a mistake in what is refused before.
pub(super) fn check(after: &Snapshot, change: &Change) -> Result<(), ChangeError> {
    let unreadable = |reason: String| ChangeError::Unreadable(reason);
    let text = render::text(&touched(after, change)).map_err(|error| unreadable(error.to_string()))?;
    let value = strict::parse(&text).map_err(|error| unreadable(error.to_string()))?;
    let document = document::parse(&value).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        unreadable(problems.join("; "))
    })?;
    match render::text(&document.snapshot) {
        Ok(again) if again == text => Ok(()),
        _ => Err(unreadable("it does not say the same".to_owned())),
    }
}

/// The group or the SIM that was changed, alone; a SIM with the group that it is in.
fn touched(after: &Snapshot, change: &Change) -> Snapshot {
    let sim = match change {
        Change::Group(..) => None,
        Change::Sim(id, _) => after.sim(id),
    };
    let group = match change {
        Change::Group(id, _) => Some(id),
        Change::Sim(..) => sim.and_then(|sim| sim.group_id.as_ref()),
    };
    let group = group.and_then(|id| after.group(id));
    Snapshot::new(
        group.cloned().into_iter().collect(),
        sim.cloned().into_iter().collect(),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::sim::{GroupId, SimId};
    use crate::store::{Group, GroupChange, SimChange, SimEdit};

    fn snapshot(value: Value) -> Snapshot {
        let document = json!({
            "groups": [{ "groupId": "g", "configuration": { "SoracomAir": { "k": 1 } } }, { "groupId": "other" }],
            "sims": [{ "simId": "8981100000000000001", "imsi": "440100000000001", "groupId": "g", "addresses": ["10.0.0.1"] }]
        });
        let snapshot = document::parse(&document).unwrap().snapshot;
        let mut groups = snapshot.groups().to_vec();
        let mut group = Group::clone(&groups[0]);
        group.configuration["SoracomAir"]["k"] = value;
        groups[0] = Arc::new(group);
        Snapshot::new(groups, snapshot.sims().to_vec())
    }

    fn of_group(id: &str) -> Change {
        Change::Group(GroupId::new(id).unwrap(), GroupChange::Delete)
    }

    #[test]
    fn what_can_be_read_again_passes() {
        let after = snapshot(json!({ "a": [1, 0.5, -6.716102559544201e16, "x"] }));
        let of_sim = Change::Sim(
            SimId::new("8981100000000000001").unwrap(),
            SimChange::Edit(SimEdit::SetGroup(None)),
        );
        for change in [of_group("g"), of_group("deleted"), of_sim] {
            check(&after, &change).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_read_again_is_refused_and_stays_out_of_the_file() {
        let deep = (0..130).fold(json!(1), |inner, _| json!([inner]));
        let after = snapshot(deep);
        let error = check(&after, &of_group("g")).unwrap_err().to_string();
        assert!(error.contains("recursion limit exceeded"), "{error}");
        check(&after, &of_group("other")).unwrap();
        let error = check(&snapshot(json!(1e20)), &of_group("g"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("too large"), "{error}");
    }

    #[test]
    fn what_would_be_read_as_something_else_is_refused() {
        let before = snapshot(json!(1));
        let mut sim = crate::sim::Sim::clone(&before.sims()[0]);
        sim.addresses = vec!["::ffff:10.0.0.1".parse().unwrap()];
        let after = Snapshot::new(before.groups().to_vec(), vec![Arc::new(sim)]);
        let change = Change::Sim(
            SimId::new("8981100000000000001").unwrap(),
            SimChange::Edit(SimEdit::SetGroup(None)),
        );
        let error = check(&after, &change).unwrap_err().to_string();
        assert!(error.contains("does not say the same"), "{error}");
    }
}
