//! Who may call: auth keys and logins, API keys with API tokens, the admin token.

mod admin_token;
mod attempts;
mod auth_keys;
mod file_error;
mod gate;
mod login;
mod operator;
mod refusal;
mod signed_url;
mod tokens;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::audit;
use attempts::{Attempts, Left};
use refusal::Refusals;
use signed_url::Signer;
use tokens::{Issued, Tokens};

pub use admin_token::AdminToken;
pub use auth_keys::{AuthKey, AuthKeys, NewAuthKey};
pub use file_error::AuthFileError;
#[cfg(test)]
pub(super) use gate::OPEN;
pub(super) use gate::{Caller, require_caller};
pub(super) use login::{Timeout, TokenTimeout, routes};
pub use operator::Operator;
pub use refusal::AuthRefusal;
pub use signed_url::SignatureRefusal;
pub(super) use signed_url::Signed;
pub use tokens::{Session, TokenRefusal};

/// Hashes that are computed at once: each takes a core and 19 MiB.
const AT_ONCE: usize = 2;

/// Logins that may wait for that, a second or two at most.
const WAITING: usize = 100;

/// Everything that decides who may call.
#[derive(Debug)]
pub struct Auth {
    admin_token: AdminToken,
    operator: Operator,
    keys: Arc<AuthKeys>,
    tokens: Tokens,
    signer: Signer,
    wrong_keys: Attempts,
    wrong_admin_tokens: Attempts,
    refusals: Refusals,
    hashing: Semaphore,
    waiting: Semaphore,
}

impl Auth {
    /// Reads the files of the data directory `data`, or makes them.
    ///
    /// # Errors
    /// Names the file and the reason.
    pub fn open(data: &Path) -> Result<Self, AuthFileError> {
        let admin_token = AdminToken::load_or_create(data)?;
        let operator = Operator::load_or_create(data)?;
        let tokens = Tokens::open(data, operator.id())?;
        Ok(Self {
            admin_token,
            operator,
            keys: Arc::new(AuthKeys::open(data)?),
            tokens,
            signer: Signer::new().map_err(AuthFileError::file(data))?,
            wrong_keys: Attempts::new(),
            wrong_admin_tokens: Attempts::new(),
            refusals: Refusals::default(),
            hashing: Semaphore::new(AT_ONCE),
            waiting: Semaphore::new(WAITING),
        })
    }

    /// Whom everything on this server belongs to.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Refuses what is asked of another operator.
    pub(super) fn refuse_other_operator(&self, asked: &str) -> Result<(), AuthRefusal> {
        let here = self.operator.id();
        if asked == here {
            return Ok(());
        }
        Err(AuthRefusal::NoSuchOperator {
            asked: asked.to_owned(),
            here: here.to_owned(),
        })
    }

    /// What one logs in with.
    pub(super) fn keys(&self) -> &Arc<AuthKeys> {
        &self.keys
    }

    /// Callers that were not let in since the start, by kind.
    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Whether `shown` is the admin token, as far as somebody from there may still try.
    fn check_admin_token(&self, from: Option<IpAddr>, shown: &str) -> Result<(), AuthRefusal> {
        let right = self.admin_token.matches(shown);
        // An address that has shown the right one has tries of its own for it, which nobody can use up.
        let tried = if right { "the right one" } else { "a wrong one" };
        if let Some(wait) = self.wrong_admin_tokens.wait(from, tried) {
            return Err(AuthRefusal::TooManyWrongAdminTokens(wait.as_secs() + 1));
        }
        if right {
            self.wrong_admin_tokens.note_right(from, tried);
            return Ok(());
        }
        if self.wrong_admin_tokens.note_wrong(from, tried) == Left::NoMore {
            tell_too_many(from, "admin tokens");
        }
        Err(AuthRefusal::WrongAdminToken)
    }

    /// An API key and a token, if `secret` is that of the key `key_id`.
    async fn log_in(
        &self,
        from: Option<IpAddr>,
        key_id: &str,
        secret: &str,
        seconds: i64,
    ) -> Result<Issued, AuthRefusal> {
        let _place = self.waiting.try_acquire().map_err(|_| AuthRefusal::Busy)?;
        let turn = self
            .hashing
            .acquire()
            .await
            .map_err(|_| AuthRefusal::Interrupted)?;
        // Not before: of many wrong keys at once, only as many as are left may be looked at.
        if let Some(wait) = self.wrong_keys.wait(from, key_id) {
            return Err(AuthRefusal::TooManyWrongKeys(wait.as_secs() + 1));
        }
        let (keys, id, secret) = (
            Arc::clone(&self.keys),
            key_id.to_owned(),
            zeroize::Zeroizing::new(secret.to_owned()),
        );
        let verified = spawn_blocking(move || {
            let right = keys.verify(&id, &secret);
            if right {
                keys.note_use(&id);
            }
            right
        })
        .await;
        drop(turn);
        if !verified.map_err(|_| AuthRefusal::Interrupted)? {
            if self.wrong_keys.note_wrong(from, key_id) == Left::NoMore {
                tell_too_many(from, "auth keys");
            }
            return Err(AuthRefusal::WrongKey);
        }
        self.wrong_keys.note_right(from, key_id);
        self.tokens.issue(key_id, seconds)
    }

    /// Whose API key and token these are.
    fn session(&self, api_key: &str, token: &str) -> Result<Session, TokenRefusal> {
        let session = self.tokens.check(api_key, token)?;
        self.refuse_deleted(&session)?;
        Ok(session)
    }

    /// Another token for the API key of `session`, if it has not ended since its token was shown.
    pub(super) fn reissue(&self, session: &Session, seconds: i64) -> Result<String, AuthRefusal> {
        self.refuse_deleted(session)?;
        self.tokens.reissue(session, seconds)
    }

    fn refuse_deleted(&self, session: &Session) -> Result<(), TokenRefusal> {
        if self.keys.contains(&session.auth_key_id) {
            Ok(())
        } else {
            Err(TokenRefusal::KeyDeleted(session.auth_key_id.clone()))
        }
    }

    /// `path` as it may be fetched without a login, for a while.
    pub(super) fn sign(&self, path: &str) -> String {
        self.signer.sign(path)
    }

    /// Ends all sessions.
    pub(super) fn revoke_all(&self) -> Result<(), AuthRefusal> {
        Ok(self.tokens.revoke_all()?)
    }
}

fn tell_too_many(from: Option<IpAddr>, what: &str) {
    let from = from.map(tracing::field::display);
    tracing::warn!(target: audit::TARGET, from, "too many wrong {what} from this address: the next ones are refused unseen");
}

#[cfg(test)]
mod tests {
    use axum::http::{StatusCode, header};
    use axum::response::IntoResponse;

    use super::*;
    use crate::api::ApiError;

    #[tokio::test]
    async fn a_login_too_many_is_refused_in_a_way_that_lets_no_command_hang() {
        let folder = tempfile::tempdir().unwrap();
        let auth = Auth::open(folder.path()).unwrap();
        let key = auth.keys.create().unwrap();
        let all = auth.waiting.try_acquire_many(WAITING as u32).unwrap();
        let refused = auth
            .log_in(None, &key.auth_key_id, &key.auth_key, 9)
            .await
            .err()
            .unwrap();
        let response = ApiError::from(refused).into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        drop(all);
        assert!(
            auth.log_in(None, &key.auth_key_id, &key.auth_key, 9)
                .await
                .is_ok()
        );
    }
}
