//! Credentials listed, made, changed and deleted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::spawn_blocking;

use super::record::StoredCredential;
use super::{CredentialStore, folder};
use crate::clock::now_millis;
use crate::credential::{Credential, CredentialsId};

/// A credential was not changed; everything is as before.
#[derive(Debug, thiserror::Error)]
pub enum CredentialChangeError {
    /// The name is taken.
    #[error("there is a credential {0} already; PUT replaces it (soracom credentials update)")]
    Exists(CredentialsId),
    /// There is no such credential.
    #[error("there is no credential {0}")]
    Missing(CredentialsId),
    /// Something else has the place of its folder.
    #[error("{} is no folder, and a credential is one: move it away, or take another name", .0.display())]
    InTheWay(PathBuf),
    /// The file system refused.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program is shutting down.
    #[error("the change was interrupted by the end of the program")]
    Interrupted,
}

impl CredentialChangeError {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

impl CredentialStore {
    /// All credentials, by name. Folders that hold none are left out, broken ones are logged.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list(&self) -> Result<Vec<StoredCredential>, CredentialChangeError> {
        let store = self.clone();
        let listed = spawn_blocking(move || store.list_blocking()).await;
        listed.unwrap_or(Err(CredentialChangeError::Interrupted))
    }

    /// Stores a credential under a name that is free. Durable on return, and seen by the next CONNECT.
    ///
    /// # Errors
    /// The name is taken, or the file system refuses.
    pub async fn create(
        &self,
        id: CredentialsId,
        description: String,
        credential: Credential,
    ) -> Result<StoredCredential, CredentialChangeError> {
        self.exclusively(move |store| {
            if store.exists(&id) {
                return Err(CredentialChangeError::Exists(id));
            }
            store.refuse_in_the_way(&id)?;
            let now = now_millis();
            store.used.forget(&id);
            store.put(StoredCredential {
                id,
                description,
                credential,
                create_time: now,
                update_time: now,
                last_used: 0,
            })
        })
        .await
    }

    /// Replaces a credential whole. Durable on return, and seen by the next CONNECT.
    ///
    /// # Errors
    /// There is none, or the file system refuses.
    pub async fn update(
        &self,
        id: CredentialsId,
        description: String,
        credential: Credential,
    ) -> Result<StoredCredential, CredentialChangeError> {
        self.exclusively(move |store| {
            if !store.exists(&id) {
                return Err(CredentialChangeError::Missing(id));
            }
            store.refuse_in_the_way(&id)?;
            let now = now_millis();
            // A broken one is replaced too: that is how it is mended.
            let old = store.read(&id).unwrap_or_default();
            store.put(StoredCredential {
                create_time: old.map_or(now, |old| old.create_time),
                update_time: now,
                last_used: store.used.last(&id),
                id,
                description,
                credential,
            })
        })
        .await
    }

    /// Deletes a credential. Durable on return, and seen by the next CONNECT.
    ///
    /// # Errors
    /// There is none, or the file system refuses.
    pub async fn delete(&self, id: CredentialsId) -> Result<(), CredentialChangeError> {
        self.exclusively(move |store| {
            if !store.exists(&id) {
                return Err(CredentialChangeError::Missing(id));
            }
            store.refuse_in_the_way(&id)?;
            folder::delete(&store.folder, &id, &store.swap)
                .map_err(|source| CredentialChangeError::file(&store.folder_of(&id), source))?;
            store.revision.fetch_add(1, Ordering::Release);
            store.used.forget(&id);
            Ok(())
        })
        .await
    }

    /// Whether there is a credential of this name, broken or not.
    #[must_use]
    pub fn exists(&self, id: &CredentialsId) -> bool {
        self.folder_of(id).is_dir()
    }

    fn refuse_in_the_way(&self, id: &CredentialsId) -> Result<(), CredentialChangeError> {
        folder::in_the_way(&self.folder, id).map_or(Ok(()), |path| Err(CredentialChangeError::InTheWay(path)))
    }

    /// On its own thread, lock included: a caller who goes away does not stop a change half way.
    async fn exclusively<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Self) -> Result<T, CredentialChangeError> + Send + 'static,
    ) -> Result<T, CredentialChangeError> {
        let lock = Arc::clone(&self.writer).lock_owned().await;
        let store = self.clone();
        let changed = spawn_blocking(move || {
            let _lock = lock;
            change(&store)
        });
        changed.await.unwrap_or(Err(CredentialChangeError::Interrupted))
    }

    fn put(&self, stored: StoredCredential) -> Result<StoredCredential, CredentialChangeError> {
        let failed = |source| CredentialChangeError::file(&self.folder_of(&stored.id), source);
        let files = stored.files().map_err(failed)?;
        let files: Vec<(&str, &[u8])> = files
            .iter()
            .map(|(name, text)| (*name, text.as_slice()))
            .collect();
        folder::replace(&self.folder, &stored.id, &files, &self.swap).map_err(failed)?;
        self.revision.fetch_add(1, Ordering::Release);
        Ok(stored)
    }

    fn read(&self, id: &CredentialsId) -> io::Result<Option<StoredCredential>> {
        StoredCredential::read(&self.folder_of(id), id.clone(), self.used.last(id))
    }

    fn list_blocking(&self) -> Result<Vec<StoredCredential>, CredentialChangeError> {
        let failed = |source| CredentialChangeError::file(&self.folder, source);
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let Some(id) = name.to_str().and_then(|name| CredentialsId::new(name).ok()) else {
                continue;
            };
            if !self.exists(&id) {
                continue;
            }
            let _whole = self
                .swap
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            match self.read(&id) {
                Ok(credential) => found.extend(credential),
                // Deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(folder = %self.folder_of(&id).display(), "cannot list a credential: {error}");
                }
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
