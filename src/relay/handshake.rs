//! From accept to the broker's CONNACK.

use super::admission::{Admission, idle_rule};
use super::carry::Carry;
use super::farewell::farewell;
use super::registry::{Connection, Seat};
use super::service::{Context, lost_ground};
use super::{Refusal, journal};
use crate::entrypoint::{Destination, Login as Rule, Scheme, TopicPlan};
use crate::mqtt::{
    Connack, Connect, ConnectError, FixedHeader, Login, MAX_CONNECT, PacketType, Version, connack,
};
use crate::sim::Sim;
use crate::upstream::{BrokerStream, TlsCredential};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a device may take for its CONNECT.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long a broker may take for its CONNACK.
const CONNACK_WITHIN: Duration = Duration::from_secs(10);
/// The most bytes that a device may send ahead of its CONNACK before it is not read any more.
const MAX_AHEAD: usize = 64 * 1024;
/// The largest CONNECT that is read from an address of no SIM, only to say no in its own version.
const MAX_STRANGER: usize = 4 * 1024;
/// Bytes of a CONNECT up to its protocol level: fixed header, `MQIsdp` with its length, level.
const VERSION_IS_THERE: usize = 5 + 2 + 6 + 1;
/// The largest CONNACK or AUTH that is taken from a broker.
const MAX_ANSWER: usize = 256 * 1024;

/// A connection that the broker accepted.
pub(super) struct Opened {
    pub(super) carry: Carry<TcpStream, BrokerStream, TopicPlan>,
    pub(super) seat: Seat,
}

/// What is known about a device while it connects, for the log and for the answer.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) peer: SocketAddr,
    pub(super) version: Option<Version>,
    pub(super) client_id: Option<Box<str>>,
    pub(super) sim: Option<Arc<Sim>>,
    pub(super) keep_alive: Option<u16>,
    pub(super) destination: Option<Destination>,
    maximum_packet_size: Option<u32>,
}

/// A device's socket and what it sent that has not been passed on.
struct Device {
    stream: TcpStream,
    ahead: Vec<u8>,
    closed: bool,
}

/// Lets a device in, or tells it why not.
pub(super) async fn open(
    stream: TcpStream,
    peer: SocketAddr,
    context: &Context,
    worker: usize,
) -> Option<Opened> {
    // An IPv4 device on an IPv6 socket is the device of its IPv4 address, in the log too.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let mut caller = Caller {
        peer,
        version: None,
        client_id: None,
        sim: context
            .store
            .snapshot()
            .session(peer.ip())
            .map(|session| session.sim),
        keep_alive: None,
        destination: None,
        maximum_packet_size: None,
    };
    let mut device = Device {
        stream,
        ahead: Vec::new(),
        closed: false,
    };
    let mut shutdown = context.shutdown.clone();
    let established = tokio::select! {
        biased;
        established = establish(&mut device, &mut caller, context) => established,
        _ = shutdown.wait_for(|down| *down) => Err((Refusal::Shutdown, None)),
    };
    match established {
        Ok(accepted) => Some(accepted.enter(device, peer, context, worker)),
        Err((refusal, answer)) => {
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
            farewell(device.stream, &answer.or_else(own).unwrap_or_default()).await;
            None
        }
    }
}

/// A broker that said yes.
struct Accepted {
    admission: Admission,
    client_id: Box<str>,
    version: Version,
    keep_alive: u16,
    maximum_packet_size: Option<u32>,
    broker: BrokerStream,
    /// The CONNACK as it came.
    connack: Vec<u8>,
    /// What came behind it.
    behind: Vec<u8>,
}

impl Accepted {
    fn enter(self, device: Device, peer: SocketAddr, context: &Context, worker: usize) -> Opened {
        let rewrite = TopicPlan::new(Arc::clone(&self.admission.sim), self.admission.entry_point.topics);
        let connection = Arc::new(Connection::new(
            self.admission,
            peer,
            self.client_id,
            self.version,
            self.keep_alive,
            self.maximum_packet_size,
        ));
        journal::opened(context.registry.books(), &connection);
        let seat = context.registry.enter(worker, &connection);
        // What changed while the broker was waited for was not told to a connection that was not there yet.
        if let Some(reason) = lost_ground(&connection, &context.store.snapshot()) {
            connection.close(reason);
        }
        let idle = idle_rule(self.keep_alive);
        let mut carry = Carry::new(device.stream, self.broker, rewrite, connection, idle);
        carry.take_in(&device.ahead, &self.connack, &self.behind);
        Opened { carry, seat }
    }
}

/// A refusal, and the broker's own packet where it is the broker that refuses.
type Refused = (Refusal, Option<Vec<u8>>);

