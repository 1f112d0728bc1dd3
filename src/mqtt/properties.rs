//! MQTT 5 properties: a walk that checks every one and hands out its raw bytes (§2.2.2).

use super::Violation;
use super::property_table::{
    AUTHENTICATION_DATA, CORRELATION_DATA, MAXIMUM_PACKET_SIZE, MESSAGE_EXPIRY_INTERVAL, Place,
    RECEIVE_MAXIMUM, RESPONSE_TOPIC, SERVER_KEEP_ALIVE, SESSION_EXPIRY_INTERVAL, SUBSCRIPTION_IDENTIFIER,
    TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM, USER_PROPERTY, WILL_DELAY_INTERVAL, is_flag,
};
use super::reader::Reader;
use std::ops::Range;

/// As many properties a block may have where they are read one by one, and filters a packet: each takes the relay
/// some 60 ns, in which no other connection of its worker is served. The specification sets no limit.
pub(super) const MAX_PIECES: usize = 2048;

/// The value of a property, as far as the relay wants to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u32),
    Text(&'a str),
    Bytes,
}

/// One property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property<'a> {
    pub(super) id: u32,
    pub(super) value: Value<'a>,
    /// Where identifier and value stand in the block.
    pub(super) span: Range<usize>,
}

/// The properties of a block (without its length), each checked as it is reached.
pub(super) struct Properties<'a> {
    reader: Reader<'a>,
    place: Place,
    /// One bit an identifier: all of them are below 64.
    seen: u64,
    /// How many more there may be.
    left: usize,
}

impl<'a> Properties<'a> {
    pub(super) fn new(block: &'a [u8], place: Place) -> Self {
        Self {
            reader: Reader::new(block),
            place,
            seen: 0,
            left: MAX_PIECES,
        }
    }

    /// Checks the whole block and looks for one property. Tells how many there are as well.
    pub(super) fn find(
        block: &'a [u8],
        place: Place,
        id: u32,
    ) -> Result<(Option<Property<'a>>, u32), Violation> {
        let (mut found, mut count) = (None, 0);
        for property in Self::new(block, place) {
            let property = property?;
            count += 1;
            if property.id == id {
                found = Some(property);
            }
        }
        Ok((found, count))
    }

    fn read(&mut self) -> Result<Property<'a>, Violation> {
        self.left = self.left.checked_sub(1).ok_or(Violation::TooMany {
            what: "properties",
            place: self.place.name(),
            limit: MAX_PIECES,
        })?;
        let start = self.reader.position();
        let id = u32::try_from(self.reader.varint("property identifier")?).unwrap_or(u32::MAX);
        if !self.place.allows(id) {
            return Err(Violation::Property {
                id,
                place: self.place.name(),
            });
        }
        let once = id != USER_PROPERTY;
        if once && self.seen & (1 << id) != 0 {
            return Err(Violation::DuplicateProperty(id));
        }
        self.seen |= 1 << id;
        let value = self.value(id)?;
        Ok(Property {
            id,
            value,
            span: start..self.reader.position(),
        })
    }

    fn value(&mut self, id: u32) -> Result<Value<'a>, Violation> {
        const FIELD: &str = "a property";
        let r = &mut self.reader;
        let value = match id {
            _ if is_flag(id) => Value::Number(r.u8(FIELD)?.into()),
            SERVER_KEEP_ALIVE | RECEIVE_MAXIMUM | TOPIC_ALIAS_MAXIMUM | TOPIC_ALIAS => {
                Value::Number(r.u16(FIELD)?.into())
            }
            MESSAGE_EXPIRY_INTERVAL | SESSION_EXPIRY_INTERVAL | WILL_DELAY_INTERVAL | MAXIMUM_PACKET_SIZE => {
                Value::Number(r.u32(FIELD)?)
            }
            SUBSCRIPTION_IDENTIFIER => Value::Number(r.varint(FIELD)? as u32),
            CORRELATION_DATA | AUTHENTICATION_DATA => r.binary(FIELD).map(|_| Value::Bytes)?,
            USER_PROPERTY => {
                r.text("a user property")?;
                r.text("a user property")?;
                Value::Bytes
            }
            RESPONSE_TOPIC => Value::Text(r.text("the response topic")?),
            _ => Value::Text(r.text(FIELD)?),
        };
        match (id, value) {
            // Flags are 0 or 1, these numbers are not 0, a response topic has no wildcard.
            (_, Value::Number(2..)) if is_flag(id) => Err(Violation::PropertyValue(id)),
            (
                SUBSCRIPTION_IDENTIFIER | RECEIVE_MAXIMUM | TOPIC_ALIAS | MAXIMUM_PACKET_SIZE,
                Value::Number(0),
            ) => Err(Violation::PropertyValue(id)),
            (RESPONSE_TOPIC, Value::Text(topic)) if topic.contains(['+', '#']) => {
                Err(Violation::wildcard_in(topic))
            }
            _ => Ok(value),
        }
    }
}

impl<'a> Iterator for Properties<'a> {
    type Item = Result<Property<'a>, Violation>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let item = self.read();
        if item.is_err() {
            // An error ends the walk: what follows it cannot be told apart.
            self.reader = Reader::new(&[]);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_the_block_without_a_gap() {
        let block = b"\x01\x01\x26\0\x01k\0\x01v\x08\0\x01r\x23\0\x09";
        let mut at = 0;
        let mut ids = Vec::new();
        for property in Properties::new(block, Place::Publish) {
            let property = property.unwrap();
            assert_eq!(property.span.start, at);
            at = property.span.end;
            ids.push(property.id);
        }
        assert_eq!(
            (at, &ids[..]),
            (block.len(), &[1, USER_PROPERTY, RESPONSE_TOPIC, TOPIC_ALIAS][..])
        );
    }

    #[test]
    fn one_property_is_found_only_if_all_are_right() {
        let (found, count) = Properties::find(b"\x02\0\0\0\x05\x01\0", Place::Will, 0x02).unwrap();
        assert_eq!((found.unwrap().value, count), (Value::Number(5), 2));
        assert_eq!(Properties::find(b"\x01\0", Place::Will, 0x02), Ok((None, 1)));
        let wrong = Properties::find(b"\x02\0\0\0\x05\x01\x02", Place::Will, 0x02);
        assert_eq!(wrong, Err(Violation::PropertyValue(0x01)));
    }

    #[test]
    fn an_error_ends_the_walk() {
        let mut walk = Properties::new(b"\x01\x02\x01\x00", Place::Publish);
        assert!(walk.next().unwrap().is_err());
        assert!(walk.next().is_none());
    }

    #[test]
    fn a_block_has_so_many_properties_and_no_more() {
        let user = [0x26, 0, 1, b'k', 0, 1, b'v'];
        let find = |count| Properties::find(&user.repeat(count), Place::Will, 0x02).map(drop);
        assert_eq!(find(MAX_PIECES), Ok(()));
        let refused = find(MAX_PIECES + 1).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "more than 2048 properties in the will, which the relay reads one by one"
        );
    }
}
