//! What is in the messages, so that whoever gets them sees one that is missing, doubled, late or damaged.

/// Bytes of a payload.
pub const LENGTH: usize = 64;

/// The payload of one sender's next message: who, which, and bytes that follow from who.
#[derive(Debug)]
pub struct Payload([u8; LENGTH]);

impl Payload {
    pub fn of(device: u64) -> Self {
        let mut bytes = [0; LENGTH];
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = (n as u64 * 131 + device * 7) as u8;
        }
        bytes[..4].copy_from_slice(&(device as u32).to_be_bytes());
        bytes[4..8].copy_from_slice(&[0; 4]);
        Self(bytes)
    }

    pub fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    pub fn number(&self) -> u32 {
        u32::from_be_bytes([self.0[4], self.0[5], self.0[6], self.0[7]])
    }

    pub fn advance(&mut self) {
        let next = self.number() + 1;
        self.0[4..8].copy_from_slice(&next.to_be_bytes());
    }
}

/// What has to arrive on one connection.
#[derive(Debug)]
pub struct Expected {
    topic: Vec<u8>,
    payload: Payload,
}

impl Expected {
    pub fn new(topic: String, device: u64) -> Self {
        Self {
            topic: topic.into_bytes(),
            payload: Payload::of(device),
        }
    }

    pub fn is_topic(&self, topic: &[u8]) -> bool {
        topic == self.topic
    }

    /// Whether this is the next message, byte for byte.
    pub fn arrived(&mut self, topic: &[u8], payload: &[u8]) -> Result<(), String> {
        if topic != self.topic || payload != self.payload.bytes() {
            return Err(format!(
                "message {} of {} is not what was sent: topic {}, payload {payload:02x?}",
                self.payload.number(),
                String::from_utf8_lossy(&self.topic),
                String::from_utf8_lossy(topic),
            ));
        }
        self.payload.advance();
        Ok(())
    }

    /// How many have arrived.
    pub fn count(&self) -> u64 {
        self.payload.number().into()
    }
}

/// The payload of a large message: a block over and over. Its length is a prime, so that a piece lost or doubled
/// shows wherever reads end.
#[derive(Debug)]
pub struct LargePayload(Vec<u8>);

impl Default for LargePayload {
    fn default() -> Self {
        let bytes = (0..1_000_003_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8);
        Self(bytes.collect())
    }
}

impl LargePayload {
    /// As much as there is in one piece from an offset.
    pub fn at(&self, offset: usize) -> &[u8] {
        &self.0[offset % self.0.len()..]
    }

    pub fn holds(&self, mut offset: usize, mut piece: &[u8]) -> bool {
        while !piece.is_empty() {
            let block = self.at(offset);
            let length = piece.len().min(block.len());
            if piece[..length] != block[..length] {
                return false;
            }
            (offset, piece) = (offset + length, &piece[length..]);
        }
        true
    }
}
