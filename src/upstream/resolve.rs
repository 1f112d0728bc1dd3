//! Names to addresses.

use super::UpstreamError;
use crate::timers;
use moka::future::Cache;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer serves: the system's resolver does not tell a record's own time to live.
const TTL: Duration = Duration::from_secs(60);
/// How long an old answer stands in while the resolver fails.
const STALE: Duration = Duration::from_secs(24 * 3600);

type Addresses = Arc<[SocketAddr]>;

/// A cache before the system's resolver. However many connections want a name, one asks.
#[derive(Debug)]
pub(super) struct Resolver {
    fresh: Cache<(String, u16), Addresses>,
    last_known: Cache<(String, u16), Addresses>,
    deadline: Duration,
}

impl Resolver {
    pub(super) fn new(deadline: Duration) -> Self {
        let cache = |ttl| Cache::builder().max_capacity(10_000).time_to_live(ttl).build();
        Self {
            fresh: cache(TTL),
            last_known: cache(STALE),
            deadline,
        }
    }

    /// The addresses of `host`, in the order in which they are to be tried.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> Result<Addresses, UpstreamError> {
        let key = (host.to_owned(), port);
        let look_up = async {
            let addresses = self.look_up(host, port).await?;
            self.last_known.insert(key.clone(), Arc::clone(&addresses)).await;
            Ok::<_, String>(addresses)
        };
        match self.fresh.try_get_with_by_ref(&key, look_up).await {
            Ok(addresses) => Ok(addresses),
            Err(reason) => match self.last_known.get(&key).await {
                Some(addresses) => {
                    tracing::warn!(host, %reason, "name does not resolve, its last known addresses are used");
                    Ok(addresses)
                }
                None => Err(UpstreamError::Resolve {
                    host: host.to_owned(),
                    reason: reason.to_string(),
                }),
            },
        }
    }

    /// Has the next who wants the addresses of `host` ask for them again.
    pub(super) async fn forget(&self, host: &str, port: u16) {
        self.fresh.invalidate(&(host.to_owned(), port)).await;
    }

    async fn look_up(&self, host: &str, port: u16) -> Result<Addresses, String> {
        let answer = timers::timeout(self.deadline, tokio::net::lookup_host((host, port))).await;
        let found = match answer {
            Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no answer within {} s", self.deadline.as_secs())),
        };
        if found.is_empty() {
            Err("the name has no address".to_owned())
        } else {
            Ok(found.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let resolver = Resolver::new(Duration::from_secs(5));
        let key = ("localhost".to_owned(), 1883);
        resolver.resolve("localhost", 1883).await.unwrap();
        resolver.forget("localhost", 1883).await;
        let newest = resolver.resolve("localhost", 1883).await.unwrap();
        let kept = resolver.last_known.get(&key).await.unwrap();
        assert!(
            Arc::ptr_eq(&kept, &newest),
            "its time counts from the first look-up"
        );
    }

    #[tokio::test]
    async fn an_old_answer_stands_in_while_the_resolver_fails() {
        let resolver = Resolver::new(Duration::from_secs(5));
        let address: SocketAddr = "127.0.0.9:1883".parse().unwrap();
        let key = ("broker.invalid".to_owned(), 1883);
        resolver.last_known.insert(key, vec![address].into()).await;
        assert_eq!(
            *resolver.resolve("broker.invalid", 1883).await.unwrap(),
            [address]
        );
    }
}
