//! Who may call.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::answer::Refusal;
use super::rate::RateLimit;
use super::request::decoded;
use super::{ApiKey, Network, Rate};

/// How many characters of what cannot be read are shown: more than any address has.
const SHOWN: usize = 64;

/// What a caller has to show and where it has to come from.
#[derive(Debug)]
pub(super) struct Guard {
    keys: Vec<ApiKey>,
    allow: Vec<Network>,
    proxies: Vec<Network>,
    rate: RateLimit,
}

impl Guard {
    pub(super) fn new(keys: Vec<ApiKey>, allow: Vec<Network>, proxies: Vec<Network>, rate: Rate) -> Self {
        Self {
            keys,
            allow,
            proxies,
            rate: RateLimit::new(rate),
        }
    }

    /// The caller: the peer, or whom a trusted proxy names as its own peer. A proxy whose word cannot be read has not
    /// said who calls, and is not taken for the caller itself: it may be on the list, and its callers not.
    pub(super) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Refusal> {
        if !self.proxies.iter().any(|proxy| proxy.contains(peer)) {
            return Ok(peer);
        }
        let Some(forwarded) = headers.get_all("x-forwarded-for").iter().next_back() else {
            return Ok(peer);
        };
        let entries = forwarded.as_bytes().rsplit(|byte| *byte == b',');
        // What stands before the last entry came from outside: it may be invented, and need not be text.
        let last = entries.into_iter().next().unwrap_or_default().trim_ascii();
        if let Some(caller) = forwarded_address(last) {
            return Ok(caller);
        }
        // Counted to the proxy, so that a flood of them is limited, and is one line in the log.
        self.rate.take(peer, Instant::now()).map_err(Refusal::TooMany)?;
        Err(Refusal::Forwarded(excerpt(last)))
    }

    /// Lets a request in, or says why not.
    pub(super) fn admit(
        &self,
        caller: IpAddr,
        headers: &HeaderMap,
        query: &str,
        wants_key: bool,
    ) -> Result<(), Refusal> {
        // First, so that strangers and guesses of keys are limited too.
        self.rate.take(caller, Instant::now()).map_err(Refusal::TooMany)?;
        if !self.allow.is_empty() && !self.allow.iter().any(|network| network.contains(caller)) {
            return Err(Refusal::Network(caller));
        }
        if self.keys.is_empty() || !wants_key {
            return Ok(());
        }
        let shown = shown(headers, query).ok_or(Refusal::Key)?;
        // All keys are looked at, so that the time tells nothing of which one it was.
        let matching = self.keys.iter().filter(|key| key.matches(&shown)).count();
        if matching == 0 {
            Err(Refusal::WrongKey)
        } else {
            Ok(())
        }
    }
}

/// The address in an entry of `X-Forwarded-For`, which some proxies write with the port, or in brackets.
fn forwarded_address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bracketed = || {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()
    };
    let with_port = || text.parse::<SocketAddr>().ok();
    let address = text.parse::<IpAddr>().ok();
    address
        .or_else(|| Some(with_port()?.ip()))
        .or_else(|| bracketed().map(IpAddr::V6))
}

/// As much of an entry as is worth showing.
fn excerpt(entry: &[u8]) -> String {
    String::from_utf8_lossy(entry).chars().take(SHOWN).collect()
}

/// The key in a request: `X-API-Key`, `Authorization`, `key=` in the address.
fn shown(headers: &HeaderMap, query: &str) -> Option<Zeroizing<String>> {
    if let Some(value) = headers.get("x-api-key") {
        return Some(Zeroizing::new(value.to_str().ok()?.to_owned()));
    }
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, value) = value.to_str().ok()?.split_once(' ')?;
        return match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(Zeroizing::new(value.trim().to_owned())),
            "basic" => basic_password(value.trim()),
            _ => None,
        };
    }
    let key = query.split('&').find_map(|pair| pair.strip_prefix("key="))?;
    Some(Zeroizing::new(decoded(key).ok()?))
}

