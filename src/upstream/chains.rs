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
/// Chains of one name: the nodes of a broker may have a certificate each.
const EACH: usize = 4;

/// Checks chains as rustls does, and remembers for each name the chains that were good last. Nothing is let through by it
/// that a new check would refuse: name, every certificate and trust anchors are the same, and none has run out. That
/// the broker has the key is proved at every handshake.
#[derive(Debug)]
pub(super) struct Chains {
    verifier: Arc<WebPkiServerVerifier>,
    /// The oldest first.
    good: Mutex<HashMap<ServerName<'static>, Vec<Good>>>,
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
        good.get(&server.to_owned()).is_some_and(|chains| {
            chains
                .iter()
                .any(|chain| chain.is(end_entity, others) && chain.holds(now.as_secs()))
        })
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
        let checked = now.as_secs();
        let chain = Good {
            certificates,
            checked,
            runs_out,
        };
        // One that brings a certificate that has run out is checked anew each time, and must not drive out another.
        if !chain.holds(checked) {
            return;
        }
        let server = server.to_owned();
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= MOST
            && !good.contains_key(&server)
            && let Some(any) = good.keys().next().cloned()
        {
            good.remove(&any);
        }
        let chains = good.entry(server).or_default();
        chains.retain(|known| known.certificates != chain.certificates);
        if chains.len() == EACH {
            chains.remove(0);
        }
        chains.push(chain);
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
    use super::super::in_memory::talk;
    use super::*;
    use rcgen::{CertificateParams, CertifiedIssuer, DnType, Issuer, KeyPair, date_time_ymd};
    use rustls::client::Resumption;
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::{CertificateError, ClientConfig, ClientConnection, ServerConfig, ServerConnection, version};
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
            issue(&self.0, 2030, 2040).0
        }
    }

    /// A certificate for broker.example, good for these years.
    fn issue(issuer: &Issuer<'_, KeyPair>, from: i32, to: i32) -> (CertificateDer<'static>, KeyPair) {
        let mut params = CertificateParams::new(["broker.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, issuer).unwrap().der().clone(), key)
    }

    fn intermediate(issuer: &Issuer<'_, KeyPair>, name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap()
    }

    fn broker() -> ServerName<'static> {
        ServerName::try_from("broker.example").unwrap()
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
        let broker = broker();
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
            ("the one before it, too", &good, &broker, IN_2035, (true, true)),
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

    #[test]
    fn four_chains_of_a_name_are_known_and_the_oldest_goes_first() {
        let authority = Authority::new();
        let chains = authority.chains();
        let nodes: [_; 5] = std::array::from_fn(|_| authority.broker());
        for node in &nodes {
            chains
                .verify_server_cert(node, &[], &broker(), &[], at(IN_2035))
                .unwrap();
        }
        let known = nodes.map(|node| chains.knows(&node, &[], &broker(), at(IN_2035)));
        assert_eq!(known, [false, true, true, true, true]);
    }

    #[test]
    fn an_order_that_was_not_seen_is_checked_and_one_with_a_certificate_that_has_run_out_is_each_time() {
        let authority = Authority::new();
        let chains = authority.chains();
        let upper = intermediate(&authority.0, "upper");
        let lower = intermediate(&upper, "lower");
        let node = issue(&lower, 2030, 2040).0;
        let old = issue(&authority.0, 2000, 2010).0;
        let [upper, lower] = [upper, lower].map(|issuer| issuer.der().clone());
        let [usual, turned] = [[lower.clone(), upper.clone()], [upper.clone(), lower.clone()]];
        let with_old = [lower, upper, old];
        let check = |others: &[CertificateDer<'static>]| {
            let known = chains.knows(&node, others, &broker(), at(IN_2035));
            let verified = chains.verify_server_cert(&node, others, &broker(), &[], at(IN_2035));
            (known, verified.is_ok())
        };
        assert_eq!(check(&usual), (false, true));
        assert_eq!(check(&turned), (false, true));
        for _ in 0..5 {
            assert_eq!(check(&with_old), (false, true));
        }
        assert_eq!(check(&usual), (true, true));
        assert_eq!(check(&turned), (true, true));
    }

    #[test]
    fn at_the_bound_a_name_that_is_known_drives_out_no_other_and_a_new_one_drives_out_one() {
        let authority = Authority::new();
        let chains = authority.chains();
        let [first, second] = [authority.broker(), authority.broker()];
        let name = |n: usize| ServerName::try_from(format!("{n}.example")).unwrap();
        let known = || {
            let knows = |&n: &usize| chains.knows(&first, &[], &name(n), at(IN_2035));
            (0..=MOST).filter(knows).count()
        };
        for n in 0..MOST {
            chains.remember(&first, &[], &name(n), at(IN_2035));
        }
        chains.remember(&second, &[], &name(7), at(IN_2035));
        assert_eq!(known(), MOST);
        chains.remember(&first, &[], &name(MOST), at(IN_2035));
        assert_eq!(known(), MOST);
        assert!(chains.knows(&first, &[], &name(MOST), at(IN_2035)));
    }

    #[test]
    fn who_shows_a_known_chain_without_its_key_is_refused() {
        for version in [&version::TLS12, &version::TLS13] {
            let authority = Authority::new();
            let (certificate, key) = issue(&authority.0, 2020, 2090);
            let chains = Arc::new(authority.chains());
            let mut client = ClientConfig::builder_with_protocol_versions(&[version])
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(&chains) as Arc<dyn ServerCertVerifier>)
                .with_no_client_auth();
            client.resumption = Resumption::disabled();
            let client = Arc::new(client);
            let shake = |key: &KeyPair| {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                let shown = CertifiedKey::new(vec![certificate.clone()], any_supported_type(&key).unwrap());
                let server = ServerConfig::builder_with_protocol_versions(&[version])
                    .with_no_client_auth()
                    .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
                let mut client = ClientConnection::new(Arc::clone(&client), broker()).unwrap();
                talk(&mut client, &mut ServerConnection::new(Arc::new(server)).unwrap())
            };
            assert_eq!(shake(&key), Ok(()));
            assert!(chains.knows(&certificate, &[], &broker(), UnixTime::now()));
            let bad = Error::InvalidCertificate(CertificateError::BadSignature);
            assert_eq!(shake(&KeyPair::generate().unwrap()), Err(bad));
            assert_eq!(shake(&key), Ok(()));
        }
    }
}
