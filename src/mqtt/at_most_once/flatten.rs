//! What a device sends, checked and its topics done, made MQTT 3.1.1 at QoS 0.

use super::answers::{Answer, Answers};
use super::unreleased::Unreleased;
use crate::mqtt::frame::{FixedHeader, push_varint};
use crate::mqtt::reader::{Reader, push_binary};
use crate::mqtt::{PacketType, Violation, publish};

/// Takes what [`crate::mqtt::Uplink`] passes: packets that are legal, of which fixed headers, heads of PUBLISH
/// and whole SUBSCRIBE packets are never cut.
#[derive(Debug, Default)]
pub(super) struct Flatten {
    state: State,
    /// [3.1.1: MQTT-4.3.3-2].
    unreleased: Unreleased,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Boundary,
    /// Inside a packet of which this much is to come.
    Body { left: usize, rest: Rest },
    /// Inside a PUBREL, with the first byte of its packet identifier where that has come.
    Pubrel { high: Option<u8> },
}

/// What becomes of the rest of a packet, and what is to be done at its end.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// The broker gets it.
    Forwarded {
        packet: PacketType,
        answer: Option<Answer>,
    },
    /// The broker has had this QoS 2 message: only the device gets an answer, once more.
    Duplicate { answer: Answer },
}

/// What became of some bytes.
#[derive(Debug, Default)]
pub(super) struct Flattened {
    /// Requests from the device whose last byte was there.
    pub(super) received: u32,
    /// Requests whose last byte was passed on.
    pub(super) requests: u32,
    pub(super) violation: Option<Violation>,
}

impl Flatten {
    /// Appends what the broker shall see of `bytes` to `out`, and the answers to it to `answers`.
    pub(super) fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>, answers: &mut Answers) -> Flattened {
        let mut run = Run {
            rest: bytes,
            out,
            answers,
            done: Flattened::default(),
        };
        run.done.violation = self.advance(&mut run).err();
        run.done
    }

    fn advance(&mut self, run: &mut Run<'_>) -> Result<(), Violation> {
        while !run.rest.is_empty() {
            match &mut self.state {
                State::Boundary => self.begin(run)?,
                State::Body { left, rest } => {
                    let there = run.take((*left).min(run.rest.len()));
                    *left -= there.len();
                    if let Rest::Forwarded { .. } = rest {
                        run.out.extend_from_slice(there);
                    }
                    if *left == 0 {
                        run.end(*rest);
                        self.state = State::Boundary;
                    }
                }
                State::Pubrel { high: high @ None } => *high = Some(run.take(1)[0]),
                State::Pubrel { high: Some(high) } => {
                    let id = u16::from_be_bytes([*high, run.take(1)[0]]);
                    self.state = State::Boundary;
                    self.released(id, run)?;
                }
            }
        }
        Ok(())
    }

    /// Goes on with the packet at the start of the rest.
    fn begin(&mut self, run: &mut Run<'_>) -> Result<(), Violation> {
        let header = FixedHeader::parse(run.rest)?.ok_or(Violation::Truncated("the fixed header"))?;
        let rest = match header.packet {
            PacketType::Publish => return self.publish(&header, run),
            PacketType::Subscribe => return subscribe(&header, run),
            PacketType::Pubrel => {
                run.take(header.len);
                self.state = State::Pubrel { high: None };
                return Ok(());
            }
            packet => Rest::Forwarded { packet, answer: None },
        };
        // MQTT 3.1 leaves flags to the device that 3.1.1 fixes ([3.1.1: MQTT-2.2.2-1]).
        let flags = if header.packet == PacketType::Unsubscribe {
            2
        } else {
            0
        };
        run.push_header(header.packet, flags, header.remaining);
        run.take(header.len);
        self.enter(header.remaining, rest, run);
        Ok(())
    }

    /// A PUBLISH loses its packet identifier, QoS and DUP and keeps RETAIN (MQTT 3.1.1 §3.3.1).
    fn publish(&mut self, header: &FixedHeader, run: &mut Run<'_>) -> Result<(), Violation> {
        let len = publish::head_len(header, run.rest, false)?;
        if len > run.rest.len() {
            return Err(Violation::Truncated("the topic name"));
        }
        let head = run.take(len);
        let (topic, id) = match header.qos() {
            0 => (&head[header.len..], None),
            qos => {
                let (head, id) = head.split_at(len - 2);
                let id = u16::from_be_bytes([id[0], id[1]]);
                (&head[header.len..], Some((qos, id)))
            }
        };
        let rest = match id {
            Some((2, id)) if !self.unreleased.insert(id) => Rest::Duplicate {
                answer: Answer::Pubrec(id),
            },
            other => Rest::Forwarded {
                packet: PacketType::Publish,
                answer: other.map(|(qos, id)| match qos {
                    1 => Answer::Puback(id),
                    _ => Answer::Pubrec(id),
                }),
            },
        };
        let payload = header.total() - len;
        if let Rest::Forwarded { .. } = rest {
            run.push_header(PacketType::Publish, header.first & 1, topic.len() + payload);
            run.out.extend_from_slice(topic);
        }
        self.enter(payload, rest, run);
        Ok(())
    }

    fn enter(&mut self, left: usize, rest: Rest, run: &mut Run<'_>) {
        if left == 0 {
            run.end(rest);
        } else {
            self.state = State::Body { left, rest };
        }
    }

    /// A PUBREL is answered whether its message is known or not ([3.1.1: MQTT-4.3.3-2]).
    fn released(&mut self, id: u16, run: &mut Run<'_>) -> Result<(), Violation> {
        if id == 0 {
            return Err(Violation::PacketId(PacketType::Pubrel));
        }
        self.unreleased.remove(id);
        run.answers.push(Answer::Pubcomp(id));
        Ok(())
    }
}

