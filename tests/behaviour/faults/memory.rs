//! Memory that runs out while messages pass.

use super::wait_within;
use crate::site::*;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

const MIB: u64 = 1024 * 1024;
/// How much more than it has the relay may still take.
const LEFT: u64 = 8 * MIB;
/// Each makes the relay hold nearly 256 KiB, and glibc has set 64 MiB of addresses aside for each thread that allocates.
const HOGS: usize = 800;

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
    /// Where the test may make one: at the top, which root mostly may, or beside its own, which a user's session may.
    fn make(pid: u32) -> Self {
        let places = places();
        let made = places.iter().find_map(|parent| {
            let own = Self(parent.join(format!("simrelay-test-{pid}")));
            std::fs::create_dir(&own.0).ok()?;
            // Without the controller there is no such file. What the process has already stays with its old group.
            let mut limits = ["memory.max", "memory.limit_in_bytes"].iter();
            limits.find(|limit| own.write(limit, &LEFT.to_string()).is_ok())?;
            // Where there is swap the kernel would use it first.
            for no_swap in [
                ("memory.swap.max", "0"),
                ("memory.memsw.limit_in_bytes", &LEFT.to_string()),
            ] {
                let _ = own.write(no_swap.0, no_swap.1);
            }
            Some(own)
        });
        made.unwrap_or_else(|| {
            panic!(
                "no memory cgroup can be made in any of {places:?}: run the tests as root, or in a session of systemd \
                 (systemd-run --user --scope --property=Delegate=yes)"
            )
        })
    }

    /// Only into files that the kernel has made: on tmpfs a new one would be a file like any other.
    fn write(&self, name: &str, text: &str) -> std::io::Result<()> {
        let mut file = std::fs::File::options().write(true).open(self.0.join(name))?;
        file.write_all(text.as_bytes())
    }

    /// How many processes the kernel has killed at this limit.
    fn kills(&self) -> u64 {
        // Version 2, or 1.
        let files = ["memory.events", "memory.oom_control"].map(|name| self.0.join(name));
        let text = files.iter().find_map(|file| std::fs::read_to_string(file).ok());
        let text = text.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.unwrap().parse().unwrap()
    }
}

/// Where cgroups of memory are, by version 2 or 1: the top, and what holds the test's own.
fn places() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let tops = mounts.lines().filter_map(|mount| {
        let [_, top, kind, options] = mount.split(' ').collect::<Vec<_>>()[..4] else {
            return None;
        };
        match kind {
            "cgroup2" => Some((PathBuf::from(top), "")),
            "cgroup" => {
                let memory = options.split(',').find(|option| *option == "memory")?;
                Some((PathBuf::from(top), memory))
            }
            _ => None,
        }
    });
    tops.flat_map(|(top, controller)| {
        let beside = own(&top, controller).parent().map(Path::to_owned);
        let beside = beside.filter(|beside| beside.starts_with(&top));
        std::iter::once(top).chain(beside)
    })
    .collect()
}

/// The test's own cgroup below `top`; that of version 2 is the one without a controller's name.
fn own(top: &Path, controller: &str) -> PathBuf {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = groups.lines().find_map(|group| {
        let [_, controllers, path] = group.splitn(3, ':').collect::<Vec<_>>()[..] else {
            return None;
        };
        let is_it = controllers.split(',').any(|name| name == controller);
        is_it.then(|| path.trim_start_matches('/'))
    });
    top.join(path.unwrap_or_default())
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
    let pid = relay.pid().to_string();
    let group = match shortage {
        Shortage::OfCgroup => {
            let group = Cgroup::make(relay.pid());
            group.write("cgroup.procs", &pid).unwrap();
            Some(group)
        }
        Shortage::OfAddressSpace => {
            let most = format!("--as={}", address_space(relay.pid()) + LEFT);
            must_run("prlimit", &["--pid", &pid, &most]);
            None
        }
    };
    // A SUBSCRIBE of 262,000 bytes that lacks its last thousand.
    let head = [&[0x82, 0xf0, 0xfe, 0x0f][..], &vec![0; 261_000]].concat();
    for hog in &mut hogs {
        hog.try_send(&head);
    }
    let status = relay.wait();
    let (signal, word) = match shortage {
        Shortage::OfCgroup => (9, ""),
        Shortage::OfAddressSpace => (6, "memory allocation of "),
    };
    assert_eq!(status.signal(), Some(signal), "{status}");
    if let Some(group) = group {
        assert_eq!(group.kills(), 1, "somebody else killed it");
    }
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
