//! When each credential was last used. Noted in memory by each CONNECT, written to a file now and then: a crash
//! loses a minute of it, which nothing depends on.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::clock::now_millis;
use crate::credential::CredentialsId;
use crate::private_file;

/// Times of use, in milliseconds since 1970.
#[derive(Debug)]
pub(super) struct Used {
    /// `None` where nothing is kept.
    path: Option<PathBuf>,
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    by_id: HashMap<Box<str>, i64>,
    /// Something is not in the file yet.
    changed: bool,
}

impl Used {
    /// Uses that are forgotten at the end of the program.
    pub(super) fn forgotten() -> Self {
        Self {
            path: None,
            times: Mutex::default(),
        }
    }

    /// Uses that are kept in the data directory `data`. A file that cannot be read is no reason not to start.
    pub(super) fn open(data: &Path) -> Self {
        let path = data.join("credentials-used.json");
        let read = match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HashMap::new()),
            Err(error) => Err(error),
        };
        let by_id = read.unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), "the last uses of credentials are unknown: {error}");
            HashMap::new()
        });
        let times = Times {
            by_id,
            changed: false,
        };
        Self {
            path: Some(path),
            times: Mutex::new(times),
        }
    }

    pub(super) fn note(&self, id: &CredentialsId) {
        let now = now_millis();
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.changed = true;
        match times.by_id.get_mut(id.as_str()) {
            Some(time) => *time = now,
            None => drop(times.by_id.insert(id.as_str().into(), now)),
        }
    }

    /// 0 for one that was never used.
    pub(super) fn last(&self, id: &CredentialsId) -> i64 {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.by_id.get(id.as_str()).copied().unwrap_or(0)
    }

    /// Another credential of this name was never used.
    pub(super) fn forget(&self, id: &CredentialsId) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.changed |= times.by_id.remove(id.as_str()).is_some();
    }

    /// Writes the file if there is something new.
    pub(super) fn keep(&self) {
        let Some(path) = &self.path else { return };
        let json = {
            let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
            if !std::mem::take(&mut times.changed) {
                return;
            }
            serde_json::to_vec(&times.by_id)
        };
        let written = json
            .map_err(io::Error::from)
            .and_then(|json| private_file::replace(path, &json));
        if let Err(error) = written {
            tracing::warn!(file = %path.display(), "the last uses of credentials are not written down: {error}");
            self.times.lock().unwrap_or_else(PoisonError::into_inner).changed = true;
        }
    }
}
