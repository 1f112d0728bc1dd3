//! The audit log: who changed what through the API, and from where; and who was not let in.

use std::fmt::Display;

use super::auth::Caller;
use crate::sim::GroupId;

/// The target of its lines, by which the log keeps them whatever its level is.
pub(crate) const TARGET: &str = "simrelay::audit";

/// Writes down what a caller changed or was given, in words without a secret.
pub(super) fn done(caller: &Caller, message: &'static str, what: &dyn Display) {
    write(caller.who(), caller, message, what, None);
}

/// The same, of a group.
pub(super) fn done_to(group: Option<&GroupId>, caller: &Caller, message: &'static str, what: &dyn Display) {
    write(caller.who(), caller, message, what, group);
}

/// Writes down a login: who came in is known only now.
pub(super) fn logged_in(auth_key_id: &str, caller: &Caller, what: &dyn Display) {
    write(auth_key_id, caller, "logged in", what, None);
}

fn write(who: &str, from: &Caller, message: &'static str, what: &dyn Display, group: Option<&GroupId>) {
    let group = group.map(tracing::field::display);
    tracing::info!(target: TARGET, event = "audit", who, from = %from, group, what = %what, "{message}");
}
