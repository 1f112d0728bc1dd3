//! What is written down when a connection opens, ends, or does not come about: one log line each with the
//! same fields, the tally, and the log book where somebody may have to mend something.

use super::books::Books;
use super::caller::Caller;
use super::registry::Connection;
use super::{Administrative, Ending, Refusal};
use crate::clock::now_millis;
use crate::entrypoint::Destination;
use crate::logbook::{Entry, Level, Source, shortened};
use crate::mqtt::Version;
use crate::sim::{GroupId, Imsi, Sim};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// Whom a line and an entry are about, as far as it is known.
struct Who<'a> {
    peer: SocketAddr,
    sim: Option<&'a Sim>,
    client_id: Option<&'a str>,
    version: Option<Version>,
    keep_alive: Option<u16>,
    destination: Option<&'a Destination>,
}

impl<'a> From<&'a Connection> for Who<'a> {
    fn from(connection: &'a Connection) -> Self {
        Self {
            peer: connection.peer,
            sim: Some(&connection.admission.sim),
            client_id: Some(&connection.client_id),
            version: Some(connection.version),
            keep_alive: Some(connection.keep_alive),
            destination: Some(&connection.admission.entry_point.destination),
        }
    }
}

impl<'a> From<&'a Caller> for Who<'a> {
    fn from(caller: &'a Caller) -> Self {
        Self {
            peer: caller.peer,
            sim: caller.sim.as_deref(),
            client_id: caller.client_id.as_deref(),
            version: caller.version,
            keep_alive: caller.keep_alive,
            destination: caller.destination.as_ref(),
        }
    }
}

impl<'a> Who<'a> {
    fn group(&self) -> Option<&'a GroupId> {
        self.sim?.group_id.as_ref()
    }
}

/// A log line about `$who`, with fields of its own behind the common ones.
macro_rules! line {
    ($level:ident, $event:literal, $who:expr, {$($own:tt)*} $message:literal) => {
        tracing::$level!(
            event = $event,
            imsi = $who.sim.map(|sim| sim.imsi.as_str()),
            sim_id = $who.sim.map(|sim| sim.sim_id.as_str()),
            group = $who.group().map(GroupId::as_str),
            address = written($who.peer).as_str(),
            client_id = $who.client_id,
            mqtt = $who.version.map(Version::as_str),
            keep_alive = $who.keep_alive,
            destination = $who.destination.map(Destination::as_str),
            $($own)*
            $message
        )
    };
}

/// An address and port as `Display` has it. Two lines of every connection hold one, and the formatter would write an
/// IPv4 address in nine pieces, each of which is looked through for what JSON has to escape.
fn written(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else {
        return address.to_string();
    };
    fn push(text: &mut String, number: u16) {
        if number > 9 {
            push(text, number / 10);
        }
        text.push((b'0' + (number % 10) as u8).into());
    }
    let mut text = String::with_capacity("255.255.255.255:65535".len());
    for (octet, behind) in address.ip().octets().into_iter().zip(['.', '.', '.', ':']) {
        push(&mut text, octet.into());
        text.push(behind);
    }
    push(&mut text, address.port());
    text
}

pub(super) fn opened(books: &Books, connection: &Connection) {
    let who = Who::from(connection);
    line!(info, "opened", who, {
        platform_version = connection.admission.entry_point.version.as_str(),
    } "connection opened");
    books.tally.opened(who.group());
}

pub(super) fn closed(books: &Books, connection: &Connection, ending: &Ending) {
    let who = Who::from(connection);
    let counts = connection.counters.read();
    let duration = connection.opened.elapsed().as_secs_f64();
    macro_rules! closed {
        ($level:ident) => {
            line!($level, "closed", who, {
                reason = %ending,
                advice = ending.advice(),
                duration,
                device_up = counts.device_up,
                broker_up = counts.broker_up,
                broker_down = counts.broker_down,
                device_down = counts.device_down,
                bytes_up = counts.bytes_up,
                bytes_down = counts.bytes_down,
            } "connection closed")
        };
    }
    if ending.is_odd() {
        closed!(warn);
    } else {
        closed!(info);
    }
    books.tally.closed(who.group(), ending);
    let Some(level) = level_of(ending) else { return };
    let source = Source::Sim(connection.admission.sim.imsi.clone());
    let what = || {
        json!({
            "event": "closed",
            "kind": ending.kind(),
            "reason": shortened(&ending.to_string()),
            "advice": ending.advice(),
            "duration": duration,
        })
    };
    books
        .logbook
        .queue()
        .push(source, |source| entry(source, level, &what(), &who));
}

