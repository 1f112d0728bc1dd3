//! When the idle rule looks at which connection: a timer wheel a worker, 8 bytes a connection.
//!
//! A timer for each connection would cost more memory than all else that the relay knows of it. The rule is
//! about silences of seconds to minutes, so it is kept to half a second.

use std::time::Duration;

/// One step of the wheel: how late the idle rule may be.
pub(super) const TICK: Duration = Duration::from_millis(500);
/// Steps of a turn. What is due later is looked at once a turn, so that an entry whose connection is gone is
/// forgotten within a minute.
const SLOTS: usize = 128;

/// A connection's place in its worker's table, and the end of its id: the place may be another's by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: u32,
    pub(super) id: u32,
}

/// Entries by when they are due.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Box<[Vec<Entry>; SLOTS]>,
    at: usize,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            slots: Box::new([const { Vec::new() }; SLOTS]),
            at: 0,
        }
    }
}

impl Wheel {
    /// Has `entry` come up after this time, or earlier if that is more than a turn away. Never in the step
    /// that is under way.
    pub(super) fn put(&mut self, entry: Entry, after: Duration) {
        let steps = after.as_nanos().div_ceil(TICK.as_nanos());
        let steps = steps.clamp(1, SLOTS as u128 - 1) as usize;
        self.slots[(self.at + steps) % SLOTS].push(entry);
    }

    /// Goes one step on, and gives what comes up.
    pub(super) fn step(&mut self) -> Vec<Entry> {
        self.at = (self.at + 1) % SLOTS;
        std::mem::take(&mut self.slots[self.at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_up_once_and_not_before_its_time_unless_that_is_a_turn_away() {
        for (millis, steps) in [
            (0, 1),
            (1, 1),
            (500, 1),
            (501, 2),
            (7_500, 15),
            (63_500, 127),
            (1_800_000, 127),
        ] {
            let mut wheel = Wheel::default();
            // From any place of the wheel.
            for _ in 0..100 {
                wheel.step();
            }
            let entry = Entry { key: 1, id: 2 };
            wheel.put(entry, Duration::from_millis(millis));
            for step in 1..300 {
                let expected: &[Entry] = if step == steps { &[entry] } else { &[] };
                assert_eq!(wheel.step(), expected, "{millis} ms, step {step}");
            }
        }
    }
}
