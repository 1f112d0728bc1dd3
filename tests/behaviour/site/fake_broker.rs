//! Brokers that do what Mosquitto cannot be made to do. The test itself plays the broker's part.

use super::certificates::{Authority, Pair};
use super::device::{Device, Stream};
use super::{SOON, packet};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// A listening socket; whoever connects is answered by the test.
#[derive(Debug)]
pub(crate) struct FakeBroker {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl FakeBroker {
    pub(crate) fn listen() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    /// At an address of the test's choice.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        // On Linux the time-out for reading is that for accepting too.
        SockRef::from(&listener).set_read_timeout(Some(SOON)).unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// The next connection.
    #[track_caller]
    pub(crate) fn accept(&self) -> Device {
        Device::new(self.accept_tcp())
    }

    #[track_caller]
    fn accept_tcp(&self) -> TcpStream {
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_read_timeout(Some(SOON)).unwrap();
                stream.set_write_timeout(Some(SOON)).unwrap();
                stream
            }
            Err(error) => panic!("nobody dialled the broker: {error}"),
        }
    }

    /// Accepts a connection and its CONNECT.
    #[track_caller]
    pub(crate) fn admit(&self, connack: &[u8]) -> (Device, packet::Packet) {
        let mut upstream = self.accept();
        let connect = upstream.read();
        assert_eq!(connect.kind(), 1, "{connect:?}");
        upstream.send(connack);
        (upstream, connect)
    }

    /// Whoever dialled has done so by now: was there anybody?
    #[track_caller]
    pub(crate) fn expect_no_dial(&self) {
        self.listener.set_nonblocking(true).unwrap();
        let dialled = self.listener.accept();
        self.listener.set_nonblocking(false).unwrap();
        match dialled {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => panic!("the broker was dialled: {other:?}"),
        }
    }
}

/// The same with TLS.
pub(crate) struct TlsBroker {
    plain: FakeBroker,
    config: Arc<ServerConfig>,
}

pub(crate) type TlsStream = StreamOwned<ServerConnection, TcpStream>;

impl TlsBroker {
    /// Shows `pair`. Takes client certificates of `clients` where one is shown.
    pub(crate) fn listen(pair: &Pair, clients: &Authority) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap())
            .unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
        let chain = vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        Self {
            plain: FakeBroker::listen(),
            config: Arc::new(config),
        }
    }

    /// The same, for clients that offer `protocol` (ALPN). Who offers another is sent away.
    pub(crate) fn speaking(mut self, protocol: &str) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![protocol.as_bytes().to_vec()];
        self
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.plain.address
    }

    /// Accepts a connection and its CONNECT.
    #[track_caller]
    pub(crate) fn admit(&self, connack: &[u8]) -> (Stream<TlsStream>, packet::Packet) {
        let mut upstream = self.accept();
        let connect = upstream.read();
        assert_eq!(connect.kind(), 1, "{connect:?}");
        upstream.send(connack);
        (upstream, connect)
    }

    #[track_caller]
    pub(crate) fn expect_no_dial(&self) {
        self.plain.expect_no_dial();
    }

    pub(crate) fn port(&self) -> u16 {
        self.plain.address.port()
    }

    /// The next connection, after its handshake.
    #[track_caller]
    pub(crate) fn accept(&self) -> Stream<TlsStream> {
        let mut tcp = self.plain.accept_tcp();
        let mut session = ServerConnection::new(Arc::clone(&self.config)).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut tcp).unwrap();
        }
        Stream {
            stream: StreamOwned::new(session, tcp),
        }
    }
}
