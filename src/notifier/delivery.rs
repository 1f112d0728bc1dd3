//! One destination's queue is worked off, at its own pace, while the others do theirs. What came of an attempt is
//! written down before the next one is made, however long the disk takes: else the same would be sent again and again.

use super::configuration::{Destination, Notifications};
use super::counters::Counters;
use super::intake;
use super::message::Published;
use super::pace::Bucket;
use super::queue::{Job, Queue};
use super::send::{Outcome, Ready, Sender};
use super::silence;
use crate::backoff::{Backoff, chance};
use crate::clock::whole_millis;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long a destination is left alone after failed attempts.
const RETRY: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
};
/// From this attempt on a notification that fails waits for itself, and others go first: the fault may be its own.
const OTHERS_FIRST: u32 = 3;
/// After so many failures in a row it was the destination's: when it is back, nothing waits for itself any longer. Or it
/// was that of some notifications: then those are tried that were tried least often.
const OUTAGE: u32 = 5;
/// How often the queue is looked at for what an operator has changed, during pauses too, and a secret for whether it is
/// there now.
const LOOK: Duration = Duration::from_secs(2);

/// Works off the queue of one destination.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) name: String,
    pub(super) queue: Queue,
    pub(super) sender: Sender,
    pub(super) notifications: watch::Receiver<Arc<Notifications>>,
    pub(super) counters: Arc<Counters>,
    pub(super) wake: watch::Receiver<u64>,
    pub(super) stop: watch::Receiver<bool>,
}

/// What is known from one step to the next.
#[derive(Debug, Default)]
struct State {
    bucket: Option<Bucket>,
    /// Failed attempts in a row.
    failures: u32,
    /// What is missing, if that has been said.
    missing: Option<String>,
    /// What was attempted and is not yet written down.
    unsettled: Option<Attempt>,
    /// How often in a row the queue could not be read or written.
    troubles: u32,
}

/// Notifications that were sent, and what the service made of them.
#[derive(Debug)]
struct Attempt {
    ready: Vec<Ready>,
    outcome: Outcome,
}

/// What a look at the queue led to.
enum Turn {
    Attempted(Attempt),
    /// Nothing can be sent before that; `None` until there is something new.
    Wait(Option<Duration>),
}

impl Delivery {
    /// Until the program ends. It rests while the destination is not in the configuration.
    pub(super) async fn run(mut self) {
        let mut state = State::default();
        loop {
            let wait = match self.step(&mut state).await {
                Ok(wait) => {
                    state.troubles = 0;
                    wait
                }
                Err(error) => {
                    state.troubles = state.troubles.saturating_add(1);
                    let wait = RETRY.wait(state.troubles, chance());
                    tracing::error!(
                        destination = self.name,
                        %error,
                        "the queue cannot be read or written, nothing is sent meanwhile; next attempt in {:.1} s",
                        wait.as_secs_f32()
                    );
                    Some(wait)
                }
            };
            if !self.pause(wait).await {
                return;
            }
        }
    }

    /// Writes down what was attempted, or makes the next attempt and writes that down. Returns how long to wait then;
    /// `None` until there is something new.
    async fn step(&mut self, state: &mut State) -> Result<Option<Duration>, sqlx::Error> {
        let attempt = match state.unsettled.take() {
            Some(attempt) => attempt,
            None => match self.turn(state).await? {
                Turn::Attempted(attempt) => attempt,
                Turn::Wait(wait) => return Ok(wait),
            },
        };
        let settled = self.settle(&attempt, state).await;
        if settled.is_err() {
            state.unsettled = Some(attempt);
        }
        settled.map(Some)
    }

    /// Sends what is next.
    async fn turn(&mut self, state: &mut State) -> Result<Turn, sqlx::Error> {
        // Before the look: what comes during it is seen as new.
        self.wake.borrow_and_update();
        let notifications = Arc::clone(&self.notifications.borrow_and_update());
        let destination = notifications.destinations.get(&self.name).cloned();
        let Some(destination) = destination else {
            return Ok(Turn::Wait(None));
        };
        let now = Timestamp::now();
        let quiet = destination.quiet.until(now).is_some();
        let limit = destination.service.batch();
        let millis = now.as_millisecond();
        let jobs = match state.failures >= OUTAGE {
            true => self.queue.least_tried(&self.name, millis, quiet, limit).await?,
            false => self.queue.next(&self.name, millis, quiet, limit).await?,
        };
        if jobs.is_empty() {
            return Ok(Turn::Wait(None));
        }
        if let Some(pace) = destination.pace {
            let bucket = &mut state.bucket;
            let bucket = bucket.get_or_insert_with(|| Bucket::new(pace, Instant::now()));
            if let Err(wait) = bucket.take(pace, Instant::now()) {
                return Ok(Turn::Wait(Some(wait)));
            }
        }
        let ready = self.ready(&destination, jobs).await?;
        let outcome = self.sender.send(&destination, &notifications.zone, &ready).await;
        Ok(Turn::Attempted(Attempt { ready, outcome }))
    }

    /// The jobs with their texts. One whose template failed before is tried again; it is a dead letter if it fails.
    async fn ready(&self, destination: &Destination, jobs: Vec<Job>) -> Result<Vec<Ready>, sqlx::Error> {
        let mut ready = Vec::with_capacity(jobs.len());
        for mut job in jobs {
            let text = match job.text.take() {
                Some(text) => Ok(text),
                None => self.render(destination, &job),
            };
            match text {
                Ok(text) => ready.push(Ready { job, text }),
                Err(reason) => self.bury(&job, &reason).await?,
            }
        }
        Ok(ready)
    }

