//! The log lines of a connection: opened, closed, refused. One line each, the same fields in each.

use super::handshake::Caller;
use super::registry::Connection;
use super::{Ending, Refusal};

pub(super) fn opened(connection: &Connection) {
    let sim = &connection.admission.session.sim;
    tracing::info!(
        event = "opened",
        imsi = %sim.imsi,
        sim_id = %sim.sim_id,
        group = %connection.admission.group_id,
        address = %connection.peer,
        client_id = %connection.client_id,
        mqtt = %connection.version,
        keep_alive = connection.keep_alive,
        destination = %connection.admission.entry_point.destination,
        "connection opened"
    );
}

pub(super) fn closed(connection: &Connection, ending: &Ending) {
    let sim = &connection.admission.session.sim;
    let counts = connection.counters.read();
    let duration = connection.opened.elapsed().as_secs_f64();
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                event = "closed",
                imsi = %sim.imsi,
                sim_id = %sim.sim_id,
                group = %connection.admission.group_id,
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
}

pub(super) fn refused(caller: &Caller, refusal: &Refusal) {
    let sim = caller.sim.as_deref();
    tracing::warn!(
        event = "refused",
        imsi = sim.map(|sim| sim.imsi.as_str()),
        sim_id = sim.map(|sim| sim.sim_id.as_str()),
        group = sim.and_then(|sim| sim.group_id.as_ref()).map(crate::sim::GroupId::as_str),
        address = %caller.peer,
        client_id = caller.client_id.as_deref(),
        mqtt = caller.version.map(tracing::field::display),
        keep_alive = caller.keep_alive,
        code = refusal.code(caller.version),
        reason = %refusal,
        advice = refusal.advice(),
        "connection refused"
    );
}
