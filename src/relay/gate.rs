//! Who may come in now: counts what [`Limits`] bounds. A connection asks three times in its life, a packet never.

use super::limits::{Limits, OverLimit};
use super::pace::next_arrival;
use crate::sim::{ByImsi, Sim};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the rate of new connections may be exceeded at most, after a quiet time: devices behind one SIM
/// come back together.
const BURST: Duration = Duration::from_secs(50);

/// Lets connections in as far as there is room.
#[derive(Debug)]
pub(super) struct Gate {
    limits: Limits,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// Connections and handshakes.
    open: usize,
    handshakes: usize,
    /// All addresses that belong to no SIM share one.
    strangers: Account,
    /// Only SIMs of the configuration get in here.
    sims: HashMap<ByImsi, Account, RandomState>,
}

/// What one SIM has taken.
#[derive(Debug, Default)]
struct Account {
    handshakes: usize,
    /// Those that are to become one among them.
    connections: usize,
    /// Of the connections opened so far; see [`next_arrival`].
    paced: Option<Instant>,
}

impl Gate {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            inside: Mutex::default(),
        })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Handshakes under way now.
    pub(super) fn handshakes(&self) -> usize {
        self.inside().handshakes
    }

    /// Lets a new connection begin its handshake; `sim` is that of its address.
    pub(super) fn knock(self: &Arc<Self>, sim: Option<&Arc<Sim>>, now: Instant) -> Result<Place, OverLimit> {
        let limits = &self.limits;
        let mut inside = self.inside();
        if inside.open >= limits.connections {
            return Err(OverLimit::Connections(limits.connections));
        }
        if inside.handshakes >= limits.handshakes {
            return Err(OverLimit::Handshakes(limits.handshakes));
        }
        let account = match sim {
            None if inside.strangers.handshakes >= limits.strangers => {
                return Err(OverLimit::Strangers(limits.strangers));
            }
            None => &mut inside.strangers,
            Some(sim) => inside.account(sim, now),
        };
        if let Some(sim) = sim.filter(|_| account.handshakes >= limits.handshakes_per_sim) {
            return Err(OverLimit::HandshakesOfSim {
                imsi: sim.imsi.clone(),
                limit: limits.handshakes_per_sim,
            });
        }
        if !account.is_in_pace(limits.rate, now) {
            return Err(OverLimit::Rate {
                imsi: sim.map(|sim| sim.imsi.clone()),
                limit: limits.rate,
            });
        }
        account.handshakes += 1;
        inside.open += 1;
        inside.handshakes += 1;
        Ok(Place {
            gate: Arc::clone(self),
            of: sim.cloned(),
            claimed: None,
            is_taken: false,
        })
    }

    /// A connection of `sim` whose place was taken is over. The place is free when what comes back is dropped.
    pub(super) fn leave(self: &Arc<Self>, sim: &Arc<Sim>) -> Leaving {
        Leaving {
            gate: Arc::clone(self),
            sim: Arc::clone(sim),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// The account of `sim`.
    fn account(&mut self, sim: &Arc<Sim>, now: Instant) -> &mut Account {
        let sims = &mut self.sims;
        if sims.len() == sims.capacity() {
            // Rather than grow, it forgets; with half as much room as is in use, that is not soon again.
            sims.retain(|_, account| account.is_needed(now));
            sims.reserve(sims.len() / 2 + 1);
        }
        sims.entry(ByImsi(Arc::clone(sim))).or_default()
    }

    /// Changes the account of `sim`, and forgets it where nothing has to be remembered. What is remembered of its pace
    /// goes when there is no room for others.
    fn give_back(&mut self, sim: &Sim, change: impl FnOnce(&mut Account)) {
        let Some(account) = self.sims.get_mut(&sim.imsi) else {
            return;
        };
        change(account);
        if !account.is_needed(Instant::now()) {
            self.sims.remove(&sim.imsi);
        }
    }
}

impl Account {
    fn is_needed(&self, now: Instant) -> bool {
        self.handshakes > 0 || self.connections > 0 || self.paced.is_some_and(|paced| paced > now)
    }

    fn is_in_pace(&mut self, rate: u32, now: Instant) -> bool {
        let paced = next_arrival(self.paced, Duration::from_secs(1) / rate.max(1), now);
        let is_in_pace = paced <= now + BURST;
        if is_in_pace {
            self.paced = Some(paced);
        }
        is_in_pace
    }
}

/// A handshake's place. Dropped before it is taken, it is free again.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    /// The SIM that is charged with the handshake.
    of: Option<Arc<Sim>>,
    /// The SIM that is charged with the connection.
    claimed: Option<Arc<Sim>>,
    is_taken: bool,
}

impl Place {
    /// Charges `sim` with the connection that this is to become.
    pub(super) fn claim(&mut self, sim: &Arc<Sim>) -> Result<(), OverLimit> {
        let limit = self.gate.limits.per_sim;
        let mut inside = self.gate.inside();
        let account = inside.account(sim, Instant::now());
        if account.connections >= limit {
            return Err(OverLimit::OfSim {
                imsi: sim.imsi.clone(),
                limit,
            });
        }
        account.connections += 1;
        drop(inside);
        self.claimed = Some(Arc::clone(sim));
        Ok(())
    }

    /// The connection is there: its end is told with [`Gate::leave`].
    pub(super) fn take(mut self) {
        self.is_taken = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
        inside.handshakes -= 1;
        match &self.of {
            Some(sim) => inside.give_back(sim, |account| account.handshakes -= 1),
            None => inside.strangers.handshakes -= 1,
        }
        if !self.is_taken {
            inside.open -= 1;
            if let Some(sim) = &self.claimed {
                inside.give_back(sim, |account| account.connections -= 1);
            }
        }
    }
}

