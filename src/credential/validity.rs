//! How long the certificates of a credential are good.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Values;
use super::pem::certificates;

/// When a credential stops to work because a certificate runs out, in seconds since 1970; `None` if it has none.
///
/// A chain is as good as its first certificate to run out, a list of CAs as its last.
#[must_use]
pub fn expires(values: &Values) -> Option<i64> {
    let ends = |name| -> Option<Vec<i64>> {
        let found = certificates(values.get(name)?.as_bytes()).ok()?;
        Some(found.iter().filter_map(not_after).collect())
    };
    let chain = ends("cert").and_then(|ends| ends.into_iter().min());
    let authorities = ends("ca").and_then(|ends| ends.into_iter().max());
    chain.into_iter().chain(authorities).min()
}

/// When the first of these certificates runs out, in seconds since 1970; `None` if there is none, or one cannot be read.
#[must_use]
pub fn runs_out(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let ends: Option<Vec<_>> = chain.iter().map(not_after).collect();
    ends?.into_iter().min()
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn until(year: i32) -> String {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(year, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn a_chain_is_as_good_as_its_first_to_end_and_authorities_as_their_last() {
        const Y2050: i64 = 2_524_608_000;
        const Y2060: i64 = 2_840_140_800;
        let cases = [
            (None, None, None),
            (Some(until(2050)), None, Some(Y2050)),
            (Some(until(2060) + &until(2050)), None, Some(Y2050)),
            (None, Some(until(2060) + &until(2050)), Some(Y2060)),
            (Some(until(2060)), Some(until(2050)), Some(Y2050)),
            (Some("no PEM".to_owned()), None, None),
        ];
        for (cert, ca, expected) in cases {
            let mut values = Values::default();
            for (name, text) in [("cert", cert), ("ca", ca)] {
                if let Some(text) = text {
                    values.insert(name, text);
                }
            }
            assert_eq!(expires(&values), expected);
        }
    }
}
