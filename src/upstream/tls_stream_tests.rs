use super::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection};
use rustls::{SupportedProtocolVersion, version};
use std::io::{Read as _, Write as _};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream as Accepted;

/// What both sides believe in.
struct Parties {
    broker: TlsAcceptor,
    client: Arc<ClientConfig>,
}

impl Parties {
    fn of(version: &'static SupportedProtocolVersion) -> Self {
        Self::with(version, |_| WebPkiClientVerifier::no_client_auth())
    }

    fn with(
        version: &'static SupportedProtocolVersion,
        verifier: impl FnOnce(Arc<RootCertStore>) -> Arc<dyn ClientCertVerifier>,
    ) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["broker.example".to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = params.self_signed(&key).unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let roots = Arc::new(roots);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let broker = ServerConfig::builder_with_protocol_versions(&[version])
            .with_client_cert_verifier(verifier(Arc::clone(&roots)))
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let client = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            broker: Arc::new(broker).into(),
            client: Arc::new(client),
        }
    }

    async fn connect(&self, server: &'static str, io: DuplexStream) -> io::Result<TlsStream<DuplexStream>> {
        let server = ServerName::try_from(server).unwrap();
        TlsStream::connect(Arc::clone(&self.client), server, io).await
    }

    /// Both ends of a connection whose sockets hold `room` bytes.
    async fn connected(&self, room: usize) -> (TlsStream<DuplexStream>, Accepted<DuplexStream>) {
        let (near, far) = duplex(room);
        let mut config = ServerConfig::clone(self.broker.config());
        if room < 10_000 {
            // Nobody reads tickets before both sides are here.
            config.send_tls13_tickets = 0;
        }
        let accepted = tokio::spawn(TlsAcceptor::from(Arc::new(config)).accept(far));
        let mut client = self.connect("broker.example", near).await.unwrap();
        // The last flight is still to go.
        client.flush().await.unwrap();
        (client, accepted.await.unwrap().unwrap())
    }
}

/// A broker whose records are read and sent by hand.
struct ByHand {
    session: ServerConnection,
    io: DuplexStream,
}

impl ByHand {
    fn new(config: &Arc<ServerConfig>, io: DuplexStream) -> Self {
        Self {
            session: ServerConnection::new(Arc::clone(config)).unwrap(),
            io,
        }
    }

    async fn read(&mut self) {
        let mut buf = vec![0; 65_536];
        let read = self.io.read(&mut buf).await.unwrap();
        let mut records = &buf[..read];
        while !records.is_empty() {
            self.session.read_tls(&mut records).unwrap();
            self.session.process_new_packets().unwrap();
        }
    }

    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut records).unwrap();
        }
        records
    }

    async fn send(&mut self) {
        let records = self.records();
        self.io.write_all(&records).await.unwrap();
    }

    /// Both ends of a connection of TLS 1.3.
    async fn connected(config: &Arc<ServerConfig>, parties: &Parties) -> (TlsStream<DuplexStream>, Self) {
        let (near, far) = duplex(1_000_000);
        let mut broker = Self::new(config, far);
        let (client, ()) = tokio::join!(parties.connect("broker.example", near), async {
            broker.read().await;
            broker.send().await;
        });
        let mut client = client.unwrap();
        client.flush().await.unwrap();
        broker.read().await;
        (client, broker)
    }
}

/// Whether nothing is there to be read now.
async fn waits(client: &mut TlsStream<DuplexStream>) -> bool {
    let mut buf = [0; 9];
    poll_fn(|cx| {
        Poll::Ready(
            Pin::new(&mut *client)
                .poll_read(cx, &mut ReadBuf::new(&mut buf))
                .is_pending(),
        )
    })
    .await
}

/// A record that cannot be decrypted.
fn garbage() -> Vec<u8> {
    [&[23, 3, 3, 0, 40][..], &[7; 40]].concat()
}

fn is_alert(error: &io::Error) -> bool {
    let reason = error.get_ref().and_then(|reason| reason.downcast_ref());
    matches!(reason, Some(Error::AlertReceived(_)))
}

const BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 + n / 251) as u8).collect()
}

