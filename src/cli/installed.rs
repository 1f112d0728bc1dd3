//! The settings of the services of the package, for commands that an operator gives by hand.

use std::collections::HashMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::database;
use crate::settings::Settings;

/// Where the services of the package have their settings.
pub const INSTALLED_SETTINGS: &str = "/etc/simrelay/simrelay.env";
/// Set in the environment of the second run.
const APPLIED: &str = "SIMRELAY_SETTINGS_APPLIED";

/// As [`apply_settings_of_services`], where the data folder that the settings name holds nothing: then it is that
/// of the services that is meant.
///
/// # Errors
/// As [`apply_settings_of_services`].
pub fn find_data_of_services(settings: &Settings) -> io::Result<()> {
    if settings.data.join(database::FILE).exists() {
        return Ok(());
    }
    apply_settings_of_services(Path::new(INSTALLED_SETTINGS))
}

/// Runs this program again with the settings of the services, if there are any; returns if not. So that it
/// sees what the services see.
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
