//! How much of a stream is read at once.

/// Room for the largest portion.
pub(super) const LARGEST: usize = 64 * 1024;
/// Where packets are the smallest, the largest portion may hold 30,000 of them, and a device that floods its worker
/// with such would hold up the others for a millisecond at each of its turns.
const OF_SMALL_PACKETS: usize = 2 * 1024;
/// Up to this many bytes on average, packets are small.
const SMALL_PACKET: usize = 32;

/// What the next read takes at most, by what the one before it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Portion {
    #[default]
    Large,
    Small,
}

impl Portion {
    /// The one after a read of `len` bytes that ended `requests`.
    #[inline]
    pub(super) fn after(len: usize, requests: u32) -> Self {
        match requests as usize * SMALL_PACKET >= len {
            true => Self::Small,
            false => Self::Large,
        }
    }

    /// In bytes.
    #[inline]
    pub(super) fn size(self) -> usize {
        match self {
            Self::Large => LARGEST,
            Self::Small => OF_SMALL_PACKETS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_packets_are_small_little_is_read() {
        for (len, requests, expected) in [
            (2, 1, 2_048),
            (65_536, 7_281, 2_048),
            (2_048, 227, 2_048),
            (2_048, 64, 2_048),
            (2_048, 40, 65_536),
            (90, 1, 65_536),
            // Only acknowledgements, or part of a large message.
            (65_536, 0, 65_536),
        ] {
            assert_eq!(
                Portion::after(len, requests).size(),
                expected,
                "{requests} in {len} bytes"
            );
        }
    }
}
