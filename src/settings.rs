//! Settings: flags and environment variables of the same names.

mod api;
mod bridge;
mod config_file;
mod count;
mod limits;
mod listen;
mod names;
mod notifier;
mod secret;
mod unquoted;

pub use api::{ApiArgs, PlainApi};
pub use bridge::{BridgeArgs, BridgeSettingsError};
pub use config_file::ConfigFile;
pub use limits::LimitArgs;
pub use listen::{Listen, OffBesideOthers};
pub use names::{SETTINGS_APPLIED, misspelt_in_environment};
pub use notifier::{NotifierBroker, NotifierBrokerError, NotifierSettings};

use crate::upstream::Detour;
use clap::Args;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

/// Where credentials are, unless somebody says otherwise.
const CERTS: &str = "certs";

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Everything that can be set. Lists that admins edit are files; these say where they are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// Where devices connect; may be given several times (in the environment: separated by commas)
    #[arg(
        long,
        env = "SIMRELAY_RELAY_LISTEN",
        default_value = "0.0.0.0:1883",
        value_delimiter = ',',
        value_name = "ADDRESS",
        global = true
    )]
    pub relay_listen: Vec<Listen>,

    /// Threads that carry connections [default: number of cores]
    #[arg(
        long,
        env = "SIMRELAY_RELAY_WORKERS",
        value_parser = count::at_least_one::<NonZeroUsize>,
        value_name = "N",
        global = true
    )]
    pub relay_workers: Option<NonZeroUsize>,

    /// Address of this machine that brokers are dialled from; may be given several times (in the environment:
    /// separated by commas) and is then used in turn, as each has some 28,000 ports towards one broker
    /// [default: the system chooses]
    #[arg(
        long,
        env = "SIMRELAY_UPSTREAM_BIND",
        value_delimiter = ',',
        value_name = "ADDRESS",
        global = true
    )]
    pub upstream_bind: Vec<IpAddr>,

    /// Embedded broker (loopback only), or off
    #[arg(
        long,
        env = "SIMRELAY_BROKER_LISTEN",
        default_value = "127.0.0.1:1884",
        value_name = "ADDRESS",
        global = true
    )]
    pub broker_listen: Listen,

    /// Groups with their configuration, and SIMs [default: entrypoints.json]
    #[arg(long, env = "SIMRELAY_ENTRYPOINTS", value_name = "FILE", global = true)]
    pub entrypoints: Option<PathBuf>,

    /// Credential store: one folder a credential [default: certs; for `check`, certs beside its file]
    #[arg(long, env = "SIMRELAY_CERTS", value_name = "FOLDER", global = true)]
    pub certs: Option<PathBuf>,

    /// What the program keeps: admin token, auth keys, usage ledger, log book, session events, notifications
    #[arg(
        long,
        env = "SIMRELAY_DATA",
        default_value = "data",
        value_name = "FOLDER",
        global = true
    )]
    pub data: PathBuf,

    /// Form of the log [default: human on a terminal, else json]
    #[arg(long, env = "SIMRELAY_LOG", value_enum, value_name = "FORM", global = true)]
    pub log: Option<LogFormat>,

    /// What is logged: error, warn, info, debug, trace, off, or a filter such as simrelay::relay=debug; the audit log in
    /// any case, unless simrelay::audit=off
    #[arg(
        long,
        env = "SIMRELAY_LOG_LEVEL",
        default_value = "info",
        value_name = "LEVEL",
        global = true
    )]
    pub log_level: String,

    /// Seconds between two usage lines of an active SIM
    #[arg(
        long,
        env = "SIMRELAY_USAGE_INTERVAL",
        default_value = "60",
        value_parser = count::at_least_one::<NonZeroU32>,
        value_name = "SECONDS",
        global = true
    )]
    pub usage_interval: NonZeroU32,

    /// Seconds that a token for Azure IoT Hub or a Google-style registry lives; its connection closes shortly before
    #[arg(
        long,
        env = "SIMRELAY_TOKEN_LIFETIME",
        default_value = "3600",
        value_parser = clap::value_parser!(u64).range(10..=86_400),
        value_name = "SECONDS",
        global = true
    )]
    pub token_lifetime: u64,

    /// Dial a destination elsewhere than its name says, as curl does; may be given several times. TLS still asks for
    /// the destination's own name
    #[arg(
        long,
        env = "SIMRELAY_CONNECT_TO",
        value_delimiter = ',',
        value_name = "HOST:PORT=ADDRESS:PORT",
        global = true
    )]
    pub connect_to: Vec<Detour>,

    /// Seconds over which open connections are closed on SIGTERM, one after the other, so that a fleet does not come
    /// back all at once
    #[arg(
        long,
        env = "SIMRELAY_DRAIN",
        default_value = "2",
        value_parser = clap::value_parser!(u64).range(0..=3600),
        value_name = "SECONDS",
        global = true
    )]
    pub drain: u64,

    /// Seconds that the last of them may then take
    #[arg(
        long,
        env = "SIMRELAY_GRACE",
        default_value = "5",
        value_parser = clap::value_parser!(u64).range(0..=3600),
        value_name = "SECONDS",
        global = true
    )]
    pub grace: u64,

    /// The admin API.
    #[command(flatten)]
    pub api: ApiArgs,
    /// What devices may take of the relay.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// The HTTP bridge.
    #[command(flatten)]
    pub bridge: BridgeArgs,
    /// Settings of the notifier.
    #[command(flatten)]
    pub notifier: NotifierSettings,
}

impl Settings {
    /// The file of groups and SIMs.
    #[must_use]
    pub fn entrypoints(&self) -> ConfigFile {
        ConfigFile::new(self.entrypoints.as_ref(), "entrypoints.json")
    }

    /// The folder of credentials.
    #[must_use]
    pub fn certs(&self) -> &Path {
        self.certs.as_deref().unwrap_or(Path::new(CERTS))
    }

    /// The folder of the credentials that are meant by the file of groups and SIMs at `file`.
    #[must_use]
    pub fn certs_of(&self, file: &Path) -> PathBuf {
        self.certs.clone().unwrap_or_else(|| file.with_file_name(CERTS))
    }

    /// These settings with everything off but relay and admin API.
    #[must_use]
    pub fn for_relay(mut self) -> Self {
        self.broker_listen = Listen::Off;
        self.bridge.listen = Listen::Off;
        self.notifier.notifier_broker = Some(NotifierBroker::Off);
        self
    }

    /// Addresses for devices; none if the relay is switched off.
    ///
    /// # Errors
    /// [`OffBesideOthers`]: it is off and on.
    pub fn relay_addresses(&self) -> Result<Vec<SocketAddr>, OffBesideOthers> {
        listen::addresses(&self.relay_listen)
    }

    /// Threads of the data plane.
    #[must_use]
    pub fn workers(&self) -> NonZeroUsize {
        self.relay_workers
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN)
    }
}
