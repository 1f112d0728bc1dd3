//! URLs that are fetched without a login, as those of SORACOM's exports are: they bring their own proof, for ten minutes.

use std::io;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::clock::now_seconds;
use crate::private_file::random_hex;

/// How long such a URL is good, in seconds.
const LIFETIME: i64 = 600;

/// Why a signature is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefusal {
    /// Not made by this server since its start, or for another path.
    #[error(
        "the signature of this URL is wrong, or from before the last start of the server: ask for a new export"
    )]
    Wrong,
    /// Its time is over.
    #[error("this URL expired {0} seconds ago: ask for a new export")]
    Expired(i64),
}

/// The query of a URL that may be signed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Signed {
    /// In place of a login. It is in the URL that an export gives, for ten minutes.
    pub(super) signature: Option<String>,
}

/// Signs paths, with a key that ends with the program.
#[derive(Debug)]
pub(super) struct Signer(hmac::Key);

impl Signer {
    pub(super) fn new() -> io::Result<Self> {
        let key = random_hex::<32>()?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))
    }

    /// `path` with a signature behind it.
    pub(super) fn sign(&self, path: &str) -> String {
        self.sign_until(path, now_seconds() + LIFETIME)
    }

    fn sign_until(&self, path: &str, expires: i64) -> String {
        let tag = hmac::sign(&self.0, message(path, expires).as_bytes());
        let tag = URL_SAFE_NO_PAD.encode(tag.as_ref());
        format!("{path}?signature={expires}.{tag}")
    }

    /// Whether `signature` is of `path`, and still good.
    pub(super) fn check(&self, path: &str, signature: &str) -> Result<(), SignatureRefusal> {
        let (expires, tag) = parts(signature).ok_or(SignatureRefusal::Wrong)?;
        hmac::verify(&self.0, message(path, expires).as_bytes(), &tag)
            .map_err(|_| SignatureRefusal::Wrong)?;
        match now_seconds() - expires {
            over @ 0.. => Err(SignatureRefusal::Expired(over)),
            _ => Ok(()),
        }
    }
}

fn message(path: &str, expires: i64) -> String {
    format!("{path}\n{expires}")
}

fn parts(signature: &str) -> Option<(i64, Vec<u8>)> {
    let (expires, tag) = signature.split_once('.')?;
    Some((expires.parse().ok()?, URL_SAFE_NO_PAD.decode(tag).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_one_path_for_ten_minutes_and_one_run() {
        let signer = Signer::new().unwrap();
        let signature = |url: &str| url.split_once("?signature=").unwrap().1.to_owned();
        let good = signature(&signer.sign("/a"));
        assert_eq!(signer.check("/a", &good), Ok(()));
        assert_eq!(signer.check("/b", &good), Err(SignatureRefusal::Wrong));
        assert_eq!(
            Signer::new().unwrap().check("/a", &good),
            Err(SignatureRefusal::Wrong)
        );
        let (expires, tag) = good.split_once('.').unwrap();
        let left = expires.parse::<i64>().unwrap() - now_seconds();
        assert!((LIFETIME - 2..=LIFETIME).contains(&left), "{left}");
        let longer = format!("{}.{tag}", i64::MAX);
        for wrong in [longer.as_str(), "", ".", "1", tag, &format!("{good}A")] {
            assert_eq!(signer.check("/a", wrong), Err(SignatureRefusal::Wrong), "{wrong}");
        }
        let over = signature(&signer.sign_until("/a", now_seconds() - 5));
        assert!(matches!(
            signer.check("/a", &over),
            Err(SignatureRefusal::Expired(5..8))
        ));
    }
}
