//! `simrelay auth-key`.

use clap::Subcommand;
use serde_json::json;

use crate::api::{AuthFileError, AuthKeys};
use crate::database;
use crate::doctor::near;
use crate::settings::{ApiArgs, Listen, Settings};

/// What can be done with auth keys.
#[derive(Debug, Clone, Subcommand)]
pub enum AuthKeyCommand {
    /// Make an auth key and print it, as a profile of the soracom command; its secret is shown only now
    Create,
    /// List the auth keys: id, when it was made, when it was last used
    List,
    /// Delete an auth key; the tokens made with it count no more
    Delete {
        /// The id of the key
        #[arg(value_name = "KEY-ID")]
        auth_key_id: String,
    },
}

/// Why nothing was done with an auth key.
#[derive(Debug, thiserror::Error)]
pub enum AuthKeyError {
    /// The keys cannot be read or written.
    #[error(transparent)]
    File(#[from] AuthFileError),
    /// There is no such key.
    #[error("there is no auth key {0:?}; `simrelay auth-key list` shows those that are there")]
    Missing(String),
}

/// Does what the command says with the auth keys of the data directory, and returns what to print.
///
/// # Errors
/// [`AuthKeyError`] names the file or the key.
pub fn auth_key(command: &AuthKeyCommand, settings: &Settings) -> Result<String, AuthKeyError> {
    let keys = AuthKeys::open(&settings.data)?;
    match command {
        AuthKeyCommand::Create => {
            let key = keys.create()?;
            // Put into ~/.soracom/NAME.json, mode 0600, this is a profile: soracom --profile NAME.
            let profile = json!({
                "authKeyId": key.auth_key_id,
                "authKey": key.auth_key.as_str(),
                "endpoint": endpoint(&settings.api),
                "coverageType": "jp",
            });
            Ok(format!("{profile:#}"))
        }
        AuthKeyCommand::List => {
            let lines = keys
                .list()
                .iter()
                .map(|key| {
                    json!({
                        "authKeyId": key.auth_key_id,
                        "createDateTime": key.create_date_time,
                        "lastUsedDateTime": key.last_used_date_time,
                    })
                    .to_string()
                })
                .collect::<Vec<_>>();
            Ok(lines.join("\n"))
        }
        AuthKeyCommand::Delete { auth_key_id } => {
            if keys.delete(auth_key_id)? {
                Ok(format!("deleted {auth_key_id}"))
            } else {
                Err(AuthKeyError::Missing(auth_key_id.clone()))
            }
        }
    }
}

/// What to tell whoever made a key in a folder that no simrelay has worked with yet. There it is known to one that starts
/// later, and to none that runs.
#[must_use]
pub fn unknown_to_servers(command: &AuthKeyCommand, settings: &Settings) -> Option<String> {
    let is_new = matches!(command, AuthKeyCommand::Create) && !settings.data.join(database::FILE).exists();
    is_new.then(|| {
        format!(
            "warning: no simrelay has worked with the data folder {} yet, so only one that is started with it will know \
             the key; if it runs elsewhere, make the key there, or name its folder with --data",
            settings.data.display()
        )
    })
}

/// Where a client on this machine finds the API.
fn endpoint(api: &ApiArgs) -> String {
    let Listen::On(address) = api.listen else {
        return "http://127.0.0.1:8090".to_owned();
    };
    format!("{}://{}", api.scheme(), near(address))
}
