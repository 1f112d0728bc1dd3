//! From accept to the broker's CONNACK.

use super::admission::{Admission, LONGEST_KEEP_ALIVE};
use super::caller::Caller;
use super::carry::Carry;
use super::context::Context;
use super::device::{Device, Failed};
use super::farewell::farewell;
use super::gate::Place;
use super::registry::{Connection, Seat};
use super::seen::Seen;
use super::streams::AsSent;
use super::tokens::Token;
use super::{Ending, Refusal, journal};
use crate::entrypoint::{Destination, PlatformVersion, Scheme, TopicPlan};
use crate::event_loop::TcpStream;
use crate::logbook::shortened;
use crate::mqtt::{
    AtMostOnce, Connack, Connect, ConnectError, FixedHeader, PacketType, Version, Violation, connack,
};
use crate::upstream::{BrokerStream, CredentialPurpose, TlsCause, TlsCredential};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// How long a device may take for its CONNECT.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long a broker may take for its CONNACK.
const CONNACK_WITHIN: Duration = Duration::from_secs(10);
/// The largest CONNACK or AUTH that is taken from a broker.
const MAX_ANSWER: usize = 256 * 1024;

/// A connection that the broker accepted.
pub(super) struct Opened {
    pub(super) carry: ByVersion,
    pub(super) seat: Seat,
}

/// A connection whose streams are those `S`.
pub(super) type Carried<S> = Carry<TcpStream, BrokerStream<TcpStream>, S>;

/// A connection by the platform version of its entry point. What 201509 has to remember is boxed, so that
/// the connections of the other do not carry its size.
pub(super) enum ByVersion {
    V201509(Carried<Box<AtMostOnce<TopicPlan>>>),
    V201912(Carried<AsSent<TopicPlan>>),
}

impl ByVersion {
    /// Carries until the connection is over.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Ending> {
        match self {
            Self::V201509(carry) => Pin::new(carry).poll(cx),
            Self::V201912(carry) => Pin::new(carry).poll(cx),
        }
    }

    /// The connection, as others see it.
    pub(super) fn connection(&self) -> &Connection {
        match self {
            Self::V201509(carry) => carry.connection(),
            Self::V201912(carry) => carry.connection(),
        }
    }
}

/// Lets a device in, or tells it why not.
pub(super) async fn open(
    stream: TcpStream,
    mut caller: Caller,
    mut place: Place,
    context: &Context,
    worker: usize,
) -> Option<Opened> {
    let mut device = Device::new(stream);
    let mut shutdown = context.shutdown.clone();
    let established = tokio::select! {
        biased;
        established = establish(&mut device, &mut caller, &mut place, context) => established,
        _ = shutdown.wait_for(|down| *down) => Err(Refusal::Shutdown.into()),
    };
    match established {
        Ok(accepted) => {
            place.take();
            Some(accepted.enter(device, caller.peer, context, worker))
        }
        Err(Refused { why: refusal, answer }) => {
            journal::refused(context.registry.books(), &caller, &refusal);
            let own = || {
                let text = format!("{refusal}: {}", refusal.advice());
                connack::refusal(
                    caller.version?,
                    refusal.reason()?,
                    &text,
                    caller.maximum_packet_size,
                )
            };
            // Who would understand no answer is not waited for.
            if let Some(last) = answer.or_else(own) {
                farewell(device.stream, &last).await;
            }
            None
        }
    }
}

/// A broker that said yes.
struct Accepted {
    admission: Admission,
    client_id: Arc<str>,
    version: Version,
    keep_alive: u16,
    maximum_packet_size: Option<u32>,
    broker: BrokerStream<TcpStream>,
    /// What the login ends with, if it ends.
    token: Option<Token>,
    /// The CONNACK as it came.
    connack: Vec<u8>,
    /// What came behind it.
    behind: Vec<u8>,
}

