//! What every connection needs.

use super::Registry;
use super::pace::Pace;
use crate::store::{CredentialStore, Store};
use crate::upstream::Upstream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What every connection needs.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) store: Arc<dyn Store>,
    pub(super) credentials: Arc<CredentialStore>,
    pub(super) upstream: Upstream,
    pub(super) registry: Arc<Registry>,
    pub(super) pace: Pace,
    /// How long a token lives that is made for a broker.
    pub(super) token_lifetime: Duration,
    pub(super) shutdown: watch::Receiver<bool>,
}
