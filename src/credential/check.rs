//! Whether a credential can be used, found out before it is stored and not by the first device.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use serde_json::{Map, Value};
use std::sync::Arc;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate, X509Version};

use super::kind::{CredentialType, Values};
use super::pem;
use super::token_key::token_key;

/// A credential whose values fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// What it is for.
    pub kind: CredentialType,
    /// What it consists of.
    pub values: Values,
}

/// A field that cannot be used. Does not quote the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialProblem {
    /// `credentials.cert`, `type` and the like.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub reason: String,
}

impl fmt::Display for CredentialProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

fn problem(name: &str, reason: impl Into<String>) -> CredentialProblem {
    CredentialProblem {
        field: format!("credentials.{name}"),
        reason: reason.into(),
    }
}

impl Credential {
    /// Checks `values` for the type `kind`, certificates against the clock too.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn checked(
        kind: CredentialType,
        values: &Map<String, Value>,
    ) -> Result<Self, Vec<CredentialProblem>> {
        let values = texts(kind, values)?;
        let mut problems = Vec::new();
        match kind {
            CredentialType::X509 => check_x509(&values, &mut problems),
            CredentialType::UsernamePassword => check_login(&values, &mut problems),
            CredentialType::AzureIot => check_azure(&values, &mut problems),
            CredentialType::GoogleIot => check_google(&values, &mut problems),
            CredentialType::PubNub => check_path_parts(&values, &["pubKey", "subKey"], &mut problems),
            CredentialType::Aws => {
                check_path_parts(&values, &["accessKeyId"], &mut problems);
            }
        }
        if problems.is_empty() {
            Ok(Self { kind, values })
        } else {
            Err(problems)
        }
    }
}

/// Only fields of the type, all that it needs, each a text with something in it.
fn texts(kind: CredentialType, values: &Map<String, Value>) -> Result<Values, Vec<CredentialProblem>> {
    let fields = kind.fields();
    let mut problems: Vec<_> = values
        .keys()
        .filter(|key| !fields.iter().any(|field| field.name == key.as_str()))
        .map(|key| {
            let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
            problem(
                key,
                format!("{kind} has no such field; it has {}", known.join(", ")),
            )
        })
        .collect();
    let mut texts = Values::default();
    for field in fields {
        match values.get(field.name) {
            // Forms and scripts send "" for what was left out.
            None | Some(Value::Null) if !field.required => {}
            Some(Value::String(text)) if text.trim().is_empty() && !field.required => {}
            None | Some(Value::Null) => problems.push(problem(field.name, "is missing")),
            Some(Value::String(text)) if text.trim().is_empty() => {
                problems.push(problem(field.name, "is empty"));
            }
            Some(Value::String(text)) if text.contains('\0') => {
                problems.push(problem(field.name, "holds the character U+0000"));
            }
            Some(Value::String(text)) => texts.insert(field.name, text.clone()),
            Some(_) => problems.push(problem(field.name, "is not a string")),
        }
    }
    if problems.is_empty() {
        Ok(texts)
    } else {
        Err(problems)
    }
}

fn check_x509(values: &Values, problems: &mut Vec<CredentialProblem>) {
    let mut certificates = |name| {
        let found = checked_certificates(values.get(name)?).map_err(|reason| problem(name, reason));
        found.map_err(|problem| problems.push(problem)).ok()
    };
    let chain = certificates("cert");
    certificates("ca");
    if let Some(at) = chain.as_ref().and_then(|chain| chain.iter().position(is_too_old)) {
        let reason = format!(
            "certificate {} is of X.509 version 1, and TLS takes version 3: sign it with extensions (openssl x509 -req -extfile)",
            at + 1
        );
        return problems.push(problem("cert", reason));
    }
    match (values.get("cert"), values.get("key")) {
        (None, None) if values.get("ca").is_none() => {
            problems.push(problem(
                "cert",
                "is missing; give cert and key, or ca, or all three",
            ));
        }
        (None, None) => {}
        (Some(_), None) => problems.push(problem("key", "is missing beside cert")),
        (None, Some(_)) => problems.push(problem("cert", "is missing beside key")),
        (Some(_), Some(key)) => match (signing_key(key), chain) {
            (Err(reason), _) => problems.push(problem("key", reason)),
            (Ok(key), Some(chain)) => problems.extend(mismatch(&key, &chain)),
            (Ok(_), None) => {}
        },
    }
}