impl Accepted {
    fn enter(self, device: Device, peer: SocketAddr, context: &Context, worker: usize) -> Opened {
        let rewrite = TopicPlan::new(Arc::clone(&self.admission.sim), self.admission.entry_point.topics);
        let connection = Arc::new(Connection::new(
            context.registry.next_id(),
            self.admission,
            peer,
            self.client_id,
            self.version,
            self.keep_alive,
            self.maximum_packet_size,
        ));
        journal::opened(context.registry.books(), &connection);
        let seat = context.registry.enter(worker, &connection, self.token);
        // What changed while the broker was waited for was not told to a connection that was not there yet.
        if let Some(reason) = connection.admission.lost(peer.ip(), &context.store.snapshot()) {
            connection.close(reason);
        }
        let carry = match connection.admission.entry_point.version {
            PlatformVersion::V201509 => {
                let streams = Box::new(AtMostOnce::new(self.version, rewrite));
                let mut carry = Carry::new(device.stream, self.broker, streams, connection);
                carry.take_in(&device.ahead, &self.connack, &self.behind);
                ByVersion::V201509(carry)
            }
            PlatformVersion::V201912 => {
                let streams = AsSent::new(self.version, rewrite);
                let mut carry = Carry::new(device.stream, self.broker, streams, connection);
                carry.take_in(&device.ahead, &self.connack, &self.behind);
                ByVersion::V201912(carry)
            }
        };
        Opened { carry, seat }
    }
}

/// A device that is not let in.
struct Refused {
    why: Refusal,
    /// The broker's own packet, where it is the broker that refuses.
    answer: Option<Vec<u8>>,
}

impl<R: Into<Refusal>> From<R> for Refused {
    fn from(why: R) -> Self {
        Self {
            why: why.into(),
            answer: None,
        }
    }
}

async fn establish(
    device: &mut Device,
    caller: &mut Caller,
    place: &mut Place,
    context: &Context,
) -> Result<Accepted, Refused> {
    let packet = timeout(CONNECT_WITHIN, device.read_connect(caller))
        .await
        .unwrap_or(Err(Refusal::NoConnect {
            limit: CONNECT_WITHIN,
        }))?;
    let snapshot = context.store.snapshot();
    let connect = Connect::parse(&packet).inspect_err(|error| {
        if let ConnectError::Malformed { version, .. } = error {
            caller.version = *version;
        }
        // A refused protocol level above 4 is most likely a later MQTT, which reads answers like 5 does.
        if let ConnectError::Protocol { level, .. } = error {
            caller.version = Some(if *level > 4 && *level < 0x80 {
                Version::V5
            } else {
                Version::V311
            });
        }
    })?;
    caller.learn(&connect, &snapshot);
    let admission = Admission::find(&snapshot, caller.peer.ip(), connect.version, connect.keep_alive)?;
    drop(snapshot);
    place.claim(&admission.sim)?;
    caller.destination = Some(admission.entry_point.destination.clone());
    let reached = device
        .while_waiting(reach(&admission, &connect, context))
        .await??;
    let accepted = await_connack(device, reached, admission, &connect).await?;
    match accepted
        .admission
        .lost(caller.peer.ip(), &context.store.snapshot())
    {
        Some(change) => Err(Refusal::Changed(change).into()),
        None => Ok(accepted),
    }
}

/// A broker that has the CONNECT.
struct Reached {
    broker: BrokerStream<TcpStream>,
    token: Option<Token>,
}

/// Dials the broker and sends the patched CONNECT.
async fn reach(admission: &Admission, connect: &Connect<'_>, context: &Context) -> Result<Reached, Refusal> {
    let entry_point = &admission.entry_point;
    let credential = credential(admission, context).await?;
    let seen = Seen::of(admission, connect, context).await?;
    let token = seen
        .expires()
        .map(|expires| Token::new(expires, context.token_lifetime));
    let packet = seen.patched(admission, connect)?;
    let mut broker = context
        .upstream
        .connect(&entry_point.destination, credential.as_ref())
        .await?;
    let sent = async {
        broker.write_all(&packet).await?;
        broker.flush().await
    };
    match timeout(CONNACK_WITHIN, sent).await {
        Ok(Ok(())) => Ok(Reached { broker, token }),
        Ok(Err(error)) => Err(Refusal::BrokerClosed {
            destination: entry_point.destination.clone(),
            detail: format!(" ({error})"),
            tls: TlsCause::of_connection(&error),
        }),
        Err(_) => Err(Refusal::BrokerSilent {
            destination: entry_point.destination.clone(),
            limit: CONNACK_WITHIN,
        }),
    }
}

