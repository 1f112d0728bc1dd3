//! PubNub: the keys stand before the client id, and there is no login.

use zeroize::Zeroizing;

use super::{Call, Identity, Platform, PlatformError};
use crate::credential::Values;

pub(super) fn identity(values: &Values, call: &Call<'_>) -> Result<Identity, PlatformError> {
    if call.client_id.is_empty() {
        return Err(PlatformError::NoClientId(Platform::PubNub));
    }
    let key = |name| values.get(name).unwrap_or_default();
    let client_id = [key("pubKey"), key("subKey"), call.client_id].join("/");
    Ok(Identity {
        client_id: Zeroizing::new(client_id),
        username: None,
        password: None,
        expires: None,
    })
}
