//! API keys and API tokens: a login's answer, shown with every other call.
//!
//! A token is a JWT, as SORACOM's command reads the operator id out of its second part. The API key is derived
//! from the session in it with the same secret, so that nothing about a session is stored but its end.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto, decode, encode};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::file_error::AuthFileError;
use super::refusal::AuthRefusal;
use crate::clock::now_seconds;
use crate::private_file;

/// The longest that a token may live, in seconds, and so the longest that its end has to be remembered.
pub(super) const LONGEST: i64 = 172_800;

/// How long it lives if nothing is asked.
pub(super) const DEFAULT: i64 = 86_400;

/// The most ended sessions that are remembered one by one; past it all are ended.
const MOST_ENDED: usize = 10_000;

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Not made by this server, or changed.
    #[error("the X-Soracom-Token is none of this server; POST /v1/auth (soracom auth) gives one")]
    Foreign,
    /// Each is right, but not together.
    #[error("the X-Soracom-API-Key does not belong to the X-Soracom-Token; show both of the same login")]
    OtherKey,
    /// Its time is over.
    #[error("the X-Soracom-Token expired {0} seconds ago; log in again with POST /v1/auth (soracom auth)")]
    Expired(i64),
    /// Logged out, or all tokens were revoked.
    #[error("the X-Soracom-Token was revoked; log in again with POST /v1/auth (soracom auth)")]
    Revoked,
    /// The key that it was made with is deleted.
    #[error("the auth key {0} that this token was made with is deleted; log in with another one")]
    KeyDeleted(String),
}

/// Who shows a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The key that was logged in with.
    pub(in crate::api) auth_key_id: String,
    id: String,
    /// Of the token that was shown.
    generation: u64,
}

/// What a login gives.
pub(super) struct Issued {
    pub(super) api_key: String,
    pub(super) token: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    operator: OperatorClaim,
    auth_key_id: String,
    sid: String,
    generation: u64,
    iat: i64,
    exp: i64,
    jti: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperatorClaim {
    operator_id: String,
}

fn unreadable_ends(error: &serde_json::Error) -> String {
    format!(
        "no revoked tokens: {error}; correct it, or delete it and start again: tokens that were ended before their time \
         then count again until they expire"
    )
}

/// What is remembered about sessions that were ended before their time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    /// Tokens of another generation are revoked.
    generation: u64,
    /// Ended sessions, and when their last token would have expired.
    sessions: BTreeMap<String, i64>,
    /// What time it was when expired ones were last forgotten.
    #[serde(default)]
    forgotten: i64,
}

impl Ended {
    fn refuse(&self, session: &Session) -> Result<(), TokenRefusal> {
        let is_ended = session.generation != self.generation || self.sessions.contains_key(&session.id);
        if is_ended || self.clock_went_back() {
            Err(TokenRefusal::Revoked)
        } else {
            Ok(())
        }
    }

    /// Whether ended sessions may have been forgotten whose tokens, by a clock that was set since, have not expired.
    fn clock_went_back(&self) -> bool {
        now_seconds() < self.forgotten
    }
}

/// Makes and checks tokens.
pub(super) struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
    operator_id: String,
    path: PathBuf,
    ended: Mutex<Ended>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(***)")
    }
}

