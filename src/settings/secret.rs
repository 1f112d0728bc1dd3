//! Secrets of the settings: in an environment variable or in a file, and in no flag, as anybody on the machine
//! reads those.

use crate::secret::{MissingSecret, Secret};
use crate::site_broker::Password;
use std::path::Path;

/// The secret in `file`, else in the environment variable; `None` where there is neither.
///
/// # Errors
/// [`MissingSecret`]: the file cannot be read, or what was named is empty.
pub(super) fn read(file: Option<&Path>, variable: &str) -> Result<Option<Password>, MissingSecret> {
    let secret = match file {
        Some(path) => Some(Secret::File(path.to_owned())),
        None => std::env::var_os(variable).map(|_| Secret::Environment(variable.to_owned())),
    };
    let read = secret.map(|secret| secret.read()).transpose()?;
    Ok(read.map(Password::from))
}
