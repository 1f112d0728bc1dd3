//! A network of a test's own, where it may lose packets and rename hosts: Linux name spaces.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

const INSIDE: &str = "SIMRELAY_TEST_INSIDE_A_NETWORK_OF_ITS_OWN";

/// Whether the test `name` already runs in a network of its own. If not it is run in one, with loopback only and
/// mounts that nobody else sees.
#[track_caller]
pub(crate) fn inside_own_network(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        must_run("ip", &["link", "set", "lo", "up"]);
        return true;
    }
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "yes")
        .output()
        .expect("unshare, of Debian's package util-linux");
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}\nIf name spaces are what failed: allow them with sysctl kernel.unprivileged_userns_clone=1 and \
         kernel.apparmor_restrict_unprivileged_userns=0, or run the tests as root outside of a container"
    );
    false
}

/// Loads nftables rules into the test's own network. `list` is what stands in a chain of all packets that arrive.
#[track_caller]
pub(crate) fn packet_rules(list: &str) {
    let rules = format!(
        "add table inet faults\nflush table inet faults\n\
         table inet faults {{ chain arriving {{ type filter hook input priority 0; {list} }}; }}\n"
    );
    must_run("nft", &[&rules]);
}

/// How many packets the rules with `counter` in them have met.
#[track_caller]
pub(crate) fn packets_met() -> u64 {
    let listed = must_run("nft", &["list", "table", "inet", "faults"]);
    let words: Vec<_> = listed.split_whitespace().collect();
    let count = |pair: &[&str]| (pair[0] == "packets").then(|| pair[1].parse::<u64>().unwrap());
    words.windows(2).filter_map(count).sum()
}

/// Whether the socket at `end` has read all that came from `other`, the end of the stream included (Linux, IPv4).
pub(crate) fn has_read_to_the_end(end: SocketAddr, other: SocketAddr) -> bool {
    const CLOSE_WAIT: &str = "08";
    let written = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => {
            let ip = u32::from_ne_bytes(v4.ip().octets());
            format!("{ip:08X}:{:04X}", v4.port())
        }
        SocketAddr::V6(_) => panic!("{address} is not in this table"),
    };
    let (end, other) = (written(end), written(other));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        // Number, this end, the other, state, bytes in the queues.
        fields[1..4] == [end.as_str(), other.as_str(), CLOSE_WAIT] && fields[4].ends_with(":00000000")
    })
}

/// From now on the test and what it starts find names in `file` rather than in `/etc/hosts`.
#[track_caller]
pub(crate) fn hosts_from(file: &Path) {
    must_run("mount", &["--bind", file.to_str().unwrap(), "/etc/hosts"]);
}

/// From now on the test and what it starts ask for names at `address`, of which `file` tells.
#[track_caller]
pub(crate) fn name_server_at(address: IpAddr, file: &Path) {
    std::fs::write(file, format!("nameserver {address}\n")).unwrap();
    must_run("mount", &["--bind", file.to_str().unwrap(), "/etc/resolv.conf"]);
}

/// Gives what it wrote.
#[track_caller]
pub(crate) fn must_run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}