    fn render(&self, destination: &Destination, job: &Job) -> Result<String, String> {
        let notifications = self.notifications.borrow();
        if let Some(alarm) = notifications
            .silences
            .iter()
            .find(|alarm| alarm.name == job.route)
        {
            return silence::again(&notifications, alarm, job, destination)
                .map_err(|error| error.to_string());
        }
        let route = notifications.routes.iter().find(|route| route.name == job.route);
        let route =
            route.ok_or_else(|| format!("there is no route and no silence {:?} any more", job.route))?;
        let published = Published {
            topic: &job.topic,
            payload: job.payload.as_deref().unwrap_or_default(),
            time: Timestamp::from_millisecond(job.created).unwrap_or_default(),
        };
        intake::values(&notifications, route, published, 0)
            .and_then(|values| route.template.render(&values, destination.service.markup()))
            .map_err(|error| error.to_string())
    }

    /// Writes down what came of an attempt; may be called again if that fails. Returns how long to leave the
    /// destination alone.
    async fn settle(&self, attempt: &Attempt, state: &mut State) -> Result<Duration, sqlx::Error> {
        let Attempt { ready, outcome } = attempt;
        match outcome {
            Outcome::Delivered(words) => {
                self.delivered(ready, words, state).await?;
                Ok(Duration::ZERO)
            }
            Outcome::NotConfigured(missing) => {
                if state.missing.as_ref() != Some(missing) {
                    tracing::warn!(
                        event = "destination_not_configured",
                        destination = self.name,
                        "not configured, its notifications wait: {missing}"
                    );
                    state.missing = Some(missing.clone());
                }
                Ok(LOOK)
            }
            Outcome::Later { reason, after } => {
                let failures = state.failures.saturating_add(1);
                let pause = after.unwrap_or_else(|| RETRY.wait(failures, chance()));
                let mut longest = pause;
                for Ready { job, .. } in ready {
                    longest = longest.max(self.postpone(job, pause, reason).await?);
                }
                state.failures = failures;
                self.counters.of(&self.name, |numbers| numbers.failed += 1);
                tracing::warn!(
                    event = "notification_failed",
                    destination = self.name,
                    failures,
                    "{reason}; next attempt in {:.1} s",
                    longest.as_secs_f32()
                );
                Ok(pause)
            }
            Outcome::Never(reason) => {
                for Ready { job, .. } in ready {
                    self.bury(job, reason).await?;
                }
                // The service answered: it is not down.
                state.failures = 0;
                Ok(Duration::ZERO)
            }
        }
    }

    async fn delivered(&self, ready: &[Ready], words: &str, state: &mut State) -> Result<(), sqlx::Error> {
        if state.failures >= OUTAGE {
            let now = Timestamp::now().as_millisecond();
            self.queue.release(&self.name, now).await?;
        }
        let ids: Vec<_> = ready.iter().map(|ready| ready.job.id).collect();
        self.queue.delivered(&ids).await?;
        let number = ready.len();
        self.counters
            .of(&self.name, |numbers| numbers.delivered += number as u64);
        tracing::debug!(
            destination = self.name,
            notifications = number,
            "delivered: {words}"
        );
        if state.failures > 0 {
            tracing::info!(
                event = "destination_back",
                destination = self.name,
                "it takes notifications again"
            );
        }
        (state.failures, state.missing) = (0, None);
        Ok(())
    }

    /// Returns how long the notification waits.
    async fn postpone(&self, job: &Job, pause: Duration, reason: &str) -> Result<Duration, sqlx::Error> {
        let own = match job.attempts + 1 >= OTHERS_FIRST {
            true => RETRY.wait(job.attempts + 1, 0.0).max(pause),
            false => pause,
        };
        let now = Timestamp::now().as_millisecond();
        let due = now.saturating_add(whole_millis(own));
        self.queue.postpone(job, due, reason).await?;
        Ok(own)
    }

    async fn bury(&self, job: &Job, reason: &str) -> Result<(), sqlx::Error> {
        self.queue
            .bury(job, Timestamp::now().as_millisecond(), reason)
            .await?;
        self.counters.of(&self.name, |numbers| numbers.dead += 1);
        tracing::warn!(
            event = "notification_dead",
            destination = self.name,
            id = job.id,
            topic = job.topic,
            "dead letter: {reason}; `simrelay notifications show {}` shows it, `requeue` sends it again",
            job.id
        );
        Ok(())
    }

    /// Waits. Returns false if the program ends.
    async fn pause(&mut self, wait: Option<Duration>) -> bool {
        if *self.stop.borrow() {
            return false;
        }
        let Some(wait) = wait else {
            tokio::select! {
                _ = self.wake.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
                _ = self.stop.changed() => return false,
            }
            return true;
        };
        let rest = tokio::time::sleep(wait);
        tokio::pin!(rest);
        loop {
            tokio::select! {
                () = &mut rest => return true,
                // Somebody may have put right what was wrong.
                changed = self.notifications.changed() => return changed.is_ok(),
                _ = self.stop.changed() => return false,
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = Timestamp::now().as_millisecond();
            // What cannot be read now is no reason to send.
            if self.queue.take_request(&self.name, now).await.unwrap_or(false) {
                return true;
            }
        }
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
