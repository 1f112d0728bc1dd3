//! Who is connected, seen from outside of the connections' own tasks.

use super::admission::idle_rule;
use super::gate::{Gate, Leaving};
use super::tokens::{Token, Tokens};
use super::wheel::{Entry, Wheel};
use super::{Administrative, Admission, Books, Limits};
use crate::mqtt::Version;
use crate::sessions::Sessions;
use crate::usage::{Counters, Meter, Reported, UsageKey};
use slab::Slab;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Connections that are looked at in one go.
const PART: usize = 1024;

/// Has a connection's task look at the idle rule, where [`Administrative`] has it close.
const LOOK: u8 = u8::MAX;

/// What a connection's task is asked to do by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing.
    Nothing,
    /// To see whether the idle rule ends it.
    Look,
    /// To close.
    Close(Administrative),
}

/// A live connection, as everybody but its own task sees it.
#[derive(Debug)]
pub struct Connection {
    /// Of all connections of this relay, over restarts too, the only one with this number.
    pub id: u64,
    /// SIM and entry point.
    pub admission: Admission,
    /// The device's address and port.
    pub peer: SocketAddr,
    /// The client id it gave.
    pub client_id: Arc<str>,
    /// Its MQTT version.
    pub version: Version,
    /// Keep alive in force, in seconds.
    pub keep_alive: u16,
    /// The largest packet that the device takes, in bytes.
    pub maximum_packet_size: Option<u32>,
    /// When the broker accepted it.
    pub opened: Instant,
    /// What it counted.
    pub counters: Counters,
    /// Milliseconds from [`Self::opened`] to the last sign of life.
    alive: AtomicU64,
    reported: Reported,
    close: AtomicU8,
    /// Of its task, from when that first asks.
    waker: OnceLock<Waker>,
}

impl Connection {
    pub(super) fn new(
        id: u64,
        admission: Admission,
        peer: SocketAddr,
        client_id: Arc<str>,
        version: Version,
        keep_alive: u16,
        maximum_packet_size: Option<u32>,
    ) -> Self {
        Self {
            id,
            admission,
            peer,
            client_id,
            version,
            keep_alive,
            maximum_packet_size,
            // The clock of the runtime, which tests turn.
            opened: tokio::time::Instant::now().into_std(),
            counters: Counters::default(),
            alive: AtomicU64::new(0),
            reported: Reported::default(),
            close: AtomicU8::new(0),
            waker: OnceLock::new(),
        }
    }

    /// Notes that it gave a sign of life: what the idle rule looks at.
    #[inline]
    pub(super) fn note_alive(&self, at: Instant) {
        let millis = at.saturating_duration_since(self.opened).as_millis();
        self.alive.store(millis as u64, Ordering::Relaxed);
    }

