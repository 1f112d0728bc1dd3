//! Who is online now.

use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::clock::now_millis;
use crate::sim::{ByImsi, Imsi, Sim};

/// Events that may wait for the database. Past this they are counted and forgotten: devices come first.
const WAITING: usize = 16 * 1024;

/// What happened to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The SIM came online.
    Created,
    /// It called from another address, or with another client id.
    Modified,
    /// It went offline.
    Deleted,
}

impl Kind {
    /// SORACOM's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Modified => "Modified",
            Self::Deleted => "Deleted",
        }
    }
}

/// A SIM's time online.
#[derive(Debug, Clone)]
pub struct Session {
    /// Never the same again.
    pub id: Uuid,
    /// The SIM as it was when the session was created or modified.
    pub sim: Arc<Sim>,
    /// Where its latest connection came from.
    pub address: IpAddr,
    /// What that connection called itself.
    pub client_id: Arc<str>,
    /// When it began, in milliseconds since 1970.
    pub created: i64,
    /// When it was last modified.
    pub updated: i64,
}

/// Something that happened to a session.
#[derive(Debug, Clone)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// When, in milliseconds since 1970.
    pub time: i64,
    /// The session, as it is afterwards.
    pub session: Session,
}

/// The other end of [`Sessions`], for whoever keeps the events.
pub type Events = mpsc::Receiver<Event>;

#[derive(Debug)]
struct Online {
    session: Session,
    connections: u32,
}

/// All sessions now. Never waits for who keeps the events.
#[derive(Debug)]
pub struct Sessions {
    online: Mutex<HashMap<ByImsi, Online, RandomState>>,
    /// None where nobody can ask.
    events: Option<mpsc::Sender<Event>>,
    forgotten: AtomicU64,
}

impl Sessions {
    /// Nobody is online yet. Events go into the second part; if that is dropped, nobody gets them.
    #[must_use]
    pub fn new() -> (Arc<Self>, Events) {
        let (events, receiver) = mpsc::channel(WAITING);
        let sessions = Self {
            online: Mutex::default(),
            events: Some(events),
            forgotten: AtomicU64::new(0),
        };
        (Arc::new(sessions), receiver)
    }

    /// For a relay without an admin API: nobody can ask, so nothing is kept and connections cost less.
    #[must_use]
    pub fn off() -> Arc<Self> {
        Arc::new(Self {
            online: Mutex::default(),
            events: None,
            forgotten: AtomicU64::new(0),
        })
    }

    /// A connection of `sim` was opened.
    pub fn opened(&self, sim: &Arc<Sim>, peer: SocketAddr, client_id: &Arc<str>) {
        if self.events.is_none() {
            return;
        }
        let (time, address) = (now_millis(), peer.ip().to_canonical());
        let mut online = self.lock();
        let Some(known) = online.get_mut(&sim.imsi) else {
            let session = Session {
                id: Uuid::new_v4(),
                sim: Arc::clone(sim),
                address,
                client_id: Arc::clone(client_id),
                created: time,
                updated: time,
            };
            self.tell(Kind::Created, time, session.clone());
            online.insert(
                ByImsi(Arc::clone(sim)),
                Online {
                    session,
                    connections: 1,
                },
            );
            return;
        };
        known.connections += 1;
        let session = &mut known.session;
        if session.address != address || session.client_id != *client_id {
            session.sim = Arc::clone(sim);
            session.address = address;
            session.client_id = Arc::clone(client_id);
            session.updated = time;
            self.tell(Kind::Modified, time, session.clone());
        }
    }

    /// A connection of the SIM with this IMSI was closed.
    pub fn closed(&self, imsi: &Imsi) {
        if self.events.is_none() {
            return;
        }
        let mut online = self.lock();
        let Some(known) = online.get_mut(imsi) else { return };
        known.connections -= 1;
        if known.connections == 0
            && let Some(Online { session, .. }) = online.remove(imsi)
        {
            self.tell(Kind::Deleted, now_millis(), session);
        }
    }

    /// The session of the SIM with this IMSI, if it is online.
    #[must_use]
    pub fn of(&self, imsi: &Imsi) -> Option<Session> {
        self.lock().get(imsi).map(|online| online.session.clone())
    }

    /// How many events were forgotten since the last call, because nobody took them in time.
    pub fn take_forgotten(&self) -> u64 {
        self.forgotten.swap(0, Ordering::Relaxed)
    }

    /// Called with the table locked, so that events are in the order in which things happened.
    fn tell(&self, kind: Kind, time: i64, session: Session) {
        let Some(events) = &self.events else { return };
        if events.try_send(Event { kind, time, session }).is_err() {
            self.forgotten.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ByImsi, Online, RandomState>> {
        self.online.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sim::SimId;

    pub(in crate::sessions) fn sim(number: u32) -> Arc<Sim> {
        let sim_id = SimId::new(&format!("89811{number:014}")).unwrap();
        Arc::new(Sim::new(
            sim_id,
            Imsi::new(&format!("44010{number:010}")).unwrap(),
        ))
    }

    pub(in crate::sessions) fn peer(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 4000).into()
    }

    #[test]
    fn a_session_lasts_from_the_first_connection_to_the_last() {
        let (sessions, mut events) = Sessions::new();
        let sim = sim(1);
        sessions.opened(&sim, peer(1), &"a".into());
        sessions.opened(&sim, peer(1), &"a".into());
        sessions.opened(&sim, peer(2), &"a".into());
        sessions.opened(&sim, peer(2), &"b".into());
        let session = sessions.of(&sim.imsi).unwrap();
        assert_eq!((session.address, &*session.client_id), (peer(2).ip(), "b"));
        for _ in 0..4 {
            assert!(sessions.of(&sim.imsi).is_some());
            sessions.closed(&sim.imsi);
        }
        assert!(sessions.of(&sim.imsi).is_none());
        sessions.closed(&sim.imsi);
        let mut seen = Vec::new();
        while let Ok(event) = events.try_recv() {
            assert_eq!(event.session.id, session.id);
            seen.push(event.kind);
        }
        assert_eq!(
            seen,
            [Kind::Created, Kind::Modified, Kind::Modified, Kind::Deleted]
        );
    }

    #[test]
    fn what_nobody_takes_is_counted_and_holds_nobody_up() {
        let (sessions, events) = Sessions::new();
        for number in 0..(WAITING as u32 + 5) {
            sessions.opened(&sim(number), peer(1), &"".into());
        }
        assert_eq!((sessions.take_forgotten(), sessions.take_forgotten()), (5, 0));
        drop(events);
    }
}