/// The connection's token ends after `left`: said ahead, so that nobody looks for a fault when it closes.
pub(super) fn token_ends(connection: &Connection, left: Duration) {
    line!(info, "token_ends", Who::from(connection), {
        seconds = left.as_secs(),
    } "the connection closes before its token ends; the device may connect again at once");
}

/// How bad an ending is; `None` for one that nobody has to look at. A shutdown ends thousands at once and is
/// in the log once.
fn level_of(ending: &Ending) -> Option<Level> {
    match ending {
        Ending::Administrative(Administrative::Shutdown) => None,
        Ending::Administrative(_) => Some(Level::Info),
        ending if ending.is_upstream_failure() => Some(Level::Error),
        ending => ending.is_odd().then_some(Level::Warning),
    }
}

pub(super) fn refused(books: &Books, caller: &Caller, refusal: &Refusal) {
    let who = Who::from(caller);
    let code = refusal.code(caller.version);
    let about = who.sim.map(|sim| &sim.imsi);
    if books.lines.may_say(about, refusal.kind()) {
        line!(warn, "refused", who, {
            code,
            reason = %refusal,
            advice = refusal.advice(),
        } "connection refused");
    }
    books.tally.refused(who.group(), refusal);
    let source = match who.sim {
        Some(sim) => Source::Sim(sim.imsi.clone()),
        None => Source::Address(caller.peer.ip()),
    };
    let level = if refusal.is_upstream_failure() {
        Level::Error
    } else {
        Level::Warning
    };
    let what = || {
        json!({
            "event": "refused",
            "kind": refusal.kind(),
            "reason": shortened(&refusal.to_string()),
            "advice": refusal.advice(),
            "code": code,
        })
    };
    books
        .logbook
        .queue()
        .push(source, |source| entry(source, level, &what(), &who));
}

/// What was refused beyond the lines that were written about it.
pub(super) fn refused_more(books: &Books) {
    for (about, kinds) in books.lines.take_unsaid() {
        tracing::warn!(
            event = "refused_more",
            imsi = about.as_ref().map(Imsi::as_str),
            count = kinds.values().sum::<u64>(),
            kinds = ?kinds,
            advice = "see the lines before, and /metrics",
            "{} had more connections refused than are logged one by one",
            if about.is_some() { "this SIM" } else { "addresses that belong to no SIM" },
        );
    }
}

/// An entry of the log book. What is not known is left out.
fn entry(source: Source, level: Level, what: &Value, who: &Who<'_>) -> Entry {
    let about = json!({
        "address": who.peer.to_string(),
        "clientId": who.client_id,
        "simId": who.sim.map(|sim| sim.sim_id.as_str()),
        "groupId": who.group().map(GroupId::as_str),
        "mqtt": who.version.map(|version| version.to_string()),
        "keepAlive": who.keep_alive,
        "destination": who.destination.map(ToString::to_string),
    });
    let fields = [what, &about].into_iter().filter_map(Value::as_object).flatten();
    let known = fields.filter(|(_, value)| !value.is_null());
    Entry {
        time: now_millis(),
        source,
        level,
        body: known.map(|(key, value)| (key.clone(), value.clone())).collect(),
    }
}

/// One line for each counted request, at level debug.
#[inline]
pub(super) fn requests(connection: &Connection, direction: &'static str, leg: &'static str, count: u32) {
    // Asked first, as it is one look at a number.
    if count > 0 && LevelFilter::current() >= LevelFilter::DEBUG {
        write_requests(connection, direction, leg, count);
    }
}

#[cold]
fn write_requests(connection: &Connection, direction: &'static str, leg: &'static str, count: u32) {
    for _ in 0..count {
        tracing::debug!(
            event = "request",
            imsi = %connection.admission.sim.imsi,
            client_id = %connection.client_id,
            direction,
            leg,
            "request"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_the_standard_library_would() {
        for address in [
            "127.0.0.1:1",
            "0.9.10.99:9",
            "255.100.205.250:65535",
            "10.0.0.0:10",
            "[2001:db8::1]:1883",
            "[::ffff:10.0.0.1]:80",
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(written(address), address.to_string());
        }
    }
}