async fn establish(device: &mut Device, caller: &mut Caller, context: &Context) -> Result<Accepted, Refused> {
    let none = |refusal: Refusal| (refusal, None);
    let packet = timeout(CONNECT_WITHIN, device.read_connect(caller))
        .await
        .unwrap_or(Err(Refusal::NoConnect {
            limit: CONNECT_WITHIN,
        }))
        .map_err(none)?;
    let snapshot = context.store.snapshot();
    let connect = Connect::parse(&packet).map_err(|error| {
        if let ConnectError::Malformed { version, .. } = &error {
            caller.version = *version;
        }
        // A refused protocol level above 4 is most likely a later MQTT, which reads answers like 5 does.
        if let ConnectError::Protocol { level, .. } = &error {
            caller.version = Some(if *level > 4 && *level < 0x80 {
                Version::V5
            } else {
                Version::V311
            });
        }
        none(error.into())
    })?;
    caller.learn(&connect);
    let admission = Admission::find(&snapshot, caller.peer.ip(), connect.keep_alive).map_err(none)?;
    drop(snapshot);
    caller.destination = Some(admission.entry_point.destination.clone());
    let reached = device.while_waiting(reach(&admission, &connect, context)).await;
    let broker = reached.map_err(none)?.map_err(none)?;
    await_connack(device, broker, admission, &connect).await
}

impl Caller {
    fn learn(&mut self, connect: &Connect<'_>) {
        self.version = Some(connect.version);
        self.client_id = Some(connect.client_id.into());
        self.keep_alive = Some(connect.keep_alive);
        self.maximum_packet_size = connect.maximum_packet_size;
    }
}

