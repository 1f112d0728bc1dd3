//! Whether a configuration would do what its author means.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::credential::{CredentialType, CredentialsId};
use crate::entrypoint::{EntryPoint, Scheme};
use crate::json::JsonFileError;
use crate::sim::Sim;
use crate::store::{CredentialStore, FileStore, Snapshot, Store};

/// What there is to say about a configuration that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How much there is of what.
    pub summary: String,
    /// What keeps some device from connecting: credentials that are not there.
    pub problems: Vec<String>,
    /// What is allowed but hardly meant.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether nothing keeps a device from connecting.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problems
            .iter()
            .try_for_each(|problem| writeln!(f, "error: {problem}"))?;
        self.notes
            .iter()
            .try_for_each(|note| writeln!(f, "note: {note}"))?;
        f.write_str(&self.summary)
    }
}

/// Reads the configuration at `path` and looks for the credentials it names in the folder `certs`. Changes
/// nothing.
///
/// # Errors
/// The file cannot be used; everything that is wrong in it.
pub async fn check(path: &Path, certs: &Path) -> Result<Report, JsonFileError> {
    let (store, mut notes) = FileStore::open_with_notes(path)?;
    let snapshot = store.snapshot();
    notes.extend(lonely_sims(&snapshot));
    notes.extend(idle_groups(&snapshot));
    let credentials = CredentialStore::new(certs);
    notes.extend(shared_devices(&snapshot, &credentials).await);
    let problems = unusable_credentials(&snapshot, &credentials).await;
    let summary = format!(
        "{}: {} groups, {} with an entry point, {} SIMs",
        path.display(),
        snapshot.groups().len(),
        snapshot
            .groups()
            .iter()
            .filter(|group| group.beam.is_some())
            .count(),
        snapshot.sims().len()
    );
    Ok(Report {
        summary,
        problems,
        notes,
    })
}

fn lonely_sims(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    snapshot.sims().iter().flat_map(|sim| {
        let group = sim.group_id.is_none().then_some("has no groupId");
        let address = sim.addresses.is_empty().then_some("has no addresses");
        let status = (!sim.status.may_connect()).then(|| format!("is {}", sim.status));
        let lacking = group.into_iter().chain(address).map(str::to_owned);
        lacking
            .chain(status)
            .map(|what| format!("SIM {} {what}, so it cannot connect", sim.imsi))
    })
}

fn idle_groups(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    snapshot.groups().iter().filter_map(|group| {
        let reason = match &group.beam {
            None => "has no MQTT entry point",
            Some(entry_point) if !entry_point.enabled => "has its entry point disabled",
            Some(_) => return None,
        };
        Some(format!(
            "group {} {reason}, so its SIMs cannot connect",
            group.group_id
        ))
    })
}

/// Several SIMs that are one device at a Google-style registry, which keeps one connection a device.
async fn shared_devices(snapshot: &Snapshot, store: &CredentialStore) -> Vec<String> {
    let mut notes = Vec::new();
    for group in snapshot.groups() {
        let Some(entry_point) = &group.beam else { continue };
        let members = |sim: &&Arc<Sim>| sim.group_id.as_ref() == Some(&group.group_id);
        let sims = snapshot.sims().iter().filter(members).count();
        for (id, kind) in entry_point.shared_credentials() {
            if kind != CredentialType::GoogleIot || sims < 2 {
                continue;
            }
            // What is wrong with a credential is a problem, and told as one.
            let Ok(credential) = store.of_type(&id, kind).await else {
                continue;
            };
            let device = credential.values.get("deviceId").unwrap_or_default();
            if !device.contains("#{") {
                notes.push(format!(
                    "group {}: its {sims} SIMs are all the device {device:?} of credential {id}, and push each other out: put #{{imsi}} into the deviceId or into $credentialsId",
                    group.group_id
                ));
            }
        }
    }
    notes
}