/// The place of a connection that is over: its sockets may be open for a moment yet, and count as long as they are.
#[derive(Debug)]
pub(super) struct Leaving {
    gate: Arc<Gate>,
    sim: Arc<Sim>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
        inside.open -= 1;
        inside.give_back(&self.sim, |account| account.connections -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Imsi, SimId};

    const LIMITS: Limits = Limits {
        connections: 10,
        per_sim: 3,
        handshakes: 8,
        handshakes_per_sim: 4,
        strangers: 2,
        rate: 1,
        accepts: None,
    };

    fn sim(n: u8) -> Arc<Sim> {
        let imsi = Imsi::new(&format!("4401030000000{n:02}")).unwrap();
        let sim_id = SimId::new(&format!("89811000000000000{n:02}")).unwrap();
        Arc::new(Sim::new(sim_id, imsi))
    }

    fn kind<T>(result: Result<T, OverLimit>) -> &'static str {
        result.err().map_or("in", |over| over.kind())
    }

    #[test]
    fn strangers_and_a_loud_sim_leave_room_for_others() {
        let (gate, now) = (Gate::new(LIMITS), Instant::now());
        let _strangers: Vec<_> = (0..2).map(|_| gate.knock(None, now).unwrap()).collect();
        assert_eq!(kind(gate.knock(None, now)), "too_many_strangers");
        let loud: Vec<_> = (0..4).map(|_| gate.knock(Some(&sim(1)), now).unwrap()).collect();
        assert_eq!(kind(gate.knock(Some(&sim(1)), now)), "too_many_handshakes_of_sim");
        let _other = gate.knock(Some(&sim(2)), now).unwrap();
        drop(loud);
        assert_eq!(kind(gate.knock(Some(&sim(1)), now)), "in");
        assert_eq!(gate.handshakes(), 3);
    }

    #[test]
    fn a_sim_has_so_many_connections_and_they_come_back_when_they_end() {
        let (gate, now) = (Gate::new(LIMITS), Instant::now());
        for _ in 0..3 {
            let mut place = gate.knock(Some(&sim(1)), now).unwrap();
            place.claim(&sim(1)).unwrap();
            place.take();
        }
        let mut fourth = gate.knock(Some(&sim(1)), now).unwrap();
        assert_eq!(kind(fourth.claim(&sim(1))), "too_many_connections_of_sim");
        let leaving = gate.leave(&sim(1));
        assert_eq!(kind(fourth.claim(&sim(1))), "too_many_connections_of_sim");
        drop(leaving);
        fourth.claim(&sim(1)).unwrap();
        // It was given up before the broker answered.
        drop(fourth);
        assert_eq!(gate.inside().open, 2);
        assert_eq!(gate.handshakes(), 0);
        drop(gate.leave(&sim(1)));
        drop(gate.leave(&sim(1)));
        assert_eq!(gate.inside().open, 0);
    }

    #[test]
    fn the_whole_is_bounded() {
        let (gate, now) = (Gate::new(LIMITS), Instant::now());
        for n in 0..10 {
            let mut place = gate.knock(Some(&sim(n)), now).unwrap();
            place.claim(&sim(n)).unwrap();
            place.take();
        }
        assert_eq!(kind(gate.knock(Some(&sim(11)), now)), "too_many_connections");
        drop(gate.leave(&sim(0)));
        let places: Vec<_> = (20..30).map(|n| gate.knock(Some(&sim(n)), now)).collect();
        assert_eq!(places.iter().filter(|place| place.is_ok()).count(), 1);
    }

    #[test]
    fn a_burst_is_let_in_and_after_it_only_the_pace_is() {
        let (gate, now) = (Gate::new(LIMITS), Instant::now());
        let knock = |at| kind(gate.knock(Some(&sim(1)), at));
        assert!((0..50).all(|_| knock(now) == "in"));
        assert_eq!(knock(now), "too_fast");
        assert_eq!(kind(gate.knock(Some(&sim(2)), now)), "in");
        assert_eq!(knock(now + Duration::from_secs(1)), "in");
        assert_eq!(knock(now + Duration::from_secs(1)), "too_fast");
        assert!((0..50).all(|_| knock(now + Duration::from_secs(60)) == "in"));
    }

    #[test]
    fn nothing_is_remembered_of_a_sim_that_is_quiet() {
        let (gate, now) = (Gate::new(LIMITS), Instant::now());
        drop(gate.knock(Some(&sim(1)), now));
        assert_eq!(gate.inside().sims.len(), 1, "its pace is remembered");
        gate.inside().sims.get_mut(&sim(1).imsi).unwrap().paced = Some(now);
        let mut inside = gate.inside();
        inside.give_back(&sim(1), |_| {});
        assert!(inside.sims.is_empty());
    }

    #[test]
    fn who_leaves_within_his_pace_is_forgotten_before_there_is_room_for_many_more() {
        let (gate, now) = (Gate::new(LIMITS), Instant::now());
        let staying = gate.knock(Some(&sim(99)), now);
        for at in 0..10_000_u32 {
            let imsi = Imsi::new(&format!("44010400{at:07}")).unwrap();
            let sim_id = SimId::new(&format!("898112000{at:010}")).unwrap();
            let passing = Arc::new(Sim::new(sim_id, imsi));
            // A pace of one a second: each is remembered for so long.
            drop(gate.knock(Some(&passing), now + Duration::from_secs(at.into())));
        }
        assert!(gate.inside().sims.len() < 10, "{}", gate.inside().sims.len());
        assert!(gate.inside().sims.contains_key(&sim(99).imsi));
        drop(staying);
    }
}
