//! Reads the data types of §1.5 from a slice.

use super::Violation;

/// A position in a packet. Every read names the field, so that an error can.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.at
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Everything not read yet, without reading it.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    #[inline]
    pub(super) fn take(&mut self, n: usize, field: &'static str) -> Result<&'a [u8], Violation> {
        let taken = self.rest().get(..n).ok_or(Violation::Truncated(field))?;
        self.at += n;
        Ok(taken)
    }

    #[inline]
    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, Violation> {
        Ok(self.take(1, field)?[0])
    }

    #[inline]
    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, Violation> {
        let bytes = self.take(2, field)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, Violation> {
        let b = self.take(4, field)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// Binary Data (§1.5.6).
    #[inline]
    pub(super) fn binary(&mut self, field: &'static str) -> Result<&'a [u8], Violation> {
        let len = self.u16(field)?;
        self.take(usize::from(len), field)
    }

    /// UTF-8 Encoded String (§1.5.4).
    #[inline]
    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a str, Violation> {
        text(self.binary(field)?, field)
    }

    /// Variable Byte Integer in its shortest form ([MQTT-1.5.5-1]).
    #[inline]
    pub(super) fn varint(&mut self, field: &'static str) -> Result<usize, Violation> {
        let mut value = 0;
        for i in 0..4 {
            let byte = self.u8(field)?;
            value |= usize::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                let padded = i > 0 && byte == 0;
                return if padded {
                    Err(Violation::Varint(field))
                } else {
                    Ok(value)
                };
            }
        }
        Err(Violation::Varint(field))
    }
}

/// Checks a UTF-8 Encoded String: well-formed, without U+0000 ([MQTT-1.5.4-1], [MQTT-1.5.4-2]).
#[inline]
pub(super) fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, Violation> {
    match std::str::from_utf8(bytes) {
        Ok(text) if memchr::memchr(0, bytes).is_none() => Ok(text),
        _ => Err(Violation::Text(field)),
    }
}

/// Appends Binary Data or a UTF-8 Encoded String. `bytes` came from a field of at most 65,535 bytes.
pub(super) fn push_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() <= usize::from(u16::MAX));
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a string whose value `write` appends, returning `true`. If it returns `false` nothing is
/// appended. Returns whether the string was rewritten.
#[inline]
pub(super) fn push_rewritten(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> bool,
) -> Result<bool, Violation> {
    let start = out.len();
    out.resize(start + 2, 0);
    if !write(out) {
        out.truncate(start);
        return Ok(false);
    }
    let len = out.len() - start - 2;
    let prefix = u16::try_from(len).map_err(|_| Violation::RewrittenTopic(len))?;
    out[start..start + 2].copy_from_slice(&prefix.to_be_bytes());
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_where_it_stands() {
        let bytes = [7, 1, 2, 0, 0, 1, 0, 0, 2, b'o', b'k', 0, 1, 0xff, 0x80, 0x01, 9];
        let mut r = Reader::new(&bytes);
        assert_eq!(r.u8("a"), Ok(7));
        assert_eq!(r.u16("b"), Ok(0x0102));
        assert_eq!(r.u32("c"), Ok(0x0000_0100));
        assert_eq!(r.text("d"), Ok("ok"));
        assert_eq!(r.binary("e"), Ok(&[0xff][..]));
        assert_eq!(r.varint("f"), Ok(128));
        assert_eq!((r.position(), r.rest(), r.is_empty()), (16, &[9][..], false));
    }

    #[test]
    fn a_read_over_the_end_names_the_field_and_takes_nothing() {
        let mut r = Reader::new(&[0, 3, b'a']);
        assert_eq!(r.clone().text("the name"), Err(Violation::Truncated("the name")));
        assert_eq!(r.u32("the number"), Err(Violation::Truncated("the number")));
        assert_eq!(r.position(), 0);
    }

    #[test]
    fn a_varint_is_read_at_its_edges_and_only_in_its_shortest_form() {
        for (bytes, expected) in [
            (&[0][..], Ok(0)),
            (&[0x7f], Ok(127)),
            (&[0x80, 0x01], Ok(128)),
            (&[0xff, 0xff, 0xff, 0x7f], Ok(268_435_455)),
            (&[0x80, 0x00], Err(Violation::Varint("n"))),
            (&[0xff, 0xff, 0x00], Err(Violation::Varint("n"))),
            (&[0xff, 0xff, 0xff, 0xff, 0x01], Err(Violation::Varint("n"))),
            (&[0x80], Err(Violation::Truncated("n"))),
        ] {
            assert_eq!(Reader::new(bytes).varint("n"), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn what_is_not_rewritten_leaves_no_trace() {
        let mut out = vec![1];
        assert_eq!(push_rewritten(&mut out, |_| false), Ok(false));
        assert_eq!(out, [1]);
        let write = |out: &mut Vec<u8>| {
            out.push(b'x');
            true
        };
        assert_eq!(push_rewritten(&mut out, write), Ok(true));
        assert_eq!(out, [1, 0, 1, b'x']);
    }

    #[test]
    fn a_string_over_65535_bytes_is_refused_with_its_size() {
        let write = |n: usize| {
            push_rewritten(&mut Vec::new(), |out| {
                out.resize(out.len() + n, b'x');
                true
            })
        };
        assert_eq!(write(65_535), Ok(true));
        assert_eq!(write(65_536), Err(Violation::RewrittenTopic(65_536)));
    }
}
