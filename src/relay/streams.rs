//! The two streams of a connection, by the platform version of its entry point. Chosen once, when the
//! connection opens; the steady state is compiled for each.

use crate::mqtt::{AtMostOnce, Downlink, Passed, Scanned, Scratch, TopicRewrite, Uplink, Version};

/// What is done to the bytes of both directions. No I/O.
pub(super) trait Streams {
    /// Whether the relay acknowledges messages itself, so that the broker has to get them whatever ends the
    /// connection.
    const ACKNOWLEDGES: bool = false;

    /// Takes what the device sent and gives what the broker shall see.
    fn up<'a>(&mut self, input: &'a [u8], scratch: &'a mut Scratch) -> Passed<'a>;

    /// Takes what the broker sent and gives what the device shall see. `len` counts bytes of the input.
    fn down<'a>(&mut self, input: &'a [u8], scratch: &'a mut Scratch) -> (&'a [u8], Scanned);

    /// Whether what [`Self::down`] gave ends with a packet.
    fn at_boundary(&self) -> bool;

    /// Whether what [`Self::up`] took ends with a packet.
    fn up_at_boundary(&self) -> bool;

    /// Bytes of the device ahead that [`Self::up`] needs not see.
    #[inline(always)]
    fn up_unseen(&self) -> usize {
        0
    }

    /// So many of them went to the broker.
    fn up_skip(&mut self, _len: usize) {}

    /// Bytes of the broker ahead that [`Self::down`] needs not see.
    #[inline(always)]
    fn down_unseen(&self) -> usize {
        0
    }

    /// So many of them went to the device.
    fn down_skip(&mut self, _len: usize) {}

    /// Everything that [`Self::up`] gave is in the broker's socket.
    #[inline(always)]
    fn broker_has_all(&mut self) {}

    /// Whether the device may be read on.
    #[inline(always)]
    fn has_room(&self) -> bool {
        true
    }

    /// Takes out what the relay itself has to say to the device, behind all that [`Self::down`] gave.
    #[inline(always)]
    fn answers(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

/// Version 201912: what the device sends is what the broker gets, but for topics.
#[derive(Debug)]
pub(super) struct AsSent<R> {
    uplink: Uplink<R>,
    downlink: Downlink,
}

impl<R: TopicRewrite> AsSent<R> {
    pub(super) fn new(version: Version, rewrite: R) -> Self {
        Self {
            uplink: Uplink::new(version, rewrite),
            downlink: Downlink::new(version),
        }
    }
}

impl<R: TopicRewrite> Streams for AsSent<R> {
    #[inline(always)]
    fn up<'a>(&mut self, input: &'a [u8], scratch: &'a mut Scratch) -> Passed<'a> {
        self.uplink.pass(input, scratch)
    }

    #[inline(always)]
    fn down<'a>(&mut self, input: &'a [u8], _: &'a mut Scratch) -> (&'a [u8], Scanned) {
        let scanned = self.downlink.scan(input);
        (&input[..scanned.len], scanned)
    }

    #[inline(always)]
    fn at_boundary(&self) -> bool {
        self.downlink.at_boundary()
    }

    #[inline(always)]
    fn up_at_boundary(&self) -> bool {
        self.uplink.at_boundary()
    }

    #[inline(always)]
    fn up_unseen(&self) -> usize {
        self.uplink.unseen()
    }

    fn up_skip(&mut self, len: usize) {
        self.uplink.skip(len);
    }

    #[inline(always)]
    fn down_unseen(&self) -> usize {
        self.downlink.unseen()
    }

    fn down_skip(&mut self, len: usize) {
        self.downlink.skip(len);
    }
}

/// Version 201509.
impl<R: TopicRewrite> Streams for Box<AtMostOnce<R>> {
    const ACKNOWLEDGES: bool = true;

    fn up<'a>(&mut self, input: &'a [u8], scratch: &'a mut Scratch) -> Passed<'a> {
        (**self).up(input, scratch)
    }

    fn down<'a>(&mut self, input: &'a [u8], scratch: &'a mut Scratch) -> (&'a [u8], Scanned) {
        (**self).down(input, scratch)
    }

    fn at_boundary(&self) -> bool {
        (**self).at_boundary()
    }

    fn up_at_boundary(&self) -> bool {
        (**self).up_at_boundary()
    }

    fn broker_has_all(&mut self) {
        (**self).broker_has_all();
    }

    fn has_room(&self) -> bool {
        (**self).has_room()
    }

    fn answers(&mut self) -> Vec<u8> {
        (**self).answers()
    }
}
