//! A message, between the broker and the queue.

use jiff::Timestamp;

/// A message as the notifier sees it.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    /// 0 for quality of service 0.
    pub(super) packet_id: u16,
    /// It may have come before.
    pub(super) duplicate: bool,
    /// The broker had kept it.
    pub(super) retained: bool,
    /// The subscriptions that it came through, if the broker says.
    pub(super) subscriptions: Vec<usize>,
    pub(super) time: Timestamp,
}

/// What people are told of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Published<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) time: Timestamp,
}

impl Message {
    pub(super) fn published(&self) -> Published<'_> {
        Published {
            topic: &self.topic,
            payload: &self.payload,
            time: self.time,
        }
    }
}
