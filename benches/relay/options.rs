//! What the caller wants measured.

use clap::Parser;
use std::path::{Path, PathBuf};

/// The whole relay beside HAProxy, from outside.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench relay --")]
pub struct Options {
    /// Everything once and small: only that it runs
    #[arg(long)]
    pub quick: bool,
    /// Interleaved rounds, of which the median is shown
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub rounds: usize,
    /// These cases only, by their letters: a,b,hf
    #[arg(long, value_delimiter = ',', value_name = "LETTERS")]
    pub only: Vec<String>,
    /// With a third proxy, which only accepts, dials, reads, writes and closes: what none can do without. Cases without TLS only
    #[arg(long, conflicts_with_all = ["growth", "stalls", "workers"])]
    pub floor: bool,
    /// Instead of the cases: cost by number of connections, SIMs and groups; CSV, and a picture
    #[arg(long)]
    pub growth: bool,
    /// Where the picture of --growth goes [default: docs/performance-growth.svg; with --quick: none is drawn]
    #[arg(long, value_name = "FILE")]
    pub picture: Option<PathBuf>,
    /// Instead of the cases: how long a device waits while others burden the relay
    #[arg(long)]
    pub stalls: bool,
    /// Instead of the cases: what a second worker brings
    #[arg(long)]
    pub workers: bool,
    /// With --stalls: the proxy is not held to one core
    #[arg(long)]
    pub unpinned: bool,
    /// `cargo bench` says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Where the picture goes, if one is drawn.
    pub fn picture(&self) -> Option<PathBuf> {
        let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance-growth.svg");
        self.picture.clone().or_else(|| (!self.quick).then(usual))
    }
}
