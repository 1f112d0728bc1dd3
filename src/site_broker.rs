//! The broker of the site, as those services reach it that are MQTT clients themselves.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

use rumqttc::{ConnectReturnCode, ConnectionError, MqttOptions, StateError, mqttbytes};
use zeroize::Zeroizing;

use crate::credential::{self, CredentialsId, InvalidCredentialsId, X509Credential};
use crate::entrypoint::{Destination, Scheme};
use crate::upstream::{
    BrokerStream, CredentialPurpose, Deadlines, TlsCause, TlsCredential, Upstream, UpstreamError,
};

/// Seconds between signs of life.
const KEEP_ALIVE: u16 = 30;
/// Messages that may be on their way unacknowledged: the MQTT library takes 240 bytes for each of them beforehand, by itself for
/// 65,535.
pub(crate) const IN_FLIGHT: u16 = 1000;
/// How long the way to the broker and its CONNACK may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A password. Not shown by `Debug`, wiped from memory.
#[derive(Clone, Default)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// The password itself.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Zeroizing<String>> for Password {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

/// Why the broker cannot be tried at all.
#[derive(Debug, thiserror::Error)]
pub enum SiteBrokerError {
    /// The CA cannot be read.
    #[error("cannot read the broker's CA {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The CA is no certificate.
    #[error("the broker's CA {} cannot be used: {reason}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A CA for a broker without TLS.
    #[error("a CA is given, but {0} is not TLS: write mqtts://, or leave the CA out")]
    CaWithoutTls(String),
}

/// Where the broker is and how to log in.
#[derive(Debug, Clone)]
pub struct SiteBroker {
    destination: Destination,
    /// The flag that names it; what belongs to it begins with the same words.
    flag: &'static str,
    login: Option<(String, Password)>,
    ca: Option<TlsCredential>,
    upstream: Arc<Upstream>,
}

