//! How much of a stream is read at once.

/// Room for the largest portion.
pub(super) const LARGEST: usize = 64 * KIB;
const KIB: usize = 1024;
/// Where pieces (packets, properties, filters) are the smallest, the largest portion may hold 30,000 of them, and a
/// device that floods its worker with such would hold up the others for a millisecond at each of its turns.
const OF_SMALL_PIECES: u8 = 2;
/// Up to this many bytes on average, pieces are small.
const SMALL_PIECE: usize = 32;

/// What the next read takes at most, by what those before it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Portion {
    kib: u8,
    /// Whether the last read held the largest portion, or more: bytes come faster than they are read.
    was_largest: bool,
}

impl Default for Portion {
    fn default() -> Self {
        Self {
            kib: (LARGEST / KIB) as u8,
            was_largest: false,
        }
    }
}

impl Portion {
    /// The one after a read of `len` bytes that were `pieces` of work. Twice as much where they were not small: the
    /// pieces of a packet count when it is whole, so one read without any says little.
    #[inline]
    #[must_use]
    pub(super) fn after(self, len: usize, pieces: u32) -> Self {
        Self {
            kib: match pieces as usize * SMALL_PIECE >= len {
                true => OF_SMALL_PIECES,
                false => (self.kib * 2).min(Self::default().kib),
            },
            was_largest: len >= LARGEST,
        }
    }

    /// Whether the last read held the largest portion, or more.
    #[inline]
    pub(super) fn was_largest(self) -> bool {
        self.was_largest
    }

    /// Whether a read of `len` bytes was all that small pieces may have in a turn.
    #[inline]
    pub(super) fn is_full_of_small(self, len: usize) -> bool {
        self.kib == OF_SMALL_PIECES && len == self.size()
    }

    /// In bytes.
    #[inline]
    pub(super) fn size(self) -> usize {
        usize::from(self.kib) * KIB
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_pieces_are_small_little_is_read() {
        for (len, pieces, expected) in [
            (2, 1, 2_048),
            (65_536, 7_281, 2_048),
            (2_048, 227, 2_048),
            (2_048, 64, 2_048),
            (2_048, 40, 65_536),
            (90, 1, 65_536),
            // Part of a large message.
            (65_536, 0, 65_536),
        ] {
            let next = Portion::default().after(len, pieces).size();
            assert_eq!(next, expected, "{pieces} in {len} bytes");
        }
    }

    #[test]
    fn a_turn_ends_with_a_full_portion_of_small_pieces() {
        let small = Portion::default().after(2_048, 200);
        for (portion, len, expected) in [
            (small, 2_048, true),
            (small, 2_047, false),
            (Portion::default(), LARGEST, false),
        ] {
            assert_eq!(
                portion.is_full_of_small(len),
                expected,
                "{portion:?}, {len} bytes"
            );
        }
    }

    #[test]
    fn after_small_pieces_it_grows_by_and_by() {
        let mut portion = Portion::default().after(2_048, 200);
        let grown = [(); 7].map(|()| {
            portion = portion.after(portion.size(), 0);
            portion.size() / KIB
        });
        assert_eq!(grown, [4, 8, 16, 32, 64, 64, 64]);
    }
}
