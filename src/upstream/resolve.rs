//! Names to addresses.

use super::UpstreamError;
use moka::sync::Cache;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long an answer serves: the system's resolver does not tell a record's own time to live.
const TTL: Duration = Duration::from_secs(60);
/// How long an old answer stands in while the resolver fails.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// How long who has an old answer waits for a new one: the client response timer of RFC 8767 §5.
const PATIENCE: Duration = Duration::from_millis(1800);
/// How long an old answer serves before a name that failed is looked up again: the failure recheck timer of RFC 8767 §5.
const RECHECK: Duration = Duration::from_secs(30);
/// How long the failure itself is the answer, where there is no old one.
const REST: Duration = Duration::from_secs(1);
/// How long a name that failed is known as one that does.
const DOUBTFUL: Duration = Duration::from_secs(600);
/// Look-ups at a time of names that do not fail, and again of those that do. Each is a thread that waits for up to 40 s.
const AT_ONCE: usize = 16;
/// Names that are remembered.
const MOST: u64 = 10_000;

type Name = (String, u16);
type Addresses = Arc<[SocketAddr]>;
type Answer = Result<Addresses, Arc<str>>;
/// How a name is looked up: blocks, and for longer than anybody waits.
type System = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// A cache before the system's resolver. However many connections want a name, one look-up is under way, and it goes on
/// when they are gone, as the system's resolver cannot be interrupted.
#[derive(Clone)]
pub(super) struct Resolver(Arc<Shared>);

struct Shared {
    fresh: Cache<Name, Addresses>,
    last_known: Cache<Name, Addresses>,
    failures: Cache<Name, Failure>,
    under_way: Mutex<HashMap<Name, watch::Receiver<Option<Answer>>>>,
    /// Of names that do not fail. Those that do have their own, so that they delay no other.
    steady: Arc<Semaphore>,
    doubtful: Arc<Semaphore>,
    system: Box<System>,
    deadline: Duration,
}

/// A look-up that brought nothing, or nothing in time.
#[derive(Debug, Clone)]
struct Failure {
    at: Instant,
    reason: Arc<str>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    pub(super) fn new(deadline: Duration) -> Self {
        Self::asking(deadline, |host, port| {
            (host, port).to_socket_addrs().map(Iterator::collect)
        })
    }

    fn asking(
        deadline: Duration,
        system: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            fresh: kept_for(TTL),
            last_known: kept_for(STALE),
            failures: kept_for(DOUBTFUL),
            under_way: Mutex::default(),
            steady: Arc::new(Semaphore::new(AT_ONCE)),
            doubtful: Arc::new(Semaphore::new(AT_ONCE)),
            system: Box::new(system),
            deadline,
        }))
    }

    /// The addresses of `host`, in the order in which they are to be tried.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> Result<Addresses, UpstreamError> {
        let name = (host.to_owned(), port);
        let answer = self.answer(&name).await;
        answer.map_err(|reason| UpstreamError::Resolve {
            host: name.0,
            reason: reason.to_string(),
        })
    }

    async fn answer(&self, name: &Name) -> Answer {
        if let Some(addresses) = self.0.fresh.get(name) {
            return Ok(addresses);
        }
        let (old, failure) = (self.0.last_known.get(name), self.0.failures.get(name));
        match (old, failure) {
            (Some(old), Some(failure)) => {
                if failure.at.elapsed() > RECHECK {
                    self.look_up(name, &self.0.doubtful);
                }
                Ok(old)
            }
            (Some(old), None) => Ok(self.wait(name, &self.0.steady, PATIENCE).await.unwrap_or(old)),
            (None, Some(failure)) if failure.at.elapsed() <= REST => Err(failure.reason),
            (None, Some(_)) => self.wait(name, &self.0.doubtful, self.0.deadline).await,
            (None, None) => self.wait(name, &self.0.steady, self.0.deadline).await,
        }
    }

    /// Has the next who wants the addresses of `host` ask for them again.
    pub(super) fn forget(&self, host: &str, port: u16) {
        self.0.fresh.invalidate(&(host.to_owned(), port));
    }

    /// Waits for the look-up of `name`, for so long.
    async fn wait(&self, name: &Name, slots: &Arc<Semaphore>, patience: Duration) -> Answer {
        let mut look_up = self.look_up(name, slots);
        match timeout(patience, look_up.wait_for(Option::is_some)).await {
            Ok(Ok(answer)) => answer.clone().unwrap_or_else(|| Err("no answer".into())),
            // The runtime ends.
            Ok(Err(_)) => Err("the look-up was interrupted".into()),
            Err(_) => {
                let reason = Arc::from(format!("no answer within {} s", patience.as_secs_f32()));
                self.0.fail(name, &reason);
                Err(reason)
            }
        }
    }

    /// The look-up of `name` that is under way; if there is none, one begins as soon as there is one of `slots`.
    fn look_up(&self, name: &Name, slots: &Arc<Semaphore>) -> watch::Receiver<Option<Answer>> {
        let mut under_way = self.0.under_way();
        if let Some(look_up) = under_way.get(name) {
            return look_up.clone();
        }
        let (told, look_up) = watch::channel(None);
        under_way.insert(name.clone(), look_up.clone());
        drop(under_way);
        let ending = UnderWay {
            resolver: self.clone(),
            name: name.clone(),
        };
        let slots = Arc::clone(slots);
        tokio::spawn(async move {
            let Ok(slot) = slots.acquire_owned().await else {
                return;
            };
            let shared = Arc::clone(&ending.resolver.0);
            let (host, port) = ending.name.clone();
            // The slot is in use for as long as the thread is, whatever becomes of this task.
            let found = spawn_blocking(move || {
                let _slot = slot;
                (shared.system)(&host, port)
            });
            let Ok(found) = found.await else { return };
            let answer = ending.resolver.0.settle(&ending.name, found);
            drop(ending);
            let _ = told.send(Some(answer));
        });
        look_up
    }
}