impl SiteBroker {
    /// Where the embedded broker usually is.
    pub const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1884);

    /// The broker at `destination`, which was named with `flag`. `ca` is a PEM file that is trusted beside the
    /// system's CAs.
    ///
    /// # Errors
    /// [`SiteBrokerError`] names the file.
    pub fn new(
        destination: Destination,
        flag: &'static str,
        login: Option<(String, Password)>,
        ca: Option<&Path>,
    ) -> Result<Self, SiteBrokerError> {
        if ca.is_some() && destination.scheme() == Scheme::Mqtt {
            return Err(SiteBrokerError::CaWithoutTls(destination.to_string()));
        }
        Ok(Self {
            destination,
            flag,
            login,
            ca: ca.map(read_ca).transpose()?,
            upstream: Arc::new(Upstream::new(Deadlines::default())),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The user that logs in, if one does.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.login.as_ref().map(|(username, _)| username.as_str())
    }

    /// What a client of this broker starts with: address, TLS, login.
    #[must_use]
    pub fn options(&self, client_id: &str) -> MqttOptions {
        let host = self.destination.host().to_string();
        let mut options = MqttOptions::new(client_id, (host, self.destination.port()));
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_outgoing_inflight_upper_limit(IN_FLIGHT)
            .set_connect_timeout(CONNECT_WITHIN);
        if let Some((username, password)) = &self.login {
            options.set_credentials(username.clone(), password.0.as_bytes().to_vec());
        }
        let broker = self.clone();
        options.set_socket_connector(move |_, _| {
            let broker = broker.clone();
            async move { broker.connect().await }
        });
        options
    }

    /// A stream to it, ready for the CONNECT.
    pub(crate) async fn connect(&self) -> io::Result<BrokerStream<TcpStream>> {
        let connected = self.upstream.connect(&self.destination, self.ca.as_ref());
        connected.await.map_err(io::Error::other)
    }

    /// Why a connection failed or ended, and what to do about it.
    #[must_use]
    pub fn explain(&self, error: &ConnectionError) -> Trouble {
        match error {
            ConnectionError::Io(error) => {
                match error.get_ref().and_then(|e| e.downcast_ref::<UpstreamError>()) {
                    Some(error) => Trouble {
                        step: if matches!(error, UpstreamError::Resolve { .. }) {
                            Step::Name
                        } else {
                            Step::Reach
                        },
                        what: error.to_string(),
                        advice: self.advice(error),
                    },
                    None => self.cut_off(error, error.to_string()),
                }
            }
            ConnectionError::ConnectionRefused(code)
            | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => self.refused(*code),
            ConnectionError::Timeout(_) => Trouble {
                step: Step::Reach,
                what: format!("{} did not answer the CONNECT", self.destination),
                advice: "check that an MQTT broker listens there, and whether it wants TLS (mqtts://)"
                    .to_owned(),
            },
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
                Trouble::lost(format!("the broker disconnected: {reason_code:?}"))
            }
            ConnectionError::MqttState(StateError::ConnectionAborted) => {
                Trouble::lost("the broker closed the connection".to_owned())
            }
            error if is_over_what_came(error) => {
                Trouble::lost(format!("the broker sent what cannot be taken: {error}"))
            }
            ConnectionError::MqttState(StateError::Deserialization(mqttbytes::Error::Io(error))) => {
                self.cut_off(error, format!("the connection was lost: {error}"))
            }
            other => Trouble::lost(other.to_string()),
        }
    }

    /// The same for a connection on which no CONNACK came.
    #[must_use]
    pub fn explain_unanswered(&self, error: &ConnectionError) -> Trouble {
        let trouble = self.explain(error);
        match (trouble.step, self.destination.scheme()) {
            (Step::Open, Scheme::Mqtt) => Trouble {
                step: Step::Reach,
                what: format!(
                    "{} did not answer the CONNECT: {}",
                    self.destination, trouble.what
                ),
                advice: format!(
                    "check that an MQTT broker listens there; perhaps it wants TLS: write mqtts:// in {}; see the broker's own log",
                    self.flag
                ),
            },
            _ => trouble,
        }
    }

    /// A socket that failed; or the broker said why, in words of TLS.
    fn cut_off(&self, error: &io::Error, what: String) -> Trouble {
        match TlsCause::of_connection(error) {
            None | Some(TlsCause::Other) => Trouble::lost(what),
            Some(cause) => Trouble {
                step: Step::Reach,
                what,
                advice: self.tls_advice(cause),
            },
        }
    }

    /// What the site can do about it, which is not what a group's admin can do.
    fn advice(&self, error: &UpstreamError) -> String {
        let flag = self.flag;
        match error {
            UpstreamError::Resolve { .. } => {
                format!("check the host name in {flag} and this machine's DNS")
            }
            UpstreamError::Dial { .. } => {
                format!("check host and port in {flag}, that the broker runs, and firewalls on the way")
            }
            UpstreamError::DialTimeout { .. } => {
                format!("check host and port in {flag}, and firewalls on the way")
            }
            UpstreamError::Tls { cause, .. } => self.tls_advice(*cause),
            other => other.advice().to_owned(),
        }
    }

    fn tls_advice(&self, cause: TlsCause) -> String {
        let flag = self.flag;
        match cause {
            TlsCause::UnknownIssuer => format!(
                "the broker's certificate comes from a CA that is not trusted: give the file of that CA with {flag}-ca"
            ),
            TlsCause::CaAsServer => format!(
                "the broker shows a CA's own certificate: give the broker one that this CA issued, and the file of the CA with {flag}-ca"
            ),
            TlsCause::ClientMissing
            | TlsCause::ClientIssuer
            | TlsCause::ClientExpired
            | TlsCause::ClientRevoked
            | TlsCause::ClientRefused => format!(
                "the broker wants a client certificate on that port, and a service of the site has none to show: name another of its listeners in {flag}"
            ),
            TlsCause::Other => "check the broker's certificate: name, validity, issuer".to_owned(),
            TlsCause::NotTls => cause.advice().to_owned(),
        }
    }

    fn refused(&self, code: ConnectReturnCode) -> Trouble {
        let (step, advice) = match code {
            ConnectReturnCode::NotAuthorized
            | ConnectReturnCode::BadUserNamePassword
            | ConnectReturnCode::Banned
            | ConnectReturnCode::BadAuthenticationMethod => (
                Step::Login,
                "check user name and password against the broker's password_file, and its allow_anonymous",
            ),
            ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion => (
                Step::Login,
                "the broker has to speak MQTT 5: Mosquitto does since 1.6",
            ),
            _ => (Step::Login, "see the broker's own log"),
        };
        let user = match self.username() {
            Some(username) => format!("user {username:?}"),
            None => "a client without user name".to_owned(),
        };
        Trouble {
            step,
            what: format!("{} refuses {user}: {code:?}", self.destination),
            advice: advice.to_owned(),
        }
    }
}

