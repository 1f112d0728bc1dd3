//! What is sent to make or change a SIM.

use std::net::IpAddr;

use serde::Deserialize;
use utoipa::ToSchema;

use super::ApiError;
use super::body::{AnyObject, Form, present};
use super::tag_set::TagSet;
use crate::sim::{GroupId, Imei, ImeiLock, Imsi, InvalidIdentifier, SimId, SimKind};
use crate::store::{self, SimChange, SimEdit, Snapshot};

/// Body of `POST /v1/sims` and of the two `register` calls. All is optional: what SORACOM's own calls do not
/// say (`simId`, `imsi`) is chosen here, from numbers that no network uses.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewSim {
    /// `euicc`, `uicc` or `virtual`.
    #[serde(rename = "type")]
    sim_type: Option<String>,
    /// That of virtual SIMs, the only one here.
    #[schema(pattern = "^planArc01$")]
    subscription: Option<String>,
    /// SORACOM's; there is nobody here to check it with.
    #[serde(rename = "registrationSecret")]
    _registration_secret: Option<String>,
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    group_id: Option<String>,
    #[serde(default)]
    tags: TagSet,
    // Our own:
    /// `mini`, `micro`, `nano`, `trio`, `embedded`, `virtual`, `integrated` or `profilePackage`.
    module_type: Option<String>,
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "s1.standard")]
    speed_class: Option<String>,
    #[schema(pattern = "^[0-9]{18,22}$")]
    pub(super) sim_id: Option<String>,
    #[schema(pattern = "^[0-9]{6,15}$")]
    pub(super) imsi: Option<String>,
    #[schema(pattern = "^[0-9]{15,16}$")]
    imei: Option<String>,
    /// IP addresses.
    addresses: Option<Vec<String>>,
}

impl Form for NewSim {
    type Outline = AnyObject;
    const FORM: &'static str = "an object with the fields simId, imsi, imei, groupId, addresses, tags, type, moduleType, speedClass, subscription, registrationSecret";
}

impl NewSim {
    /// The SIM's id, and the change that makes it.
    pub(super) fn change(self, snapshot: &Snapshot) -> Result<(SimId, SimChange), ApiError> {
        let sim_id = read("simId", self.sim_id.as_deref(), SimId::new)?;
        let imsi = read("imsi", self.imsi.as_deref(), Imsi::new)?;
        let new = store::NewSim {
            imsi: match imsi {
                Some(imsi) => imsi,
                // Of the test network 001/01.
                None => unused("imsi", "00101", 10, Imsi::new, |imsi| {
                    snapshot.sim_by_imsi(imsi).is_none()
                })?,
            },
            imei: read("imei", self.imei.as_deref(), Imei::new)?,
            group_id: read("groupId", self.group_id.as_deref(), GroupId::new)?,
            addresses: addresses(self.addresses.as_deref().unwrap_or_default())?,
            kind: self.kind()?,
            tags: self.tags.0,
        };
        let sim_id = match sim_id {
            Some(id) => id,
            None => unused("simId", "8900101", 12, SimId::new, |id| {
                snapshot.sim(id).is_none()
            })?,
        };
        Ok((sim_id, SimChange::Create(new)))
    }

    fn kind(&self) -> Result<SimKind, ApiError> {
        let kind = SimKind {
            sim_type: read("type", self.sim_type.as_deref(), str::parse)?,
            module_type: read("moduleType", self.module_type.as_deref(), str::parse)?,
            speed_class: read("speedClass", self.speed_class.as_deref(), str::parse)?,
        };
        // It is not kept, as the type says it.
        match self.subscription.as_deref() {
            Some(other) if kind.subscription() != Some(other) => Err(ApiError::InvalidBody(format!(
                "subscription: {other:?} is not {}, the only one here, which goes with the type virtual",
                SimKind::VIRTUAL_SUBSCRIPTION
            ))),
            _ => Ok(kind),
        }
    }
}

fn read<T>(
    field: &str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, InvalidIdentifier>,
) -> Result<Option<T>, ApiError> {
    let parsed = text.map(parse).transpose();
    parsed.map_err(|error| ApiError::InvalidBody(format!("{field}: {error}")))
}

/// A number with this prefix and so many digits behind it that nobody has.
fn unused<T>(
    field: &str,
    prefix: &str,
    digits: u32,
    parse: impl Fn(&str) -> Result<T, InvalidIdentifier>,
    free: impl Fn(&T) -> bool,
) -> Result<T, ApiError> {
    loop {
        let random = uuid::Uuid::new_v4().as_u128() % 10_u128.pow(digits);
        let text = format!("{prefix}{random:0width$}", width = digits as usize);
        if let Some(id) = read(field, Some(&text), &parse)?.filter(&free) {
            return Ok(id);
        }
    }
}

/// Body of `set_group`; with `null` the SIM is in no group, as after `unset_group`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct GroupOfSim {
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$", required = true)]
    #[serde(deserialize_with = "present")]
    group_id: Option<String>,
}

impl Form for GroupOfSim {
    type Outline = AnyObject;
    const FORM: &'static str = "{\"groupId\": string or null}";
}

impl GroupOfSim {
    pub(super) fn edit(&self) -> Result<SimEdit, ApiError> {
        Ok(SimEdit::SetGroup(read(
            "groupId",
            self.group_id.as_deref(),
            GroupId::new,
        )?))
    }
}

/// Body of `PUT …/addresses`.
impl Form for Vec<String> {
    type Outline = Self;
    const FORM: &'static str = "a list of IP addresses as strings";
}

pub(super) fn addresses(list: &[String]) -> Result<Vec<IpAddr>, ApiError> {
    let parse = |(at, text): (usize, &String)| {
        text.parse()
            .map_err(|_| ApiError::InvalidBody(format!("addresses[{at}]: {text:?} is not an IP address")))
    };
    list.iter().enumerate().map(parse).collect()
}

/// Body of `PUT …/imei`; `null` forgets it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Modem {
    #[schema(pattern = "^[0-9]{15,16}$", required = true)]
    #[serde(deserialize_with = "present")]
    imei: Option<String>,
}

impl Form for Modem {
    type Outline = AnyObject;
    const FORM: &'static str = "{\"imei\": string or null}";
}

impl Modem {
    pub(super) fn edit(&self) -> Result<SimEdit, ApiError> {
        Ok(SimEdit::SetImei(read("imei", self.imei.as_deref(), Imei::new)?))
    }
}

/// Body of `set_imei_lock`. Without an IMEI, that of now is meant.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Lock {
    /// With `|ANONYMOUS` behind it the SIM may connect as well while its IMEI is not known.
    #[schema(pattern = r"^([0-9]{15,16}(\|ANONYMOUS)?)?$")]
    imei: Option<String>,
}

impl Lock {
    /// `current` is the IMEI of a SIM that is online.
    pub(super) fn edit(&self, current: Option<Imei>) -> Result<SimEdit, ApiError> {
        let given = self.imei.as_deref().filter(|imei| !imei.is_empty());
        let lock = match read("imei", given, str::parse::<ImeiLock>)? {
            Some(lock) => lock,
            None => ImeiLock::to(current.ok_or_else(|| {
                let message = "imei: is missing, and the SIM is offline or its IMEI is not known: give one";
                ApiError::InvalidBody(message.to_owned())
            })?),
        };
        Ok(SimEdit::SetImeiLock(Some(lock)))
    }
}

impl Form for Lock {
    type Outline = AnyObject;
    const FORM: &'static str = "{\"imei\": string}, or nothing";
}
