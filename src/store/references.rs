//! Entry points name credentials. Changes of the one and deletions of the other are made one at a time here, so
//! that no entry point is stored that names a credential which was deleted meanwhile.

use std::future::Future;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;

use super::credentials::{CredentialChangeError, CredentialStore};
use super::namespaces::check_entry;
use super::{Change, ChangeError, Changed, GroupChange, GroupEdit, Snapshot, Store};
use crate::credential::CredentialsId;
use crate::entrypoint::BEAM_NAMESPACE;
use crate::json::{JsonFileError, Path};
use crate::sim::{GroupId, Sim};

/// A credential was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum CredentialRemovalError {
    /// Entry points would be left without it.
    #[error(
        "credential {id} is used by the entry point of {}; take it out there first (soracom groups put-config), or \
         delete it with DELETE /v1/credentials/{id}?force=true, which the soracom command cannot say",
        groups.iter().map(|group| format!("group {group}")).collect::<Vec<_>>().join(", ")
    )]
    InUse {
        /// The credential.
        id: CredentialsId,
        /// Whose entry points name it.
        groups: Vec<GroupId>,
    },
    /// Somebody has edited the file by hand and left it broken, so that nobody knows what it names.
    #[error(
        "the configuration file was edited by hand and is broken: correct it first, or delete the credential \
         with ?force=true behind its path, which the soracom command cannot say: {0}"
    )]
    BrokenFile(JsonFileError),
    /// The credential store refused.
    #[error(transparent)]
    Change(#[from] CredentialChangeError),
}

/// What becomes of entry points that name a deleted credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InUse {
    /// The credential stays.
    Refused,
    /// They lose it.
    Allowed,
}

/// Both stores, changed one at a time. Clones are the same.
#[derive(Debug, Clone)]
pub struct References {
    store: Arc<dyn Store>,
    credentials: Arc<CredentialStore>,
    turn: Arc<Mutex<()>>,
}

impl References {
    /// Between these two.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, credentials: Arc<CredentialStore>) -> Self {
        Self {
            store,
            credentials,
            turn: Arc::default(),
        }
    }

    /// As [`Store::change`], and the credentials that it newly names for every SIM have to be there. Those of
    /// one SIM (`#{imsi}`) need not: its device may come later.
    ///
    /// # Errors
    /// As [`Store::change`], or a credential is missing.
    pub async fn change(&self, change: Change) -> Result<Changed, ChangeError> {
        let both = self.clone();
        let changed = self.in_turn(async move {
            let missing = both.missing(&change).await?;
            if missing.is_empty() {
                both.store.change(change).await
            } else {
                Err(ChangeError::NoSuchCredential(missing))
            }
        });
        changed.await.unwrap_or(Err(ChangeError::Interrupted))
    }

    /// Deletes a credential, and gives the groups whose entry point has lost it.
    ///
    /// # Errors
    /// It is not there, it is in use, or the file system refuses.
    pub async fn delete_credential(
        &self,
        id: CredentialsId,
        in_use: InUse,
    ) -> Result<Vec<GroupId>, CredentialRemovalError> {
        let both = self.clone();
        let deleted = self.in_turn(async move {
            if !both.credentials.exists(&id) {
                return Err(CredentialChangeError::Missing(id).into());
            }
            let snapshot = match (both.store.latest().await, in_use) {
                (Ok(snapshot), _) => snapshot,
                (Err(_), InUse::Allowed) => both.store.snapshot(),
                (Err(error), InUse::Refused) => return Err(CredentialRemovalError::BrokenFile(error)),
            };
            let groups = users(&snapshot, &id);
            if in_use == InUse::Refused && !groups.is_empty() {
                return Err(CredentialRemovalError::InUse { id, groups });
            }
            both.credentials.delete(id).await?;
            Ok(groups)
        });
        deleted
            .await
            .unwrap_or_else(|| Err(CredentialChangeError::Interrupted.into()))
    }

    /// In a task of its own, lock included: a caller who goes away does not stop it half way. `None` if the
    /// runtime ends.
    async fn in_turn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let task = tokio::spawn(async move {
            let _turn = turn;
            work.await
        });
        task.await.ok()
    }

    /// Credentials that the entry point names only after the change, and that are not there.
    async fn missing(&self, change: &Change) -> Result<Vec<CredentialsId>, ChangeError> {
        let Change::Group(group, change) = change else {
            return Ok(Vec::new());
        };
        let mut named = newly_put(change);
        named.retain(|id| !self.credentials.exists(id));
        if !named.is_empty() {
            let known = literals(self.store.latest().await?.as_ref(), group);
            named.retain(|id| !known.contains(id));
        }
        Ok(named)
    }
}

/// The credentials that the values of a change name for every SIM. Values that are not valid name none: the store
/// refuses them in words of its own.
fn newly_put(change: &GroupChange) -> Vec<CredentialsId> {
    let named = |key: &str, value: &Value| {
        let (mut notes, mut problems) = (Vec::new(), Vec::new());
        let entry_point = check_entry(BEAM_NAMESPACE, key, value, &Path::ROOT, &mut notes, &mut problems);
        entry_point.map_or(Vec::new(), |entry_point| {
            entry_point.shared_credentials().map(|(id, _)| id).collect()
        })
    };
    match change {
        GroupChange::Edit(GroupEdit::Put { namespace, entries }) if namespace == BEAM_NAMESPACE => entries
            .iter()
            .flat_map(|(key, value)| named(key, value))
            .collect(),
        GroupChange::Create { configuration, .. } => {
            let entries = configuration.get(BEAM_NAMESPACE).and_then(Value::as_object);
            entries
                .into_iter()
                .flatten()
                .flat_map(|(key, value)| named(key, value))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The credentials that the entry point of a group names for every SIM.
fn literals(snapshot: &Snapshot, group: &GroupId) -> Vec<CredentialsId> {
    let entry_point = snapshot.entry_point(group);
    entry_point.map_or(Vec::new(), |entry_point| {
        entry_point.shared_credentials().map(|(id, _)| id).collect()
    })
}

/// The groups whose entry point names the credential, for all SIMs or for one of them.
fn users(snapshot: &Snapshot, id: &CredentialsId) -> Vec<GroupId> {
    let names = |group: &GroupId| {
        let Some(entry_point) = snapshot.entry_point(group) else {
            return false;
        };
        let of_group = |sim: &&Arc<Sim>| sim.group_id.as_ref() == Some(group);
        let of_sim = |sim| entry_point.credential(sim).is_some_and(|(used, _)| used == *id);
        entry_point.shared_credentials().any(|(used, _)| used == *id)
            || snapshot.sims().iter().filter(of_group).any(|sim| of_sim(sim))
    };
    let groups = snapshot.groups().iter().map(|group| &group.group_id);
    groups.filter(|group| names(group)).cloned().collect()
}

#[cfg(test)]
#[path = "references_tests.rs"]
mod tests;
