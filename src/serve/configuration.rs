//! The configuration of groups and SIMs, which a first run is given.

use super::error::StartError;
use crate::private_file;
use crate::settings::Settings;
use crate::store::FileStore;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// The configuration of a first run.
const FIRST_RUN: &str = include_str!("../../entrypoints.json");
/// Where it expects the embedded broker.
const FIRST_BROKER: &str = "127.0.0.1:1884";

/// Opens the file of the settings; where none was named and none is there, one is written that leads to the
/// `embedded` broker.
pub(super) fn open(settings: &Settings, embedded: Option<SocketAddr>) -> Result<Arc<FileStore>, StartError> {
    let file = settings.entrypoints();
    let path = file.path();
    if file.awaits_first_run() {
        write_first_run(path, embedded)?;
        tracing::info!(path = %path.display(), "there was no configuration, so one for a first run was written");
    }
    Ok(Arc::new(FileStore::open(path)?))
}

/// The embedded broker may listen elsewhere than usual.
fn write_first_run(path: &Path, embedded: Option<SocketAddr>) -> Result<(), StartError> {
    let text = match embedded {
        Some(address) => FIRST_RUN.replace(FIRST_BROKER, &address.to_string()),
        None => FIRST_RUN.to_owned(),
    };
    // Passwords will stand in it.
    private_file::create(path, text.as_bytes()).map_err(|source| StartError::FirstRun {
        path: path.display().to_string(),
        source,
    })
}
