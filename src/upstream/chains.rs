//! The check of a broker's certificate chain, done once for each chain rather than at each handshake.

use crate::credential::runs_out;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Brokers whose chain is remembered for one set of trust anchors.
const MOST: usize = 1000;

/// Checks chains as rustls does, and remembers for each name the chain that was good last. Nothing is let through by it
/// that a new check would refuse: name, every certificate and trust anchors are the same, and none has run out. That
/// the broker has the key is proved at every handshake.
#[derive(Debug)]
pub(super) struct Chains {
    verifier: Arc<WebPkiServerVerifier>,
    good: Mutex<HashMap<ServerName<'static>, Good>>,
}

/// A chain that was checked.
#[derive(Debug)]
struct Good {
    /// The broker's own first.
    certificates: Vec<CertificateDer<'static>>,
    /// In seconds since 1970, as all that follows.
    checked: u64,
    /// When the first of them runs out.
    runs_out: u64,
}

impl Good {
    fn is(&self, end_entity: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> bool {
        self.certificates
            .split_first()
            .is_some_and(|(first, rest)| first == end_entity && rest == others)
    }

    /// Neither after the end of a certificate nor, where the clock was put back, before the time of the check.
    fn holds(&self, now: u64) -> bool {
        (self.checked..=self.runs_out).contains(&now)
    }
}

impl Chains {
    /// Checks against these trust anchors.
    pub(super) fn new(roots: Arc<RootCertStore>) -> Result<Self, Error> {
        let verifier = WebPkiServerVerifier::builder(roots)
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(Self {
            verifier,
            good: Mutex::default(),
        })
    }

    fn knows(
        &self,
        end_entity: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        now: UnixTime,
    ) -> bool {
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.get(&server.to_owned())
            .is_some_and(|good| good.is(end_entity, others) && good.holds(now.as_secs()))
    }

    fn remember(
        &self,
        end_entity: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        now: UnixTime,
    ) {
        let all = std::iter::once(end_entity).chain(others);
        let certificates: Vec<_> = all.map(|one| one.clone().into_owned()).collect();
        let Some(runs_out) = runs_out(&certificates).and_then(|end| u64::try_from(end).ok()) else {
            return;
        };
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= MOST {
            good.clear();
        }
        let checked = now.as_secs();
        good.insert(
            server.to_owned(),
            Good {
                certificates,
                checked,
                runs_out,
            },
        );
    }
}

impl ServerCertVerifier for Chains {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.knows(end_entity, intermediates, server, now) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self
            .verifier
            .verify_server_cert(end_entity, intermediates, server, ocsp, now)?;
        self.remember(end_entity, intermediates, server, now);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, date_time_ymd};
    use std::time::Duration;

    const IN_2030: u64 = 1_893_456_000;
    const IN_2035: u64 = 2_051_222_400;
    const IN_2045: u64 = 2_366_841_600;

    struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        fn new() -> Self {
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let mut params = CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        fn chains(&self) -> Chains {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).unwrap();
            Chains::new(Arc::new(roots)).unwrap()
        }

        /// Good from 2030 to 2040.
        fn broker(&self) -> CertificateDer<'static> {
            let mut params = CertificateParams::new(["broker.example".to_owned()]).unwrap();
            params.not_before = date_time_ymd(2030, 1, 1);
            params.not_after = date_time_ymd(2040, 1, 1);
            let key = KeyPair::generate().unwrap();
            params.signed_by(&key, &self.0).unwrap().der().clone()
        }
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn what_was_good_once_is_good_for_that_name_and_chain_until_it_runs_out() {
        let authority = Authority::new();
        let chains = authority.chains();
        let [good, another] = [authority.broker(), authority.broker()];
        let stranger = Authority::new().broker();
        let broker = ServerName::try_from("broker.example").unwrap();
        let elsewhere = ServerName::try_from("elsewhere.example").unwrap();
        let check = |certificate: &CertificateDer<'_>, server: &ServerName<'_>, now| {
            let known = chains.knows(certificate, &[], server, at(now));
            let verified = chains.verify_server_cert(certificate, &[], server, &[], at(now));
            (known, verified.is_ok())
        };
        let cases = [
            ("is not valid yet", &good, &broker, IN_2030 - 1, (false, false)),
            ("is new", &good, &broker, IN_2035, (false, true)),
            ("is known", &good, &broker, IN_2035, (true, true)),
            (
                "is known later, too",
                &good,
                &broker,
                IN_2035 + 86_400,
                (true, true),
            ),
            (
                "at an earlier time it may not be valid",
                &good,
                &broker,
                IN_2030 - 1,
                (false, false),
            ),
            ("has run out", &good, &broker, IN_2045, (false, false)),
            ("has another name", &good, &elsewhere, IN_2035, (false, false)),
            (
                "comes from another authority",
                &stranger,
                &broker,
                IN_2035,
                (false, false),
            ),
            (
                "what is not good changes nothing",
                &good,
                &broker,
                IN_2035,
                (true, true),
            ),
            ("is the next one", &another, &broker, IN_2035, (false, true)),
            (
                "only the last one is known",
                &good,
                &broker,
                IN_2035,
                (false, true),
            ),
        ];
        for (case, certificate, server, now, expected) in cases {
            assert_eq!(check(certificate, server, now), expected, "{case}");
        }
        let more = std::slice::from_ref(&another);
        assert!(
            !chains.knows(&good, more, &broker, at(IN_2035)),
            "the chain is longer"
        );
    }
}
