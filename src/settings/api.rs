//! Settings of the admin API.

use super::listen::Listen;
use crate::server_tls::TlsFiles;
use clap::Args;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Settings of the admin API.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Admin API")]
pub struct ApiArgs {
    /// Admin API, or off
    #[arg(
        id = "api_listen",
        long = "api-listen",
        env = "SIMRELAY_API_LISTEN",
        default_value = "127.0.0.1:8090",
        value_name = "ADDRESS",
        global = true
    )]
    pub listen: Listen,

    /// Connections at a time; others wait in the kernel's queue
    #[arg(
        id = "api_max_connections",
        long = "api-max-connections",
        env = "SIMRELAY_API_MAX_CONNECTIONS",
        default_value = "512",
        value_parser = super::count::at_least_one::<NonZeroUsize>,
        value_name = "N",
        global = true
    )]
    pub max_connections: NonZeroUsize,

    /// Certificate chain, PEM, to serve HTTPS; looked at every 5 s for a renewal
    #[arg(
        id = "api_tls_cert",
        long = "api-tls-cert",
        env = "SIMRELAY_API_TLS_CERT",
        requires = "api_tls_key",
        value_name = "FILE",
        global = true
    )]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate, PEM
    #[arg(
        id = "api_tls_key",
        long = "api-tls-key",
        env = "SIMRELAY_API_TLS_KEY",
        requires = "api_tls_cert",
        value_name = "FILE",
        global = true
    )]
    pub tls_key: Option<PathBuf>,

    /// Let other machines call without TLS: everybody on the way reads the admin token
    #[arg(
        id = "api_allow_plain",
        long = "api-allow-plain",
        env = "SIMRELAY_API_ALLOW_PLAIN",
        global = true
    )]
    pub allows_plain: bool,
}

/// The admin API would be plain HTTP where others can listen in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the admin API would show its token to everybody on the way to {0}: give it a certificate (--api-tls-cert, --api-tls-key), put it on loopback, or say --api-allow-plain if that network is yours alone"
)]
pub struct PlainApi(pub SocketAddr);

impl ApiArgs {
    /// Certificate and key, if callers come with TLS.
    #[must_use]
    pub fn tls(&self) -> Option<TlsFiles> {
        let files = self.tls_cert.clone().zip(self.tls_key.clone());
        files.map(|(cert, key)| TlsFiles { cert, key })
    }

    /// Where it listens, if it runs at all.
    ///
    /// # Errors
    /// [`PlainApi`] if other machines could reach it without TLS and nobody said that they may.
    pub fn address(&self) -> Result<Option<SocketAddr>, PlainApi> {
        let Listen::On(address) = self.listen else {
            return Ok(None);
        };
        let is_safe = address.ip().is_loopback() || self.tls().is_some();
        if is_safe || self.allows_plain {
            return Ok(Some(address));
        }
        Err(PlainApi(address))
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls().is_some() { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_come_with_tls_or_by_an_explicit_word() {
        let api = |address: &str, has_tls: bool, allows_plain: bool| {
            let file = has_tls.then(|| PathBuf::from("x.pem"));
            let (listen, tls_cert, tls_key) = (address.parse().unwrap(), file.clone(), file);
            ApiArgs {
                listen,
                max_connections: NonZeroUsize::MIN,
                tls_cert,
                tls_key,
                allows_plain,
            }
            .address()
        };
        for loopback in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:8090"] {
            assert!(api(loopback, false, false).is_ok(), "{loopback}");
        }
        for open in ["0.0.0.0:8090", "[::]:8090", "192.0.2.1:8090"] {
            assert!(api(open, false, false).is_err(), "{open}");
            assert!(api(open, true, false).is_ok(), "{open}");
            assert!(api(open, false, true).is_ok(), "{open}");
        }
        assert_eq!(api("off", false, false), Ok(None));
    }
}
