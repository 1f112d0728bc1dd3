//! Who is calling: SIMs and their identifiers.

mod by_imsi;
mod identifier;
mod imei_lock;
mod kind;
mod status;

pub use by_imsi::ByImsi;
pub use identifier::{GroupId, Imei, Imsi, InvalidIdentifier, SimId, SpeedClass};
pub use imei_lock::ImeiLock;
pub use kind::{ModuleType, SimKind, SimType};
pub use status::SimStatus;

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Free labels of the admin; `name` is the one that people see.
pub type Tags = BTreeMap<String, String>;

/// A SIM as the operator registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sim {
    /// SORACOM's id of the SIM.
    pub sim_id: SimId,
    /// The subscriber identity on it.
    pub imsi: Imsi,
    /// The modem it sits in, where the network tells.
    pub imei: Option<Imei>,
    /// The group whose configuration rules it. Without one it can connect nowhere.
    pub group_id: Option<GroupId>,
    /// The source addresses that belong to it, IPv4-mapped ones already as IPv4.
    pub addresses: Vec<IpAddr>,
    /// Free labels.
    pub tags: Tags,
    /// Whether it may connect, and why not.
    pub status: SimStatus,
    /// The modem that it may be used in; any where there is none.
    pub imei_lock: Option<ImeiLock>,
    /// What kind of SIM it is.
    pub kind: SimKind,
    /// When it was made through the API, in milliseconds since 1970.
    pub created_time: Option<i64>,
    /// When it was last changed through the API, in milliseconds since 1970.
    pub last_modified_time: Option<i64>,
}

impl Sim {
    /// An active SIM that has no more than its identifiers.
    #[must_use]
    pub fn new(sim_id: SimId, imsi: Imsi) -> Self {
        Self {
            sim_id,
            imsi,
            imei: None,
            group_id: None,
            addresses: Vec::new(),
            tags: Tags::new(),
            status: SimStatus::default(),
            imei_lock: None,
            kind: SimKind::default(),
            created_time: None,
            last_modified_time: None,
        }
    }
}
