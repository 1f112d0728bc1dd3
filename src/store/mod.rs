//! Groups, SIMs and credentials: what the relay knows, as one immutable snapshot, and how it changes.

mod atomic;
mod credentials;
mod document;
mod edit;
mod error;
mod file;
mod locator;
mod namespaces;
mod snapshot;
pub(crate) mod stamp;
mod strict_json;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;

pub use credentials::{CredentialChangeError, CredentialError, CredentialStore, StoredCredential};
pub use error::{ChangeError, Located, StoreError};
pub use file::FileStore;
pub use namespaces::NAMESPACES;
pub use snapshot::{Group, Snapshot};

/// A future of a [`Store`], boxed so that the store can be chosen at run time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A change of one group's configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Each key gets its value whole; keys that are not named stay.
    Put {
        /// One of [`NAMESPACES`].
        namespace: String,
        /// Keys with their new values.
        entries: Vec<(String, Value)>,
    },
    /// One key goes.
    DeleteKey {
        /// The namespace that holds it.
        namespace: String,
        /// The key, decoded.
        key: String,
    },
    /// A namespace goes with all its keys.
    DeleteNamespace {
        /// The namespace.
        namespace: String,
    },
}

/// A change that is durable.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The group as it is now.
    pub group: Arc<Group>,
    /// What the admin should know about the values that were put: unused fields, odd combinations.
    pub notes: Vec<String>,
}

/// Where groups and SIMs are kept.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// What is true now. Cheap: no lock, no copy.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// Tells each new snapshot by its revision.
    fn changes(&self) -> tokio::sync::watch::Receiver<u64>;

    /// Makes `change` durable, then visible.
    ///
    /// The future may be dropped: a change that has begun is completed.
    fn change<'a>(&'a self, group: &'a str, change: Change) -> Pending<'a, Result<Changed, ChangeError>>;
}
