//! Connections whose login ends: the tokens of Azure IoT Hub and of Google-style registries.
//!
//! A broker cuts a connection whose token is over, without a word and in the midst of a packet. The relay is ahead of
//! it: it says so in the log, then closes between two packets, and the next CONNECT gets a new token (`token_watch`).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A token of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    /// In seconds since 1970.
    expires: u64,
    /// The same by a clock that nobody sets.
    until: Instant,
    lifetime: Duration,
    stage: Stage,
}

/// What is to be done about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It is good for long.
    Good,
    /// The log says that it ends.
    Announced,
    /// Its connection is to close between two packets.
    Closing,
    /// Its connection is to close at once.
    Over,
}

impl Token {
    /// One that was made now.
    pub(super) fn new(expires: u64, lifetime: Duration) -> Self {
        Self {
            expires,
            until: Instant::now() + lifetime,
            lifetime,
            stage: Stage::Good,
        }
    }

    /// How long it is good yet. The system clock may have been set meanwhile, and the broker's is right.
    fn left(&self, now: u64, at: Instant) -> Duration {
        let by_system_clock = Duration::from_secs(self.expires.saturating_sub(now));
        by_system_clock.min(self.until.saturating_duration_since(at))
    }

    /// Of an hour: ten minutes ahead it is announced, and between five minutes and one minute ahead the connection
    /// closes; `id` spreads a fleet that came all at once.
    fn stage(&self, id: u64, left: Duration) -> Stage {
        const SPREAD: u32 = 240;
        let spread = self.lifetime / 15 / SPREAD * (id % u64::from(SPREAD)) as u32;
        // Tokens are looked at every second, so the shortest margins are some seconds.
        let close = (self.lifetime / 60).max(Duration::from_secs(2)) + spread;
        let announce = (self.lifetime / 6).max(close + Duration::from_secs(2));
        match left {
            Duration::ZERO => Stage::Over,
            left if left <= close => Stage::Closing,
            left if left <= announce => Stage::Announced,
            _ => Stage::Good,
        }
    }
}

/// The tokens of all connections that have one, by the connection's id.
#[derive(Debug, Default)]
pub struct Tokens(Mutex<HashMap<u64, Token>>);

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Token>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, id: u64, token: Token) {
        self.lock().insert(id, token);
    }

    pub(super) fn forget(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// When the token of a connection ends, in seconds since 1970; `None` if it has none.
    #[must_use]
    pub fn expires(&self, id: u64) -> Option<u64> {
        self.lock().get(&id).map(|token| token.expires)
    }

    /// How many there are, and how many of them end soon.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let tokens = self.lock();
        let ending = tokens.values().filter(|token| token.stage > Stage::Good).count();
        (tokens.len(), ending)
    }

    /// The tokens that came to another stage, with the time that they are good yet.
    pub(super) fn advance(&self, now: u64, at: Instant) -> HashMap<u64, (Stage, Duration)> {
        let mut changed = HashMap::new();
        for (id, token) in self.lock().iter_mut() {
            let left = token.left(now, at);
            let stage = token.stage(*id, left);
            if stage > token.stage {
                token.stage = stage;
                changed.insert(*id, (stage, left));
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn stages(tokens: &Tokens, now: u64, at: Instant) -> Vec<(u64, Stage)> {
        let mut found: Vec<_> = tokens
            .advance(now, at)
            .into_iter()
            .map(|(id, (stage, _))| (id, stage))
            .collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn a_token_is_announced_once_then_its_connection_closes_between_packets_then_at_once() {
        let tokens = Tokens::default();
        let (now, at) = (1_800_000_000, Instant::now());
        tokens.enter(240, Token::new(now + 3600, HOUR));
        let after = |seconds: u64| stages(&tokens, now + seconds, at + Duration::from_secs(seconds));
        assert_eq!(after(2999), []);
        assert_eq!(tokens.counts(), (1, 0));
        assert_eq!(after(3001), [(240, Stage::Announced)]);
        assert_eq!(tokens.counts(), (1, 1));
        assert_eq!(after(3500), []);
        assert_eq!(after(3541), [(240, Stage::Closing)]);
        assert_eq!(after(3599), []);
        assert_eq!(after(3601), [(240, Stage::Over)]);
        assert_eq!(after(3602), []);
        tokens.forget(240);
        assert_eq!((tokens.counts(), tokens.expires(240)), ((0, 0), None));
    }

    #[test]
    fn a_fleet_that_came_at_once_does_not_go_at_once() {
        let tokens = Tokens::default();
        let (now, at) = (1_800_000_000, Instant::now());
        for id in 0..240 {
            tokens.enter(id, Token::new(now + 3600, HOUR));
        }
        let closing = |seconds: u64| {
            let found = stages(&tokens, now + seconds, at + Duration::from_secs(seconds));
            found.iter().filter(|(_, stage)| *stage == Stage::Closing).count()
        };
        assert_eq!(closing(3299), 0);
        let half = closing(3420);
        assert!((110..=130).contains(&half), "{half}");
        assert_eq!(half + closing(3541), 240);
    }

    #[test]
    fn the_shortest_token_has_time_for_each_stage() {
        let tokens = Tokens::default();
        let (now, at) = (1_800_000_000, Instant::now());
        let ten = Duration::from_secs(10);
        tokens.enter(239, Token::new(now + 10, ten));
        let all: Vec<_> = (0..=10)
            .flat_map(|seconds| stages(&tokens, now + seconds, at + Duration::from_secs(seconds)))
            .map(|(_, stage)| stage)
            .collect();
        assert_eq!(all, [Stage::Announced, Stage::Closing, Stage::Over]);
    }

    #[test]
    fn a_clock_that_is_set_forward_ends_a_token_and_one_that_is_set_back_prolongs_none() {
        let (now, at) = (1_800_000_000, Instant::now());
        let token = Token::new(now + 3600, HOUR);
        assert_eq!(token.left(now + 86_400, at), Duration::ZERO);
        assert_eq!(token.left(now - 86_400, at + 2 * HOUR), Duration::ZERO);
        assert!(token.left(now, at) > HOUR - Duration::from_secs(10));
    }
}