/// The certificates of a PEM text, each of them valid today.
fn checked_certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    if text.contains("PRIVATE KEY-----") {
        return Err("holds a private key; it belongs into key".to_owned());
    }
    let certificates = pem::certificates(text.as_bytes())
        .map_err(|reason| format!("is not PEM of certificates (-----BEGIN CERTIFICATE-----): {reason}"))?;
    let now = ASN1Time::now();
    for (at, certificate) in certificates.iter().enumerate() {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|error| format!("certificate {} is not X.509: {error}", at + 1))?;
        let (subject, validity) = (parsed.subject(), parsed.validity());
        if now > validity.not_after {
            return Err(format!(
                "certificate {} ({subject}) expired at {}",
                at + 1,
                validity.not_after
            ));
        }
        if now < validity.not_before {
            return Err(format!(
                "certificate {} ({subject}) is not valid before {}; the clock of this server says {now}",
                at + 1,
                validity.not_before
            ));
        }
    }
    Ok(certificates)
}

/// What `openssl x509 -req` makes without extensions.
fn is_too_old(certificate: &CertificateDer<'static>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.version() != X509Version::V3)
}

fn signing_key(text: &str) -> Result<Arc<dyn SigningKey>, String> {
    if text.contains("ENCRYPTED") {
        return Err("is encrypted with a passphrase; give it without (openssl pkey -in FILE)".to_owned());
    }
    let key = pem::private_key(text.as_bytes()).map_err(|reason| {
        format!("is not PEM of a private key (-----BEGIN PRIVATE KEY-----, RSA PRIVATE KEY or EC PRIVATE KEY): {reason}")
    })?;
    any_supported_type(&key)
        .map_err(|error| format!("is a private key of a kind that TLS cannot use: {error}"))
}

/// What is wrong if the first certificate is not that of `key`.
fn mismatch(key: &Arc<dyn SigningKey>, chain: &[CertificateDer<'static>]) -> Option<CredentialProblem> {
    let fits = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(key))
            .keys_match()
            .is_ok()
    };
    match chain.iter().position(fits) {
        Some(0) => None,
        Some(at) => Some(problem(
            "cert",
            format!(
                "the certificate of the key has to be the first, it is number {}",
                at + 1
            ),
        )),
        None => Some(problem(
            "key",
            "does not belong to cert: the certificate has another public key",
        )),
    }
}

fn check_login(values: &Values, problems: &mut Vec<CredentialProblem>) {
    for name in ["username", "password"] {
        if values
            .get(name)
            .is_some_and(|value| value.len() > usize::from(u16::MAX))
        {
            problems.push(problem(name, "is longer than the 65,535 bytes that MQTT carries"));
        }
    }
}

fn check_azure(values: &Values, problems: &mut Vec<CredentialProblem>) {
    let key = values.get("sharedAccessKey").unwrap_or_default();
    if STANDARD.decode(key.trim()).is_err() {
        problems.push(problem(
            "sharedAccessKey",
            "is not base64, as the Azure portal shows it",
        ));
    }
}

fn check_google(values: &Values, problems: &mut Vec<CredentialProblem>) {
    check_path_parts(
        values,
        &["projectId", "region", "registryId", "deviceId"],
        problems,
    );
    let device = values.get("deviceId").unwrap_or_default();
    let rest = ["#{imsi}", "#{imei}", "#{simId}"]
        .iter()
        .fold(device.to_owned(), |text, placeholder| {
            text.replace(placeholder, "")
        });
    if rest.contains('#') {
        problems.push(problem(
            "deviceId",
            "holds '#' where there is no #{imsi}, #{imei} or #{simId}",
        ));
    }
    let key = match signing_key(values.get("privateKey").unwrap_or_default()) {
        Ok(key) => key,
        Err(reason) => return problems.push(problem("privateKey", reason)),
    };
    let fits = match values.get("algorithm").unwrap_or_default() {
        "RS256" => key.algorithm() == SignatureAlgorithm::RSA,
        "ES256" => key
            .choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])
            .is_some(),
        _ => return problems.push(problem("algorithm", "is neither \"RS256\" nor \"ES256\"")),
    };
    if !fits {
        let wanted = "does not fit the algorithm: RS256 needs an RSA key, ES256 one on the curve P-256";
        return problems.push(problem("privateKey", wanted));
    }
    let text = |name| values.get(name).unwrap_or_default();
    if let Err(reason) = token_key(text("algorithm"), text("privateKey")) {
        problems.push(problem("privateKey", reason));
    }
}

/// These become parts of a path, a topic or a client id.
fn check_path_parts(values: &Values, names: &[&str], problems: &mut Vec<CredentialProblem>) {
    for name in names {
        let fits = |value: &str| value.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        if !values.get(name).is_some_and(fits) {
            problems.push(problem(
                name,
                "holds more than ASCII letters, digits and signs without blank and '/'",
            ));
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
