//! Who is connected, seen from outside of the connections' own tasks.

use super::{Administrative, Admission, Books};
use crate::entrypoint::{MQTT_ENTRY_POINT, Scheme};
use crate::mqtt::Version;
use crate::usage::{Counters, Meter, Reported, UsageKey};
use atomic_waker::AtomicWaker;
use slab::Slab;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A live connection, as everybody but its own task sees it.
#[derive(Debug)]
pub struct Connection {
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
    reported: Reported,
    close: AtomicU8,
    waker: AtomicWaker,
}

impl Connection {
    pub(super) fn new(
        admission: Admission,
        peer: SocketAddr,
        client_id: Box<str>,
        version: Version,
        keep_alive: u16,
        maximum_packet_size: Option<u32>,
    ) -> Self {
        Self {
            admission,
            peer,
            client_id,
            version,
            keep_alive,
            maximum_packet_size,
            opened: Instant::now(),
            counters: Counters::default(),
            reported: Reported::default(),
            close: AtomicU8::new(0),
            waker: AtomicWaker::new(),
        }
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
}

impl Registry {
    /// An empty one for so many workers.
    #[must_use]
    pub fn new(workers: usize, books: Books) -> Self {
        Self {
            tables: (0..workers).map(|_| Mutex::default()).collect(),
            books,
        }
    }

    /// Where what happens to connections is written down.
    pub(super) fn books(&self) -> &Books {
        &self.books
    }

    fn table(&self, worker: usize) -> MutexGuard<'_, Slab<Arc<Connection>>> {
        self.tables[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection; it is out again when the seat is dropped.
    pub(super) fn enter(self: &Arc<Self>, worker: usize, connection: &Arc<Connection>) -> Seat {
        let key = self.table(worker).insert(Arc::clone(connection));
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
        }
    }
}