/// Dials the broker and sends the patched CONNECT.
async fn reach(
    admission: &Admission,
    connect: &Connect<'_>,
    context: &Context,
) -> Result<BrokerStream, Refusal> {
    let entry_point = &admission.entry_point;
    let credential = credential(admission, context).await?;
    let packet = patched(admission, connect)?;
    let mut broker = context
        .upstream
        .connect(&entry_point.destination, credential.as_ref())
        .await?;
    let sent = async {
        broker.write_all(&packet).await?;
        broker.flush().await
    };
    match timeout(CONNACK_WITHIN, sent).await {
        Ok(Ok(())) => Ok(broker),
        Ok(Err(error)) => Err(Refusal::BrokerClosed {
            destination: entry_point.destination.clone(),
            detail: format!(" ({error})"),
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
    if entry_point.destination.scheme == Scheme::Mqtt {
        return Ok(None);
    }
    match entry_point.client_certs.credentials_id(sim) {
        Some(id) => {
            let x509 = context.credentials.x509(&id).await?;
            Ok(Some(TlsCredential {
                x509,
                present: entry_point.use_client_cert,
            }))
        }
        None if entry_point.use_client_cert => Err(Refusal::NoCredential(sim.imsi.clone())),
        None => Ok(None),
    }
}

/// The CONNECT that the broker sees.
fn patched(admission: &Admission, connect: &Connect<'_>) -> Result<Vec<u8>, Refusal> {
    let sim = &admission.sim;
    let rewrite = TopicPlan::new(Arc::clone(sim), admission.entry_point.topics);
    match &admission.entry_point.login {
        Rule::PassThrough => connect.patched(Login::PassThrough, &rewrite),
        Rule::Fixed { username, password } => {
            let username = username.as_ref().map(|template| template.render(sim));
            let password = password.as_ref().map(|template| template.render(sim));
            let login = Login::Fixed {
                username: username.as_deref(),
                password: password.as_ref().map(|password| password.as_bytes()),
            };
            connect.patched(login, &rewrite)
        }
    }
    .map_err(Refusal::Will)
}

/// Waits for the broker's CONNACK; AUTH packets pass both ways before it (§4.12).
async fn await_connack(
    device: &mut Device,
    mut broker: BrokerStream,
    admission: Admission,
    connect: &Connect<'_>,
) -> Result<Accepted, Refused> {
    let destination = admission.entry_point.destination.clone();
    let answer = async {
        let mut behind = Vec::new();
        loop {
            let read = device.while_waiting(first_packet(&mut broker, &mut behind));
            let packet = read.await?.map_err(|failed| failed.refusal(&destination))?;
            if packet.0 == PacketType::Connack {
                return Ok((packet.1, behind));
            }
            device
                .relay_auth(&mut broker, &packet.1, connect)
                .await
                .map_err(|f| f.refusal(&destination))?;
        }
    };
    let (packet, behind) = match timeout(CONNACK_WITHIN, answer).await {
        Ok(answer) => answer.map_err(|refusal| (refusal, None))?,
        Err(_) => {
            return Err((
                Refusal::BrokerSilent {
                    destination,
                    limit: CONNACK_WITHIN,
                },
                None,
            ));
        }
    };
    match Connack::parse(&packet, connect.version) {
        Ok(connack) if connack.accepted() => Ok(Accepted {
            admission,
            client_id: connect.client_id.into(),
            version: connect.version,
            keep_alive: connack.server_keep_alive.unwrap_or(connect.keep_alive),
            maximum_packet_size: connect.maximum_packet_size,
            broker,
            connack: packet,
            behind,
        }),
        Ok(connack) => Err((Refusal::ByBroker { destination, connack }, Some(packet))),
        Err(violation) => Err((
            Refusal::BrokerAnswer {
                destination,
                violation,
            },
            None,
        )),
    }
}

/// What went wrong between CONNECT and CONNACK.
enum Failed {
    Closed(String),
    Answer(crate::mqtt::Violation),
    Device,
}

impl Failed {
    fn refusal(self, destination: &crate::entrypoint::Destination) -> Refusal {
        let destination = destination.clone();
        match self {
            Self::Closed(detail) => Refusal::BrokerClosed { destination, detail },
            Self::Answer(violation) => Refusal::BrokerAnswer {
                destination,
                violation,
            },
            Self::Device => Refusal::DeviceLeft,
        }
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Closed(format!(" ({error})"))
    }
}

/// Takes the broker's next packet out of `buffer`, reading until it is there whole.
async fn first_packet(
    broker: &mut BrokerStream,
    buffer: &mut Vec<u8>,
) -> Result<(PacketType, Vec<u8>), Failed> {
    use crate::mqtt::Violation;
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
            return Err(Failed::Closed(String::new()));
        }
    }
}

impl Device {
    /// Reads until the CONNECT is there whole; what came behind it stays in `ahead`.
    async fn read_connect(&mut self, caller: &mut Caller) -> Result<Vec<u8>, Refusal> {
        let limit = if caller.sim.is_some() {
            MAX_CONNECT
        } else {
            MAX_STRANGER
        };
        self.ahead.reserve(512);
        loop {
            let header =
                FixedHeader::parse(&self.ahead).map_err(|_| Refusal::NotConnect(guess(&self.ahead)))?;
            if let Some(header) = header {
                if header.packet != PacketType::Connect || header.first & 0x0f != 0 {
                    return Err(Refusal::NotConnect(guess(&self.ahead)));
                }
                if header.total() > limit && self.ahead.len() >= VERSION_IS_THERE {
                    caller.version = Connect::version_of(&self.ahead);
                    let size = header.total();
                    return Err(match caller.sim {
                        Some(_) => Refusal::ConnectTooLarge { size, limit },
                        None => Refusal::UnknownAddress(caller.peer.ip()),
                    });
                }
                if self.ahead.len() >= header.total() {
                    let ahead = self.ahead.split_off(header.total());
                    return Ok(std::mem::replace(&mut self.ahead, ahead));
                }
            }
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(1..) => {}
                _ => return Err(Refusal::DeviceLeft),
            }
        }
    }

    /// Runs `work` and meanwhile holds what the device sends ahead, within a bound. A device that leaves
    /// without having sent anything ends the wait: its CONNECT must not take over the session of the
    /// connection that it has perhaps opened since.
    async fn while_waiting<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Refusal> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            refusal = self.hold_ahead() => Err(refusal),
        }
    }

    async fn hold_ahead(&mut self) -> Refusal {
        while self.ahead.len() < MAX_AHEAD && !self.closed {
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(1..) => {}
                _ if self.ahead.is_empty() => return Refusal::DeviceLeft,
                // It said all it has to say and hung up: that still gets there.
                _ => self.closed = true,
            }
        }
        pending().await
    }

    /// Passes the broker's AUTH on and the device's AUTH back.
    async fn relay_auth(
        &mut self,
        broker: &mut BrokerStream,
        auth: &[u8],
        connect: &Connect<'_>,
    ) -> Result<(), Failed> {
        use crate::mqtt::Violation;
        if !connect.enhanced_auth {
            return Err(Failed::Answer(Violation::Unexpected(PacketType::Auth)));
        }
        self.stream.write_all(auth).await.map_err(|_| Failed::Device)?;
        loop {
            if let Some(header) = FixedHeader::parse(&self.ahead).map_err(|_| Failed::Device)? {
                if header.packet != PacketType::Auth || header.total() > MAX_AHEAD {
                    return Err(Failed::Device);
                }
                if self.ahead.len() >= header.total() {
                    broker.write_all(&self.ahead[..header.total()]).await?;
                    broker.flush().await?;
                    self.ahead.drain(..header.total());
                    return Ok(());
                }
            }
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(1..) => {}
                _ => return Err(Failed::Device),
            }
        }
    }
}

/// What a first packet that is no CONNECT looks like.
fn guess(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x16, 0x03, ..] => "TLS",
        [b'G', b'E', b'T', ..] | [b'P', b'O' | b'U', ..] | [b'H', b'E', ..] | [b'O', b'P', ..] => "HTTP",
        [first, ..] if first >> 4 == 1 => "CONNECT with reserved flags",
        [first, ..] if (2..=15).contains(&(first >> 4)) => "another MQTT packet",
        _ => "not MQTT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_first_packet_is_told_from_its_first_bytes() {
        for (bytes, expected) in [
            (&[0x16, 0x03, 0x01, 0x02][..], "TLS"),
            (b"GET / HTTP/1.1", "HTTP"),
            (b"POST /v1", "HTTP"),
            (&[0xc0, 0x00], "another MQTT packet"),
            (&[0x1f, 0x10], "CONNECT with reserved flags"),
            (&[0x00, 0x01], "not MQTT"),
        ] {
            assert_eq!(guess(bytes), expected, "{bytes:02x?}");
        }
    }
}
