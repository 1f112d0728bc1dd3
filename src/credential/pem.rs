//! Certificates and keys in PEM form.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates in a text, one at least.
///
/// # Errors
/// What the parser says.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err("no certificate found".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The first private key in a text.
///
/// # Errors
/// What the parser says.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| error.to_string())
}

/// The certificates of a text as they are written, and nothing else: people put the key into the same file.
#[must_use]
pub fn certificate_blocks(text: &str) -> String {
    let mut blocks = String::new();
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once(BEGIN) {
        let Some((body, next)) = behind.split_once(END) else {
            break;
        };
        blocks.extend([BEGIN, body, END, "\n"]);
        rest = next;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_are_shown() {
        let text = format!(
            "subject\n{BEGIN}\nAA\n{END}\n-----BEGIN PRIVATE KEY-----\nBB\n-----END PRIVATE KEY-----\n{BEGIN}\nCC\n{END}"
        );
        assert_eq!(
            certificate_blocks(&text),
            format!("{BEGIN}\nAA\n{END}\n{BEGIN}\nCC\n{END}\n")
        );
        assert_eq!(certificate_blocks(BEGIN), "");
    }
}
