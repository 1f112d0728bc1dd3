//! What is written down when a connection opens, ends, or does not come about: one log line each with the
//! same fields, the tally, and the log book where somebody may have to mend something.

use super::books::{Books, now_millis};
use super::caller::Caller;
use super::registry::Connection;
use super::{Administrative, Ending, Refusal};
use crate::entrypoint::Destination;
use crate::logbook::{Entry, Level, Source, shortened};
use crate::mqtt::Version;
use crate::sim::{GroupId, Sim};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::Duration;

pub(super) fn opened(books: &Books, connection: &Connection) {
    let sim = &connection.admission.sim;
    tracing::info!(
        event = "opened",
        imsi = %sim.imsi,
        sim_id = %sim.sim_id,
        group = sim.group_id.as_ref().map(GroupId::as_str),
        address = %connection.peer,
        client_id = %connection.client_id,
        mqtt = %connection.version,
        keep_alive = connection.keep_alive,
        platform_version = %connection.admission.entry_point.version,
        destination = %connection.admission.entry_point.destination,
        "connection opened"
    );
    books.tally.opened(sim.group_id.as_ref());
}

pub(super) fn closed(books: &Books, connection: &Connection, ending: &Ending) {
    let sim = &connection.admission.sim;
    let counts = connection.counters.read();
    let duration = connection.opened.elapsed().as_secs_f64();
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                event = "closed",
                imsi = %sim.imsi,
                sim_id = %sim.sim_id,
                group = sim.group_id.as_ref().map(GroupId::as_str),
                address = %connection.peer,
                client_id = %connection.client_id,
                destination = %connection.admission.entry_point.destination,
                reason = %ending,
                duration,
                device_up = counts.device_up,
                broker_up = counts.broker_up,
                broker_down = counts.broker_down,
                device_down = counts.device_down,
                bytes_up = counts.bytes_up,
                bytes_down = counts.bytes_down,
                "connection closed"
            )
        };
    }
    if ending.is_odd() {
        line!(warn);
    } else {
        line!(info);
    }
    books.tally.closed(sim.group_id.as_ref(), ending);
    let Some(level) = level_of(ending) else { return };
    let source = Source::Sim(sim.imsi.clone());
    books.logbook.queue().push(source, |source| Entry {
        time: now_millis(),
        source,
        level,
        body: body(json!({
            "event": "closed",
            "kind": ending.kind(),
            "reason": shortened(&ending.to_string()),
            "advice": ending.advice(),
            "duration": duration,
        }))
        .who(connection.peer, Some(sim), Some(&connection.client_id))
        .how(
            Some(connection.version),
            Some(connection.keep_alive),
            Some(&connection.admission.entry_point.destination),
        )
        .0,
    });
}

/// The connection's token ends after `left`: said ahead, so that nobody looks for a fault when it closes.
pub(super) fn token_ends(connection: &Connection, left: Duration) {
    let sim = &connection.admission.sim;
    tracing::info!(
        event = "token_ends",
        imsi = %sim.imsi,
        sim_id = %sim.sim_id,
        group = sim.group_id.as_ref().map(GroupId::as_str),
        address = %connection.peer,
        client_id = %connection.client_id,
        destination = %connection.admission.entry_point.destination,
        seconds = left.as_secs(),
        "the connection closes before its token ends; the device may connect again at once"
    );
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
    let sim = caller.sim.as_deref();
    let group = sim.and_then(|sim| sim.group_id.as_ref());
    tracing::warn!(
        event = "refused",
        imsi = sim.map(|sim| sim.imsi.as_str()),
        sim_id = sim.map(|sim| sim.sim_id.as_str()),
        group = group.map(GroupId::as_str),
        address = %caller.peer,
        client_id = caller.client_id.as_deref(),
        mqtt = caller.version.map(tracing::field::display),
        keep_alive = caller.keep_alive,
        code = refusal.code(caller.version),
        reason = %refusal,
        advice = refusal.advice(),
        "connection refused"
    );
    books.tally.refused(group, refusal);
    let source = match sim {
        Some(sim) => Source::Sim(sim.imsi.clone()),
        None => Source::Address(caller.peer.ip()),
    };
    let level = if refusal.is_upstream_failure() {
        Level::Error
    } else {
        Level::Warning
    };
    books.logbook.queue().push(source, |source| Entry {
        time: now_millis(),
        source,
        level,
        body: body(json!({
            "event": "refused",
            "kind": refusal.kind(),
            "reason": shortened(&refusal.to_string()),
            "advice": refusal.advice(),
            "code": refusal.code(caller.version),
        }))
        .who(caller.peer, sim, caller.client_id.as_deref())
        .how(caller.version, caller.keep_alive, caller.destination.as_ref())
        .0,
    });
}

/// The body of an entry in the making. What is not known is left out.
struct Body(Map<String, Value>);

fn body(what: Value) -> Body {
    let mut body = Body(Map::new());
    if let Value::Object(what) = what {
        what.into_iter().for_each(|(key, value)| body.put(&key, value));
    }
    body
}

impl Body {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        if !value.is_null() {
            self.0.insert(key.to_owned(), value);
        }
    }

    fn who(mut self, peer: SocketAddr, sim: Option<&Sim>, client_id: Option<&str>) -> Self {
        self.put("address", peer.to_string());
        self.put("clientId", client_id.map(shortened));
        self.put("simId", sim.map(|sim| sim.sim_id.as_str()));
        let group = sim.and_then(|sim| sim.group_id.as_ref());
        self.put("groupId", group.map(GroupId::as_str));
        self
    }

    fn how(
        mut self,
        version: Option<Version>,
        keep_alive: Option<u16>,
        destination: Option<&Destination>,
    ) -> Self {
        self.put("mqtt", version.map(|version| version.to_string()));
        self.put("keepAlive", keep_alive);
        self.put("destination", destination.map(ToString::to_string));
        self
    }
}
