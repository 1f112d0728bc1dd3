//! Credentials that are no certificates, for whoever needs one of a certain type.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use serde_json::{Map, Value};
use tokio::task::spawn_blocking;

use super::record::StoredCredential;
use super::{CredentialError, CredentialStore};
use crate::credential::{Credential, CredentialType, CredentialsId};

/// An answer, right or wrong.
pub(super) type Found = Result<Arc<Credential>, CredentialError>;

impl CredentialStore {
    /// The credential `id`, which has to be of the type `wanted`. A change serves the next who asks, a second later
    /// at most.
    ///
    /// # Errors
    /// What is missing or wrong, and what to do.
    pub async fn of_type(&self, id: &CredentialsId, wanted: CredentialType) -> Found {
        let key = (id.clone(), self.revision.load(Ordering::Acquire));
        let found = self.typed.get_with(key, self.look_typed(id, wanted)).await;
        // Somebody else may have wanted another type within the same second.
        let found = found.and_then(|credential| of_kind(id, credential, wanted));
        if found.is_ok() {
            self.used.note(id);
        }
        found
    }

    async fn look_typed(&self, id: &CredentialsId, wanted: CredentialType) -> Found {
        let (store, id) = (self.clone(), id.clone());
        let read = move || {
            let _whole = store.swap.read().unwrap_or_else(PoisonError::into_inner);
            read(&store.folder_of(&id), id, wanted)
        };
        spawn_blocking(read)
            .await
            .unwrap_or(Err(CredentialError::Interrupted))
    }
}

fn of_kind(id: &CredentialsId, credential: Arc<Credential>, wanted: CredentialType) -> Found {
    if credential.kind == wanted {
        return Ok(credential);
    }
    Err(CredentialError::WrongType {
        id: id.clone(),
        found: credential.kind,
        wanted,
    })
}

fn read(folder: &Path, id: CredentialsId, wanted: CredentialType) -> Found {
    let unreadable = |reason: String| CredentialError::Unreadable {
        path: folder.to_owned(),
        reason,
    };
    let stored = if folder.is_dir() {
        StoredCredential::read(folder, id.clone(), 0).map_err(|error| unreadable(error.to_string()))?
    } else {
        None
    };
    let Some(stored) = stored else {
        return Err(CredentialError::MissingOfType { id, wanted });
    };
    let stored = stored.credential;
    if stored.kind == CredentialType::X509 {
        return of_kind(&id, Arc::new(stored), wanted);
    }
    // Written by hand it has not been checked.
    let values: Map<String, Value> = stored
        .values
        .all()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let checked = Credential::checked(stored.kind, &values).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        CredentialError::Invalid {
            id,
            reason: texts.join("; "),
        }
    });
    checked.map(Arc::new)
}

/// The type that a folder's record names, if that is not the type of certificates.
pub(super) fn other_type(folder: &Path, id: &CredentialsId) -> Option<CredentialType> {
    let stored = StoredCredential::read(folder, id.clone(), 0).ok()??;
    Some(stored.credential.kind).filter(|kind| *kind != CredentialType::X509)
}

#[cfg(test)]
#[path = "typed_tests.rs"]
mod tests;
