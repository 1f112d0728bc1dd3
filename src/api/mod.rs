//! The admin API: groups, SIMs and who is connected, in SORACOM's shapes.
//!
//! Every route but `/`, `/healthz`, `/readyz`, `/metrics`, `/v1/openapi.json` and the login wants API key and token of
//! a login, or the admin token.

mod audit;
mod auth;
mod body;
mod changes;
mod connections;
mod credential_refusal;
mod credentials;
mod error;
mod files;
mod groups;
mod health;
mod identity;
mod logs;
mod methods;
mod metrics;
mod openapi;
mod operators;
mod paging;
mod panics;
mod parameters;
mod previous;
mod query;
mod routes;
mod segments;
mod session_events;
mod shapes;
mod sim_answer;
mod sim_body;
mod sims;
mod stats;
mod tag_set;
mod times;
mod twin;

use std::sync::Arc;

use crate::bridge;
use crate::notifier;
use crate::relay::{Books, Registry};
use crate::sessions::History;
use crate::store::{CredentialStore, References, Store};

pub(crate) use audit::TARGET as AUDIT;
pub use auth::{
    AdminToken, Auth, AuthFileError, AuthKey, AuthKeys, AuthRefusal, NewAuthKey, Operator, Session,
    SignatureRefusal, TokenRefusal,
};
pub use credential_refusal::CredentialRefusal;
pub use error::ApiError;
pub use health::Readiness;
pub use routes::router;

/// The largest body that is taken, in bytes. SORACOM caps the configuration of a group at 8 KB.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// The body of the answer to a request that did not come in time.
#[must_use]
pub fn too_slow() -> String {
    ApiError::TooSlow.body()
}

/// What the routes work with.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// Where groups and SIMs are kept.
    pub store: Arc<dyn Store>,
    /// Who is connected.
    pub registry: Arc<Registry>,
    /// Who was online.
    pub history: History,
    /// Usage, log book and numbers.
    pub books: Books,
    /// The credential store, which the relay reads too.
    pub credentials: Arc<CredentialStore>,
    /// What changes groups and SIMs, and deletes credentials.
    pub references: References,
    /// Whether devices can be served.
    pub readiness: Readiness,
    /// Who may call.
    pub auth: Arc<Auth>,
    /// What runs beside the relay in this process.
    pub services: Services,
}

/// Services in the process of the API, as far as they count.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// What the notifier counts.
    pub notifier: Option<Arc<notifier::Counters>>,
    /// What waits in the bridge, and what became of the rest.
    pub bridge: Option<bridge::OutboxView>,
}

#[cfg(test)]
mod tests;
