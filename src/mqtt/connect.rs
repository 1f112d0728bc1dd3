//! CONNECT: parsed fully, patched where the entry point says so (§3.1).

use super::frame::{FixedHeader, push_varint};
use super::properties::{Properties, Value};
use super::property_table::{AUTHENTICATION_METHOD, MAXIMUM_PACKET_SIZE, Place};
use super::publish::{push_properties, topic_name};
use super::reader::{Reader, push_binary, push_rewritten};
use super::{PacketType, TopicRewrite, Version, Violation};

/// The largest CONNECT that is read: five fields of 64 KiB and as much again for properties.
pub const MAX_CONNECT: usize = 640 * 1024;

const USERNAME: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const WILL_RETAIN: u8 = 0x20;
const WILL_QOS: u8 = 0x18;
const WILL: u8 = 0x04;
const CLEAN: u8 = 0x02;

/// Why a CONNECT cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// A protocol name or level other than MQTT 3.1, 3.1.1 and 5 ([MQTT-3.1.2-1], [MQTT-3.1.2-2]).
    #[error("protocol {name:?} level {level} is not MQTT 3.1, 3.1.1 or 5")]
    Protocol {
        /// Protocol name as sent, shortened.
        name: String,
        /// Protocol level.
        level: u8,
    },
    /// The packet is not what its version asks for.
    #[error("{violation}")]
    Malformed {
        /// The version, where it could still be read.
        version: Option<Version>,
        /// What is wrong.
        violation: Violation,
    },
}

/// A CONNECT packet, field by field.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Protocol version.
    pub version: Version,
    /// Clean Session, in MQTT 5 Clean Start.
    pub clean: bool,
    /// Keep Alive in seconds; 0 switches it off.
    pub keep_alive: u16,
    /// Client identifier; may be empty.
    pub client_id: &'a str,
    /// User name, if the flag is set.
    pub username: Option<&'a str>,
    /// Password, if the flag is set.
    pub password: Option<&'a [u8]>,
    /// The largest packet that the device takes, in bytes (§3.1.2.11.4).
    pub maximum_packet_size: Option<u32>,
    /// Whether the device asks for enhanced authentication: AUTH packets then come before CONNACK (§4.12).
    pub enhanced_auth: bool,
    will: Option<Will<'a>>,
    will_qos_retain: u8,
    /// Raw property block of MQTT 5.
    properties: &'a [u8],
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Will<'a> {
    properties: &'a [u8],
    topic: &'a str,
    payload: &'a [u8],
}

/// Whose user name and password the broker sees.
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(missing_debug_implementations, reason = "it holds a password")]
pub enum Login<'a> {
    /// The device's own, or none if it sent none.
    PassThrough,
    /// These, or none.
    Fixed {
        /// User name of at most 65,535 bytes.
        username: Option<&'a str>,
        /// Password of at most 65,535 bytes.
        password: Option<&'a [u8]>,
    },
}

impl<'a> Connect<'a> {
    /// Reads a whole packet, fixed header included.
    ///
    /// # Errors
    /// [`ConnectError`] says what is wrong, and in which version an answer can be given.
    pub fn parse(packet: &'a [u8]) -> Result<Self, ConnectError> {
        let malformed = |version, violation| ConnectError::Malformed { version, violation };
        let header = FixedHeader::parse(packet)
            .and_then(|header| header.ok_or(Violation::Truncated("the fixed header")))
            .map_err(|violation| malformed(None, violation))?;
        if header.packet != PacketType::Connect {
            return Err(malformed(None, Violation::Unexpected(header.packet)));
        }
        let body = packet
            .get(header.len..header.total())
            .ok_or_else(|| malformed(None, Violation::Truncated("CONNECT")))?;
        let mut reader = Reader::new(body);
        let version = protocol(&mut reader)?;
        header
            .check(version)
            .and_then(|()| Self::fields(version, reader))
            .map_err(|v| malformed(Some(version), v))
    }