/// How far a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The name has no address.
    Name,
    /// TCP or TLS failed.
    Reach,
    /// The broker refused the login.
    Login,
    /// It was open, and was lost.
    Open,
}

/// What went wrong with a broker, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How far the connection came.
    pub step: Step,
    /// What happened.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl Trouble {
    fn lost(what: String) -> Self {
        Self {
            step: Step::Open,
            what,
            advice: "see the broker's own log".to_owned(),
        }
    }
}

/// Whether a connection was given up over what the broker sent on it.
pub(crate) fn is_over_what_came(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::MqttState(StateError::Deserialization(error)) => {
            // Nothing came then.
            !matches!(error, mqttbytes::Error::Io(_))
        }
        ConnectionError::MqttState(StateError::ProtocolViolation(_) | StateError::Unsolicited(_)) => true,
        _ => false,
    }
}

fn read_ca(path: &Path) -> Result<TlsCredential, SiteBrokerError> {
    let text = std::fs::read(path).map_err(|source| SiteBrokerError::Read {
        path: path.to_owned(),
        source,
    })?;
    let failed = |reason| SiteBrokerError::Ca {
        path: path.to_owned(),
        reason,
    };
    let ca = credential::certificates(&text).map_err(failed)?;
    let id = CredentialsId::new("broker-ca").map_err(|e: InvalidCredentialsId| failed(e.to_string()))?;
    let x509 = X509Credential {
        id,
        certificate: None,
        ca,
        generation: 0,
    };
    Ok(TlsCredential {
        x509: Arc::new(x509),
        purpose: CredentialPurpose::Trust,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_flag_that_names_the_broker() {
        let destination: Destination = "mqtts://broker.example".parse().unwrap();
        let address = "192.0.2.1:8883".parse().unwrap();
        let tls = |cause| UpstreamError::Tls {
            server: "broker.example".to_owned(),
            reason: "no".to_owned(),
            cause,
        };
        for (error, after) in [
            (
                UpstreamError::Dial {
                    address,
                    source: io::ErrorKind::ConnectionRefused.into(),
                },
                "check host and port in --notifier-broker, ",
            ),
            (tls(TlsCause::UnknownIssuer), "with --notifier-broker-ca"),
            (tls(TlsCause::ClientMissing), "listeners in --notifier-broker"),
        ] {
            let broker = SiteBroker::new(destination.clone(), "--notifier-broker", None, None).unwrap();
            let trouble = broker.explain(&ConnectionError::Io(io::Error::other(error)));
            assert!(trouble.advice.contains(after), "{}", trouble.advice);
        }
    }

    #[test]
    fn tls_is_suspected_only_where_no_connack_came() {
        let broker = SiteBroker::new(SiteBroker::USUAL.into(), "--bridge-broker", None, None).unwrap();
        let reset = || {
            let error = io::Error::from(io::ErrorKind::ConnectionReset);
            ConnectionError::MqttState(StateError::Deserialization(mqttbytes::Error::Io(error)))
        };
        assert!(!broker.explain(&reset()).advice.contains("mqtts://"));
        let unanswered = broker.explain_unanswered(&reset()).advice;
        assert!(
            unanswered.contains("write mqtts:// in --bridge-broker"),
            "{unanswered}"
        );
    }
}
