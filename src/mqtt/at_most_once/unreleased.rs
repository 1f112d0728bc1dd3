//! Packet identifiers of QoS 2 messages that the device has not released yet.

/// Bits of a word.
const BITS: usize = u64::BITS as usize;
/// Words that have a bit for each identifier.
const WORDS: usize = (1 << 16) / BITS;

/// The identifiers: nothing while there is none, else 8 KiB, however many a device leaves unreleased.
#[derive(Debug, Default)]
pub(super) struct Unreleased {
    words: Option<Box<[u64; WORDS]>>,
    len: usize,
}

impl Unreleased {
    /// Adds `id`; whether it was not there.
    pub(super) fn insert(&mut self, id: u16) -> bool {
        let words = self.words.get_or_insert_with(|| Box::new([0; WORDS]));
        let (word, bit) = place(id);
        let is_new = words[word] & bit == 0;
        words[word] |= bit;
        self.len += usize::from(is_new);
        is_new
    }

    /// Takes `id` out, where it is there.
    pub(super) fn remove(&mut self, id: u16) {
        let Some(words) = &mut self.words else { return };
        let (word, bit) = place(id);
        self.len -= usize::from(words[word] & bit != 0);
        words[word] &= !bit;
        if self.len == 0 {
            self.words = None;
        }
    }
}

fn place(id: u16) -> (usize, u64) {
    let id = usize::from(id);
    (id / BITS, 1 << (id % BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_there_from_its_message_to_its_release_and_then_nothing_is_held() {
        let mut unreleased = Unreleased::default();
        for id in [1, 63, 64, 65, 65_535] {
            assert!(unreleased.insert(id), "{id}");
            assert!(!unreleased.insert(id), "{id}");
        }
        unreleased.remove(2);
        for id in [65_535, 64, 1, 65] {
            unreleased.remove(id);
            unreleased.remove(id);
            assert!(unreleased.insert(id));
            unreleased.remove(id);
            assert!(unreleased.words.is_some());
        }
        assert!(!unreleased.insert(63));
        unreleased.remove(63);
        assert!(unreleased.words.is_none());
    }
}
