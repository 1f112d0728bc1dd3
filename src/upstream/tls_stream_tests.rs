use super::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
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
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["broker.example".to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = params.self_signed(&key).unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let broker = ServerConfig::builder_with_protocol_versions(&[version])
            .with_no_client_auth()
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
            let writer = tokio::spawn(async move {
                writing.write_all(&sent).await.unwrap();
                writing.shutdown().await.unwrap();
                writing
            });
            let mut came = Vec::new();
            let mut buf = vec![0; portion];
            loop {
                match reading.read(&mut buf).await.unwrap() {
                    0 => break,
                    read => came.extend_from_slice(&buf[..read]),
                }
            }
            assert!(came == expected, "{len} bytes by {portion} through {room}");
            drop(writer.await.unwrap());
            echo.await.unwrap();
        }
    }
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
        let record = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat();
        broker.get_mut().0.write_all(&record).await.unwrap();
        let error = client.read(&mut [0; 9]).await.unwrap_err();
        assert!(error.get_ref().unwrap().is::<Error>(), "{error:?}");
        let alert = broker.read(&mut [0; 9]).await.unwrap_err();
        assert!(alert.to_string().contains("BadRecordMac"), "{alert}");
        assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0);
        let error = client.write(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
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
