//! The books are kept: usage into the ledger and the log, refusals into the log book, all of it into the tally.
//! Once a second, by one task, so that each delta is taken once.

use super::books::Books;
use super::journal;
use super::registry::{Part, Registry};
use crate::clock::{now_millis, now_seconds, trusted_now};
use crate::usage::{Pending, UNDATED, UsageLines};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How much a kill may lose.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Keys of one write to the ledger, about: so that what it takes of memory at a time stays small, however
/// many SIMs speak. It is on disk when it returns, so it should not be much smaller.
const ENOUGH: usize = 2_560;
/// How often what is too old is removed from the log book.
const PRUNE_LOG_EVERY: Duration = Duration::from_secs(60);
/// How often what is too old is removed from the ledger.
const PRUNE_LEDGER_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often is told what was refused without a line of its own.
const SUM_UP_EVERY: Duration = Duration::from_secs(10);
/// How often a failure that lasts is logged.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// The task that keeps the books.
#[derive(Debug)]
pub(super) struct Bookkeeper {
    registry: Arc<Registry>,
    books: Books,
    /// Seconds between two usage lines.
    lines_every: u64,
    lines: UsageLines,
    pending: Pending,
    /// Whether there may be something in the ledger that was counted by a wrong clock, by this run or by one before.
    undated: bool,
    ledger_outage: Outage,
    logbook_outage: Outage,
}

impl Bookkeeper {
    pub(super) fn new(registry: Arc<Registry>, lines_every: u64) -> Self {
        Self {
            books: registry.books().clone(),
            registry,
            lines_every,
            lines: UsageLines::default(),
            pending: Pending::default(),
            undated: true,
            ledger_outage: Outage::default(),
            logbook_outage: Outage::default(),
        }
    }

    /// Keeps the books until `stop` is dropped; gives itself back for [`Self::close`]. A round that has begun
    /// is ended first: it is never cut off between its commit and the news of it.
    pub(super) async fn keep(mut self, mut stop: oneshot::Receiver<()>) -> Self {
        let every = |period| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut flush = every(FLUSH_EVERY);
        let mut log = every(Duration::from_secs(self.lines_every));
        let mut sum_up = every(SUM_UP_EVERY);
        let mut prune_log = every(PRUNE_LOG_EVERY);
        let mut prune_ledger = every(PRUNE_LEDGER_EVERY);
        // The first tick comes at once.
        log.tick().await;
        loop {
            tokio::select! {
                _ = &mut stop => return self,
                _ = flush.tick() => self.round().await,
                _ = log.tick() => self.lines.log(self.lines_every),
                _ = sum_up.tick() => journal::refused_more(&self.books),
                _ = prune_log.tick() => complain(self.books.logbook.prune(now_millis()).await),
                _ = prune_ledger.tick() => complain(self.books.ledger.prune(now_seconds()).await),
            }
        }
    }

    /// The last round, when no connection is left.
    pub(super) async fn close(mut self) {
        self.round().await;
        journal::refused_more(&self.books);
        self.lines.log(0);
        if !self.pending.is_empty() {
            let requests = self.pending.requests();
            tracing::error!(
                requests,
                "the ledger could not be written, these requests are missing in it"
            );
        }
    }

    /// Takes what was counted since the last time and enters it everywhere, part by part.
    async fn round(&mut self) {
        let (mut part, mut writes) = (Some(Part::default()), true);
        while let Some(this) = part {
            part = self.registry.report(this);
            self.take();
            // One failure is enough for a round: it may have taken seconds.
            if writes && (part.is_none() || self.pending.len() >= ENOUGH) {
                writes = self.write().await;
            }
        }
        if writes && self.undated {
            self.date().await;
        }
        let written = self.books.logbook.flush().await;
        self.logbook_outage.about(written.err());
    }

    /// Takes what was handed in.
    fn take(&mut self) {
        let now = trusted_now().map_or(UNDATED, u64::cast_signed);
        self.undated |= now == UNDATED;
        for (key, counts) in self.books.meter.take() {
            self.books.tally.counted(key.group(), counts);
            self.lines.add(&key, &counts);
            self.pending.add(now, key, counts);
        }
    }

    /// Enters what has no date, if it can be known by now what time it is.
    async fn date(&mut self) {
        let Ok(now) = trusted_now() else { return };
        let dated = self.books.ledger.date(now.cast_signed()).await;
        self.undated = dated.is_err();
        if let Ok(true) = dated {
            tracing::info!(
                "the clock can be right now: what was counted while it could not is entered at this time"
            );
        }
        self.ledger_outage.about(dated.err());
    }

    /// Writes what is pending into the ledger; `false` if it does not take it.
    async fn write(&mut self) -> bool {
        if self.pending.is_empty() {
            return true;
        }
        let started = Instant::now();
        let written = self.books.ledger.write(&self.pending).await;
        self.books.tally.flushed(started.elapsed(), written.is_err());
        let taken = written.is_ok();
        if taken {
            self.pending = Pending::default();
        }
        self.ledger_outage.about(written.err());
        taken
    }
}

fn complain(pruned: Result<(), impl std::fmt::Display>) {
    if let Err(error) = pruned {
        tracing::warn!("old entries could not be removed from {error}");
    }
}

/// Tells of a failure when it begins, once a minute while it lasts, and when it is over.
#[derive(Debug, Default)]
struct Outage(Option<Instant>);

impl Outage {
    fn about(&mut self, error: Option<impl std::fmt::Display>) {
        match (error, self.0) {
            (None, None) => {}
            (None, Some(_)) => {
                tracing::info!("the database can be written again");
                self.0 = None;
            }
            (Some(_), Some(told)) if told.elapsed() < COMPLAIN_EVERY => {}
            (Some(error), _) => {
                tracing::error!("cannot write to {error}; it is tried again every second");
                self.0 = Some(Instant::now());
            }
        }
    }
}
