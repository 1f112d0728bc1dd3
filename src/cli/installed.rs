//! The settings of the services of the package, for commands that an operator gives by hand.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::database;
use crate::settings::{ConfigFile, SETTINGS_APPLIED, Settings};

/// Where the services of the package have their settings.
const INSTALLED_SETTINGS: &str = "/etc/simrelay/simrelay.env";
/// The variables of `--data` and `--entrypoints`.
const DATA: &str = "SIMRELAY_DATA";
const ENTRY_POINTS: &str = "SIMRELAY_ENTRYPOINTS";

/// As [`apply_settings_of_services`], where the data folder that the settings name holds nothing: then it is that
/// of the services that is meant. Where it is here, root becomes its owner.
///
/// # Errors
/// As [`apply_settings_of_services`], or the program cannot be run as the owner.
pub fn find_data_of_services(settings: &Settings) -> io::Result<()> {
    if !settings.data.join(database::FILE).exists() {
        apply_settings_of_services(&settings_of_package())?;
    }
    become_owner_of(&settings.data)
}

/// As [`apply_settings_of_services`], where no file of groups and SIMs is named and none is here: then it is that of the
/// services that is meant.
///
/// # Errors
/// As [`apply_settings_of_services`].
pub fn find_entry_points_of_services(settings: &Settings) -> io::Result<()> {
    if settings.entrypoints().awaits_first_run() {
        apply_settings_of_services(&settings_of_package())?;
    }
    Ok(())
}

/// The settings of the package's services.
pub(super) fn settings_of_package() -> ConfigFile {
    ConfigFile::Usual(PathBuf::from(INSTALLED_SETTINGS))
}

/// Runs this program again as the user whose the data folder is, or is going to be, where this is root: what somebody
/// wrote into files beside it is done with no more rights than that somebody has.
fn become_owner_of(data: &Path) -> io::Result<()> {
    let above = data.parent().filter(|folder| *folder != Path::new(""));
    let owner = data
        .metadata()
        .or_else(|_| above.unwrap_or(Path::new(".")).metadata());
    let Some(owner) = owner.ok().filter(is_another_than_root) else {
        return Ok(());
    };
    let error = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .uid(owner.uid())
        .gid(owner.gid())
        .exec();
    let words = format!(
        "cannot run as user {}, the owner of {}: {error}",
        owner.uid(),
        data.display()
    );
    Err(io::Error::new(error.kind(), words))
}

/// Whether this is root, and the owner is not.
fn is_another_than_root(owner: &Metadata) -> bool {
    rustix::process::geteuid().is_root() && owner.uid() != 0
}

/// Runs this program again with the settings of the services, if there are any, and for root as their user; returns if
/// not. So that it sees what the services see.
///
/// # Errors
/// The file cannot be read, as it is not there though somebody named it, or the program cannot be run.
pub fn apply_settings_of_services(file: &ConfigFile) -> io::Result<()> {
    if std::env::var_os(SETTINGS_APPLIED).is_some() || file.awaits_first_run() {
        return Ok(());
    }
    let file = file.path();
    let text = std::fs::read_to_string(file).map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::PermissionDenied => "; try sudo",
            _ => "",
        };
        let words = format!("cannot read {}: {error}{advice}", file.display());
        io::Error::new(error.kind(), words)
    })?;
    let mut missing = assignments(&text);
    missing.retain(|name, _| std::env::var_os(name).is_none());
    let data = std::env::var_os(DATA).or_else(|| missing.get(DATA).map(OsString::from));
    let data = data.map(PathBuf::from);
    let is_named = missing.contains_key(ENTRY_POINTS) || std::env::var_os(ENTRY_POINTS).is_some();
    let beside = data.as_deref().filter(|_| !is_named).and_then(entry_points);
    let error = command(data.as_deref())?
        .args(std::env::args_os().skip(1))
        .envs(missing)
        .envs(beside.map(|file| (ENTRY_POINTS, file)))
        .env(SETTINGS_APPLIED, lines_without_setting(&text))
        .exec();
    Err(error)
}

/// This program, to be run as the user of the services where this is root, who may read more than they.
fn command(data: Option<&Path>) -> io::Result<Command> {
    let program = std::env::current_exe()?;
    // The folder is made by the services.
    let owner = data.and_then(|data| data.metadata().ok());
    match owner.filter(is_another_than_root) {
        Some(owner) => {
            let mut command = Command::new("setpriv");
            let (user, group) = (owner.uid(), owner.gid());
            command.args([format!("--reuid={user}"), format!("--regid={group}")]);
            command.args(["--init-groups", "--"]).arg(program);
            Ok(command)
        }
        None => Ok(Command::new(program)),
    }
}

/// Groups and SIMs, where no setting names them: the units run in the folder that holds the data folder.
fn entry_points(data: &Path) -> Option<PathBuf> {
    let file = data.parent()?.join("entrypoints.json");
    file.exists().then_some(file)
}

/// The lines of an environment file as systemd reads them: comments and quotes are left out.
fn assignments(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter(|line| !is_comment(line))
        .filter_map(assignment)
        .collect()
}

/// The numbers of the lines that systemd passes over, separated by commas.
fn lines_without_setting(text: &str) -> String {
    let is_nothing = |line: &str| !is_comment(line) && !line.trim().is_empty() && assignment(line).is_none();
    let mut continues = false;
    let numbers = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let belongs_to_the_last = std::mem::replace(&mut continues, line.ends_with('\\'));
        (!belongs_to_the_last && is_nothing(line)).then(|| u32::to_string(&number))
    });
    numbers.collect::<Vec<_>>().join(", ")
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with(['#', ';'])
}

fn assignment(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim().split_once('=')?;
    let name = name.trim();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let value = value.trim();
    let quoted = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    is_name.then(|| (name.to_owned(), quoted.unwrap_or(value).to_owned()))
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

    #[test]
    fn lines_that_systemd_passes_over_are_counted() {
        let text = "# A\n\nA=1\nnonsense\nexport B=1\nC=1 \\\nmore\n; D\n=1\n";
        assert_eq!(lines_without_setting(text), "4, 5, 9");
        assert_eq!(lines_without_setting("A=1\n"), "");
    }
}