    /// How long ago the device last sent something; where its keep alive is 0, either side.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        let alive = Duration::from_millis(self.alive.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(alive)
    }

    /// Has the connection's task close it, at once. The first reason counts, unless it is one that waits.
    pub fn close(&self, reason: Administrative) {
        let _ = self
            .close
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |asked| {
                let is_over = Administrative::from_code(asked).is_some_and(|first| !first.waits());
                (!is_over).then_some(reason as u8)
            });
        self.wake();
    }

    /// Wakes its task, which sees what was asked of it before.
    fn wake(&self) {
        // Either the task has been here, or it has not looked yet.
        fence(Ordering::SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// How long the idle rule leaves it from `now` on; zero if it is over.
    pub(super) fn idle_in(&self, now: Instant) -> Duration {
        let alive = Duration::from_millis(self.alive.load(Ordering::Relaxed));
        let silent = now.saturating_duration_since(self.opened + alive);
        idle_rule(self.keep_alive).limit.saturating_sub(silent)
    }

    /// Has the connection's task look at the idle rule, unless it is to close anyway.
    pub(super) fn look(&self) {
        let _ = self
            .close
            .compare_exchange(0, LOOK, Ordering::AcqRel, Ordering::Relaxed);
        self.wake();
    }

    /// What its task, always that of the first `cx`, is asked to do. It is woken when that changes.
    #[inline]
    pub(super) fn poll_asked(&self, cx: &Context<'_>) -> Asked {
        if self.waker.get().is_none() {
            let _ = self.waker.set(cx.waker().clone());
            fence(Ordering::SeqCst);
        }
        match self.close.load(Ordering::Acquire) {
            0 => Asked::Nothing,
            LOOK => {
                let _ = self
                    .close
                    .compare_exchange(LOOK, 0, Ordering::AcqRel, Ordering::Relaxed);
                Asked::Look
            }
            code => Administrative::from_code(code).map_or(Asked::Nothing, Asked::Close),
        }
    }

    /// Hands what was counted since the last report to the meter. Only one thread at a time may report:
    /// the one that holds the table's lock.
    fn report(&self, meter: &Meter) {
        let since = self.reported.catch_up(&self.counters.read());
        if !since.is_zero() {
            let Admission { sim, entry_point, .. } = &self.admission;
            let key = UsageKey::new(Arc::clone(sim), entry_point.destination.scheme());
            meter.add(key, since);
        }
    }
}

/// The connections of a worker.
#[derive(Debug, Default)]
struct Table {
    connections: Slab<Arc<Connection>>,
    wheel: Wheel,
}

/// All live connections, in one table for each worker so that workers do not wait for one another.
#[derive(Debug)]
pub struct Registry {
    tables: Vec<Mutex<Table>>,
    books: Books,
    sessions: Arc<Sessions>,
    tokens: Tokens,
    gate: Arc<Gate>,
    next_id: AtomicU64,
}

impl Registry {
    /// Tables for so many workers.
    #[must_use]
    pub fn new(workers: usize, limits: Limits, books: Books, sessions: Arc<Sessions>) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            tables: (0..workers).map(|_| Mutex::default()).collect(),
            books,
            sessions,
            tokens: Tokens::default(),
            gate: Gate::new(limits),
            // From the time of the start on: an id of an earlier run must not name a connection of this one.
            next_id: AtomicU64::new((started.as_millis() as u64) << 20),
        }
    }

    /// Where what happens to connections is written down.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Who may come in now.
    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// How much devices may take.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.gate.limits()
    }

    /// Connections being opened now.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.gate.handshakes()
    }

    /// An id that no other connection has had.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Which SIMs are online.
    #[must_use]
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Whose login ends when.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    fn table(&self, worker: usize) -> MutexGuard<'_, Table> {
        self.tables[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection whose place was taken; it is out again when the seat is dropped.
    pub(super) fn enter(
        self: &Arc<Self>,
        worker: usize,
        connection: &Arc<Connection>,
        token: Option<Token>,
    ) -> Seat {
        if let Some(token) = token {
            self.tokens.enter(connection.id, token);
        }
        let mut table = self.table(worker);
        let key = table.connections.insert(Arc::clone(connection)) as u32;
        let entry = Entry {
            key,
            id: connection.id as u32,
        };
        table.wheel.put(entry, idle_rule(connection.keep_alive).limit);
        drop(table);
        let Connection {
            admission,
            peer,
            client_id,
            ..
        } = &**connection;
        self.sessions.opened(&admission.sim, *peer, client_id);
        Seat {
            registry: Arc::clone(self),
            worker: worker as u32,
            key: Some(key),
        }
    }

    /// One step of the idle rule, every [`super::wheel::TICK`]: has those of a worker's connections look that
    /// may have been silent for too long. What is woken for nothing is seen again a step later.
    pub(super) fn tick(&self, worker: usize, now: Instant) {
        let mut table = self.table(worker);
        for entry in table.wheel.step() {
            let Some(connection) = table.connections.get(entry.key as usize) else {
                continue;
            };
            if connection.id as u32 == entry.id {
                let left = connection.idle_in(now);
                if left.is_zero() {
                    connection.look();
                }
                table.wheel.put(entry, left);
            }
        }
    }

    /// Calls `look` with each connection that is there from the first call to the last, and with some of the others.
    pub fn for_each(&self, mut look: impl FnMut(&Arc<Connection>)) {
        let mut part = Some(Part::default());
        while let Some(this) = part {
            part = self.look_at(this, &mut look);
        }
    }

    /// Closes the connections that `which` chooses, and tells how many they are.
    pub fn close(&self, which: impl Fn(&Connection) -> bool, reason: Administrative) -> usize {
        let mut closed = 0;
        self.for_each(|connection| {
            if which(connection) {
                connection.close(reason);
                closed += 1;
            }
        });
        closed
    }

    /// Hands what a part of the connections counted so far to the meter, and tells where the next part begins, if
    /// there is one: what is made of the counts stays small.
    pub(super) fn report(&self, part: Part) -> Option<Part> {
        self.look_at(part, |connection| connection.report(&self.books.meter))
    }

    /// Calls `look` with a part of the connections, and tells where the next begins, if there is one. A worker's
    /// table is held no longer than for that.
    fn look_at(&self, part: Part, mut look: impl FnMut(&Arc<Connection>)) -> Option<Part> {
        let Part { worker, from } = part;
        let table = self.tables.get(worker)?;
        let table = table.lock().unwrap_or_else(PoisonError::into_inner);
        let (behind, end) = (from + PART, table.connections.capacity());
        for key in from..behind.min(end) {
            if let Some(connection) = table.connections.get(key) {
                look(connection);
            }
        }
        let next = match behind < end {
            true => Part { worker, from: behind },
            false => Part {
                worker: worker + 1,
                from: 0,
            },
        };
        (next.worker < self.tables.len()).then_some(next)
    }
}

/// Some of the connections. The first is the default one.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Part {
    worker: usize,
    from: usize,
}

/// A connection's place in the registry.
#[derive(Debug)]
pub(super) struct Seat {
    registry: Arc<Registry>,
    worker: u32,
    /// Until the connection is out.
    key: Option<u32>,
}

impl Seat {
    /// Where what happens to the connection is written down.
    pub(super) fn books(&self) -> &Books {
        &self.registry.books
    }

    /// Takes the connection out of the registry. Its place at the gate is free when what comes back is dropped.
    pub(super) fn leave(mut self) -> Option<Leaving> {
        self.vacate()
    }

    /// Does nothing the second time.
    fn vacate(&mut self) -> Option<Leaving> {
        let Registry {
            books,
            sessions,
            tokens,
            gate,
            ..
        } = &*self.registry;
        let key = self.key.take()?;
        let left = self
            .registry
            .table(self.worker as usize)
            .connections
            .try_remove(key as usize)?;
        left.report(&books.meter);
        let Admission { sim, entry_point, .. } = &left.admission;
        // Only a platform has tokens; the others need not wait for the table's lock.
        if entry_point.platform().is_some() {
            tokens.forget(left.id);
        }
        sessions.closed(&sim.imsi);
        Some(gate.leave(sim))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        drop(self.vacate());
    }
}
