//! Dialling a destination.

use super::detour::{Detour, Detours};
use super::local::LocalAddresses;
use super::own::OwnAddresses;
use super::resolve::Resolver;
use super::tls::{TlsClients, TlsCredential};
use super::{BrokerStream, Socket, TlsCause, TlsStream, UpstreamError};
use crate::entrypoint::{Destination, Host, Scheme};
use nix::errno::Errno;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long each step towards a broker may take. A device's modem has often given up after 30 s, and a step more would be
/// for nobody; meanwhile it takes the place of a handshake.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For the name, 5 s.
    pub resolve: Duration,
    /// For TCP, on each address, 5 s.
    pub dial: Duration,
    /// For TCP, on all addresses of a name together, 10 s.
    pub dial_all: Duration,
    /// For the TLS handshake, 10 s.
    pub tls: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(5),
            dial: Duration::from_secs(5),
            dial_all: Duration::from_secs(10),
            tls: Duration::from_secs(10),
        }
    }
}

/// Reaches brokers. Nothing in it is held while one destination is waited for, so a dead one delays no other.
#[derive(Debug)]
pub struct Upstream {
    resolver: Resolver,
    detours: Detours,
    tls: TlsClients,
    local: LocalAddresses,
    own: OwnAddresses,
    deadlines: Deadlines,
}

impl Upstream {
    /// With empty caches; the system chooses where brokers are dialled from.
    #[must_use]
    pub fn new(deadlines: Deadlines) -> Self {
        Self {
            resolver: Resolver::new(deadlines.resolve),
            detours: Detours::default(),
            tls: TlsClients::new(),
            local: LocalAddresses::default(),
            own: OwnAddresses::default(),
            deadlines,
        }
    }

    /// Reads the trust anchors of this machine now rather than for the first broker that talks TLS.
    #[must_use]
    pub fn with_system_roots(self) -> Self {
        self.tls.load_system_roots();
        self
    }

    /// Dials from these addresses of this machine.
    #[must_use]
    pub fn dialling_from(self, local: LocalAddresses) -> Self {
        Self { local, ..self }
    }

    /// Dials some destinations elsewhere than their name says.
    #[must_use]
    pub fn with_detours(self, detours: impl IntoIterator<Item = Detour>) -> Self {
        Self {
            detours: Detours::new(detours),
            ..self
        }
    }

    /// Dials none of these, where the caller itself listens: who forwards to itself does so without end.
    #[must_use]
    pub fn away_from(self, own: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            own: OwnAddresses::new(own),
            ..self
        }
    }

    /// A stream to `destination`, ready for the CONNECT. `credential` is looked at for `mqtts` only.
    ///
    /// # Errors
    /// [`UpstreamError`] says which step failed, with whom and why.
    pub async fn connect<S: Socket>(
        &self,
        destination: &Destination,
        credential: Option<&TlsCredential>,
    ) -> Result<BrokerStream<S>, UpstreamError> {
        // A credential that cannot work is found before anything is dialled.
        let config = match destination.scheme() {
            Scheme::Mqtt => None,
            Scheme::Mqtts => Some(self.tls.config(destination, credential)?),
        };
        let stream = self.dial(destination).await?;
        match config {
            None => Ok(BrokerStream::Plain(stream)),
            // Boxed, as it would make every connection's task ten times as large while it opens.
            Some(config) => Box::pin(self.handshake(destination, config, stream)).await,
        }
    }

    async fn dial<S: Socket>(&self, destination: &Destination) -> Result<S, UpstreamError> {
        if let Some(address) = self.detours.of(destination) {
            return self.dial_address(address, self.deadlines.dial).await;
        }
        match destination.host() {
            Host::Ip(ip) => {
                let address = SocketAddr::new(*ip, destination.port());
                self.dial_address(address, self.deadlines.dial).await
            }
            Host::Dns(name) => {
                let addresses = Box::pin(self.resolver.resolve(name, destination.port())).await?;
                let (mut last, until) = (None, Instant::now() + self.deadlines.dial_all);
                for &address in addresses.iter() {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    match self.dial_address(address, left.min(self.deadlines.dial)).await {
                        Ok(stream) => return Ok(stream),
                        Err(error) => last = Some(error),
                    }
                }
                // The broker may have moved: the next who comes asks for the name again.
                self.resolver.forget(name, destination.port());
                Err(last.unwrap_or_else(|| UpstreamError::Resolve {
                    host: name.to_string(),
                    reason: "the name has no address".to_owned(),
                }))
            }
        }
    }

    async fn dial_address<S: Socket>(
        &self,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<S, UpstreamError> {
        if self.own.are_reached_at(address) {
            return Err(UpstreamError::Itself { address });
        }
        let stream = timeout(limit, self.local.connect::<S>(address))
            .await
            .map_err(|_| UpstreamError::DialTimeout { address, limit })?
            .map_err(|source| self.failed(address, source))?;
        Ok(stream)
    }

    /// Why no connection to `address` came about.
    fn failed(&self, address: SocketAddr, source: io::Error) -> UpstreamError {
        if is_out_of_descriptors(&source) {
            return UpstreamError::NoDescriptor { address, source };
        }
        match source.kind() {
            io::ErrorKind::AddrNotAvailable => UpstreamError::NoPort {
                address,
                from: self.local.in_words(address),
            },
            _ => UpstreamError::Dial { address, source },
        }
    }

    async fn handshake<S: Socket>(
        &self,
        destination: &Destination,
        config: Arc<rustls::ClientConfig>,
        stream: S,
    ) -> Result<BrokerStream<S>, UpstreamError> {
        let server = destination.host().to_string();
        let limit = self.deadlines.tls;
        let failed = |reason: String, cause: TlsCause| UpstreamError::Tls {
            server: server.clone(),
            reason,
            cause,
        };
        let name = match destination.host() {
            Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
            Host::Dns(name) => {
                ServerName::try_from(name.to_string()).map_err(|e| failed(e.to_string(), TlsCause::Other))?
            }
        };
        match timeout(limit, TlsStream::connect(config, name, stream)).await {
            Ok(Ok(stream)) => Ok(BrokerStream::Tls(Box::new(stream))),
            Ok(Err(error)) => Err(failed(tls_reason(&error), TlsCause::of_handshake(&error))),
            Err(_) => Err(UpstreamError::TlsTimeout { server, limit }),
        }
    }
}

