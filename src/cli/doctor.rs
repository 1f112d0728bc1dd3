//! `simrelay doctor`.

use std::collections::HashMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::bridge::Topic;
use crate::doctor::{self, Diagnosis, Finding, Port, Rehearsal};
use crate::settings::{Listen, NotifierBroker, Settings};
use crate::site_broker::SiteBroker;

/// Where the services of the package have their settings.
const SETTINGS: &str = "/etc/simrelay/simrelay.env";
/// Set in the environment of the second run.
const APPLIED: &str = "SIMRELAY_DOCTOR_SETTINGS_APPLIED";

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
    #[arg(long, value_name = "FILE", default_value = SETTINGS)]
    pub settings: PathBuf,
}

/// Looks at everything, from the broker to the subscriber.
pub async fn doctor(command: &DoctorArgs, settings: &Settings) -> Diagnosis {
    let rehearsal = command.topic.as_ref().map(|topic| Rehearsal {
        topic: topic.to_string(),
        text: "🩺 simrelay doctor".to_owned(),
    });
    let embedded = match settings.broker_listen {
        Listen::On(address) => Some(address),
        Listen::Off => None,
    };
    let mut findings = Vec::new();
    let notifiers = notifiers_broker(settings);
    if settings.bridge.listen != Listen::Off || notifiers.is_none() {
        let broker = settings
            .bridge
            .site_broker(embedded)
            .map_err(|error| error.to_string());
        findings.extend(
            look_at(
                broker,
                rehearsal.as_ref(),
                "--bridge-broker and --bridge-broker-ca",
            )
            .await,
        );
    }
    if let Some(broker) = notifiers {
        let found = look_at(broker, None, "--notifier-broker and its other settings").await;
        findings.extend(found.into_iter().map(|finding| finding.of("notifier")));
    }
    if let Listen::On(address) = settings.bridge.listen {
        findings.push(doctor::bridge(address, settings.bridge.tls_cert.is_some()).await);
    }
    findings.extend(notifier(command, settings).await);
    for address in settings.relay_addresses() {
        let (step, unit) = ("relay", "simrelay-relay");
        findings.push(doctor::port(Port { step, address, unit }).await);
    }
    if let Listen::On(address) = settings.api.listen {
        let (step, unit) = ("api", "simrelay-relay");
        findings.push(doctor::port(Port { step, address, unit }).await);
    }
    Diagnosis(findings)
}

async fn look_at(
    broker: Result<SiteBroker, String>,
    rehearsal: Option<&Rehearsal>,
    flags: &str,
) -> Vec<Finding> {
    match broker {
        Ok(broker) => doctor::broker(&broker, rehearsal).await,
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

/// The notifier's file. Where there is none and none was named, there is no notifier.
async fn notifier(command: &DoctorArgs, settings: &Settings) -> Vec<Finding> {
    let (file, is_named) = settings.notifier.notifications();
    if settings.notifier.notifier_broker == Some(NotifierBroker::Off) {
        return Vec::new();
    }
    if !is_named && !file.exists() {
        let what = format!(
            "{} is not there: the notifier was never started here",
            file.display()
        );
        return vec![Finding::note(
            "routes",
            what,
            "sudo systemctl start simrelay-notifier",
        )];
    }
    doctor::notifications(&file, command.topic.as_ref().map(Topic::as_str)).await
}

/// Runs this program again with the settings of the services, if there are any; returns if not. So that the
/// doctor sees what the services see.
///
/// # Errors
/// The file is there and cannot be read, or the program cannot be run.
pub fn apply_settings_of_services(file: &Path) -> io::Result<()> {
    if std::env::var_os(APPLIED).is_some() || !file.exists() {
        return Ok(());
    }
    let text = std::fs::read_to_string(file).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot read {}: {error}; try sudo", file.display()),
        )
    })?;
    let missing = assignments(&text)
        .into_iter()
        .filter(|(name, _)| std::env::var_os(name).is_none());
    let error = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .envs(missing)
        .env(APPLIED, "1")
        .exec();
    Err(error)
}

/// The lines of an environment file as systemd reads them: comments and quotes are left out.
fn assignments(text: &str) -> HashMap<String, String> {
    let line = |line: &str| {
        let (name, value) = line.trim().split_once('=')?;
        let value = value.trim();
        let quoted = ['"', '\'']
            .into_iter()
            .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
        Some((name.trim().to_owned(), quoted.unwrap_or(value).to_owned()))
    };
    let is_comment = |line: &&str| !line.trim_start().starts_with(['#', ';']);
    text.lines().filter(is_comment).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_file_is_read_as_systemd_does() {
        let text = "# A=0\n; B=0\nA=1\n B = two words \nC=\"three 3\"\nD='4'\nE=a=b\nnonsense\nF=\n";
        let found = assignments(text);
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "three 3"),
            ("D", "4"),
            ("E", "a=b"),
            ("F", ""),
        ];
        assert_eq!(found.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(found[name], value, "{name}");
        }
    }
}
