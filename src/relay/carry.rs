//! The steady state of a connection: both directions in one poll, until one of them ends or falls silent.

use super::admission::{Silence, idle_rule};
use super::bypass::{self, Bare, Bypassed};
use super::linger::Lingering;
use super::outbox::Outbox;
use super::portion::{self, Portion};
use super::registry::{Asked, Connection};
use super::streams::Streams;
use super::{Administrative, Ending, journal};
use crate::event_loop::{Order, wake_behind_the_sockets};
use crate::mqtt::Scratch;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Reads of one direction before other connections get their turn.
const TURN: usize = 2;
thread_local! {
    /// What is read goes into the one buffer that a worker's connections share.
    static SCRATCH: RefCell<(Vec<u8>, Scratch)> = RefCell::new((vec![0; portion::LARGEST], Scratch::default()));
}

/// A connection whose CONNACK said yes.
pub(super) struct Carry<D, B, S> {
    device: D,
    broker: B,
    streams: S,
    to_broker: Outbox,
    to_device: Outbox,
    connection: Arc<Connection>,
    /// What the connection will have ended with, once what is on its way has arrived. Boxed, as nearly
    /// always there is none.
    ending: Option<Box<Lingering>>,
    /// How much is read from the device next.
    uplink: Portion,
    /// How much is read from the broker next.
    downlink: Portion,
    /// No more comes from the device.
    device_done: bool,
    /// The device cannot be written to any more.
    device_gone: bool,
    /// The broker cannot be written to any more.
    broker_deaf: bool,
    /// The broker was told that no more comes.
    broker_told: bool,
    /// No more comes from the broker.
    broker_done: bool,
}