impl Shared {
    fn under_way(&self) -> MutexGuard<'_, HashMap<Name, watch::Receiver<Option<Answer>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what the system said.
    fn settle(&self, name: &Name, found: io::Result<Vec<SocketAddr>>) -> Answer {
        let reason = match found {
            Ok(found) if !found.is_empty() => {
                let addresses = Addresses::from(found);
                self.last_known.insert(name.clone(), Arc::clone(&addresses));
                self.fresh.insert(name.clone(), Arc::clone(&addresses));
                self.failures.invalidate(name);
                return Ok(addresses);
            }
            Ok(_) => Arc::from("the name has no address"),
            Err(error) => Arc::from(error.to_string()),
        };
        self.fail(name, &reason);
        Err(reason)
    }

    fn fail(&self, name: &Name, reason: &Arc<str>) {
        let is_news = self
            .failures
            .get(name)
            .is_none_or(|known| known.at.elapsed() > REST);
        let (at, reason) = (Instant::now(), Arc::clone(reason));
        if is_news && self.last_known.contains_key(name) {
            tracing::warn!(host = name.0, %reason, "name does not resolve, its last known addresses are used");
        }
        self.failures.insert(name.clone(), Failure { at, reason });
    }
}

/// A look-up that is under way until this is dropped.
struct UnderWay {
    resolver: Resolver,
    name: Name,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.resolver.0.under_way().remove(&self.name);
    }
}

