//! Session tickets of one destination.
//!
//! rustls keeps eight TLS 1.3 tickets a server. A relay opens thousands of connections to one broker and
//! each ticket serves once, so after a broker's restart most of a fleet would do full handshakes.

use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

/// TLS 1.3 tickets kept for one client configuration, which is for one destination. A handshake takes one and brings
/// two or more, so this is how many handshakes may be under way at once and all be short. Each takes some kB, as it
/// holds the broker's chain.
const MOST: usize = 256;

/// The session store of one client configuration. It serves one destination, so server names are not told apart.
pub(super) struct Tickets {
    /// Whose tickets these are. Each of its connections holds it.
    config: Weak<ClientConfig>,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl Tickets {
    pub(super) fn of(config: Weak<ClientConfig>) -> Self {
        Self {
            config,
            sessions: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One for each connection, as it may come back, and one to spare, as the configuration is kept elsewhere as well.
    /// Thousands of devices with a certificate each have as many stores, which must not all fill up.
    fn most(&self) -> usize {
        self.config.strong_count().clamp(1, MOST)
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets")
            .field("tls13", &self.lock().tls13.len())
            .finish_non_exhaustive()
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.lock().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.lock().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.lock().tls12 = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.lock().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.lock().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        // One goes at most, however few connections there are now: a fleet that was cut off needs what it left. Those
        // that have run out are the last to be taken, as rustls does not tell how long a ticket is good.
        let mut sessions = self.lock();
        if sessions.tls13.len() >= self.most() {
            sessions.tls13.pop_front();
        }
        sessions.tls13.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.lock().tls13.pop_back()
    }
}

#[cfg(test)]
mod tests {
    use super::super::in_memory::talk;
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::client::Resumption;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection};
    use std::sync::Arc;

    /// A fleet with one store, and its broker.
    struct Fleet {
        config: Arc<ClientConfig>,
        tickets: Arc<Tickets>,
        broker: Arc<ServerConfig>,
    }

    impl Fleet {
        /// Whose broker gives so many tickets a handshake.
        fn given(tickets: usize) -> Self {
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(["broker.example".to_owned()]).unwrap();
            let certificate = params.self_signed(&key).unwrap().der().clone();
            let mut roots = RootCertStore::empty();
            roots.add(certificate.clone()).unwrap();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let mut broker = ServerConfig::builder()
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
                .unwrap();
            broker.send_tls13_tickets = tickets;
            broker.session_storage = rustls::server::ServerSessionMemoryCache::new(10_000);
            let mut config = ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let mut store = None;
            let config = Arc::new_cyclic(|this| {
                let tickets = store.insert(Arc::new(Tickets::of(this.clone())));
                config.resumption = Resumption::store(tickets.clone());
                config
            });
            Self {
                config,
                tickets: store.unwrap(),
                broker: Arc::new(broker),
            }
        }

        /// So many connections that open in the same moment.
        fn connect(&self, count: usize) -> Vec<ClientConnection> {
            let hello = |_| {
                let server = ServerName::try_from("broker.example").unwrap();
                ClientConnection::new(self.config.clone(), server).unwrap()
            };
            let mut clients: Vec<_> = (0..count).map(hello).collect();
            for client in &mut clients {
                let mut broker = ServerConnection::new(self.broker.clone()).unwrap();
                talk(client, &mut broker).unwrap();
            }
            clients
        }

        fn kept(&self) -> usize {
            self.tickets.lock().tls13.len()
        }
    }

    fn resumed(clients: &[ClientConnection]) -> usize {
        let kind = |client: &&ClientConnection| client.handshake_kind() == Some(HandshakeKind::Resumed);
        clients.iter().filter(kind).count()
    }

    #[test]
    fn one_connection_keeps_two_tickets_however_many_the_broker_gives_and_however_often_it_returns() {
        let fleet = Fleet::given(50);
        for _ in 0..5 {
            drop(fleet.connect(1));
            assert_eq!(fleet.kept(), 2);
        }
    }

    #[test]
    fn a_fleet_that_was_cut_off_resumes_though_64_come_back_at_a_time() {
        let fleet = Fleet::given(2);
        let clients = fleet.connect(128);
        assert_eq!(resumed(&clients), 0);
        drop(clients);
        let first = fleet.connect(64);
        let second = fleet.connect(64);
        assert_eq!((resumed(&first), resumed(&second)), (64, 64));
    }

    #[test]
    fn there_is_a_bound_to_the_tickets_of_many_connections() {
        let fleet = Fleet::given(4);
        let clients = fleet.connect(MOST + 10);
        assert_eq!(fleet.kept(), MOST);
        drop(clients);
    }
}
