//! The whole relay beside HAProxy, from outside: what a message, a connection and an idle connection cost.
//!
//!     cargo bench --bench relay                  all cases, three rounds, the median
//!     cargo bench --bench relay -- --only a,b,f  these cases
//!     cargo bench --bench relay -- --floor       the plain cases, and what no proxy can do without
//!     cargo bench --bench relay -- --quick       each case once and small: only that it runs
//!     cargo bench --bench relay -- --growth      by number of connections, SIMs and groups
//!     cargo bench --bench relay -- --stalls      how long a device waits while others burden the relay
//!     cargo bench --bench relay -- --workers     what a second worker brings
//!
//! The proxy under test runs on one core, the generator and the broker stub on another, where there are two.
//! HAProxy (Debian's package) forwards bytes; simrelay rewrites `{{imsi}}` in the topic of every PUBLISH. Whoever
//! receives a message checks that it is the next of its sender, byte for byte, under the right topic, and in the end
//! that none is missing: a run in which one is not ends with an error. CPU is the proxy's own clock, user and system.

#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod api;
mod authority;
mod case;
mod connections;
mod cores;
mod device;
mod downlink;
mod figure;
mod floor;
mod growth;
mod growth_picture;
mod large;
mod names;
mod options;
mod packet;
mod payload;
mod process;
mod proxy;
mod proxy_files;
mod rig;
mod rounds;
mod route;
mod seen;
mod sink;
mod sink_connection;
mod stalls;
mod system_calls;
mod times;
mod uplink;
mod workers;

use clap::{CommandFactory, Parser, error::ErrorKind};
use options::Options;

fn main() {
    if let Some(addresses) = floor::asked_for() {
        floor::run(&addresses).unwrap();
    }
    let options = Options::parse();
    if let Some(letters) = rounds::unknown(&options.only) {
        let text = format!("--only {letters}: there is no such case; see benches/relay/case.rs");
        Options::command().error(ErrorKind::InvalidValue, text).exit();
    }
    if let Some(letters) = rounds::with_tls(&options.only).filter(|_| options.floor) {
        let text =
            format!("--only {letters}: its broker talks TLS, which the third proxy of --floor does not");
        Options::command().error(ErrorKind::ArgumentConflict, text).exit();
    }
    if options.rounds == 0 {
        let text = "--rounds 0: at least one is needed";
        Options::command().error(ErrorKind::InvalidValue, text).exit();
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Generator and stub have both ends of every connection that they see.
    let _ = simrelay::descriptors::raise();
    cores::stay_on_first();
    if options.growth {
        growth::run(&options);
    } else if options.stalls {
        stalls::run(&options);
    } else if options.workers {
        workers::run(&options);
    } else {
        rounds::run(&options);
    }
}
