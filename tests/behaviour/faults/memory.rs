//! Memory that runs out while messages pass.

use super::wait_within;
use crate::site::*;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

const MIB: u64 = 1024 * 1024;
/// How much more than it has the relay may still take.
const LEFT: u64 = 8 * MIB;
/// Each makes the relay hold nearly 1 MiB, and glibc has set 64 MiB of addresses aside for each thread that allocates.
const HOGS: usize = 200;

/// What keeps a process from having more memory.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shortage {
    /// The kernel kills it at the limit of its cgroup, as with `MemoryMax=`.
    OfCgroup,
    /// It is refused at the limit of its address space, as with `ulimit -v`.
    OfAddressSpace,
}

/// A memory cgroup of the test's own.
struct Cgroup(PathBuf);

impl Cgroup {
    /// Where the test may make one, which root mostly may: version 2, or 1.
    fn make(pid: u32) -> Option<Self> {
        let places = [("", "memory.max"), ("memory", "memory.limit_in_bytes")];
        places.into_iter().find_map(|(below, limit)| {
            let folder = Path::new("/sys/fs/cgroup")
                .join(below)
                .join(format!("simrelay-test-{pid}"));
            std::fs::create_dir(&folder).ok()?;
            let own = Self(folder);
            // Elsewhere it is a folder like any other.
            let _ = std::fs::metadata(own.0.join("cgroup.procs")).ok()?;
            // What the process has already stays with its old group.
            std::fs::write(own.0.join(limit), LEFT.to_string()).ok()?;
            Some(own)
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It is busy for as long as the process is not reaped.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Lets SIM 1 ask for more memory than there is, until the relay is gone.
pub(super) fn exhaust(relay: &mut Simrelay, shortage: Shortage) {
    let mut hogs: Vec<_> = (0..HOGS)
        .map(|n| {
            let mut device = relay.device(1);
            device.enter(&Connect::new(Version::V311, &format!("hog-{n}")));
            device
        })
        .collect();
    let group = match shortage {
        Shortage::OfCgroup => Cgroup::make(relay.pid()),
        Shortage::OfAddressSpace => {
            let most = format!("--as={}", address_space(relay.pid()) + LEFT);
            must_run("prlimit", &["--pid", &relay.pid().to_string(), &most]);
            None
        }
    };
    if let Some(group) = &group {
        std::fs::write(group.0.join("cgroup.procs"), relay.pid().to_string()).unwrap();
    }
    // A SUBSCRIBE of 1,000,000 bytes that lacks its last thousand.
    let head = [&[0x82, 0xc0, 0x84, 0x3d][..], &vec![0; 999_000]].concat();
    for hog in &mut hogs {
        hog.try_send(&head);
    }
    if matches!(shortage, Shortage::OfCgroup) && group.is_none() {
        eprintln!("no cgroup can be made here: what the kernel would do is done with a signal");
        relay.signal("KILL");
    }
    let status = relay.wait();
    let (signal, word) = match shortage {
        Shortage::OfCgroup => (9, ""),
        Shortage::OfAddressSpace => (6, "memory allocation of "),
    };
    assert_eq!(status.signal(), Some(signal), "{status}");
    wait_within(SOON, "its last word", || {
        relay.log_text().contains(word).then_some(())
    });
}

/// Bytes of address space that a process has.
fn address_space(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib = line.unwrap().trim().trim_end_matches("kB").trim();
    kib.parse::<u64>().unwrap() * 1024
}