    /// The version of a CONNECT of which at least the first bytes are there.
    #[must_use]
    pub fn version_of(beginning: &[u8]) -> Option<Version> {
        let header = FixedHeader::parse(beginning).ok()??;
        protocol(&mut Reader::new(beginning.get(header.len..)?)).ok()
    }

    fn fields(version: Version, mut reader: Reader<'a>) -> Result<Self, Violation> {
        let flags = check_flags(reader.u8("the connect flags")?, version)?;
        let keep_alive = reader.u16("the keep alive")?;
        let properties = block(&mut reader, version)?;
        let mut maximum_packet_size = None;
        let mut enhanced_auth = false;
        for property in Properties::new(properties, Place::Connect) {
            match property.map(|p| (p.id, p.value))? {
                (MAXIMUM_PACKET_SIZE, Value::Number(size)) => maximum_packet_size = Some(size),
                (AUTHENTICATION_METHOD, _) => enhanced_auth = true,
                _ => {}
            }
        }
        let client_id = reader.text("the client identifier")?;
        let will = if flags & WILL != 0 {
            Some(Will::read(&mut reader, version)?)
        } else {
            None
        };
        // In MQTT 3.1 the remaining length takes precedence over these two flags (3.1: §3.1).
        let missing = |reader: &Reader<'_>| version == Version::V31 && reader.is_empty();
        let username = if flags & USERNAME != 0 && !missing(&reader) {
            Some(reader.text("the user name")?)
        } else {
            None
        };
        let password = if flags & PASSWORD != 0 && !missing(&reader) {
            Some(reader.binary("the password")?)
        } else {
            None
        };
        if !reader.is_empty() {
            return Err(Violation::Trailing(reader.rest().len()));
        }
        Ok(Self {
            version,
            clean: flags & CLEAN != 0,
            keep_alive,
            client_id,
            username,
            password,
            maximum_packet_size,
            enhanced_auth,
            will,
            will_qos_retain: flags & (WILL_QOS | WILL_RETAIN),
            properties,
        })
    }

    /// The same with another client identifier, of at most 65,535 bytes.
    #[must_use]
    pub fn with_client_id<'b>(&self, client_id: &'b str) -> Connect<'b>
    where
        'a: 'b,
    {
        Connect {
            client_id,
            ..self.clone()
        }
    }

    /// Whether the device left a will.
    #[must_use]
    pub fn has_will(&self) -> bool {
        self.will.is_some()
    }

    /// The same client as one of MQTT 3.1.1 that leaves no will. Only for a CONNECT of 3.1 or 3.1.1: the
    /// properties of MQTT 5 are not carried over.
    #[must_use]
    pub fn into_311_without_will(self) -> Self {
        Self {
            version: Version::V311,
            will: None,
            will_qos_retain: 0,
            properties: &[],
            ..self
        }
    }

    /// The packet for the broker: `login` put in, the will's topics rewritten, all else as it was.
    ///
    /// # Errors
    /// [`Violation::RewrittenTopic`] if a topic of the will becomes too long.
    pub fn patched(&self, login: Login<'_>, rewrite: &impl TopicRewrite) -> Result<Vec<u8>, Violation> {
        let (username, password) = match login {
            Login::PassThrough => (self.username, self.password),
            Login::Fixed { username, password } => (self.permitted_username(username, password), password),
        };
        let mut body = Vec::with_capacity(128);
        self.push_variable_header(&mut body, username.is_some(), password.is_some());
        push_binary(&mut body, self.client_id.as_bytes());
        if let Some(will) = &self.will {
            will.push(&mut body, self.version, rewrite)?;
        }
        if let Some(username) = username {
            push_binary(&mut body, username.as_bytes());
        }
        if let Some(password) = password {
            push_binary(&mut body, password);
        }
        let mut packet = Vec::with_capacity(body.len() + 5);
        packet.push(0x10);
        push_varint(&mut packet, body.len());
        packet.extend_from_slice(&body);
        Ok(packet)
    }

    /// Before MQTT 5 a password may not come without a user name ([3.1.1: MQTT-3.1.2-22]); an empty one will do.
    fn permitted_username<'l>(&self, username: Option<&'l str>, password: Option<&[u8]>) -> Option<&'l str> {
        let needed = password.is_some() && self.version != Version::V5;
        username.or(needed.then_some(""))
    }

    fn push_variable_header(&self, body: &mut Vec<u8>, username: bool, password: bool) {
        let (name, level) = match self.version {
            Version::V31 => ("MQIsdp", 3),
            Version::V311 => ("MQTT", 4),
            Version::V5 => ("MQTT", 5),
        };
        let set = |on: bool, flag: u8| if on { flag } else { 0 };
        push_binary(body, name.as_bytes());
        body.push(level);
        body.push(
            set(username, USERNAME)
                | set(password, PASSWORD)
                | self.will_qos_retain
                | set(self.will.is_some(), WILL)
                | set(self.clean, CLEAN),
        );
        body.extend_from_slice(&self.keep_alive.to_be_bytes());
        if self.version == Version::V5 {
            push_varint(body, self.properties.len());
            body.extend_from_slice(self.properties);
        }
    }
}

