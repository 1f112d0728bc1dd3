//! The way to a broker: name, address, TCP, TLS, each with a deadline of its own.
//!
//! | part | what it does |
//! |---|---|
//! | `resolve` | names to addresses, cached, asked once however many connections wait |
//! | `tls` | one client configuration per credential and destination, with its session tickets |
//! | `chains` | brokers' certificate chains that were checked already |
//! | `tls_cause` | whose fault it is that TLS failed |
//! | `tls_stream` | records on the wire, with no buffer of their own while nothing is on its way |
//! | `local` | the addresses of this machine that are dialled from, in turn |
//! | `own` | where the relay itself listens, which is no broker |
//! | `detour` | destinations that are dialled elsewhere |
//! | `alpn` | what a broker on the HTTPS port has to be told |
//! | `liveness` | how soon a broker is missed that vanished without a word |
//! | `dial` | the addresses in turn, then TLS |
//! | [`BrokerStream`] | what comes out: plain or TLS |

mod alpn;
mod chains;
mod detour;
mod dial;
#[cfg(test)]
mod in_memory;
mod liveness;
mod local;
mod own;
mod resolve;
mod socket;
mod stream;
mod tickets;
mod tls;
mod tls_cause;
mod tls_stream;

pub use detour::{Detour, InvalidDetour};
pub use dial::{Deadlines, Upstream};
pub use local::{InvalidLocalAddress, LocalAddresses};
pub use socket::Socket;
pub use stream::BrokerStream;
pub use tls::{CredentialPurpose, TlsCredential};
pub(crate) use tls::{gather_entropy, system_roots};
pub use tls_cause::TlsCause;
pub use tls_stream::TlsStream;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why a broker could not be reached. Every variant says with whom it failed.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The name has no address.
    #[error("cannot resolve {host}: {reason}")]
    Resolve {
        /// The name that was asked for.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No address took the connection.
    #[error("cannot connect to {address}: {source}")]
    Dial {
        /// The address tried last.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Every port of the local addresses is in use towards this broker.
    #[error("no free port from {from} to {address}")]
    NoPort {
        /// The broker's address.
        address: SocketAddr,
        /// The local addresses, in words.
        from: String,
    },
    /// As many files are open as may be.
    #[error("cannot open a connection to {address}: {source}")]
    NoDescriptor {
        /// The broker's address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The broker's address is one of the relay's own.
    #[error("{address} is where this relay itself listens")]
    Itself {
        /// The address.
        address: SocketAddr,
    },
    /// No address answered in time.
    #[error("{address} did not answer within {:.0} s", limit.as_secs_f64())]
    DialTimeout {
        /// The address tried last.
        address: SocketAddr,
        /// The deadline.
        limit: Duration,
    },
    /// The TLS handshake failed.
    #[error("TLS with {server} failed: {reason}")]
    Tls {
        /// Name that the certificate was checked against.
        server: String,
        /// What rustls said.
        reason: String,
        /// What that comes from.
        cause: TlsCause,
    },
    /// The TLS handshake did not end in time.
    #[error("TLS with {server} did not end within {} s", limit.as_secs())]
    TlsTimeout {
        /// Name that the certificate was to be checked against.
        server: String,
        /// The deadline.
        limit: Duration,
    },
    /// The client certificate or the trust anchors cannot be used.
    #[error("credential {credential:?} cannot be used for TLS: {reason}")]
    Credential {
        /// The credentials id.
        credential: String,
        /// What rustls said.
        reason: String,
    },
}

impl UpstreamError {
    /// Its kind in one word, for counting and searching.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "resolve",
            Self::Dial { .. } => "dial",
            Self::NoPort { .. } => "no_port",
            Self::NoDescriptor { .. } => "no_descriptor",
            Self::Itself { .. } => "itself",
            Self::DialTimeout { .. } => "dial_timeout",
            Self::Tls { .. } => "tls",
            Self::TlsTimeout { .. } => "tls_timeout",
            Self::Credential { .. } => "tls_credential",
        }
    }

    /// What an admin can do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "check the host name in destination and this machine's DNS",
            Self::NoPort { .. } => {
                "let ports of closed connections be used again at once (sysctl net.ipv4.tcp_tw_reuse=1); give this machine another address and add it with --upstream-bind; for one address more ports may be had with net.ipv4.ip_local_port_range"
            }
            Self::NoDescriptor { .. } => {
                "raise the limit of open files (LimitNOFILE= of the service), or lower --relay-max-connections"
            }
            Self::Itself { .. } => {
                "put the broker's own host and port into destination: without a port it is 1883, and the embedded broker has 1884"
            }
            Self::Dial { .. } => {
                "check host and port in destination, that the broker runs, and firewalls on the way"
            }
            Self::DialTimeout { .. } => "check host and port in destination, and firewalls on the way",
            Self::Tls { cause, .. } => cause.advice(),
            Self::TlsTimeout { .. } => "check that the broker speaks TLS on that port",
            Self::Credential { .. } => "check the credential's cert.pem, key.pem and ca.pem",
        }
    }
}
