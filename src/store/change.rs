//! What an administrator can change, as values that the store makes durable.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Snapshot;
use crate::sim::{GroupId, Imei, ImeiLock, Imsi, SimId, SimKind, SimStatus, Tags};

/// A change of one group or one SIM.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Of a group.
    Group(GroupId, GroupChange),
    /// Of a SIM.
    Sim(SimId, SimChange),
}

/// A change of one group.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupChange {
    /// A new one.
    Create {
        /// Its labels.
        tags: Tags,
        /// Namespace to key to value.
        configuration: Map<String, Value>,
    },
    /// It goes, if no SIM is in it.
    Delete,
    /// It becomes another one.
    Edit(GroupEdit),
}

impl From<GroupEdit> for GroupChange {
    fn from(edit: GroupEdit) -> Self {
        Self::Edit(edit)
    }
}

/// A change of a group that is there and stays.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupEdit {
    /// Each key gets its value whole; keys that are not named stay.
    Put {
        /// One of [`super::NAMESPACES`].
        namespace: String,
        /// Keys with their new values.
        entries: Vec<(String, Value)>,
    },
    /// One key goes.
    DeleteKey {
        /// The namespace that holds it.
        namespace: String,
        /// The key, decoded.
        key: String,
    },
    /// A namespace goes with all its keys.
    DeleteNamespace {
        /// The namespace.
        namespace: String,
    },
    /// Tags get new values; others stay.
    PutTags(Tags),
    /// One tag goes.
    DeleteTag(String),
}

/// A change of one SIM.
#[derive(Debug, Clone, PartialEq)]
pub enum SimChange {
    /// A new one.
    Create(NewSim),
    /// It goes.
    Delete,
    /// It becomes another one.
    Edit(SimEdit),
}

/// What is said of a SIM that is to be, but for its id.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSim {
    /// The subscriber identity on it.
    pub imsi: Imsi,
    /// The modem it sits in.
    pub imei: Option<Imei>,
    /// Its group.
    pub group_id: Option<GroupId>,
    /// The source addresses that belong to it.
    pub addresses: Vec<IpAddr>,
    /// Its labels.
    pub tags: Tags,
    /// What kind it is.
    pub kind: SimKind,
}

/// A change of a SIM that is there and stays.
#[derive(Debug, Clone, PartialEq)]
pub enum SimEdit {
    /// It moves into a group, or out of all.
    SetGroup(Option<GroupId>),
    /// It is switched on or off.
    SetStatus(SimStatus),
    /// All its source addresses.
    SetAddresses(Vec<IpAddr>),
    /// The modem it sits in.
    SetImei(Option<Imei>),
    /// The modem that it may be used in; `None` for any.
    SetImeiLock(Option<ImeiLock>),
    /// Tags get new values; others stay.
    PutTags(Tags),
    /// One tag goes.
    DeleteTag(String),
}

impl Change {
    /// The group that it is of, or that it puts a SIM into.
    #[must_use]
    pub fn group(&self) -> Option<&GroupId> {
        match self {
            Self::Group(group, _) => Some(group),
            Self::Sim(_, SimChange::Create(sim)) => sim.group_id.as_ref(),
            Self::Sim(_, SimChange::Edit(SimEdit::SetGroup(group))) => group.as_ref(),
            Self::Sim(..) => None,
        }
    }
}

/// A change that is durable.
#[derive(Debug, Clone)]
pub struct Changed {
    /// What is true since.
    pub snapshot: Arc<Snapshot>,
    /// What the admin should know about the values that were put: unused fields, odd combinations.
    pub notes: Vec<String>,
}

/// For the audit log. Values of the configuration stay out of it: they may hold passwords.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(id, change) => write!(f, "group {id}: {change}"),
            Self::Sim(id, change) => write!(f, "SIM {id}: {change}"),
        }
    }
}

impl fmt::Display for GroupChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { .. } => f.write_str("create"),
            Self::Delete => f.write_str("delete"),
            Self::Edit(edit) => edit.fmt(f),
        }
    }
}

impl fmt::Display for GroupEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { namespace, entries } => {
                let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
                write!(f, "put {namespace} {keys:?}")
            }
            Self::DeleteKey { namespace, key } => write!(f, "delete {namespace} {key:?}"),
            Self::DeleteNamespace { namespace } => write!(f, "delete {namespace}"),
            Self::PutTags(tags) => write!(f, "put tags {tags:?}"),
            Self::DeleteTag(tag) => write!(f, "delete tag {tag:?}"),
        }
    }
}

impl fmt::Display for SimChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(NewSim { imsi, addresses, .. }) => {
                write!(f, "create with IMSI {imsi}, addresses {addresses:?}")
            }
            Self::Delete => f.write_str("delete"),
            Self::Edit(edit) => edit.fmt(f),
        }
    }
}

impl fmt::Display for SimEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetGroup(Some(group)) => write!(f, "move to group {group}"),
            Self::SetGroup(None) => f.write_str("move out of its group"),
            Self::SetStatus(status) => write!(f, "make {status}"),
            Self::SetAddresses(addresses) => write!(f, "set addresses {addresses:?}"),
            Self::SetImei(Some(imei)) => write!(f, "set IMEI {imei}"),
            Self::SetImei(None) => f.write_str("forget its IMEI"),
            Self::SetImeiLock(Some(lock)) => write!(f, "lock to IMEI {lock}"),
            Self::SetImeiLock(None) => f.write_str("lock to no IMEI"),
            Self::PutTags(tags) => write!(f, "put tags {tags:?}"),
            Self::DeleteTag(tag) => write!(f, "delete tag {tag:?}"),
        }
    }
}
