//! The command line.

mod auth_key;
mod doctor;
mod installed;
mod notifications;
mod numbered;
mod parked;
mod shown;

use crate::settings::Settings;
use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;

pub use auth_key::{AuthKeyCommand, AuthKeyError, auth_key, unknown_to_servers};
pub use doctor::{DoctorArgs, doctor};
pub use installed::{apply_settings_of_services, find_data_of_services, find_entry_points_of_services};
pub use notifications::{NotificationsCommand, NotificationsError, notifications};
pub use numbered::{NotThere, Numbered};
pub use parked::{ParkedCommand, ParkedError, parked};

/// A self-hosted cellular MQTT relay in the style of SORACOM Beam.
#[derive(Debug, Parser)]
#[command(
    name = "simrelay",
    version,
    about = "A self-hosted cellular MQTT relay in the style of SORACOM Beam",
    long_about = "A self-hosted cellular MQTT relay in the style of SORACOM Beam.\n\n\
        A device publishes plain MQTT to port 1883. The relay knows from the source address which SIM calls, \
        rewrites topics, puts in credentials, and forwards to the broker that the SIM's entry point names.\n\n\
        Without a command it runs. Every setting is also an environment variable: SIMRELAY_ and the flag's name."
)]
pub struct Cli {
    /// What to do; `run` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of all commands.
    #[command(flatten)]
    pub settings: Settings,
}

/// What simrelay can do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run all services that the settings do not switch off (the default)
    Run,
    /// Run the relay and the admin API only
    Relay,
    /// Run the HTTP bridge only: GET and POST /notify, POST /publish
    Bridge,
    /// See, send again or drop messages that the broker refused after the bridge had promised them
    #[command(subcommand)]
    Parked(ParkedCommand),
    /// Check a configuration file; exit code 0 if it can be used, 1 if not
    Check {
        /// The file to check
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print what a PUBLISH and a SUBSCRIBE of a topic become for a SIM, and why
    Topic {
        /// IMSI of a SIM in the configuration file
        imsi: String,
        /// The topic as the device sends it
        topic: String,
    },
    /// Look at broker, login, publishing and services; name the step that fails and what to do; exit code 1 if one does
    Doctor(DoctorArgs),
    /// Make, list or delete the keys that admins log in to the API with; the server may run meanwhile
    #[command(subcommand)]
    AuthKey(AuthKeyCommand),
    /// Run the notifier alone: what is published under some topics goes to Slack, LINE, mail and others
    Notifier,
    /// See, send again or drop notifications; test a destination; the server may run meanwhile
    #[command(subcommand)]
    Notifications(NotificationsCommand),
}

/// Prints the answer of a command.
///
/// # Errors
/// Those of standard output.
pub fn say(answer: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{}", answer.trim_end())
}

/// Prints what is no answer: an error that ends the program, or a warning.
pub fn say_error(message: &str) {
    // Nothing is left to do if standard error is closed.
    let _ = writeln!(std::io::stderr(), "simrelay: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_may_stand_before_and_behind_a_command() {
        for line in [
            "simrelay --data d run",
            "simrelay run --data d",
            "simrelay --data d",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.settings.data, PathBuf::from("d"), "{line}");
        }
    }
}
