//! What a secret has to be that goes into an HTTP request. Nobody is shown it when it is something else.

use crate::secret::{MissingSecret, Secret};
use reqwest::Url;
use reqwest::header::HeaderValue;

/// No request can be made with this secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnusableSecret {
    /// It is not there.
    #[error(transparent)]
    Missing(#[from] MissingSecret),
    /// It is nothing that can be posted to.
    #[error("{0} holds no URL (https://…)")]
    Url(Secret),
    /// It would end the header.
    #[error("{0} holds a line end or another control character, which no header may have")]
    Header(Secret),
}

/// The URL that the secret holds now.
pub(crate) fn url_of(secret: &Secret) -> Result<Url, UnusableSecret> {
    url(&secret.read()?).ok_or_else(|| UnusableSecret::Url(secret.clone()))
}

/// The value of a header that the secret holds now.
pub(crate) fn header_of(secret: &Secret) -> Result<HeaderValue, UnusableSecret> {
    let mut value =
        HeaderValue::from_str(&secret.read()?).map_err(|_| UnusableSecret::Header(secret.clone()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What can be posted to.
pub(crate) fn url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn inline(text: &str) -> Secret {
        Secret::Inline(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn what_is_no_url_or_no_header_is_said_and_not_shown() {
        for good in ["https://hooks.example/q7Zk", "http://127.0.0.1:1880/in"] {
            assert_eq!(url_of(&inline(good)).unwrap().as_str(), good);
        }
        for bad in [
            "hooks.example/q7Zk",
            "$Q7ZK_URL",
            "ftp://q7zk",
            "\"https://q7Zk\"",
        ] {
            let said = url_of(&inline(bad)).unwrap_err().to_string();
            assert_eq!(said, "the field holds no URL (https://…)", "{bad}");
        }
        assert_eq!(header_of(&inline("Bearer q7Zk")).unwrap(), "Bearer q7Zk");
        let said = header_of(&inline("q7Zk\nX: y")).unwrap_err().to_string();
        assert!(said.starts_with("the field holds a line end"), "{said}");
    }
}
