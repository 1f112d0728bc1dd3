//! CONNECT and CONNACK, against an independent decoder.

use super::splice::rewritten;
use super::{Rules, named, version};
use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};
use simrelay::mqtt::connack::{clear_session_present, refusal};
use simrelay::mqtt::{Connack, Connect, FixedHeader, Login, Reason, Unchanged, Version};

/// A CONNECT: but for login and topics, another decoder sees the same before and after.
pub fn connect(data: &[u8]) {
    let _ = FixedHeader::parse(data);
    let _ = Connect::version_of(data);
    let Ok(connect) = Connect::parse(data) else { return };
    let before = SeenConnect::read(data);
    if let Ok(same) = connect.patched(Login::PassThrough, &Unchanged) {
        assert!(
            Connect::parse(&same).as_ref() == Ok(&connect),
            "not the same CONNECT"
        );
        if before.is_some() {
            assert_eq!(SeenConnect::read(&same), before);
        }
    }
    let login = Login::Fixed {
        username: Some("u"),
        password: Some(b"p"),
    };
    if let Ok(patched) = connect.patched(login, &Rules) {
        let again = Connect::parse(&patched).expect("what was patched can be read");
        assert_eq!((again.username, again.password), (Some("u"), Some(&b"p"[..])));
        assert_eq!(again.has_will(), connect.has_will());
        if let Some(before) = before {
            assert_eq!(SeenConnect::read(&patched), Some(before.patched()));
        }
    }
}

/// What stands behind the fixed header of a packet.
fn body(packet: &[u8]) -> Option<&[u8]> {
    let header = FixedHeader::parse(packet).ok()??;
    packet.get(header.len..header.total())
}

/// All that another decoder sees of a CONNECT.
#[derive(Debug, PartialEq)]
struct SeenConnect {
    level: u8,
    clean: bool,
    keep_alive: u16,
    client_id: String,
    properties: Vec<Property>,
    will: Option<SeenWill>,
    username: Option<String>,
    password: Option<Vec<u8>>,
}

#[derive(Debug, PartialEq)]
struct SeenWill {
    topic: String,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
    properties: Vec<Property>,
}

impl SeenConnect {
    /// `None` if that decoder does not take it, or not all of it.
    fn read(packet: &[u8]) -> Option<Self> {
        let body = body(packet)?;
        match Connect::version_of(packet)? {
            Version::V5 => Self::read_5(body),
            Version::V311 => Self::read_3(body, 4),
            // It knows no MQTT 3.1, which says the same behind another name.
            Version::V31 => {
                let rest = body.strip_prefix(b"\0\x06MQIsdp\x03")?;
                Self::read_3(&[b"\0\x04MQTT\x04", rest].concat(), 3)
            }
        }
    }

    fn read_3(body: &[u8], level: u8) -> Option<Self> {
        let (connect, len) = v3_1_1::Connect::parse(body).ok()?;
        let will = connect.will_flag().then(|| SeenWill {
            topic: connect.will_topic().unwrap_or_default().to_owned(),
            payload: connect.will_payload().unwrap_or_default().to_vec(),
            qos: connect.will_qos() as u8,
            retain: connect.will_retain(),
            properties: Vec::new(),
        });
        let seen = Self {
            level,
            clean: connect.clean_session(),
            keep_alive: connect.keep_alive(),
            client_id: connect.client_id().to_owned(),
            properties: Vec::new(),
            will,
            username: connect.user_name().map(str::to_owned),
            password: connect.password().map(<[u8]>::to_vec),
        };
        (len == body.len()).then_some(seen)
    }

    fn read_5(body: &[u8]) -> Option<Self> {
        let (connect, len) = v5_0::Connect::parse(body).ok()?;
        let will = connect.will_flag().then(|| SeenWill {
            topic: connect.will_topic().unwrap_or_default().to_owned(),
            payload: connect.will_payload().unwrap_or_default().to_vec(),
            qos: connect.will_qos() as u8,
            retain: connect.will_retain(),
            properties: connect.will_props().clone(),
        });
        let seen = Self {
            level: connect.protocol_version(),
            clean: connect.clean_start(),
            keep_alive: connect.keep_alive(),
            client_id: connect.client_id().to_owned(),
            properties: connect.props().clone(),
            will,
            username: connect.user_name().map(str::to_owned),
            password: connect.password().map(<[u8]>::to_vec),
        };
        (len == body.len()).then_some(seen)
    }

    /// What is to become of it.
    fn patched(self) -> Self {
        let will = self.will.map(|will| SeenWill {
            topic: named(&will.topic),
            properties: rewritten(will.properties),
            ..will
        });
        Self {
            will,
            username: Some("u".to_owned()),
            password: Some(b"p".to_vec()),
            ..self
        }
    }
}

