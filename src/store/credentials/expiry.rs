//! Certificates that run out: said in the log once a day, and counted.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::CredentialStore;
use crate::clock::now_seconds;
use crate::credential::{self, CredentialsId};

/// How long ahead it is said, in seconds.
const AHEAD: i64 = 30 * DAY;
const DAY: i64 = 86_400;

/// How soon a change through the API is seen.
const LOOK: Duration = Duration::from_secs(10);
/// Every so many looks all files are read, as they may have been changed by hand: every ten minutes.
const READ: u32 = 60;

/// How many credentials have certificates that run out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expiring {
    /// Within 30 days.
    pub soon: usize,
    /// Already.
    pub over: usize,
}

/// What was said, and when, in seconds since 1970.
#[derive(Debug, Default)]
struct Told(HashMap<CredentialsId, Notice>);

#[derive(Debug, Clone, Copy)]
struct Notice {
    expires: i64,
    at: i64,
}

impl Told {
    /// Takes in all credentials with the time at which they run out. Gives those of which it has to be said, and how
    /// many there are.
    fn look(&mut self, found: Vec<(CredentialsId, i64)>, now: i64) -> (Expiring, Vec<(CredentialsId, i64)>) {
        let mut expiring = Expiring::default();
        let mut news = Vec::new();
        let mut told = HashMap::new();
        for (id, expires) in found.into_iter().filter(|(_, expires)| *expires <= now + AHEAD) {
            let count = if expires <= now {
                &mut expiring.over
            } else {
                &mut expiring.soon
            };
            *count += 1;
            let old = self.0.remove(&id);
            let known = old.filter(|old| old.expires == expires && now - old.at < DAY);
            if known.is_none() {
                news.push((id.clone(), expires));
            }
            told.insert(id, known.unwrap_or(Notice { expires, at: now }));
        }
        self.0 = told;
        (expiring, news)
    }
}

impl CredentialStore {
    /// How many credentials have certificates that run out, as [`Self::watch_expiry`] last saw.
    #[must_use]
    pub fn expiring(&self) -> Expiring {
        *self.expiring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for certificates that run out, for ever.
    pub async fn watch_expiry(&self) {
        let mut told = Told::default();
        let mut seen = None;
        for look in (0..READ).cycle() {
            let revision = self.revision.load(Ordering::Acquire);
            if look == 0 || seen != Some(revision) {
                self.look_for_expiry(&mut told).await;
                seen = Some(revision);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look_for_expiry(&self, told: &mut Told) {
        let listed = match self.list().await {
            Ok(listed) => listed,
            Err(error) => return tracing::warn!("cannot look for certificates that run out: {error}"),
        };
        let found = listed.into_iter().filter_map(|stored| {
            let expires = credential::expires(&stored.credential.values)?;
            Some((stored.id, expires))
        });
        let now = now_seconds();
        let (expiring, news) = told.look(found.collect(), now);
        *self.expiring.lock().unwrap_or_else(PoisonError::into_inner) = expiring;
        for (id, expires) in news {
            say(&id, expires, now);
        }
    }
}

fn say(id: &CredentialsId, expires: i64, now: i64) {
    let days = (expires - now).div_euclid(DAY);
    let what = if expires <= now {
        "a certificate of this credential has run out"
    } else {
        "a certificate of this credential runs out"
    };
    let date = jiff::Timestamp::from_second(expires).unwrap_or_default();
    let advice = "store a new one: PUT /v1/credentials/{credentials_id}, or new files in its folder";
    tracing::warn!(event = "credential_expires", credential = %id, expires = %date, days, advice, "{what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn id(name: &str) -> CredentialsId {
        CredentialsId::new(name).unwrap()
    }

    fn names(news: &[(CredentialsId, i64)]) -> Vec<&str> {
        news.iter().map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn it_is_said_once_a_day_from_thirty_days_ahead_until_it_is_mended() {
        let mut told = Told::default();
        let found = || {
            vec![
                (id("far"), NOW + 31 * DAY),
                (id("near"), NOW + 29 * DAY),
                (id("over"), NOW - 1),
            ]
        };
        let (expiring, news) = told.look(found(), NOW);
        assert_eq!(expiring, Expiring { soon: 1, over: 1 });
        assert_eq!(names(&news), ["near", "over"]);
        assert!(told.look(found(), NOW + DAY - 1).1.is_empty());
        assert_eq!(names(&told.look(found(), NOW + DAY).1), ["far", "near", "over"]);
        let mended = vec![(id("near"), NOW + 400 * DAY)];
        let (expiring, news) = told.look(mended, NOW + DAY + 1);
        assert_eq!((expiring, news.len()), (Expiring::default(), 0));
        // Another certificate that runs out is news at once.
        let news = told.look(vec![(id("near"), NOW + 20 * DAY)], NOW + DAY + 2).1;
        assert_eq!(names(&news), ["near"]);
    }
}
