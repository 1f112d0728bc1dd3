//! References from an entry point into the credential store.

use std::collections::BTreeMap;

use super::template;
use crate::credential::{CredentialsId, InvalidCredentialsId};
use crate::sim::{Imsi, Sim};

/// A credentials id that may hold `#{imsi}` and the like, so that one group serves a certificate a SIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialsTemplate(Box<str>);

impl CredentialsTemplate {
    /// Checks and wraps `text`: whatever the SIM, the result is a credentials id.
    ///
    /// # Errors
    /// [`InvalidCredentialsId`] quotes the text and says what it has to be.
    pub fn new(text: &str) -> Result<Self, InvalidCredentialsId> {
        match CredentialsId::new(&template::longest(text)) {
            Ok(_) => Ok(Self(text.into())),
            Err(_) => Err(InvalidCredentialsId(text.to_owned())),
        }
    }

    /// The id for `sim`.
    #[must_use]
    pub fn render(&self, sim: &Sim) -> CredentialsId {
        CredentialsId::of_template(template::render(&self.0, sim))
    }

    /// The id, if it is the same for every SIM.
    #[must_use]
    pub fn literal(&self) -> Option<CredentialsId> {
        (!template::has_placeholder(&self.0)).then(|| CredentialsId::of_template(self.0.to_string()))
    }
}

/// The credentials of an entry point: one a SIM, and one for the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientCerts {
    /// For the SIMs that have their own.
    pub by_imsi: BTreeMap<Imsi, CredentialsTemplate>,
    /// For the others (`default`).
    pub default: Option<CredentialsTemplate>,
}

impl ClientCerts {
    /// The credential of `sim`: the key of its IMSI first, then `default`.
    #[must_use]
    pub fn credentials_id(&self, sim: &Sim) -> Option<CredentialsId> {
        let template = self.by_imsi.get(&sim.imsi).or(self.default.as_ref())?;
        Some(template.render(sim))
    }

    /// Whether there is no credential at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_imsi.is_empty() && self.default.is_none()
    }

    /// The ids that are the same for every SIM.
    pub fn literals(&self) -> impl Iterator<Item = CredentialsId> {
        self.by_imsi
            .values()
            .chain(&self.default)
            .filter_map(CredentialsTemplate::literal)
    }
}

#[cfg(test)]
mod tests {
    use super::super::placeholder::tests::sim;
    use super::*;

    #[test]
    fn a_credentials_id_can_name_no_place_but_its_folder() {
        for good in [
            "x509",
            "handson-aws-iot-440103000000001",
            "a.b_c@d",
            "...",
            &"x".repeat(128),
        ] {
            assert!(CredentialsId::new(good).is_ok(), "{good:?}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "../x",
            "a\\b",
            "a b",
            "a\0",
            "é",
            &"x".repeat(129),
        ] {
            assert!(CredentialsId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_template_is_refused_unless_every_sim_gets_an_id() {
        let template = CredentialsTemplate::new("iot-#{imsi}").unwrap();
        assert_eq!(template.render(&sim(None)).as_str(), "iot-440103000000001");
        assert_eq!(template.literal(), None);
        assert_eq!(
            CredentialsTemplate::new("iot")
                .unwrap()
                .literal()
                .unwrap()
                .as_str(),
            "iot"
        );
        let error = CredentialsTemplate::new("iot-#{msisdn}").unwrap_err().to_string();
        assert!(
            error.starts_with("\"iot-#{msisdn}\" is not a credentials id"),
            "{error}"
        );
        assert!(CredentialsTemplate::new(&format!("{}#{{imsi}}", "x".repeat(107))).is_err());
    }

    #[test]
    fn the_key_of_the_imsi_goes_before_the_default() {
        let template = |text| CredentialsTemplate::new(text).unwrap();
        let mut certs = ClientCerts {
            default: Some(template("all")),
            ..ClientCerts::default()
        };
        assert_eq!(certs.credentials_id(&sim(None)).unwrap().as_str(), "all");
        certs
            .by_imsi
            .insert(Imsi::new("440103000000001").unwrap(), template("mine"));
        assert_eq!(certs.credentials_id(&sim(None)).unwrap().as_str(), "mine");
        certs.by_imsi = BTreeMap::from([(Imsi::new("440103000000002").unwrap(), template("other"))]);
        certs.default = None;
        assert_eq!(certs.credentials_id(&sim(None)), None);
    }
}