const REASONS: [Reason; 16] = [
    Reason::UnspecifiedError,
    Reason::MalformedPacket,
    Reason::ProtocolError,
    Reason::UnsupportedProtocolVersion,
    Reason::ClientIdentifierNotValid,
    Reason::NotAuthorized,
    Reason::ServerUnavailable,
    Reason::ServerBusy,
    Reason::ServerShuttingDown,
    Reason::KeepAliveTimeout,
    Reason::TopicFilterInvalid,
    Reason::TopicNameInvalid,
    Reason::PacketTooLarge,
    Reason::QuotaExceeded,
    Reason::AdministrativeAction,
    Reason::MaximumConnectTime,
];

/// A broker's CONNACK is read as another decoder reads it; what is made for MQTT 3.1 of it, and the relay's own
/// refusal, can be read by that decoder and say what they are to say.
pub fn connack(data: &[u8]) {
    let [first, packet @ ..] = data else { return };
    let version = version(*first);
    own_refusal(version, packet);
    let Ok(connack) = Connack::parse(packet, version) else {
        return;
    };
    let seen = SeenConnack::read(version, packet);
    if let Some(seen) = seen {
        assert_eq!(SeenConnack::of(&connack), seen);
    }
    let mut cleared = packet.to_vec();
    clear_session_present(&mut cleared);
    let again = Connack::parse(&cleared, version).expect("still a CONNACK");
    let expected = Connack {
        session_present: false,
        ..connack
    };
    assert_eq!(again, expected);
    if let Some(seen) = SeenConnack::read(version, &cleared) {
        assert_eq!(SeenConnack::of(&expected), seen);
    }
    let changed = packet
        .iter()
        .zip(&cleared)
        .filter(|(before, after)| before != after);
    assert!(changed.count() <= 1 && packet.len() == cleared.len());
}

/// Of the bytes the first chooses the reason, two the limit of the device's, and the rest is the text.
fn own_refusal(version: Version, data: &[u8]) {
    let [reason, high, low, text @ ..] = data else {
        return;
    };
    let reason = REASONS[usize::from(*reason) % REASONS.len()];
    let limit = Some(u32::from(u16::from_be_bytes([*high, *low]))).filter(|limit| *limit > 0);
    let text = String::from_utf8_lossy(text);
    let made = refusal(version, reason, &text, limit);
    assert_eq!(made.is_some(), reason.connack_code(version).is_some());
    let Some(made) = made else { return };
    let again = Connack::parse(&made, version).expect("our own can be read");
    let said = again.reason_string.clone();
    assert!(said.is_none() || version == Version::V5);
    assert!(said.as_deref().is_none_or(|said| text.starts_with(said)));
    // Nothing can be said in less than five bytes.
    assert!(version != Version::V5 || limit.is_none_or(|limit| made.len() <= limit.max(5) as usize));
    assert_eq!(
        (again.session_present, again.code, again.server_keep_alive),
        (false, reason.connack_code(version).unwrap_or_default(), None)
    );
    let seen = SeenConnack::read(version, &made);
    assert_eq!(Some(SeenConnack::of(&again)), seen, "{reason:?} {made:02x?}");
}

/// What another decoder sees of a CONNACK, as far as the relay looks at it.
#[derive(Debug, PartialEq)]
struct SeenConnack {
    session_present: bool,
    code: u8,
    server_keep_alive: Option<u16>,
    reason_string: Option<String>,
}

impl SeenConnack {
    fn of(connack: &Connack) -> Self {
        Self {
            session_present: connack.session_present,
            code: connack.code,
            server_keep_alive: connack.server_keep_alive,
            reason_string: connack.reason_string.clone(),
        }
    }

    /// `None` if that decoder does not take it, or not all of it.
    fn read(version: Version, packet: &[u8]) -> Option<Self> {
        let body = body(packet)?;
        let (seen, len) = match version {
            Version::V5 => {
                let (connack, len) = v5_0::Connack::parse(body).ok()?;
                let properties = connack.props();
                let keep_alive = properties.iter().find_map(|property| match property {
                    Property::ServerKeepAlive(seconds) => Some(seconds.val()),
                    _ => None,
                });
                let reason = properties.iter().find_map(|property| match property {
                    Property::ReasonString(reason) => Some(reason.val().to_owned()),
                    _ => None,
                });
                let seen = Self {
                    session_present: connack.session_present(),
                    code: connack.reason_code() as u8,
                    server_keep_alive: keep_alive,
                    reason_string: reason,
                };
                (seen, len)
            }
            Version::V311 | Version::V31 => {
                let (connack, len) = v3_1_1::Connack::parse(body).ok()?;
                let seen = Self {
                    session_present: connack.session_present(),
                    code: connack.return_code() as u8,
                    server_keep_alive: None,
                    reason_string: None,
                };
                (seen, len)
            }
        };
        (len == body.len()).then_some(seen)
    }
}
