//! `simrelay doctor`.

use std::path::PathBuf;

use clap::Args;

use super::installed::settings_of_package;
use crate::bridge::Topic;
use crate::claim::Claimant;
use crate::doctor::{self, Diagnosis, Finding, Port, Rehearsal, Verdict};
use crate::settings::{
    ConfigFile, Listen, NotifierBroker, SETTINGS_APPLIED, Settings, misspelt_in_environment,
};
use crate::site_broker::SiteBroker;
use crate::store::{self, FileStore, Store};

/// What the doctor is asked to look at.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Publish a real message to this topic and say whether anybody has it, as in notify/slack
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<Topic>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The settings of the services, NAME=value a line; what the environment sets already stays
    /// [default: /etc/simrelay/simrelay.env, if it is there]
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
}

impl DoctorArgs {
    /// The settings of the services: the file that was named, which has to be there, or that of the package.
    #[must_use]
    pub fn settings(&self) -> ConfigFile {
        match &self.settings {
            Some(path) => ConfigFile::Named(path.clone()),
            None => settings_of_package(),
        }
    }
}

/// Looks at everything, from the broker to the subscriber.
pub async fn doctor(command: &DoctorArgs, settings: &Settings) -> Diagnosis {
    let embedded = match settings.broker_listen {
        Listen::On(address) => Some(address),
        Listen::Off => None,
    };
    let mut findings = odd_settings(command);
    let mut brokers = Vec::new();
    let notifiers = notifiers_broker(settings);
    if settings.bridge.listen != Listen::Off || notifiers.is_none() {
        let broker = settings.bridge.site_broker(embedded);
        let broker = broker.map_err(|error| error.to_string());
        findings.extend(look_at(&broker, "--bridge-broker and --bridge-broker-ca").await);
        brokers.extend(broker);
    }
    if let Some(broker) = notifiers {
        let found = look_at(&broker, "--notifier-broker and its other settings").await;
        findings.extend(found.into_iter().map(|finding| finding.of("notifier")));
        brokers.extend(broker);
    }
    let is_broker_good = findings.iter().all(|finding| finding.verdict != Verdict::Bad);
    if let Listen::On(address) = settings.bridge.listen {
        findings.push(doctor::bridge(address, settings.bridge.tls_cert.is_some()).await);
    }
    findings.extend(notifier(command, settings).await);
    // Where the bridge publishes, if there is one.
    if let (Some(topic), Some(broker), true) = (&command.topic, brokers.first(), is_broker_good) {
        findings.extend(rehearse(topic, broker, settings).await);
    }
    findings.extend(public_password(settings));
    match settings.relay_addresses() {
        Ok(addresses) => {
            for address in addresses {
                findings.push(doctor::relay(address).await);
            }
        }
        Err(error) => findings.push(Finding::bad("relay", error.to_string(), "see --relay-listen")),
    }
    if let Listen::On(address) = settings.api.listen {
        let (step, unit) = ("api", "simrelay-relay");
        findings.push(doctor::port(Port { step, address, unit }).await);
    }
    Diagnosis(findings)
}

/// Settings that nobody reads: misspelt names, and lines of the services' file that are none.
fn odd_settings(command: &DoctorArgs) -> Vec<Finding> {
    let names = misspelt_in_environment();
    let mut findings: Vec<_> = names
        .into_iter()
        .map(|name| Finding::note("settings", name, ""))
        .collect();
    let lines = std::env::var(SETTINGS_APPLIED)
        .ok()
        .filter(|lines| !lines.is_empty());
    findings.extend(lines.map(|lines| {
        let file = command.settings();
        let what = format!(
            "{}: not NAME=value, and so passed over: line {lines}",
            file.path().display()
        );
        Finding::note("settings", what, "")
    }));
    findings
}

/// A real message, up to the queue of the notifier if that runs here.
async fn rehearse(topic: &Topic, broker: &SiteBroker, settings: &Settings) -> Vec<Finding> {
    let rehearsal = Rehearsal {
        topic: topic.to_string(),
        text: "🩺 simrelay doctor".to_owned(),
    };
    let is_here = Claimant::Notifier.is_at_work(&settings.data).unwrap_or(false);
    let data = is_here.then_some(settings.data.as_path());
    doctor::rehearse(broker, &rehearsal, data).await
}

async fn look_at(broker: &Result<SiteBroker, String>, flags: &str) -> Vec<Finding> {
    match broker {
        Ok(broker) => doctor::broker(broker).await,
        Err(error) => vec![Finding::bad("broker", error, format!("see {flags}"))],
    }
}

/// The notifier has its own address of the broker, and its own login, which may be wrong.
fn notifiers_broker(settings: &Settings) -> Option<Result<SiteBroker, String>> {
    let Some(NotifierBroker::At(destination)) = &settings.notifier.notifier_broker else {
        return None;
    };
    let broker = settings.notifier.site_broker(destination.clone());
    Some(broker.map_err(|error| error.to_string()))
}

/// Whether others can read passwords of entry points. What else may be wrong with the file, `simrelay check` says.
fn public_password(settings: &Settings) -> Option<Finding> {
    let file = settings.entrypoints();
    let (store, _) = FileStore::open_with_notes(file.path()).ok()?;
    let warning = store::public_password(file.path(), &store.snapshot())?;
    Some(Finding::note("passwords", warning, ""))
}

/// The notifier's file. Where there is none and none was named, there is no notifier.
async fn notifier(command: &DoctorArgs, settings: &Settings) -> Vec<Finding> {
    let file = settings.notifier.notifications();
    if settings.notifier.notifier_broker == Some(NotifierBroker::Off) {
        return Vec::new();
    }
    if file.awaits_first_run() {
        let what = format!(
            "{} is not there: the notifier was never started here",
            file.path().display()
        );
        return vec![Finding::note(
            "routes",
            what,
            "sudo systemctl start simrelay-notifier",
        )];
    }
    let mut findings = doctor::notifications(file.path(), command.topic.as_ref().map(Topic::as_str)).await;
    findings.push(doctor::notifier(&settings.data));
    findings
}