/// A SUBSCRIBE asks for QoS 0 under every filter.
fn subscribe(header: &FixedHeader, run: &mut Run<'_>) -> Result<(), Violation> {
    const WHOLE: Violation = Violation::Truncated("SUBSCRIBE");
    let packet = run.rest.get(..header.total()).ok_or(WHOLE)?;
    run.take(packet.len());
    run.push_header(PacketType::Subscribe, 2, header.remaining);
    let mut reader = Reader::new(&packet[header.len..]);
    run.out
        .extend_from_slice(reader.take(2, "the packet identifier")?);
    while !reader.is_empty() {
        push_binary(run.out, reader.binary("a topic filter")?);
        reader.u8("the requested QoS")?;
        run.out.push(0);
    }
    run.end(Rest::Forwarded {
        packet: PacketType::Subscribe,
        answer: None,
    });
    Ok(())
}

/// One call's way through its input.
struct Run<'a> {
    rest: &'a [u8],
    out: &'a mut Vec<u8>,
    answers: &'a mut Answers,
    done: Flattened,
}

impl<'a> Run<'a> {
    /// The next `n` bytes, of which there are as many.
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        taken
    }

    fn push_header(&mut self, packet: PacketType, flags: u8, remaining: usize) {
        self.out.push((packet as u8) << 4 | flags);
        push_varint(self.out, remaining);
    }

    /// A packet's last byte was there.
    fn end(&mut self, rest: Rest) {
        let (packet, forwarded, answer) = match rest {
            Rest::Forwarded { packet, answer } => (packet, true, answer),
            Rest::Duplicate { answer } => (PacketType::Publish, false, Some(answer)),
        };
        // Version 201509 counts PINGREQ too.
        let counted = packet.is_request() || packet == PacketType::Pingreq;
        self.done.received += u32::from(counted);
        self.done.requests += u32::from(counted && forwarded);
        if let Some(answer) = answer {
            self.answers.push(answer);
        }
    }
}
