//! How many files and sockets the process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Linux' own default, where the system does not tell.
const USUAL: u64 = 1024;

/// Raises the soft limit to the hard one, as far as the system lets it, and gives what is in force then. The
/// soft limit is 1024 on most systems only for programs that use `select`.
#[must_use]
pub fn raise() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return USUAL;
    };
    if soft >= hard {
        return soft;
    }
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, soft, hard, "the limit of open files stays where it is");
            soft
        }
    }
}
