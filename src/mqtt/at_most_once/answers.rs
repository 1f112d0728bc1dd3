//! PUBACK, PUBREC and PUBCOMP on their way to the device.

use crate::mqtt::PacketType;

/// Answers in the order of what they answer. Those to packets that the broker's socket has not taken yet wait.
#[derive(Debug, Default)]
pub(super) struct Answers {
    bytes: Vec<u8>,
    /// How many of the bytes may go.
    released: usize,
}

/// An answer of the receiver of a message (MQTT 3.1.1 §3.4, §3.5, §3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// To a QoS 1 PUBLISH.
    Puback(u16),
    /// To a QoS 2 PUBLISH.
    Pubrec(u16),
    /// To a PUBREL.
    Pubcomp(u16),
}

impl Answer {
    fn packet(self) -> [u8; 4] {
        let (packet, id) = match self {
            Self::Puback(id) => (PacketType::Puback, id),
            Self::Pubrec(id) => (PacketType::Pubrec, id),
            Self::Pubcomp(id) => (PacketType::Pubcomp, id),
        };
        let [high, low] = id.to_be_bytes();
        [(packet as u8) << 4, 2, high, low]
    }
}

impl Answers {
    /// Adds one that has to wait.
    pub(super) fn push(&mut self, answer: Answer) {
        self.bytes.extend_from_slice(&answer.packet());
    }

    /// Lets those go that are there now.
    pub(super) fn release(&mut self) {
        self.released = self.bytes.len();
    }

    /// Bytes of all, waiting or not.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What may go, packet by packet.
    pub(super) fn may_go(&self) -> &[u8] {
        &self.bytes[..self.released]
    }

    /// Takes out what may go.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let released = std::mem::take(&mut self.released);
        if released == self.bytes.len() {
            std::mem::take(&mut self.bytes)
        } else {
            self.bytes.drain(..released).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_released_goes_and_in_order() {
        let mut answers = Answers::default();
        answers.push(Answer::Puback(1));
        answers.push(Answer::Pubrec(0x0203));
        assert!(answers.may_go().is_empty());
        answers.release();
        answers.push(Answer::Pubcomp(4));
        assert_eq!(answers.len(), 12);
        assert_eq!(answers.take(), [0x40, 2, 0, 1, 0x50, 2, 2, 3]);
        assert!(answers.take().is_empty());
        answers.release();
        assert_eq!(answers.take(), [0x70, 2, 0, 4]);
        assert_eq!(answers.bytes.capacity(), 0, "an idle connection holds no memory");
    }
}