fn kept_for<T: Clone + Send + Sync + 'static>(time: Duration) -> Cache<Name, T> {
    Cache::builder().max_capacity(MOST).time_to_live(time).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Condvar;

    const ADDRESS: &str = "127.0.0.9:1883";

    fn addresses() -> Vec<SocketAddr> {
        vec![ADDRESS.parse().unwrap()]
    }

    fn name(host: &str) -> Name {
        (host.to_owned(), 1883)
    }

    /// A resolver of the system that answers for `dead...` when it is told to, and for all others at once.
    #[derive(Default)]
    struct Server {
        answers: Mutex<bool>,
        told: Condvar,
        /// Look-ups so far, those under way, and the most that were at a time.
        counted: Mutex<[usize; 3]>,
    }

    impl Server {
        fn look_up(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
            if !host.starts_with("dead") {
                return Ok(addresses());
            }
            self.count(|[all, now, most]| {
                (*all, *now) = (*all + 1, *now + 1);
                *most = (*most).max(*now);
            });
            let answers = self.answers.lock().unwrap();
            drop(self.told.wait_while(answers, |answers| !*answers).unwrap());
            self.count(|[_, now, _]| *now -= 1);
            Ok(addresses())
        }

        fn count<T>(&self, change: impl FnOnce(&mut [usize; 3]) -> T) -> T {
            change(&mut self.counted.lock().unwrap())
        }
    }

    /// Lets the threads end that the runtime waits for.
    struct Asked(Arc<Server>);

    impl Asked {
        fn answer(&self) {
            *self.0.answers.lock().unwrap() = true;
            self.0.told.notify_all();
        }
    }

    impl Drop for Asked {
        fn drop(&mut self) {
            self.answer();
        }
    }

    fn asking(deadline: Duration) -> (Resolver, Asked) {
        let server = Arc::new(Server::default());
        let asked = Asked(Arc::clone(&server));
        let resolver = Resolver::asking(deadline, move |host, _| server.look_up(host));
        (resolver, asked)
    }

    /// What `name` resolves to without a wait.
    async fn at_once(resolver: &Resolver, host: &str) -> Option<Vec<SocketAddr>> {
        let answer = timeout(Duration::ZERO, resolver.resolve(host, 1883)).await;
        answer.ok().map(|addresses| addresses.unwrap().to_vec())
    }

    fn failed_before(resolver: &Resolver, host: &str, ago: Duration) {
        let at = Instant::now().checked_sub(ago).unwrap();
        let reason = "no answer".into();
        resolver.0.failures.insert(name(host), Failure { at, reason });
    }

    #[tokio::test]
    async fn a_known_name_resolves_and_an_unknown_one_is_named() {
        let resolver = Resolver::new(Duration::from_secs(5));
        let addresses = resolver.resolve("localhost", 1883).await.unwrap();
        assert!(addresses.iter().all(|a| a.ip().is_loopback() && a.port() == 1883));
        let error = resolver.resolve("no-such-host.invalid", 1883).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot resolve no-such-host.invalid: "),
            "{error}"
        );
    }

    #[tokio::test]
    async fn each_look_up_renews_what_stands_in_while_the_resolver_fails() {
        let (resolver, _asked) = asking(Duration::from_secs(5));
        resolver.resolve("broker", 1883).await.unwrap();
        resolver.forget("broker", 1883);
        let newest = resolver.resolve("broker", 1883).await.unwrap();
        let kept = resolver.0.last_known.get(&name("broker")).unwrap();
        assert!(
            Arc::ptr_eq(&kept, &newest),
            "its time counts from the first look-up"
        );
    }

    #[tokio::test]
    async fn an_old_answer_stands_in_while_the_resolver_fails() {
        let resolver = Resolver::new(Duration::from_secs(5));
        resolver
            .0
            .last_known
            .insert(name("broker.invalid"), addresses().into());
        let found = resolver.resolve("broker.invalid", 1883).await.unwrap();
        assert_eq!(*found, addresses());
        assert_eq!(at_once(&resolver, "broker.invalid").await, Some(addresses()));
    }

    #[tokio::test]
    async fn an_old_answer_is_waited_for_as_little_while_a_name_that_failed_is_looked_up_again() {
        let (resolver, asked) = asking(Duration::from_secs(5));
        resolver.0.last_known.insert(name("dead"), addresses().into());
        failed_before(&resolver, "dead", RECHECK + REST);
        assert_eq!(at_once(&resolver, "dead").await, Some(addresses()));
        assert_eq!(resolver.0.under_way().len(), 1);
        asked.answer();
        let mut look_up = resolver.look_up(&name("dead"), &resolver.0.doubtful);
        look_up.wait_for(Option::is_some).await.unwrap();
        assert!(
            resolver.0.fresh.contains_key(&name("dead")) && !resolver.0.failures.contains_key(&name("dead"))
        );
    }

    #[tokio::test]
    async fn those_who_leave_leave_one_look_up_behind_which_serves_the_next() {
        let (resolver, asked) = asking(Duration::from_secs(60));
        for _ in 0..100 {
            assert_eq!(at_once(&resolver, "dead").await, None);
        }
        asked.answer();
        assert_eq!(*resolver.resolve("dead", 1883).await.unwrap(), addresses());
        assert_eq!(asked.0.count(|[all, ..]| *all), 1);
    }

    #[tokio::test]
    async fn however_many_names_get_no_answer_few_are_looked_up_at_a_time_and_a_failure_is_told_for_a_second()
    {
        let (resolver, asked) = asking(Duration::from_millis(50));
        let names: Vec<_> = (0..100).map(|n| format!("dead{n}")).collect();
        let devices = names.iter().map(|host| {
            let (resolver, host) = (resolver.clone(), host.clone());
            tokio::spawn(async move { resolver.resolve(&host, 1883).await.unwrap_err().to_string() })
        });
        for device in devices.collect::<Vec<_>>() {
            let error = device.await.unwrap();
            assert!(error.ends_with("no answer within 0.05 s"), "{error}");
        }
        let next = timeout(Duration::ZERO, resolver.resolve("dead99", 1883)).await;
        assert!(next.unwrap().is_err(), "it waits again");
        asked.answer();
        for host in &names {
            let mut look_up = resolver.look_up(&name(host), &resolver.0.steady);
            look_up.wait_for(Option::is_some).await.unwrap();
        }
        assert!(asked.0.count(|[.., most]| *most) <= AT_ONCE);
    }

    #[tokio::test]
    async fn names_that_fail_delay_no_other() {
        let (resolver, _asked) = asking(Duration::from_secs(60));
        for n in 0..100 {
            let host = format!("dead{n}");
            failed_before(&resolver, &host, 2 * REST);
            assert_eq!(at_once(&resolver, &host).await, None);
        }
        assert_eq!(*resolver.resolve("live", 1883).await.unwrap(), addresses());
    }
}