impl<D, B, S> Carry<D, B, S>
where
    D: AsyncRead + AsyncWrite + Bare + Unpin,
    B: AsyncRead + AsyncWrite + Bare + Unpin,
    S: Streams,
{
    pub(super) fn new(device: D, broker: B, streams: S, connection: Arc<Connection>) -> Self {
        Self {
            device,
            broker,
            streams,
            to_broker: Outbox::default(),
            to_device: Outbox::default(),
            connection,
            ending: None,
            uplink: Portion::default(),
            downlink: Portion::default(),
            device_done: false,
            device_gone: false,
            broker_deaf: false,
            broker_told: false,
            broker_done: false,
        }
    }

    /// Takes in what came during the handshake: the device's first packets, the broker's CONNACK, and what
    /// the broker sent behind it.
    pub(super) fn take_in(&mut self, from_device: &[u8], connack: &[u8], from_broker: &[u8]) {
        let mut scratch = Scratch::default();
        let passed = self.streams.up(from_device, &mut scratch);
        self.to_broker.hold(passed.bytes, passed.requests);
        self.connection
            .counters
            .from_device(from_device.len(), passed.received);
        journal::requests(&self.connection, "uplink", "device", passed.received);
        let (disconnect, violation) = (passed.disconnect, passed.violation);
        self.after_uplink(disconnect, violation);
        let (bytes, scanned) = self.streams.down(from_broker, &mut scratch);
        self.to_device.hold(connack, 0);
        self.to_device.hold(bytes, scanned.requests);
        self.connection
            .counters
            .from_broker(from_broker.len(), scanned.requests);
        journal::requests(&self.connection, "downlink", "broker", scanned.requests);
        self.after_downlink(scanned.disconnect, scanned.violation);
    }

    /// The connection, as others see it.
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Gives the streams of the device and of the broker. The relay sends no DISCONNECT of its own to a broker:
    /// if the device did not send one, the broker publishes the will.
    pub(super) fn let_go(self) -> (D, B) {
        (self.device, self.broker)
    }

    /// Whether a packet of the relay's own may follow what the device got.
    pub(super) fn at_boundary(&self) -> bool {
        self.streams.at_boundary() && self.to_device.is_clear() && !self.device_gone
    }

    /// Whether no packet is on its way, either way.
    fn between_packets(&self) -> bool {
        self.streams.up_at_boundary() && self.to_broker.is_clear() && self.at_boundary()
    }

    /// An administrator's word comes second to a DISCONNECT that the device has sent already.
    fn ended_by(&mut self, reason: Administrative) -> Ending {
        self.ended(Ending::Administrative(reason))
    }

    /// Both directions.
    #[inline]
    fn poll_both(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        self.poll_up(cx)?;
        let read_on = self.streams.has_room();
        self.poll_down(cx)?;
        if !read_on && self.streams.has_room() {
            // The device took its answers, and nobody waits for its socket yet.
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// Device to broker.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        for _ in 0..TURN {
            if self.broker_deaf {
                return Ok(());
            }
            let sent_before = self.to_broker.sent();
            match self.to_broker.poll_clear(&mut self.broker, cx) {
                Poll::Pending => {
                    if self.to_broker.sent() > sent_before {
                        self.connection.note_alive(Instant::now().into_std());
                    }
                    return Ok(());
                }
                Poll::Ready(Ok(requests)) => self.sent_up(requests),
                Poll::Ready(Err(error)) => {
                    self.broker_is_deaf(error);
                    return Ok(());
                }
            }
            if self.device_done {
                self.poll_tell_broker(cx);
                return Ok(());
            }
            if !self.streams.has_room() {
                return Ok(());
            }
            let Poll::Ready(goes_on) = self.read_up(cx) else {
                return Ok(());
            };
            if !goes_on? {
                break;
            }
        }
        wake_behind_the_sockets(cx.waker(), Order::Last);
        Ok(())
    }

    /// One read from the device, passed on; whether the turn may go on.
    #[inline]
    fn read_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Ending>> {
        if self.uplink.was_largest() && ready!(self.poll_pass_up(cx))? {
            return Poll::Ready(Ok(true));
        }
        SCRATCH.with_borrow_mut(|(input, scratch)| {
            let mut buf = ReadBuf::new(&mut input[..self.uplink.size()]);
            if let Err(error) = ready!(Pin::new(&mut self.device).poll_read(cx, &mut buf)) {
                return Poll::Ready(Err(self.device_lost(error)));
            }
            let input = buf.filled();
            if input.is_empty() {
                self.device_done = true;
                self.end_with(Ending::DeviceClosed);
                return Poll::Ready(Ok(true));
            }
            self.connection.note_alive(Instant::now().into_std());
            let passed = self.streams.up(input, scratch);
            self.connection.counters.from_device(input.len(), passed.received);
            let goes_on = !self.uplink.is_full_of_small(input.len());
            self.uplink = self.uplink.after(input.len(), passed.pieces);
            let sent = self
                .to_broker
                .send(&mut self.broker, cx, passed.bytes, passed.requests);
            let (disconnect, violation) = (passed.disconnect, passed.violation);
            journal::requests(&self.connection, "uplink", "device", passed.received);
            match sent {
                Ok(requests) => self.sent_up(requests),
                Err(error) => self.broker_is_deaf(error),
            }
            self.after_uplink(disconnect, violation);
            Poll::Ready(Ok(goes_on))
        })
    }

    /// Passes bytes on that need not be read, if there are enough of them; whether there were.
    fn poll_pass_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Ending>> {
        let unseen = self.streams.up_unseen();
        let (Some(from), Some(to)) = (self.device.bare(), self.broker.bare()) else {
            return Poll::Ready(Ok(false));
        };
        if unseen < bypass::WORTHWHILE {
            return Poll::Ready(Ok(false));
        }
        let passed = ready!(bypass::poll_pass(from, to, unseen, &mut self.to_broker, cx));
        let Bypassed::Bytes(len, sent) = passed.map_err(|error| self.device_lost(error))? else {
            return Poll::Ready(Ok(false));
        };
        self.connection.note_alive(Instant::now().into_std());
        self.streams.up_skip(len);
        self.connection.counters.from_device(len, 0);
        self.uplink = self.uplink.after(len, 0);
        if let Err(error) = sent {
            self.broker_is_deaf(error);
        }
        Poll::Ready(Ok(true))
    }

    #[inline]
    fn sent_up(&mut self, requests: u32) {
        if self.to_broker.is_clear() {
            self.streams.broker_has_all();
        }
        self.connection.counters.to_broker(requests);
        journal::requests(&self.connection, "uplink", "broker", requests);
    }

    fn after_uplink(&mut self, disconnect: bool, violation: Option<crate::mqtt::Violation>) {
        if disconnect {
            self.device_done = true;
            self.end_with(Ending::DeviceDisconnected);
        }
        if let Some(violation) = violation {
            self.device_done = true;
            self.end_with(Ending::DeviceViolation(violation));
        }
    }

    fn after_downlink(&mut self, disconnect: Option<u8>, violation: Option<crate::mqtt::Violation>) {
        if let Some(violation) = violation {
            self.broker_done = true;
            self.end_with(Ending::BrokerViolation(violation));
        } else if let Some(code) = disconnect {
            // Says more than that the connection broke.
            self.ending
                .take_if(|lingering| matches!(lingering.ending, Ending::BrokerLost(_)));
            self.end_with(Ending::BrokerDisconnected(code));
        }
    }

    /// What it ended with: the first reason, or this one.
    fn ended(&mut self, now: Ending) -> Ending {
        self.ending.take().map_or(now, |lingering| lingering.ending)
    }

    /// Why it is about to end.
    fn ending(&self) -> Option<&Ending> {
        self.ending.as_deref().map(|lingering| &lingering.ending)
    }

    /// The first reason stands; from then on the other side has its time to take what is on its way.
    fn end_with(&mut self, ending: Ending) {
        if self.ending.is_none() {
            self.ending = Some(Box::new(Lingering::new(ending)));
        }
    }

    fn poll_tell_broker(&mut self, cx: &mut Context<'_>) {
        if self.broker_told {
            return;
        }
        let Some(lingering) = &mut self.ending else { return };
        match lingering.poll_tell_broker(&mut self.broker, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.broker_told = true,
            Poll::Ready(Err(error)) => self.broker_is_deaf(error),
        }
    }

    /// Broker to device.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        for _ in 0..TURN {
            match self.to_device.poll_clear(&mut self.device, cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(sent) => self.sent_down(sent)?,
            }
            if !self.answer(cx)? {
                return Ok(());
            }
            if self.broker_done {
                return Ok(());
            }
            let Poll::Ready(goes_on) = self.read_down(cx) else {
                return Ok(());
            };
            if !goes_on? {
                break;
            }
        }
        wake_behind_the_sockets(cx.waker(), Order::Last);
        Ok(())
    }

    /// Sends the relay's own answers to the device; `false` if it does not take them now.
    #[inline]
    fn answer(&mut self, cx: &mut Context<'_>) -> Result<bool, Ending> {
        let answers = self.streams.answers();
        if answers.is_empty() || self.device_gone {
            return Ok(true);
        }
        let sent = self.to_device.send(&mut self.device, cx, &answers, 0);
        self.sent_down(sent)?;
        Ok(self.to_device.is_clear())
    }

    /// One read from the broker, passed on; whether the turn may go on.
    #[inline]
    fn read_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Ending>> {
        if self.downlink.was_largest() && ready!(self.poll_pass_down(cx))? {
            return Poll::Ready(Ok(true));
        }
        SCRATCH.with_borrow_mut(|(input, scratch)| {
            let mut buf = ReadBuf::new(&mut input[..self.downlink.size()]);
            if let Err(error) = ready!(Pin::new(&mut self.broker).poll_read(cx, &mut buf)) {
                return Poll::Ready(Err(self.broker_lost(error)));
            }
            let input = buf.filled();
            if input.is_empty() {
                self.broker_done = true;
                self.end_with(Ending::BrokerClosed);
                return Poll::Ready(Ok(true));
            }
            if self.connection.keep_alive == 0 {
                self.connection.note_alive(Instant::now().into_std());
            }
            let (bytes, scanned) = self.streams.down(input, scratch);
            self.connection
                .counters
                .from_broker(input.len(), scanned.requests);
            let goes_on = !self.downlink.is_full_of_small(input.len());
            self.downlink = self.downlink.after(input.len(), scanned.pieces);
            journal::requests(&self.connection, "downlink", "broker", scanned.requests);
            let bytes = if self.device_gone { &[] } else { bytes };
            let sent = self.to_device.send(&mut self.device, cx, bytes, scanned.requests);
            if let Err(ending) = self.sent_down(sent) {
                return Poll::Ready(Err(ending));
            }
            self.after_downlink(scanned.disconnect, scanned.violation);
            Poll::Ready(Ok(goes_on))
        })
    }

    /// As [`Self::poll_pass_up`].
    fn poll_pass_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Ending>> {
        let unseen = self.streams.down_unseen();
        let (Some(from), Some(to)) = (self.broker.bare(), self.device.bare()) else {
            return Poll::Ready(Ok(false));
        };
        if unseen < bypass::WORTHWHILE || self.device_gone {
            return Poll::Ready(Ok(false));
        }
        let passed = ready!(bypass::poll_pass(from, to, unseen, &mut self.to_device, cx));
        let Bypassed::Bytes(len, sent) = passed.map_err(|error| self.broker_lost(error))? else {
            return Poll::Ready(Ok(false));
        };
        if self.connection.keep_alive == 0 {
            self.connection.note_alive(Instant::now().into_std());
        }
        self.streams.down_skip(len);
        self.connection.counters.from_broker(len, 0);
        self.downlink = self.downlink.after(len, 0);
        self.sent_down(sent.map(|()| 0))?;
        Poll::Ready(Ok(true))
    }

    /// After its DISCONNECT a device may be gone before the broker has closed. What it sent still has to
    /// arrive, so then the broker is read on and its bytes dropped.
    #[inline]
    fn sent_down(&mut self, sent: io::Result<u32>) -> Result<(), Ending> {
        match sent {
            Ok(_) if self.device_gone => {}
            Ok(requests) => {
                self.connection.counters.to_device(requests);
                journal::requests(&self.connection, "downlink", "device", requests);
            }
            Err(_) if self.device_done => {
                self.device_gone = true;
                self.to_device = Outbox::default();
            }
            Err(error) => return Err(self.device_lost(error)),
        }
        Ok(())
    }

    /// A broker may have said goodbye to a device that then breaks the connection.
    fn device_lost(&mut self, error: io::Error) -> Ending {
        self.ended(Ending::DeviceLost(error))
    }

    /// A broker that takes no more may have said why: what it sent is still read.
    fn broker_is_deaf(&mut self, error: io::Error) {
        self.to_broker = Outbox::default();
        self.broker_deaf = true;
        self.end_with(Ending::BrokerLost(error));
    }

    /// Brokers may reset rather than close after a DISCONNECT.
    fn broker_lost(&mut self, error: io::Error) -> Ending {
        self.ended(Ending::BrokerLost(error))
    }

    /// Whether everything that was on its way has arrived, or never will.
    fn is_over(&self) -> bool {
        match self.ending() {
            None => false,
            Some(Ending::DeviceViolation(_)) => self.to_broker.is_clear(),
            Some(_) => self.broker_done && self.to_device.is_clear(),
        }
    }

    /// What the idle rule ends it with, if it does. One that is about to end has its own limit.
    fn idled_out(&self) -> Option<Ending> {
        let now = Instant::now().into_std();
        if self.ending.is_some() || !self.connection.idle_in(now).is_zero() {
            return None;
        }
        let rule = idle_rule(self.connection.keep_alive);
        let limit = rule.limit;
        Some(match rule.silence {
            Silence::OfBoth => Ending::Quiet { limit },
            // The device is not read while the broker takes nothing, so its silence is not its own.
            Silence::OfDevice if !self.to_broker.is_clear() => Ending::BrokerStalled { limit },
            // Nor while it does not take what it asked for.
            Silence::OfDevice if !self.streams.has_room() => Ending::DeviceStalled { limit },
            Silence::OfDevice => Ending::DeviceIdle { limit },
        })
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let Some(lingering) = &mut self.ending else {
            return Poll::Pending;
        };
        ready!(lingering.poll_over(cx));
        Poll::Ready(self.ended(Ending::BrokerClosed))
    }
}

/// Carries until the connection is over.
impl<D, B, S> Future for Carry<D, B, S>
where
    D: AsyncRead + AsyncWrite + Bare + Unpin,
    B: AsyncRead + AsyncWrite + Bare + Unpin,
    S: Streams + Unpin,
{
    type Output = Ending;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending> {
        let this = self.get_mut();
        let mut closing = None;
        match this.connection.poll_asked(cx) {
            Asked::Nothing => {}
            Asked::Look => {
                if let Some(ending) = this.idled_out() {
                    return Poll::Ready(ending);
                }
            }
            Asked::Close(reason) if reason.waits() => closing = Some(reason),
            Asked::Close(reason) => return Poll::Ready(this.ended_by(reason)),
        }
        if let Err(ending) = this.poll_both(cx) {
            return Poll::Ready(ending);
        }
        if this.is_over() {
            return Poll::Ready(this.ended(Ending::BrokerClosed));
        }
        if let Some(reason) = closing.filter(|_| this.between_packets()) {
            return Poll::Ready(this.ended_by(reason));
        }
        this.poll_linger(cx)
    }
}

#[cfg(test)]
#[path = "carry_tests.rs"]
mod tests;