#[tokio::test]
async fn every_byte_arrives_in_order_however_little_the_sockets_hold_and_the_reader_takes() {
    for version in BOTH {
        let parties = Parties::of(version);
        for (len, room, portion) in [
            (1, 65_536, 65_536),
            (3_000, 1, 700),
            (200_000, 77, 2_048),
            (300_000, 20_000, 1),
            (1_000_000, 4_096, 65_536),
            (3_000_000, 1_000_000, 65_536),
            (3_000_000, 1_000_000, 1_000_000),
        ] {
            let (client, mut broker) = parties.connected(room).await;
            let echo = tokio::spawn(async move {
                let mut buf = vec![0; 30_000];
                loop {
                    match broker.read(&mut buf).await.unwrap() {
                        0 => break broker.shutdown().await.unwrap(),
                        read => {
                            broker.write_all(&buf[..read]).await.unwrap();
                            broker.flush().await.unwrap();
                        }
                    }
                }
            });
            let sent = pattern(len);
            let (mut reading, mut writing) = split(client);
            let expected = sent.clone();
            let writer = async {
                writing.write_all(&sent).await.unwrap();
                writing.shutdown().await.unwrap();
            };
            let mut came = Vec::new();
            let mut buf = vec![0; portion];
            let reader = async {
                loop {
                    match reading.read(&mut buf).await.unwrap() {
                        0 => break,
                        read => came.extend_from_slice(&buf[..read]),
                    }
                }
            };
            tokio::join!(writer, reader);
            assert!(came == expected, "{len} bytes by {portion} through {room}");
            echo.await.unwrap();
        }
    }
    assert!(ROOM.with_borrow(Vec::len) <= MOST_HELD + MOST);
}

#[tokio::test]
async fn an_idle_stream_holds_no_buffer() {
    for version in BOTH {
        let (mut client, mut broker) = Parties::of(version).connected(100_000).await;
        for _ in 0..3 {
            client.write_all(&pattern(40_000)).await.unwrap();
            broker.read_exact(&mut [0; 40_000]).await.unwrap();
            broker.write_all(&pattern(40_000)).await.unwrap();
            broker.flush().await.unwrap();
            client.read_exact(&mut [0; 40_000]).await.unwrap();
            let held = [&client.incoming, &client.plain.bytes, &client.outgoing.bytes];
            assert_eq!(held.map(Vec::capacity), [0; 3]);
        }
    }
}

#[tokio::test]
async fn a_client_that_only_listens_ends_the_handshake_all_the_same() {
    for version in BOTH {
        let parties = Parties::of(version);
        let (near, far) = duplex(65_536);
        let accepted = tokio::spawn(parties.broker.accept(far));
        let mut client = parties.connect("broker.example", near).await.unwrap();
        let mut greeting = [0; 5];
        let (read, _) = tokio::join!(client.read_exact(&mut greeting), async {
            let mut broker = accepted.await.unwrap().unwrap();
            broker.write_all(b"hello").await.unwrap();
            broker.flush().await.unwrap();
            broker
        });
        read.unwrap();
        assert_eq!(&greeting, b"hello");
    }
}

#[tokio::test]
async fn the_last_flight_goes_out_with_the_first_bytes() {
    let parties = Parties::of(&version::TLS13);
    let (near, far) = duplex(65_536);
    let accepted = tokio::spawn(parties.broker.accept(far));
    let mut client = parties.connect("broker.example", near).await.unwrap();
    assert!(!accepted.is_finished());
    client.write_all(b"CONNECT").await.unwrap();
    assert!(client.outgoing.is_empty());
    let mut broker = accepted.await.unwrap().unwrap();
    let mut first = [0; 7];
    broker.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"CONNECT");
}

#[tokio::test]
async fn new_keys_are_taken_and_given() {
    let (mut client, mut broker) = Parties::of(&version::TLS13).connected(65_536).await;
    for round in 0..3 {
        broker.get_mut().1.refresh_traffic_keys().unwrap();
        broker.write_all(&[round]).await.unwrap();
        broker.flush().await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), round);
        client.write_all(&[round]).await.unwrap();
        assert_eq!(broker.read_u8().await.unwrap(), round);
    }
}

#[tokio::test]
async fn the_end_is_one_with_a_close_notify_and_without() {
    for version in BOTH {
        let parties = Parties::of(version);
        let (mut client, mut broker) = parties.connected(65_536).await;
        broker.write_all(b"last").await.unwrap();
        broker.shutdown().await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"last");

        let (mut client, broker) = parties.connected(65_536).await;
        drop(broker);
        assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0);
        assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn garbage_is_an_error_here_and_an_alert_there() {
    for version in BOTH {
        let (mut client, mut broker) = Parties::of(version).connected(65_536).await;
        broker.get_mut().0.write_all(&garbage()).await.unwrap();
        for _ in 0..2 {
            let error = client.read(&mut [0; 9]).await.unwrap_err();
            assert!(error.get_ref().unwrap().is::<Error>(), "{error:?}");
        }
        let alert = broker.read(&mut [0; 9]).await.unwrap_err();
        assert!(alert.to_string().contains("BadRecordMac"), "{alert}");
        let error = client.write(b"more").await.unwrap_err();
        assert!(error.get_ref().unwrap().is::<Error>(), "{error:?}");
    }
}

