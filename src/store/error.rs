//! Why a change was not made, in words for the admin who has to act.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::namespaces::NAMESPACES;
use crate::credential::CredentialsId;
use crate::json::{JsonFileError, PRINTED, Problem};
use crate::sim::{GroupId, SimId};

/// A change was not made; nothing is different from before, but with [`Self::NotSynced`].
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// No group has this id.
    #[error("there is no group {0:?}")]
    NoSuchGroup(String),
    /// There is a group with this id.
    #[error("there is a group {:?} already", .0.as_str())]
    GroupExists(GroupId),
    /// SIMs would be left without it.
    #[error("group {:?} has {sims} SIM(s): move them first, with POST /v1/sims/{{sim_id}}/set_group or unset_group \
             (soracom sims set-group, unset-group) for each that GET /v1/groups/{group}/subscribers \
             (soracom groups list-subscribers) lists", group.as_str())]
    GroupInUse {
        /// The group.
        group: GroupId,
        /// How many SIMs are in it.
        sims: usize,
    },
    /// The group that a SIM was to be put into is not there.
    #[error("groupId: there is no group {:?}", .0.as_str())]
    UnknownGroup(GroupId),
    /// No SIM has this id.
    #[error("there is no SIM {:?}", .0.as_str())]
    NoSuchSim(SimId),
    /// What must be unique is another SIM's.
    #[error("the {what} {value:?} is that of SIM {by} already")]
    Taken {
        /// What it is.
        what: &'static str,
        /// What was given.
        value: String,
        /// Who has it.
        by: SimId,
    },
    /// A terminated SIM does not come back.
    #[error("SIM {0} is terminated for good: delete it and create it again")]
    Terminated(SimId),
    /// The group or SIM has no such tag.
    #[error("{owner} has no tag {tag:?}")]
    NoSuchTag {
        /// Which group or SIM.
        owner: String,
        /// What was named.
        tag: String,
    },
    /// SORACOM has no such namespace.
    #[error("{0:?} is not a namespace; allowed are {list}", list = NAMESPACES.join(", "))]
    UnknownNamespace(String),
    /// The group has nothing in this namespace.
    #[error("group {group:?} has no namespace {namespace:?}")]
    NoSuchNamespace {
        /// The group.
        group: String,
        /// What was named.
        namespace: String,
    },
    /// The namespace has no such key.
    #[error("namespace {namespace:?} of group {group:?} has no key {key:?}")]
    NoSuchKey {
        /// The group.
        group: String,
        /// The namespace.
        namespace: String,
        /// What was named.
        key: String,
    },
    /// A value is not allowed.
    #[error("{}", Joined(.0))]
    Invalid(Vec<Problem>),
    /// An entry point would name a credential that is not there.
    #[error("{}", missing(.0))]
    NoSuchCredential(Vec<CredentialsId>),
    /// A mistake of this program: the file could not be read again.
    #[error(
        "the change was not made, as the file could not be read with it, which is a mistake in simrelay; please report it: {0}"
    )]
    Unreadable(String),
    /// Somebody has edited the file by hand and left it broken; a change would destroy their work.
    #[error("the configuration file was edited by hand and is broken, correct it first: {}", .0.on_one_line())]
    BrokenFile(#[from] JsonFileError),
    /// Somebody edits the file by hand at this moment.
    #[error("{} is being edited by hand at this moment; try again", .0.display())]
    Busy(PathBuf),
    /// The file system refused.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The change is made and in force; only whether it survives a crash is not known.
    #[error(
        "the change is made and in force, but a power cut may undo it, as {} is not known to be on disk: {source}; look \
         for errors of the disk in the system's log, and make the change again",
        path.display()
    )]
    NotSynced {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program is shutting down.
    #[error("the change was interrupted by the end of the program")]
    Interrupted,
}

fn missing(ids: &[CredentialsId]) -> String {
    let one = |id| {
        format!(
            "there is no credential {id}: store it first, with POST /v1/credentials/{id} (soracom credentials create) \
             or as PEM files in its folder"
        )
    };
    ids.iter().map(one).collect::<Vec<_>>().join("; ")
}

struct Joined<'a>(&'a [Problem]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().take(PRINTED).enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}