/// Whether the process, or the whole system, has as many files open as it may.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    let full = [Errno::EMFILE, Errno::ENFILE].map(|errno| errno as i32);
    error.raw_os_error().is_some_and(|code| full.contains(&code))
}

/// rustls's own words where it has some; a plain socket error otherwise.
fn tls_reason(error: &io::Error) -> String {
    match error.get_ref() {
        Some(inner) => {
            format!(
                "{inner}{}",
                inner
                    .downcast_ref::<rustls::Error>()
                    .map(kind)
                    .unwrap_or_default()
            )
        }
        None => error.to_string(),
    }
}

/// The name of rustls's error, which its message does not always hold.
fn kind(error: &rustls::Error) -> String {
    let debug = format!("{error:?}");
    let name: String = debug
        .chars()
        .take_while(|c| c.is_alphanumeric() || matches!(c, '(' | ')'))
        .collect();
    // What it holds beside the name is left out, and not its end.
    let open = name.matches('(').count() - name.matches(')').count();
    format!(" [{name}{}]", ")".repeat(open))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{CertificateError, Error};

    #[test]
    fn the_name_of_an_error_of_tls_ends_as_it_should() {
        let wrong_name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a.example").unwrap(),
            presented: vec!["DnsName(\"b.example\")".to_owned()],
        };
        for (error, name) in [
            (wrong_name, " [InvalidCertificate(NotValidForNameContext)]"),
            (
                CertificateError::UnknownIssuer,
                " [InvalidCertificate(UnknownIssuer)]",
            ),
        ] {
            assert_eq!(kind(&Error::InvalidCertificate(error)), name);
        }
        assert_eq!(kind(&Error::DecryptError), " [DecryptError]");
    }

    #[test]
    fn that_no_more_files_may_be_open_is_told_from_a_broker_that_is_not_there() {
        let upstream = Upstream::new(Deadlines::default());
        let failed = |source| upstream.failed("192.0.2.1:1883".parse().unwrap(), source);
        for (errno, kind, advice) in [
            (Errno::EMFILE, "no_descriptor", "LimitNOFILE"),
            (Errno::ENFILE, "no_descriptor", "LimitNOFILE"),
            (Errno::EADDRNOTAVAIL, "no_port", "--upstream-bind"),
            (Errno::ECONNREFUSED, "dial", "that the broker runs"),
        ] {
            let error = failed(io::Error::from_raw_os_error(errno as i32));
            assert_eq!(error.kind(), kind);
            assert!(error.advice().contains(advice), "{}", error.advice());
        }
    }
}
