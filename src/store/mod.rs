//! Groups, SIMs and credentials: what the relay knows, as one immutable snapshot, and how it changes.

mod atomic;
mod change;
mod credentials;
mod document;
mod edit;
mod edit_group;
mod edit_sim;
mod error;
mod file;
mod kept;
mod namespaces;
mod read_back;
mod references;
mod render;
mod snapshot;
mod tags;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::json::JsonFileError;

pub use change::{Change, Changed, GroupChange, GroupEdit, NewSim, SimChange, SimEdit};
pub use credentials::{CredentialChangeError, CredentialError, CredentialStore, Expiring, StoredCredential};
pub use error::ChangeError;
pub use file::FileStore;
pub(crate) use file::public_password;
pub use namespaces::NAMESPACES;
pub use references::{CredentialRemovalError, InUse, References};
pub use snapshot::{Group, Snapshot};

/// A future of a [`Store`], boxed so that the store can be chosen at run time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where groups and SIMs are kept.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// What is true now. Cheap: no lock, no copy.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// What a change would start from: an edit by hand is in it before it is in [`Self::snapshot`].
    ///
    /// # Errors
    /// The edit is broken.
    fn latest(&self) -> Pending<'_, Result<Arc<Snapshot>, JsonFileError>>;

    /// Tells each new snapshot by its revision.
    fn changes(&self) -> tokio::sync::watch::Receiver<u64>;

    /// Makes `change` durable, then visible.
    ///
    /// The future may be dropped: a change that has begun is completed.
    fn change(&self, change: Change) -> Pending<'_, Result<Changed, ChangeError>>;
}
