//! Azure IoT Hub: the client id is the device id, the password a shared access signature.
//!
//! As in "Communicate with an IoT hub using the MQTT protocol" and "Control access to IoT Hub by using shared access
//! signatures" of Microsoft's documentation.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::{Call, Identity, Platform, PlatformError};
use crate::credential::Values;

/// The version of the hub's interface that the user name asks for.
const API_VERSION: &str = "2021-04-12";

/// All but the unreserved characters of RFC 3986 §2.3.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const DEVICE_ID: &str = "1 to 128 ASCII letters, digits and - . % _ * ? ! ( ) , : = @ $ '";

pub(super) fn identity(values: &Values, call: &Call<'_>) -> Result<Identity, PlatformError> {
    let device = device_id(call.client_id)?;
    let host = call.host.to_string();
    let expires = call.now?.saturating_add(call.lifetime.as_secs());
    let token = signature(values, &format!("{host}/devices/{device}"), expires)?;
    Ok(Identity {
        client_id: Zeroizing::new(device.to_owned()),
        username: Some(format!("{host}/{device}/?api-version={API_VERSION}")),
        password: Some(token),
        expires: Some(expires),
    })
}

/// A client id that is no device id would lead to another user name than the one it means.
fn device_id(id: &str) -> Result<&str, PlatformError> {
    let platform = Platform::AzureIot;
    if id.is_empty() {
        return Err(PlatformError::NoClientId(platform));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-.%_*?!(),:=@$'".contains(&b);
    if id.len() <= 128 && id.bytes().all(allowed) {
        return Ok(id);
    }
    Err(PlatformError::ClientId {
        id: id.chars().take(128).collect(),
        platform,
        allowed: DEVICE_ID,
    })
}

/// `SharedAccessSignature sr=...&sig=...&se=...&skn=...` for `resource`.
fn signature(values: &Values, resource: &str, expires: u64) -> Result<Zeroizing<String>, PlatformError> {
    let key = values.get("sharedAccessKey").unwrap_or_default();
    let key = STANDARD.decode(key.trim()).map(Zeroizing::new);
    let key = key.map_err(|_| PlatformError::Credential {
        field: "sharedAccessKey",
        reason: "is not base64".to_owned(),
    })?;
    let resource = escaped(resource);
    let text = format!("{resource}\n{expires}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
    let tag = escaped(&STANDARD.encode(tag.as_ref()));
    let policy = escaped(values.get("sharedAccessKeyName").unwrap_or_default());
    Ok(Zeroizing::new(format!(
        "SharedAccessSignature sr={resource}&sig={tag}&se={expires}&skn={policy}"
    )))
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}
