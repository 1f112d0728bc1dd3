//! The private key that a device of a Google-style registry signs its tokens with.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::{Algorithm, EncodingKey};
use rustls::pki_types::PrivateKeyDer;

use super::pem::private_key;

/// The key of a device, if it is one of the algorithm's kind.
///
/// # Errors
/// What is wrong with it; the key is not quoted.
pub(crate) fn token_key(algorithm: &str, pem: &str) -> Result<(Algorithm, EncodingKey), String> {
    match algorithm {
        "RS256" => EncodingKey::from_rsa_pem(pem.as_bytes())
            .map(|key| (Algorithm::RS256, key))
            .map_err(|error| format!("is no RSA key in PEM: {error}")),
        "ES256" => elliptic_key(pem).map(|key| (Algorithm::ES256, key)),
        other => Err(format!(
            "cannot be used with the algorithm {other:?}; there are RS256 and ES256"
        )),
    }
}

/// PKCS#8, or the form that `openssl ecparam -genkey` writes.
fn elliptic_key(pem: &str) -> Result<EncodingKey, String> {
    let rejected = |_| "is no key on the curve P-256".to_owned();
    let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair = match private_key(pem.as_bytes())? {
        PrivateKeyDer::Sec1(der) => EcdsaKeyPair::from_private_key_der(alg, der.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(alg, der.secret_pkcs8_der()),
        _ => return Err("is no key of an elliptic curve".to_owned()),
    };
    let pkcs8 = pair.map_err(rejected)?.to_pkcs8v1();
    let pkcs8 = pkcs8.map_err(|_| "cannot be converted to PKCS#8".to_owned())?;
    Ok(EncodingKey::from_ec_der(pkcs8.as_ref()))
}
