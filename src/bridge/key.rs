//! The key that callers show.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The fewest characters: shorter ones can be guessed.
const SHORTEST: usize = 16;

/// A key that opens the bridge. Not shown by `Debug`, wiped from memory.
#[derive(Clone)]
pub struct ApiKey(Zeroizing<String>);

/// A text that is no key; not quoted, because it was meant to be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key has at least {SHORTEST} characters, printable ASCII without blanks and commas; `openssl rand -hex 16` makes a good one"
)]
pub struct InvalidKey;

impl ApiKey {
    /// Whether `shown` is this key, found out in constant time.
    #[must_use]
    pub fn matches(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

impl FromStr for ApiKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let good = text.len() >= SHORTEST && text.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        good.then(|| Self(Zeroizing::new(text.to_owned())))
            .ok_or(InvalidKey)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_long_and_printable_and_never_shown() {
        let key: ApiKey = "0123456789abcdef".parse().unwrap();
        assert!(key.matches("0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef "] {
            assert!(!key.matches(wrong), "{wrong:?}");
        }
        assert_eq!(format!("{key:?}"), "ApiKey(***)");
        for bad in [
            "",
            "short",
            "0123456789 abcdef",
            "0123456789,abcdef",
            "０１２３４５６７８９",
        ] {
            assert_eq!(bad.parse::<ApiKey>().unwrap_err(), InvalidKey, "{bad:?}");
        }
    }
}
