//! The notifier: what is published under some topics is told to people, over Slack, LINE, mail, a webhook, or
//! written to a file or a database.
//!
//! A message is acknowledged to the broker when the notifications that it becomes are on disk, one for each
//! destination; each destination takes its own at its own pace. So a crash loses nothing, and a slow or failing
//! service delays nobody else. What a service will never take becomes a dead letter, which an operator can see and
//! send again.
//!
//! | part | what it does |
//! |---|---|
//! | [`configuration`] | `notifications.json`: destinations, routes, alarms |
//! | `subscriber`, `subscriptions`, `session`, `packet_size` | the MQTT session |
//! | `intake`, `message`, `recall` | messages into the queue, each once, then acknowledgements |
//! | `expiry` | how long a notification is of use |
//! | [`queue`] | what waits, what is dead; bounds |
//! | `delivery` | one task a destination: pace, quiet hours, retries |
//! | [`send`] | the services |
//! | `http_secret` | what a secret has to be that goes into an HTTP request |
//! | `silence` | topics that ought to speak |
//! | `orphans` | tells what waits for a destination that is not in the file any more |
//! | `watchman` | looks at bounds, silences and the clock again and again |
//! | `counters` | what became of messages |
//! | [`template`], [`topic_filter`], [`pace`], [`quiet_hours`] | what the others stand on |

pub mod configuration;
mod counters;
mod delivery;
mod expiry;
pub(crate) mod http_secret;
mod intake;
mod message;
mod orphans;
pub mod pace;
mod packet_size;
pub mod queue;
pub mod quiet_hours;
mod recall;
pub mod send;
mod session;
mod silence;
mod subscriber;
mod subscriptions;
pub mod template;
pub mod topic_filter;
mod watchman;

pub use counters::{Counters, DeliveryCounters};
pub use recall::has_arrived;
pub use send::NoHttpsClient;
pub use session::{ClientId, EmptyClientId};

use crate::database::Database;
use crate::site_broker::SiteBroker;
use crate::{alive, report};
use configuration::{Notifications, NotificationsFile};
use delivery::Delivery;
use intake::Intake;
use queue::Queue;
use send::Sender;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use subscriber::Subscriber;
use subscriptions::Subscriptions;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use watchman::Watchman;

/// The `notifications.json` of a first run.
pub const FIRST_RUN: &str = include_str!("../../notifications.json");

/// Messages between the broker and the disk, and their bytes: more than the largest packet has.
const ON_THE_WAY: usize = 1000;
const BYTES_ON_THE_WAY: usize = 16 * 1024 * 1024;

/// The notifier, running.
#[derive(Debug)]
pub struct Notifier {
    stop: watch::Sender<bool>,
    counters: Arc<Counters>,
    subscriber: JoinHandle<()>,
    intake: JoinHandle<()>,
    deliveries: JoinHandle<()>,
    others: Vec<JoinHandle<()>>,
}

impl Notifier {
    /// Starts it on the present runtime: it goes on when the broker or a service cannot be reached. The broker keeps
    /// messages for `client_id`.
    ///
    /// # Errors
    /// No service could be spoken to.
    pub fn start(
        file: NotificationsFile,
        broker: SiteBroker,
        client_id: ClientId,
        database: Database,
        data: PathBuf,
    ) -> Result<Self, NoHttpsClient> {
        let notifications = file.current();
        let (stop, stopped) = watch::channel(false);
        let (wake, woken) = watch::channel(0);
        let (arrivals, arriving) = mpsc::channel(ON_THE_WAY);
        let connected = watch::Sender::new(false);
        let much = Arc::new(Notify::new());
        let counters = Arc::new(Counters::default());
        let told = Arc::clone(&counters);
        let queue = Queue::new(database.clone());
        let sender = Sender::new(database.clone(), data)?;
        let watchman = Watchman {
            queue: queue.clone(),
            notifications: notifications.clone(),
            counters: Arc::clone(&counters),
            connected: connected.subscribe(),
            wake: wake.clone(),
            much: Arc::clone(&much),
        };
        let subscriber = Subscriber {
            broker,
            client_id,
            subscriptions: Subscriptions::new(database),
            notifications: notifications.clone(),
            arrivals,
            room: Arc::new(Semaphore::new(BYTES_ON_THE_WAY)),
            connected,
            stop: stopped.clone(),
        };
        let intake = Intake {
            queue: queue.clone(),
            notifications: notifications.clone(),
            counters: Arc::clone(&counters),
            wake,
            much,
        };
        let orphans = orphans::tell(queue.clone(), notifications.clone());
        let stopping = stopped.clone();
        let deliver = {
            let (notifications, counters) = (notifications.clone(), Arc::clone(&counters));
            move |name: String| Delivery {
                name,
                queue: queue.clone(),
                sender: sender.clone(),
                notifications: notifications.clone(),
                counters: Arc::clone(&counters),
                wake: woken.clone(),
                stop: stopped.clone(),
            }
        };
        Ok(Self {
            stop,
            subscriber: tokio::spawn(subscriber.run()),
            intake: tokio::spawn(intake.run(arriving)),
            deliveries: tokio::spawn(keep_deliveries(notifications, deliver, stopping)),
            others: vec![
                tokio::spawn(file.watch()),
                tokio::spawn(watchman.run()),
                tokio::spawn(orphans),
                tokio::spawn(report::changes("notifications", move || told.to_string())),
            ],
            counters,
        })
    }

    /// What it has counted since its start.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// A question that can be asked while it runs: whether all of its parts do.
    pub fn alive(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let parts = [
            ("subscriber", self.subscriber.abort_handle()),
            ("intake", self.intake.abort_handle()),
            ("deliveries", self.deliveries.abort_handle()),
        ];
        alive::all_run("notifier", parts)
    }

    /// Ends it: the broker is told, what is on its way is written down, an attempt may end within `grace`.
    pub async fn shut_down(self, grace: Duration) {
        self.stop.send_replace(true);
        let end = async {
            let _ = self.subscriber.await;
            // The last sender of arrivals is gone with the subscriber.
            let _ = self.intake.await;
            let _ = self.deliveries.await;
        };
        if tokio::time::timeout(grace, end).await.is_err() {
            tracing::info!("a notification was under way when the program ended; it will be sent again");
        }
        for other in self.others {
            other.abort();
        }
        tracing::info!(event = "notifications", "{}", self.counters);
    }
}

/// One task for each destination that there is or was.
async fn keep_deliveries(
    mut notifications: watch::Receiver<Arc<Notifications>>,
    deliver: impl Fn(String) -> Delivery,
    mut stop: watch::Receiver<bool>,
) {
    let mut running: HashMap<String, JoinHandle<()>> = HashMap::new();
    loop {
        let names: Vec<_> = notifications
            .borrow_and_update()
            .destinations
            .keys()
            .cloned()
            .collect();
        // None ends but by a mistake of ours; then it begins again with the next change.
        running.retain(|_, task| !task.is_finished());
        for name in names {
            running
                .entry(name)
                .or_insert_with_key(|name| tokio::spawn(deliver(name.clone()).run()));
        }
        tokio::select! {
            changed = notifications.changed() => if changed.is_err() { break },
            _ = stop.changed() => break,
        }
    }
    for (_, task) in running {
        let _ = task.await;
    }
}