impl std::fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("clean", &self.clean)
            .field("keep_alive", &self.keep_alive)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("password", &self.password.map(|_| "hidden"))
            .finish_non_exhaustive()
    }
}

impl<'a> Will<'a> {
    fn read(reader: &mut Reader<'a>, version: Version) -> Result<Self, Violation> {
        let properties = block(reader, version)?;
        for property in Properties::new(properties, Place::Will) {
            property?;
        }
        let topic = topic_name(reader.binary("the will topic")?, version)?;
        if topic.is_empty() {
            return Err(Violation::EmptyTopic);
        }
        Ok(Self {
            properties,
            topic,
            payload: reader.binary("the will payload")?,
        })
    }

    fn push(
        &self,
        out: &mut Vec<u8>,
        version: Version,
        rewrite: &impl TopicRewrite,
    ) -> Result<(), Violation> {
        if version == Version::V5 {
            push_properties(out, self.properties, Place::Will, rewrite)?;
        }
        if !push_rewritten(out, |out| rewrite.topic_name(self.topic, out))? {
            push_binary(out, self.topic.as_bytes());
        }
        push_binary(out, self.payload);
        Ok(())
    }
}

fn protocol(reader: &mut Reader<'_>) -> Result<Version, ConnectError> {
    let malformed = |violation| ConnectError::Malformed {
        version: None,
        violation,
    };
    let name = reader.binary("the protocol name").map_err(malformed)?;
    let level = reader.u8("the protocol level").map_err(malformed)?;
    match (name, level) {
        (b"MQIsdp", 3) => Ok(Version::V31),
        (b"MQTT", 4) => Ok(Version::V311),
        (b"MQTT", 5) => Ok(Version::V5),
        _ => {
            let name = String::from_utf8_lossy(&name[..name.len().min(32)]).into_owned();
            Err(ConnectError::Protocol { name, level })
        }
    }
}

/// The property block of an MQTT 5 packet; empty for the others.
pub(super) fn block<'a>(reader: &mut Reader<'a>, version: Version) -> Result<&'a [u8], Violation> {
    if version != Version::V5 {
        return Ok(&[]);
    }
    let len = reader.varint("the property length")?;
    reader.take(len, "the properties")
}

