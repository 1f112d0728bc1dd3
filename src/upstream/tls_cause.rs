//! What a failure of TLS comes from, as far as that decides what to do.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use std::io;

/// Whose fault it is that TLS failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsCause {
    /// What answers does not speak TLS.
    NotTls,
    /// The broker's certificate comes from a CA that is not trusted here.
    UnknownIssuer,
    /// The broker shows the certificate of a CA as its own.
    CaAsServer,
    /// The broker wants a client certificate, and was shown none.
    ClientMissing,
    /// The broker does not trust the CA of the client certificate.
    ClientIssuer,
    /// The client certificate has run out, by the broker's clock.
    ClientExpired,
    /// The client certificate was revoked.
    ClientRevoked,
    /// The broker does not take the client certificate for another reason.
    ClientRefused,
    /// Something else.
    Other,
}

impl TlsCause {
    /// Of a handshake that failed.
    pub(super) fn of_handshake(error: &io::Error) -> Self {
        match (tls_error(error), error.kind()) {
            (Some(error), _) => Self::of(error),
            // Who hears TLS where MQTT is spoken answers otherwise, or hangs up.
            (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Self::NotTls,
            (None, _) => Self::Other,
        }
    }

    /// Of a connection on which this side had shaken hands: a broker looks at the client certificate after that. `None`
    /// for an error that is not TLS's.
    pub(crate) fn of_connection(error: &io::Error) -> Option<Self> {
        tls_error(error).map(Self::of)
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => Self::UnknownIssuer,
            // webpki's own, of which rustls has no kind.
            Error::InvalidCertificate(CertificateError::Other(other))
                if format!("{other:?}").contains("CaUsedAsEndEntity") =>
            {
                Self::CaAsServer
            }
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            _ => Self::Other,
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure => Self::ClientMissing,
            AlertDescription::UnknownCA => Self::ClientIssuer,
            AlertDescription::CertificateExpired => Self::ClientExpired,
            AlertDescription::CertificateRevoked => Self::ClientRevoked,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError => Self::ClientRefused,
            _ => Self::Other,
        }
    }

    /// What the admin of an entry point can do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::NotTls => {
                "the broker does not speak TLS on that port: use mqtt:// or its MQTTS port (8883)"
            }
            Self::UnknownIssuer => {
                "the broker's certificate comes from a CA that is not trusted: put that CA into ca.pem of the entry point's credential"
            }
            Self::CaAsServer => {
                "the broker shows a CA's own certificate: give the broker one that this CA issued, and put the CA into ca.pem"
            }
            Self::ClientMissing => "the broker wants a client certificate: set useClientCert and clientCerts",
            Self::ClientIssuer => {
                "the broker does not trust the CA of the client certificate: give the broker that CA (cafile), or put a certificate of a CA that it trusts into cert.pem and key.pem of the credential"
            }
            Self::ClientExpired => {
                "the broker says that the client certificate has run out: put a new one into cert.pem and key.pem of the credential, and check the broker's clock"
            }
            Self::ClientRevoked => {
                "the client certificate was revoked: put a new one into cert.pem and key.pem of the credential"
            }
            Self::ClientRefused => {
                "the broker does not take the client certificate, or misses one: its log says why; check useClientCert, clientCerts and cert.pem of the credential"
            }
            Self::Other => {
                "check the broker's certificate: name, validity, issuer, and whether it takes the client certificate"
            }
        }
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_says_of_the_client_certificate_is_told_apart() {
        for (alert, cause, advice) in [
            (
                AlertDescription::CertificateRequired,
                TlsCause::ClientMissing,
                "set useClientCert",
            ),
            (AlertDescription::UnknownCA, TlsCause::ClientIssuer, "(cafile)"),
            (
                AlertDescription::CertificateExpired,
                TlsCause::ClientExpired,
                "has run out",
            ),
            (
                AlertDescription::CertificateRevoked,
                TlsCause::ClientRevoked,
                "was revoked",
            ),
            (
                AlertDescription::BadCertificate,
                TlsCause::ClientRefused,
                "its log says why",
            ),
            (
                AlertDescription::CertificateUnknown,
                TlsCause::ClientRefused,
                "its log says why",
            ),
            (
                AlertDescription::InternalError,
                TlsCause::Other,
                "check the broker's certificate",
            ),
        ] {
            let error = io::Error::new(io::ErrorKind::InvalidData, Error::AlertReceived(alert));
            assert_eq!(TlsCause::of_connection(&error), Some(cause));
            assert_eq!(TlsCause::of_handshake(&error), cause);
            assert!(cause.advice().contains(advice), "{cause:?}: {}", cause.advice());
        }
    }

    #[test]
    fn a_reset_is_tls_that_is_not_spoken_only_while_hands_are_shaken() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(TlsCause::of_handshake(&reset), TlsCause::NotTls);
        assert_eq!(TlsCause::of_connection(&reset), None);
    }
}