/// Credentials whose ids are known without a SIM, and those of the SIMs that are there; with each, whether a client
/// certificate in it is shown to a broker.
fn credentials(snapshot: &Snapshot) -> BTreeMap<(CredentialsId, CredentialType), bool> {
    let entry_points = snapshot.groups().iter().filter_map(|group| group.beam.as_ref());
    let shared = entry_points.flat_map(|entry_point| {
        let ids = entry_point.shared_credentials();
        ids.map(|id| (id, shows_certificate(entry_point)))
    });
    let own = snapshot.sims().iter().filter_map(|sim| {
        let entry_point = snapshot.entry_point(sim.group_id.as_ref()?)?;
        Some((entry_point.credential(sim)?, shows_certificate(&entry_point)))
    });
    let mut ids = BTreeMap::new();
    for (id, is_shown) in shared.chain(own) {
        *ids.entry(id).or_default() |= is_shown;
    }
    ids
}

fn shows_certificate(entry_point: &EntryPoint) -> bool {
    entry_point.use_client_cert && entry_point.destination.scheme() == Scheme::Mqtts
}

async fn unusable_credentials(snapshot: &Snapshot, store: &CredentialStore) -> Vec<String> {
    let mut problems = Vec::new();
    for ((id, kind), is_shown) in credentials(snapshot) {
        let error = match kind {
            CredentialType::X509 if is_shown => store.client_certificate(&id).await.err(),
            CredentialType::X509 => store.x509(&id).await.err(),
            kind => store.of_type(&id, kind).await.err(),
        };
        problems.extend(error.map(|error| error.to_string()));
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_keeps_devices_away_and_what_is_odd_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let entry = |certs: &str, enabled: bool| {
            json!({ "SoracomBeam": { "mqtt://beam.soracom.io:1883": {
            "destination": "mqtts://b", "enabled": enabled, "psk": 1,
            "clientCerts": { "default": { "$credentialsId": certs } } } } })
        };
        let file = json!({
            "groups": [
                { "groupId": "a", "configuration": entry("shared", true) },
                { "groupId": "b", "configuration": entry("own-#{imsi}", false) },
                { "groupId": "c" }
            ],
            "sims": [
                { "simId": "8981100000000000017", "imsi": "440103000000001" },
                { "simId": "8981100000000000018", "imsi": "440103000000002", "groupId": "b", "addresses": ["10.0.0.2"] }
            ]
        });
        let path = folder.path().join("f.json");
        fs::write(&path, file.to_string()).unwrap();
        let report = check(&path, folder.path()).await.unwrap();
        assert!(!report.is_good());
        let starts: Vec<_> = report
            .problems
            .iter()
            .map(|problem| problem.split(':').next().unwrap())
            .collect();
        assert_eq!(
            starts,
            [
                "there is no credential own-440103000000002",
                "there is no credential shared"
            ]
        );
        assert_eq!(
            report.notes,
            [
                "group a: mqtt://beam.soracom.io:1883: the field \"psk\" is kept but not used",
                "group b: mqtt://beam.soracom.io:1883: the field \"psk\" is kept but not used",
                "SIM 440103000000001 has no groupId, so it cannot connect",
                "SIM 440103000000001 has no addresses, so it cannot connect",
                "group b has its entry point disabled, so its SIMs cannot connect",
                "group c has no MQTT entry point, so its SIMs cannot connect",
            ]
        );
        assert!(
            report
                .to_string()
                .ends_with("f.json: 3 groups, 2 with an entry point, 2 SIMs")
        );
    }

    #[tokio::test]
    async fn a_credential_without_the_certificate_that_a_broker_is_to_be_shown_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let credential = folder.path().join("site");
        fs::create_dir(&credential).unwrap();
        let ca = rcgen::generate_simple_self_signed(["site".to_owned()]).unwrap();
        fs::write(credential.join("ca.pem"), ca.cert.pem()).unwrap();
        let path = folder.path().join("f.json");
        for is_shown in [false, true] {
            let entry = json!({ "SoracomBeam": { "mqtt://beam.soracom.io:1883": {
                "destination": "mqtts://b", "useClientCert": is_shown,
                "clientCerts": { "default": { "$credentialsId": "site" } } } } });
            let file = json!({ "groups": [{ "groupId": "g", "configuration": entry }], "sims": [] });
            fs::write(&path, file.to_string()).unwrap();
            let report = check(&path, folder.path()).await.unwrap();
            assert_eq!(report.is_good(), !is_shown, "{report}");
            let told = report
                .to_string()
                .contains("holds no cert.pem and key.pem, and useClientCert wants them");
            assert_eq!(told, is_shown, "{report}");
        }
    }

    #[tokio::test]
    async fn the_credential_of_a_platform_is_looked_for_and_has_to_be_of_its_type() {
        let folder = tempfile::tempdir().unwrap();
        let entry = |id: &str, more: &str| {
            json!({ "SoracomBeam": { "mqtt://beam.soracom.io:1883": {
            "destination": "mqtts://hub.azure-devices.net", "useAzureIoT": true, "username": more,
            "azureIoTCredential": { "$credentialsId": id } } } })
        };
        let file = json!({
            "groups": [
                { "groupId": "a", "configuration": entry("hub", "u") },
                { "groupId": "b", "configuration": entry("own-#{imsi}", "") }
            ],
            "sims": [
                { "simId": "8981100000000000018", "imsi": "440103000000002", "groupId": "b", "addresses": ["10.0.0.2"] }
            ]
        });
        fs::create_dir(folder.path().join("hub")).unwrap();
        let keys = r#"{ "type": "pubnub-credentials", "credentials": { "pubKey": "p", "subKey": "s" } }"#;
        fs::write(folder.path().join("hub/credential.json"), keys).unwrap();
        let path = folder.path().join("f.json");
        fs::write(&path, file.to_string()).unwrap();
        let report = check(&path, folder.path()).await.unwrap();
        assert_eq!(
            report.problems,
            [
                "credential hub is of the type pubnub-credentials, and what is needed is azureIoT-credentials",
                "there is no credential own-440103000000002: store one of the type azureIoT-credentials with POST /v1/credentials/own-440103000000002",
            ]
        );
        assert_eq!(
            report.notes,
            ["group a: mqtt://beam.soracom.io:1883: username has no effect because useAzureIoT is true"]
        );
    }

    #[tokio::test]
    async fn sims_that_would_be_one_device_of_a_registry_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let entry = json!({ "SoracomBeam": { "mqtt://beam.soracom.io:1883": {
            "destination": "mqtts://b", "useGoogleIoT": true, "googleIoTCredential": { "$credentialsId": "r" } } } });
        let sim = |n: u8| {
            json!({ "simId": format!("898110000000000001{n}"), "imsi": format!("44010300000000{n}"),
                    "groupId": "g", "addresses": [format!("10.0.0.{n}")] })
        };
        let file =
            json!({ "groups": [{ "groupId": "g", "configuration": entry }], "sims": [sim(1), sim(2)] });
        let path = folder.path().join("f.json");
        fs::write(&path, file.to_string()).unwrap();
        fs::create_dir(folder.path().join("r")).unwrap();
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (device, notes) in [("meter", 1), ("meter-#{imsi}", 0)] {
            let record = json!({ "type": "googleIoT-credentials", "credentials": {
                "projectId": "p", "region": "r", "registryId": "g", "deviceId": device,
                "algorithm": "ES256", "privateKey": key } });
            fs::write(folder.path().join("r/credential.json"), record.to_string()).unwrap();
            let report = check(&path, folder.path()).await.unwrap();
            assert!(report.is_good(), "{report}");
            assert_eq!(report.notes.len(), notes, "{report}");
            if let [note] = &report.notes[..] {
                assert!(
                    note.starts_with("group g: its 2 SIMs are all the device \"meter\""),
                    "{note}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_sim_that_is_switched_off_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        for (status, told) in [
            ("suspended", true),
            ("inactive", true),
            ("terminated", true),
            ("standby", false),
        ] {
            let file = include_str!("../../entrypoints.json")
                .replace("\"imsi\"", &format!("\"status\": \"{status}\", \"imsi\""));
            fs::write(&path, file).unwrap();
            let report = check(&path, folder.path()).await.unwrap();
            assert!(report.is_good(), "{report}");
            let words = format!("is {status}, so it cannot connect");
            assert_eq!(report.to_string().contains(&words), told, "{report}");
        }
    }

    #[tokio::test]
    async fn the_shipped_file_has_nothing_to_complain_about() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entrypoints.json");
        fs::write(&path, include_str!("../../entrypoints.json")).unwrap();
        let report = check(&path, folder.path()).await.unwrap();
        assert!(report.is_good() && report.notes.is_empty(), "{report}");
    }
}