/// The user name is anybody's.
fn basic_password(value: &str) -> Option<Zeroizing<String>> {
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(value).ok()?);
    let text = std::str::from_utf8(&bytes).ok()?;
    let (_, password) = text.split_once(':')?;
    Some(Zeroizing::new(password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    const KEY: &str = "0123456789abcdef";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        lines.iter().map(line).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_key_is_taken_wherever_a_caller_can_put_it() {
        let guard = Guard::new(vec![KEY.parse().unwrap()], vec![], vec![], Rate::Off);
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        let good = [
            (headers(&[("x-api-key", KEY)]), ""),
            (headers(&[("authorization", &format!("Bearer {KEY}"))]), ""),
            (headers(&[("authorization", &format!("bearer {KEY}"))]), ""),
            (
                headers(&[("authorization", &basic(&format!("anybody:{KEY}")))]),
                "",
            ),
            (headers(&[]), "message=x&key=0123456789abcdef"),
            (headers(&[]), "key=%30123456789abcdef&message=x"),
        ];
        for (headers, query) in good {
            assert_eq!(
                guard.admit(ip("192.0.2.1"), &headers, query, true),
                Ok(()),
                "{headers:?} {query}"
            );
        }
        let wrong = headers(&[("x-api-key", "wrong")]);
        let refused = guard.admit(ip("192.0.2.1"), &wrong, "key=0123456789abcdef", true);
        assert_eq!(refused, Err(Refusal::WrongKey));
        let bad = [
            (headers(&[]), "message=x"),
            (headers(&[("authorization", &basic(KEY))]), ""),
            (headers(&[("authorization", "Basic !!!")]), ""),
            (headers(&[("authorization", &format!("Digest {KEY}"))]), ""),
            (headers(&[("authorization", KEY)]), ""),
            (headers(&[]), "apikey=0123456789abcdef"),
        ];
        for (headers, query) in bad {
            let refused = guard.admit(ip("192.0.2.1"), &headers, query, true);
            assert_eq!(refused, Err(Refusal::Key), "{headers:?} {query}");
        }
    }

    #[test]
    fn only_members_of_the_networks_come_in() {
        let guard = Guard::new(vec![], vec!["192.168.1.0/24".parse().unwrap()], vec![], Rate::Off);
        assert_eq!(guard.admit(ip("192.168.1.5"), &headers(&[]), "", true), Ok(()));
        let stranger = ip("203.0.113.9");
        assert_eq!(
            guard.admit(stranger, &headers(&[]), "", true),
            Err(Refusal::Network(stranger))
        );
    }

    #[test]
    fn a_proxy_is_believed_only_if_it_is_trusted_and_only_its_last_word() {
        let guard = Guard::new(vec![], vec![], vec!["127.0.0.1".parse().unwrap()], Rate::Off);
        let told = headers(&[("x-forwarded-for", "10.9.9.9, 203.0.113.9")]);
        assert_eq!(guard.caller(ip("127.0.0.1"), &told), Ok(ip("203.0.113.9")));
        assert_eq!(guard.caller(ip("192.0.2.1"), &told), Ok(ip("192.0.2.1")));
        assert_eq!(guard.caller(ip("127.0.0.1"), &headers(&[])), Ok(ip("127.0.0.1")));
        let twice = headers(&[
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "198.51.100.7"),
        ]);
        assert_eq!(guard.caller(ip("127.0.0.1"), &twice), Ok(ip("198.51.100.7")));
    }

    /// What a trusted proxy that says this is taken to mean.
    fn forwarded(value: &[u8]) -> Result<IpAddr, Refusal> {
        let guard = Guard::new(vec![], vec![], vec!["127.0.0.1".parse().unwrap()], Rate::Off);
        let name = HeaderName::from_static("x-forwarded-for");
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_bytes(value).unwrap())]);
        guard.caller(ip("127.0.0.1"), &headers)
    }

    #[test]
    fn a_proxys_word_is_understood_in_every_spelling_whatever_stands_before_it() {
        for (value, address) in [
            (&b"203.0.113.9"[..], "203.0.113.9"),
            (b"\xff, 203.0.113.9", "203.0.113.9"),
            (b"\xff,203.0.113.9 ", "203.0.113.9"),
            (b"203.0.113.9:4711", "203.0.113.9"),
            (b"2001:db8::7", "2001:db8::7"),
            (b"[2001:db8::7]", "2001:db8::7"),
            (b"10.0.0.1, [2001:db8::7]:4711", "2001:db8::7"),
        ] {
            assert_eq!(forwarded(value), Ok(ip(address)), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn who_cannot_be_told_behind_a_proxy_is_not_taken_for_the_proxy() {
        for value in [
            &b"unknown"[..],
            b"",
            b"203.0.113.9,",
            b"\xff",
            b"203.0.113.9, _hidden",
            b"[203.0.113.9]",
            b"203.0.113.9:port",
        ] {
            let refused = forwarded(value);
            assert!(
                matches!(refused, Err(Refusal::Forwarded(_))),
                "{}: {refused:?}",
                value.escape_ascii()
            );
        }
        let words = forwarded(b"1.2.3.4, unknown").unwrap_err().to_string();
        assert!(
            words.contains("\"unknown\"") && words.contains("$remote_addr"),
            "{words}"
        );
    }

    #[test]
    fn guesses_are_limited_too() {
        let guard = Guard::new(vec![KEY.parse().unwrap()], vec![], vec![], "1".parse().unwrap());
        let guess = headers(&[("x-api-key", "wrong")]);
        assert_eq!(
            guard.admit(ip("192.0.2.1"), &guess, "", true),
            Err(Refusal::WrongKey)
        );
        let right = headers(&[("x-api-key", KEY)]);
        let refused = guard.admit(ip("192.0.2.1"), &right, "", true);
        assert!(matches!(refused, Err(Refusal::TooMany(_))), "{refused:?}");
    }
}
