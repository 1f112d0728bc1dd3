//! Who is connected, seen from outside of the connections' own tasks.

use super::{Administrative, Admission, Books};
use crate::entrypoint::{MQTT_ENTRY_POINT, Scheme};
use crate::mqtt::Version;
use crate::sessions::Sessions;
use crate::usage::{Counters, Meter, Reported, UsageKey};
use atomic_waker::AtomicWaker;
use slab::Slab;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
    pub client_id: Box<str>,
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
    waker: AtomicWaker,
}

impl Connection {
    pub(super) fn new(
        id: u64,
        admission: Admission,
        peer: SocketAddr,
        client_id: Box<str>,
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
            opened: Instant::now(),
            counters: Counters::default(),
            alive: AtomicU64::new(0),
            reported: Reported::default(),
            close: AtomicU8::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// Notes that it gave a sign of life: what the idle rule looks at.
    #[inline]
    pub(super) fn is_alive(&self, at: Instant) {
        let millis = at.saturating_duration_since(self.opened).as_millis();
        self.alive.store(millis as u64, Ordering::Relaxed);
    }

    /// How long ago the device last sent something; where its keep alive is 0, either side.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        let alive = Duration::from_millis(self.alive.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(alive)
    }

    /// Has the connection's task close it, at once.
    pub fn close(&self, reason: Administrative) {
        self.close.store(reason as u8, Ordering::Release);
        self.waker.wake();
    }

    /// Why it is to be closed, if it is. The task of `cx` is woken when that changes.
    #[inline]
    pub(super) fn poll_close(&self, cx: &std::task::Context<'_>) -> Option<Administrative> {
        self.waker.register(cx.waker());
        match self.close.load(Ordering::Acquire) {
            0 => None,
            code => Administrative::from_code(code),
        }
    }

    /// Hands what was counted since the last report to the meter. Only one thread at a time may report:
    /// the one that holds the table's lock.
    fn report(&self, meter: &Meter) {
        let since = self.reported.catch_up(&self.counters.read());
        if !since.is_zero() {
            let sim = &self.admission.sim;
            let key = UsageKey {
                imsi: sim.imsi.clone(),
                group: sim.group_id.clone(),
                entry_point: MQTT_ENTRY_POINT,
                tls: self.admission.entry_point.destination.scheme == Scheme::Mqtts,
            };
            meter.add(key, since);
        }
    }
}

/// All live connections, in one table for each worker so that workers do not wait for one another.
#[derive(Debug)]
pub struct Registry {
    tables: Vec<Mutex<Slab<Arc<Connection>>>>,
    books: Books,
    sessions: Arc<Sessions>,
    next_id: AtomicU64,
}

impl Registry {
    /// Tables for so many workers.
    #[must_use]
    pub fn new(workers: usize, books: Books, sessions: Arc<Sessions>) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            tables: (0..workers).map(|_| Mutex::default()).collect(),
            books,
            sessions,
            // From the time of the start on: an id of an earlier run must not name a connection of this one.
            next_id: AtomicU64::new((started.as_millis() as u64) << 20),
        }
    }

    /// Where what happens to connections is written down.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
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

    fn table(&self, worker: usize) -> MutexGuard<'_, Slab<Arc<Connection>>> {
        self.tables[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection; it is out again when the seat is dropped.
    pub(super) fn enter(self: &Arc<Self>, worker: usize, connection: &Arc<Connection>) -> Seat {
        let key = self.table(worker).insert(Arc::clone(connection));
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
            key: key as u32,
        }
    }

    /// How many connections there are now.
    #[must_use]
    pub fn len(&self) -> usize {
        (0..self.tables.len())
            .map(|worker| self.table(worker).len())
            .sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `look` with each connection. A worker waits for its own table only.
    pub fn for_each(&self, mut look: impl FnMut(&Arc<Connection>)) {
        for worker in 0..self.tables.len() {
            for (_, connection) in self.table(worker).iter() {
                look(connection);
            }
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

    /// Hands everything counted so far to the meter.
    pub fn report(&self) {
        self.for_each(|connection| connection.report(&self.books.meter));
    }
}

/// A connection's place in the registry.
#[derive(Debug)]
pub(super) struct Seat {
    registry: Arc<Registry>,
    worker: u32,
    key: u32,
}

impl Seat {
    /// Where what happens to the connection is written down.
    pub(super) fn books(&self) -> &Books {
        &self.registry.books
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let left = self
            .registry
            .table(self.worker as usize)
            .try_remove(self.key as usize);
        if let Some(connection) = left {
            connection.report(&self.registry.books.meter);
            self.registry.sessions.closed(&connection.admission.sim.imsi);
        }
    }
}