impl Tokens {
    /// Reads the signing key and the ended sessions of the data directory, or makes the key.
    pub(super) fn open(data: &Path, operator_id: &str) -> Result<Self, AuthFileError> {
        let key_path = data.join("token-key");
        let key = private_file::read_or_create(&key_path, private_file::random_hex::<32>)
            .map_err(AuthFileError::file(&key_path))?;
        let key = key.trim().as_bytes();
        if key.len() < 32 {
            let reason = "no signing key; delete it and start again to get a new one";
            return Err(AuthFileError::malformed(&key_path, reason));
        }
        let path = data.join("revoked-tokens.json");
        let ended = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| AuthFileError::malformed(&path, unreadable_ends(&error)))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ended::default(),
            Err(error) => return Err(AuthFileError::file(&path)(error)),
        };
        // The expiry is looked at here, to the second and to say since when.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        Ok(Self {
            signing: EncodingKey::from_secret(key),
            checking: DecodingKey::from_secret(key),
            validation,
            operator_id: operator_id.to_owned(),
            path,
            ended: Mutex::new(ended),
        })
    }

    /// An API key and a token for a login with `auth_key_id`.
    pub(super) fn issue(&self, auth_key_id: &str, seconds: i64) -> Result<Issued, AuthRefusal> {
        if self.ended().clock_went_back() {
            self.revoke_all()?;
        }
        let session = Session {
            auth_key_id: auth_key_id.to_owned(),
            id: Uuid::new_v4().to_string(),
            generation: self.ended().generation,
        };
        let made = self
            .api_key(&session.id)
            .and_then(|api_key| Ok((api_key, self.sign(&session, seconds)?)));
        let (api_key, token) = made.map_err(AuthRefusal::Signing)?;
        Ok(Issued { api_key, token })
    }

    /// Another token for the same API key. A session that has ended since its token was checked gets none.
    pub(super) fn reissue(&self, session: &Session, seconds: i64) -> Result<String, AuthRefusal> {
        // Locked until it is signed: an end that comes later is then remembered until this token, too, has expired.
        let ended = self.ended();
        ended.refuse(session)?;
        self.sign(session, seconds).map_err(AuthRefusal::Signing)
    }

    fn sign(&self, session: &Session, seconds: i64) -> Result<String, jsonwebtoken::errors::Error> {
        let iat = now_seconds();
        let claims = Claims {
            operator: OperatorClaim {
                operator_id: self.operator_id.clone(),
            },
            auth_key_id: session.auth_key_id.clone(),
            sid: session.id.clone(),
            generation: session.generation,
            iat,
            exp: iat + seconds,
            jti: Uuid::new_v4().to_string(),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
    }

    /// Whose token this is.
    pub(super) fn check(&self, api_key: &str, token: &str) -> Result<Session, TokenRefusal> {
        let claims = decode::<Claims>(token, &self.checking, &self.validation)
            .map_err(|_| TokenRefusal::Foreign)?
            .claims;
        if claims.operator.operator_id != self.operator_id {
            return Err(TokenRefusal::Foreign);
        }
        let expected = self.api_key(&claims.sid).map_err(|_| TokenRefusal::OtherKey)?;
        if !bool::from(expected.as_bytes().ct_eq(api_key.as_bytes())) {
            return Err(TokenRefusal::OtherKey);
        }
        let over = now_seconds() - claims.exp;
        if over >= 0 {
            return Err(TokenRefusal::Expired(over));
        }
        let session = Session {
            auth_key_id: claims.auth_key_id,
            id: claims.sid,
            generation: claims.generation,
        };
        self.ended().refuse(&session)?;
        Ok(session)
    }

    /// Ends a session: its API key and all its tokens. On disk when it returns.
    pub(super) fn revoke(&self, session: &Session) -> Result<(), AuthFileError> {
        self.end(|ended| {
            let now = now_seconds();
            let before = ended.sessions.len();
            ended.sessions.retain(|_, until| *until > now);
            if ended.sessions.len() < before {
                ended.forgotten = now;
            }
            if ended.sessions.len() < MOST_ENDED {
                ended.sessions.insert(session.id.clone(), now + LONGEST);
            } else {
                end_all(ended);
            }
        })
    }

    /// Ends all sessions. On disk when it returns.
    pub(super) fn revoke_all(&self) -> Result<(), AuthFileError> {
        self.end(end_all)
    }

    fn ended(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, edit: impl FnOnce(&mut Ended)) -> Result<(), AuthFileError> {
        let mut ended = self.ended();
        let mut new = ended.clone();
        edit(&mut new);
        let failed = AuthFileError::file(&self.path);
        let text = serde_json::to_vec(&new).map_err(|error| failed(error.into()))?;
        private_file::replace(&self.path, &text).map_err(failed)?;
        *ended = new;
        Ok(())
    }

    /// Whoever sees a token, but not its API key, cannot find it out.
    fn api_key(&self, session: &str) -> Result<String, jsonwebtoken::errors::Error> {
        // No token begins like this, so that no signature of one is an API key.
        let message = format!("api-key {session}");
        crypto::sign(message.as_bytes(), &self.signing, Algorithm::HS256).map(|mac| format!("api-{mac}"))
    }
}