/// The credential of this SIM, where the broker leg has a use for one: its certificate if the entry point
/// says so, else only the `ca` that the broker's certificate is checked against.
async fn credential(admission: &Admission, context: &Context) -> Result<Option<TlsCredential>, Refusal> {
    let entry_point = &admission.entry_point;
    let sim = &admission.sim;
    if entry_point.destination.scheme() == Scheme::Mqtt {
        return Ok(None);
    }
    match entry_point.client_certs.credentials_id(sim) {
        Some(id) => {
            let store = &context.credentials;
            let (x509, purpose) = match entry_point.use_client_cert {
                true => (
                    Box::pin(store.client_certificate(&id)).await?,
                    CredentialPurpose::Identify,
                ),
                false => (Box::pin(store.x509(&id)).await?, CredentialPurpose::Trust),
            };
            Ok(Some(TlsCredential { x509, purpose }))
        }
        None if entry_point.use_client_cert => Err(Refusal::NoCredential(sim.imsi.clone())),
        None => Ok(None),
    }
}

/// Waits for the broker's CONNACK, and judges it.
async fn await_connack(
    device: &mut Device,
    Reached { mut broker, token }: Reached,
    admission: Admission,
    connect: &Connect<'_>,
) -> Result<Accepted, Refused> {
    let platform = admission.entry_point.platform();
    let destination = admission.entry_point.destination.clone();
    let (mut packet, behind) = first_connack(device, &mut broker, &destination, connect).await?;
    match Connack::parse(&packet, connect.version) {
        Ok(connack) if connack.accepted() => {
            let version = admission.entry_point.version;
            if version == PlatformVersion::V201509 && connect.version == Version::V31 {
                connack::clear_session_present(&mut packet);
            }
            let mut keep_alive = connack.server_keep_alive.unwrap_or(connect.keep_alive);
            if keep_alive > LONGEST_KEEP_ALIVE {
                keep_alive = LONGEST_KEEP_ALIVE;
                connack::set_server_keep_alive(&mut packet, keep_alive);
            }
            Ok(Accepted {
                admission,
                client_id: shortened(connect.client_id).into(),
                version: connect.version,
                keep_alive,
                maximum_packet_size: connect.maximum_packet_size,
                broker,
                token,
                connack: packet,
                behind,
            })
        }
        Ok(connack) => Err(Refused {
            why: Refusal::ByBroker {
                destination,
                connack,
                platform,
            },
            answer: Some(packet),
        }),
        Err(violation) => Err(Refusal::BrokerAnswer {
            destination,
            violation,
        }
        .into()),
    }
}

/// The broker's CONNACK and what came behind it; AUTH packets may pass both ways before it (§4.12).
async fn first_connack(
    device: &mut Device,
    broker: &mut BrokerStream<TcpStream>,
    destination: &Destination,
    connect: &Connect<'_>,
) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let limit = CONNACK_WITHIN;
    let until = Instant::now() + limit;
    let left = || until.saturating_duration_since(Instant::now());
    let mut behind = Vec::new();
    loop {
        let read = device.while_waiting(first_packet(broker, &mut behind));
        let read = timeout(left(), read).await.map_err(|_| Refusal::BrokerSilent {
            destination: destination.clone(),
            limit,
        })?;
        let (kind, packet) = read?.map_err(|failed| failed.refusal(destination))?;
        if kind == PacketType::Connack {
            return Ok((packet, behind));
        }
        timeout(left(), device.relay_auth(broker, &packet, connect))
            .await
            .map_err(|_| Refusal::NoAuth { limit })?
            .map_err(|failed| failed.refusal(destination))?;
    }
}

/// Takes the broker's next packet out of `buffer`, reading until it is there whole.
async fn first_packet(
    broker: &mut BrokerStream<TcpStream>,
    buffer: &mut Vec<u8>,
) -> Result<(PacketType, Vec<u8>), Failed> {
    loop {
        if let Some(header) = FixedHeader::parse(buffer).map_err(Failed::Answer)? {
            if !matches!(header.packet, PacketType::Connack | PacketType::Auth) {
                return Err(Failed::Answer(Violation::Unexpected(header.packet)));
            }
            if header.total() > MAX_ANSWER {
                let (packet, size, limit) = (header.packet, header.total(), MAX_ANSWER);
                return Err(Failed::Answer(Violation::TooLarge { packet, size, limit }));
            }
            if buffer.len() >= header.total() {
                let behind = buffer.split_off(header.total());
                return Ok((header.packet, std::mem::replace(buffer, behind)));
            }
        }
        if broker.read_buf(buffer).await? == 0 {
            return Err(Failed::Closed(String::new(), None));
        }
    }
}