#[tokio::test]
async fn who_is_not_trusted_is_told_so_and_named() {
    for version in BOTH {
        let parties = Parties::of(version);
        let (near, far) = duplex(65_536);
        let accepted = tokio::spawn(parties.broker.accept(far));
        let error = parties.connect("elsewhere.example", near).await.unwrap_err();
        assert!(error.to_string().contains("elsewhere.example"), "{error}");
        let alert = accepted.await.unwrap().unwrap_err();
        assert!(alert.to_string().contains("BadCertificate"), "{alert}");
    }
}

#[tokio::test]
async fn a_broker_that_hangs_up_or_talks_no_tls_ends_the_handshake() {
    let parties = Parties::of(&version::TLS13);
    for (answer, expected) in [
        (&b""[..], "tls handshake eof"),
        (b"HTTP/1.1 400 Bad\r\n\r\n", "corrupt message"),
    ] {
        let (near, mut far) = duplex(65_536);
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        let error = parties.connect("broker.example", near).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_broker_may_close_in_the_same_breath_as_it_ends_the_handshake() {
    for version in BOTH {
        let parties = Parties::of(version);
        let (near, far) = duplex(65_536);
        let mut broker = ByHand::new(parties.broker.config(), far);
        let (client, ()) = tokio::join!(parties.connect("broker.example", near), async {
            let mut last = false;
            while !last {
                broker.read().await;
                last = !broker.session.is_handshaking()
                    || broker.session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
                if last {
                    broker.session.send_close_notify();
                }
                broker.send().await;
            }
        });
        let mut client = client.unwrap();
        client.write_all(b"CONNECT").await.unwrap();
        broker.read().await;
        let mut first = [0; 7];
        broker.session.reader().read_exact(&mut first).unwrap();
        assert_eq!(&first, b"CONNECT");
        assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_came_before_an_alert_is_read_before_the_error() {
    for version in BOTH {
        for portion in [1, 4, 100] {
            let (mut client, mut broker) = Parties::of(version).connected(65_536).await;
            broker.write_all(b"PUBACK").await.unwrap();
            broker.flush().await.unwrap();
            // What it cannot decrypt has the broker send an alert.
            client.io.write_all(&garbage()).await.unwrap();
            broker.read(&mut [0; 9]).await.unwrap_err();
            let mut came = Vec::new();
            let mut buf = vec![0; portion];
            let error = loop {
                match client.read(&mut buf).await {
                    Ok(0) => panic!("no error"),
                    Ok(read) => came.extend_from_slice(&buf[..read]),
                    Err(error) => break error,
                }
            };
            assert_eq!(came, b"PUBACK", "by {portion}");
            assert!(is_alert(&error), "{error:?}");
        }
    }
}

#[tokio::test]
async fn who_shows_no_certificate_hears_by_which_alert_it_is_refused() {
    for version in BOTH {
        let parties = Parties::with(version, |roots| {
            WebPkiClientVerifier::builder(roots).build().unwrap()
        });
        let (near, far) = duplex(65_536);
        let accepted = tokio::spawn(parties.broker.accept(far));
        // With TLS 1.3 the broker looks at the certificate when the handshake is over for the client.
        let error = match parties.connect("broker.example", near).await {
            Err(error) => error,
            Ok(mut client) => {
                client.write_all(b"CONNECT").await.unwrap();
                assert!(accepted.await.unwrap().is_err());
                let error = client.read_u8().await.unwrap_err();
                let later = client.write_all(b"more").await.unwrap_err();
                assert!(is_alert(&later), "{later:?}");
                error
            }
        };
        assert!(is_alert(&error), "{error:?}");
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
    }
}

#[tokio::test]
async fn what_a_broker_said_last_is_read_though_it_takes_nothing_any_more() {
    let parties = Parties::of(&version::TLS13);
    let mut config = ServerConfig::clone(parties.broker.config());
    config.send_half_rtt_data = true;
    let (near, far) = duplex(65_536);
    let mut broker = ByHand::new(&Arc::new(config), far);
    let (client, ()) = tokio::join!(parties.connect("broker.example", near), async {
        broker.read().await;
        broker.send().await;
    });
    let mut client = client.unwrap();
    broker.session.writer().write_all(b"last").unwrap();
    broker.send().await;
    drop(broker);
    assert!(!client.outgoing.is_empty(), "the last flight has not gone");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"last");
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_go_out_goes_with_reads_though_the_flush_was_given_up() {
    for version in BOTH {
        let (mut client, mut broker) = Parties::of(version).connected(100).await;
        client.write_all(&pattern(3_000)).await.unwrap();
        let flush = poll_fn(|cx| Poll::Ready(Pin::new(&mut client).poll_flush(cx)));
        assert!(flush.await.is_pending());
        let answer = async {
            broker.read_exact(&mut [0; 3_000]).await.unwrap();
            broker.write_all(b"!").await.unwrap();
            broker.flush().await.unwrap();
        };
        let both = async { tokio::join!(client.read_u8(), answer).0 };
        let read = tokio::time::timeout(Duration::from_secs(9), both).await;
        assert_eq!(read.unwrap().unwrap(), b'!');
    }
}

#[tokio::test]
async fn a_close_comes_behind_what_waits_to_go_out_and_the_end_of_tcp_behind_that() {
    for version in BOTH {
        let (mut client, mut broker) = Parties::of(version).connected(100).await;
        client.write_all(&pattern(3_000)).await.unwrap();
        let close = poll_fn(|cx| Poll::Ready(Pin::new(&mut client).poll_shutdown(cx)));
        assert!(close.await.is_pending());
        let mut came = Vec::new();
        // The end of TCP without a close_notify ahead of it would be an error.
        let (closed, read) = tokio::join!(client.shutdown(), broker.read_to_end(&mut came));
        closed.unwrap();
        read.unwrap();
        assert!(came == pattern(3_000));
        assert_eq!(broker.get_mut().0.read(&mut [0; 9]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_message_in_too_many_records_is_refused_before_it_is_whole() {
    let parties = Parties::of(&version::TLS13);
    let (near, mut far) = duplex(65_536);
    let (refused, sent) = tokio::join!(parties.connect("broker.example", near), async move {
        let message = [&[2, 0, 0xff, 0xf0][..], &[0; 0xfff0]].concat();
        let mut sent = 0;
        for byte in message {
            if far.write_all(&[22, 3, 3, 0, 1, byte]).await.is_err() {
                break;
            }
            sent += 6;
        }
        sent
    });
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("HandshakePayloadTooLarge"), "{error}");
    assert!(sent <= MOST_HELD + LITTLE + 65_536, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_ticket_may_come_in_parts_with_a_write_between_and_data_behind() {
    let parties = Parties::of(&version::TLS13);
    let mut config = ServerConfig::clone(parties.broker.config());
    config.max_fragment_size = Some(64);
    config.send_tls13_tickets = 1;
    let config = Arc::new(config);
    let mut kinds = Vec::new();
    for cut in [3, 40, 70, 100] {
        let (mut client, mut broker) = ByHand::connected(&config, &parties).await;
        broker.session.writer().write_all(b"data").unwrap();
        let records = broker.records();
        broker.io.write_all(&records[..cut]).await.unwrap();
        assert!(waits(&mut client).await);
        client.write_all(b"between").await.unwrap();
        broker.read().await;
        let mut between = [0; 7];
        broker.session.reader().read_exact(&mut between).unwrap();
        assert_eq!(&between, b"between");
        broker.io.write_all(&records[cut..]).await.unwrap();
        let mut data = [0; 4];
        client.read_exact(&mut data).await.unwrap();
        assert_eq!(&data, b"data", "cut at {cut} of {}", records.len());
        kinds.push(client.session.handshake_kind().unwrap());
    }
    use HandshakeKind::{Full, Resumed};
    assert_eq!(kinds, [Full, Resumed, Resumed, Resumed]);
}

#[tokio::test]
async fn tickets_without_end_let_others_have_their_turn() {
    let parties = Parties::of(&version::TLS13);
    let mut config = ServerConfig::clone(parties.broker.config());
    config.send_tls13_tickets = 1_000;
    let (mut client, mut broker) = ByHand::connected(&Arc::new(config), &parties).await;
    let tickets = broker.records();
    broker.io.write_all(&tickets).await.unwrap();
    assert!(waits(&mut client).await);
    drop(broker);
    let left = client.io.read(&mut vec![0; 1_000_000]).await.unwrap();
    assert!(left > tickets.len() / 2, "{left} of {}", tickets.len());
}