fn end_all(ended: &mut Ended) {
    ended.generation += 1;
    ended.sessions.clear();
    ended.forgotten = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATOR: &str = "OP0123456789";

    fn tokens(folder: &tempfile::TempDir) -> Tokens {
        Tokens::open(folder.path(), OPERATOR).unwrap()
    }

    #[test]
    fn a_file_of_ended_tokens_that_cannot_be_read_says_what_deleting_it_does() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("revoked-tokens.json"), "[").unwrap();
        let refused = Tokens::open(folder.path(), OPERATOR).err().unwrap().to_string();
        assert!(
            refused.contains("revoked-tokens.json holds no revoked tokens"),
            "{refused}"
        );
        assert!(
            refused.ends_with("then count again until they expire"),
            "{refused}"
        );
    }

    #[test]
    fn key_and_token_belong_together_and_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let issued = tokens(&folder).issue("keyId-1", DEFAULT).unwrap();
        let after = tokens(&folder);
        let session = after.check(&issued.api_key, &issued.token).unwrap();
        assert_eq!(session.auth_key_id, "keyId-1");
        let other = after.issue("keyId-1", DEFAULT).unwrap();
        assert_eq!(
            after.check(&other.api_key, &issued.token),
            Err(TokenRefusal::OtherKey)
        );
        let again = after.reissue(&session, 1).unwrap();
        assert_eq!(after.check(&issued.api_key, &again), Ok(session));
    }

    #[test]
    fn what_is_foreign_changed_or_over_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let here = tokens(&folder);
        let issued = here.issue("keyId-1", 0).unwrap();
        assert!(matches!(
            here.check(&issued.api_key, &issued.token),
            Err(TokenRefusal::Expired(0..2))
        ));
        let elsewhere = tempfile::tempdir().unwrap();
        let foreign = tokens(&elsewhere).issue("keyId-1", DEFAULT).unwrap();
        let unsigned = format!("{}.", issued.token.rsplit_once('.').unwrap().0);
        for token in [foreign.token.as_str(), &unsigned, "", "a.b.c"] {
            assert_eq!(here.check(&issued.api_key, token), Err(TokenRefusal::Foreign));
        }
    }

    #[test]
    fn an_end_is_for_the_session_or_for_all_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let here = tokens(&folder);
        let (one, two) = (here.issue("k", 9).unwrap(), here.issue("k", 9).unwrap());
        let session = here.check(&one.api_key, &one.token).unwrap();
        let again = here.reissue(&session, 9).unwrap();
        here.revoke(&session).unwrap();
        let here = tokens(&folder);
        for token in [&one.token, &again] {
            assert_eq!(here.check(&one.api_key, token), Err(TokenRefusal::Revoked));
        }
        assert!(here.check(&two.api_key, &two.token).is_ok());
        here.revoke_all().unwrap();
        let here = tokens(&folder);
        assert_eq!(here.check(&two.api_key, &two.token), Err(TokenRefusal::Revoked));
        let new = here.issue("k", 9).unwrap();
        assert!(here.check(&new.api_key, &new.token).is_ok());
    }

    #[test]
    fn an_ended_session_stays_ended_when_the_clock_was_wrong_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let here = tokens(&folder);
        let (one, two) = (
            here.issue("k", DEFAULT).unwrap(),
            here.issue("k", DEFAULT).unwrap(),
        );
        let session = |issued: &Issued| here.check(&issued.api_key, &issued.token);
        here.revoke(&session(&one).unwrap()).unwrap();
        // As by a clock that was three days ahead: the end of the first is forgotten with the end of another.
        let ahead = |ended: &mut Ended| {
            ended.sessions.clear();
            ended.forgotten = now_seconds() + 3 * 86_400;
        };
        here.end(ahead).unwrap();
        for issued in [&one, &two] {
            assert_eq!(session(issued), Err(TokenRefusal::Revoked));
        }
        let new = here.issue("k", DEFAULT).unwrap();
        assert!(session(&new).is_ok());
        assert_eq!(session(&one), Err(TokenRefusal::Revoked));
    }

    #[test]
    fn a_login_that_ended_while_it_asked_for_another_token_gets_none() {
        let folder = tempfile::tempdir().unwrap();
        let here = tokens(&folder);
        let ends: [fn(&Tokens, &Session); 2] = [
            |tokens, session| tokens.revoke(session).unwrap(),
            |tokens, _| tokens.revoke_all().unwrap(),
        ];
        for end in ends {
            let issued = here.issue("k", 9).unwrap();
            let session = here.check(&issued.api_key, &issued.token).unwrap();
            end(&here, &session);
            let refused = here.reissue(&session, LONGEST);
            assert!(
                matches!(refused, Err(AuthRefusal::Token(TokenRefusal::Revoked))),
                "{refused:?}"
            );
        }
    }
}
