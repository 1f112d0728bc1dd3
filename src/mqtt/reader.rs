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
