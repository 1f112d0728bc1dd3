//! How many files and sockets the process may have open.

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::close;
use std::io::stderr;

/// Linux' own default, where the system does not tell.
const USUAL: u64 = 1024;
/// The most that room is made for beforehand: half a megabyte of the kernel's memory.
const BEFOREHAND: i32 = 65_536;

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

/// Has the kernel make room for `count` open files now, up to a bound. Whenever its table is full it is doubled, and because
/// threads share it, whoever opens a file then waits for 5 to 20 ms: a worker, while a fleet comes back.
pub fn make_room(count: u64) {
    let highest = i32::try_from(count).unwrap_or(i32::MAX).min(BEFOREHAND) - 1;
    // The table reaches as far as the highest number in it ever did. Without this, all works, with pauses.
    if let Ok(number) = fcntl(stderr(), FcntlArg::F_DUPFD_CLOEXEC(highest)) {
        let _ = close(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn there_is_room_for_as_many_as_were_asked_for() {
        let room = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
            size.unwrap().trim().parse::<u64>().unwrap()
        };
        let count = raise().min(5000);
        make_room(count);
        assert!(room() >= count, "{} of {count}", room());
    }
}
