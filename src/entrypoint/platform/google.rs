//! Registries in the style of Google Cloud IoT Core: the client id is a path, the password a JWT.

use jsonwebtoken::Header;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Call, Identity, PlatformError};
use crate::credential::{Values, token_key};
use crate::entrypoint::template::render;

/// The registry looks at the client id and the password only; MQTT wants a user name before a password.
const USERNAME: &str = "unused";

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iat: u64,
    exp: u64,
}

pub(super) fn identity(values: &Values, call: &Call<'_>) -> Result<Identity, PlatformError> {
    let value = |name| values.get(name).unwrap_or_default();
    // One credential serves a fleet where the placeholder is in the device id.
    let device = render(value("deviceId"), call.sim);
    let client_id = format!(
        "projects/{}/locations/{}/registries/{}/devices/{device}",
        value("projectId"),
        value("region"),
        value("registryId")
    );
    let now = call.now?;
    let expires = now.saturating_add(call.lifetime.as_secs());
    let claims = Claims {
        aud: value("projectId"),
        iat: now,
        exp: expires,
    };
    Ok(Identity {
        client_id: Zeroizing::new(client_id),
        username: Some(USERNAME.to_owned()),
        password: Some(token(value("algorithm"), value("privateKey"), &claims)?),
        expires: Some(expires),
    })
}

fn token(algorithm: &str, key: &str, claims: &Claims<'_>) -> Result<Zeroizing<String>, PlatformError> {
    let unusable = |reason: String| PlatformError::Credential {
        field: "privateKey",
        reason,
    };
    let (algorithm, key) = token_key(algorithm, key).map_err(unusable)?;
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key)
        .map(Zeroizing::new)
        .map_err(|error| unusable(error.to_string()))
}