/// Reserved bit, will bits without a will, QoS 3, password without user name (§3.1.2.3 to §3.1.2.9).
fn check_flags(flags: u8, version: Version) -> Result<u8, Violation> {
    let reserved = flags & 1 != 0 && version != Version::V31;
    let will = match flags & WILL {
        0 => flags & (WILL_QOS | WILL_RETAIN) != 0 && version != Version::V31,
        _ => flags & WILL_QOS == WILL_QOS,
    };
    let password = flags & PASSWORD != 0 && flags & USERNAME == 0 && version != Version::V5;
    if reserved || will || password {
        Err(Violation::ConnectFlags(flags))
    } else {
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::Unchanged;

    fn packet(name: &str, level: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        push_binary(&mut body, name.as_bytes());
        body.extend_from_slice(&[level, flags, 0, 60]);
        body.extend_from_slice(rest);
        let mut packet = vec![0x10];
        push_varint(&mut packet, body.len());
        packet.extend_from_slice(&body);
        packet
    }

    #[test]
    fn what_is_not_changed_is_the_same_packet_again() {
        let v5 = [
            3, 0x21, 0, 10, 0, 1, b'c', 5, 0x18, 0, 0, 0, 9, 0, 1, b'w', 0, 2, 0xff, 0, 0, 1, b'u', 0, 1,
            0xfe,
        ];
        for packet in [
            packet("MQIsdp", 3, 0x02, b"\0\x01c"),
            packet("MQTT", 4, 0x00, b"\0\x01c"),
            packet("MQTT", 4, 0xc6, b"\0\x01c\0\x01w\0\0\0\x01u\0\x02\xff\xfe"),
            packet("MQTT", 5, 0xf6, &v5),
            packet("MQTT", 5, 0x40, b"\0\0\x01c\0\x01p"),
        ] {
            let connect = Connect::parse(&packet).unwrap();
            assert_eq!(connect.patched(Login::PassThrough, &Unchanged).unwrap(), packet);
        }
    }

    #[test]
    fn mqtt_31_becomes_311_and_loses_its_will_and_nothing_else() {
        for (name, level) in [("MQIsdp", 3), ("MQTT", 4)] {
            for (flags, rest) in [
                (0xf6, &b"\0\x01c\0\x01w\0\x01m\0\x01u\0\x02\xff\xfe"[..]),
                (0xc2, b"\0\x01c\0\x01u\0\x02\xff\xfe"),
            ] {
                let packet = packet(name, level, flags, rest);
                let connect = Connect::parse(&packet).unwrap().into_311_without_will();
                let patched = connect.patched(Login::PassThrough, &Unchanged).unwrap();
                assert_eq!(
                    patched,
                    self::packet("MQTT", 4, 0xc2, b"\0\x01c\0\x01u\0\x02\xff\xfe")
                );
            }
        }
    }

    #[test]
    fn a_login_is_put_in_and_taken_out() {
        let with = packet("MQTT", 4, 0xc2, b"\0\x01c\0\x01u\0\x01p");
        let connect = Connect::parse(&with).unwrap();
        let none = connect
            .patched(
                Login::Fixed {
                    username: None,
                    password: None,
                },
                &Unchanged,
            )
            .unwrap();
        assert_eq!(none, packet("MQTT", 4, 0x02, b"\0\x01c"));
        let fixed = Login::Fixed {
            username: Some("U"),
            password: Some(b"P"),
        };
        let patched = Connect::parse(&none).unwrap().patched(fixed, &Unchanged).unwrap();
        assert_eq!(patched, packet("MQTT", 4, 0xc2, b"\0\x01c\0\x01U\0\x01P"));
    }

    #[test]
    fn another_client_identifier_changes_nothing_else() {
        let with = |id: &[u8]| {
            let will_and_login = b"\0\x01w\0\0\0\x01u\0\x01p";
            packet(
                "MQTT",
                4,
                0xc6,
                &[&[0, id.len() as u8], id, will_and_login].concat(),
            )
        };
        let old = with(b"device");
        let connect = Connect::parse(&old).unwrap();
        let patched = connect
            .with_client_id("keys/device")
            .patched(Login::PassThrough, &Unchanged);
        assert_eq!(patched.unwrap(), with(b"keys/device"));
    }

    #[test]
    fn a_password_alone_gets_an_empty_user_name_where_the_version_demands_one() {
        let only = Login::Fixed {
            username: None,
            password: Some(b"P"),
        };
        let v311 = packet("MQTT", 4, 0x02, b"\0\x01c");
        let patched = Connect::parse(&v311).unwrap().patched(only, &Unchanged).unwrap();
        assert_eq!(patched, packet("MQTT", 4, 0xc2, b"\0\x01c\0\0\0\x01P"));
        let v5 = packet("MQTT", 5, 0x02, b"\0\0\x01c");
        let patched = Connect::parse(&v5).unwrap().patched(only, &Unchanged).unwrap();
        assert_eq!(patched, packet("MQTT", 5, 0x42, b"\0\0\x01c\0\x01P"));
    }

    #[test]
    fn other_protocols_are_named() {
        for (name, level) in [
            ("MQTT", 3),
            ("MQTT", 6),
            ("MQIsdp", 4),
            ("mqtt", 4),
            ("MQTT", 0x84),
        ] {
            let error = Connect::parse(&packet(name, level, 2, b"\0\x01c")).unwrap_err();
            assert_eq!(
                error,
                ConnectError::Protocol {
                    name: name.into(),
                    level
                }
            );
        }
    }

    #[test]
    fn illegal_packets_are_refused_by_what_is_wrong_with_them() {
        use Violation as V;
        for (packet, expected) in [
            (packet("MQTT", 4, 0x03, b"\0\x01c"), V::ConnectFlags(0x03)),
            (
                packet("MQTT", 4, 0x1e, b"\0\x01c\0\x01w\0\0"),
                V::ConnectFlags(0x1e),
            ),
            (packet("MQTT", 4, 0x0a, b"\0\x01c"), V::ConnectFlags(0x0a)),
            (packet("MQTT", 5, 0x22, b"\0\0\x01c"), V::ConnectFlags(0x22)),
            (packet("MQTT", 4, 0x42, b"\0\x01c\0\x01p"), V::ConnectFlags(0x42)),
            (
                packet("MQTT", 4, 0x02, b"\0\x02c"),
                V::Truncated("the client identifier"),
            ),
            (packet("MQTT", 4, 0x02, b"\0\x01cx"), V::Trailing(1)),
            (
                packet("MQTT", 4, 0x02, b"\0\x01\xff"),
                V::Text("the client identifier"),
            ),
            (
                packet("MQTT", 4, 0x02, b"\0\x01\0"),
                V::Text("the client identifier"),
            ),
            (
                packet("MQTT", 4, 0x06, b"\0\x01c\0\x01#\0\0"),
                V::WildcardInTopic("#".into()),
            ),
            (packet("MQTT", 4, 0x06, b"\0\x01c\0\0\0\0"), V::EmptyTopic),
            (packet("MQTT", 4, 0x82, b"\0\x01c"), V::Truncated("the user name")),
            (
                packet("MQTT", 5, 0x02, b"\x02\x01\x01\0\x01c"),
                V::Property {
                    id: 1,
                    place: "CONNECT",
                },
            ),
            (
                packet("MQTT", 5, 0x02, b"\x06\x21\0\x01\x21\0\x01\0\x01c"),
                V::DuplicateProperty(0x21),
            ),
            (
                packet("MQTT", 5, 0x02, b"\x03\x21\0\0\0\x01c"),
                V::PropertyValue(0x21),
            ),
            (
                packet("MQTT", 5, 0x02, b"\x7f\0\x01c"),
                V::Truncated("the properties"),
            ),
        ] {
            let error = Connect::parse(&packet).unwrap_err();
            let ConnectError::Malformed { violation, version } = error else {
                panic!("{error}")
            };
            assert_eq!(violation, expected, "{packet:02x?}");
            assert!(version.is_some());
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let packet = packet("MQTT", 4, 0xc2, b"\0\x01c\0\x01u\0\x06secret");
        let text = format!("{:?}", Connect::parse(&packet).unwrap());
        assert!(text.contains("hidden") && !text.contains("secret"), "{text}");
    }
}
