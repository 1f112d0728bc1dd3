//! `/metrics` for Prometheus. Labels come from the program and from what admins configure, never from devices.

mod process;
mod services;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderName, header};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

use super::ApiState;
use crate::bridge::OutboxView;
use crate::relay::{ByKind, OfGroup, Totals};
use crate::sim::GroupId;
use crate::usage::Counts;

type Labels = Vec<(&'static str, String)>;
/// The parts of some counts, with the labels of the whole in front.
type Parts = fn(&Counts, &[(&'static str, String)]) -> Vec<(Labels, u64)>;

/// Numbers for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    security(()),
    responses((status = 200, body = String, content_type = "application/openmetrics-text"))
)]
pub(super) async fn show(State(state): State<ApiState>) -> ([(HeaderName, &'static str); 1], String) {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, content_type)],
        render(&state, parked(&state).await),
    )
}

/// Messages that the bridge has set aside, if there is a bridge and its database can be read.
async fn parked(state: &ApiState) -> Option<u64> {
    let outbox = state.services.bridge.as_ref().and_then(OutboxView::outbox)?;
    let parked = outbox.parked();
    // Nobody who looks on holds it.
    drop(outbox);
    parked.count().await.ok()
}

fn render(state: &ApiState, parked: Option<u64>) -> String {
    let snapshot = state.store.snapshot();
    let totals = state.books.tally.totals(|group| snapshot.group(group).is_some());
    let mut connections: BTreeMap<GroupId, usize> = BTreeMap::new();
    state.registry.for_each(|connection| {
        if let Some(group) = &connection.admission.sim.group_id {
            match connections.get_mut(group) {
                Some(count) => *count += 1,
                None => drop(connections.insert(group.clone(), 1)),
            }
        }
    });
    let mut page = Page(Registry::with_prefix("simrelay"));
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    page.0.register("build", "What runs", Info::new(version));
    page.gauge("sims", "SIMs in the configuration", snapshot.sims().len());
    page.gauge("groups", "Groups in the configuration", snapshot.groups().len());
    page.gauge("connections", "Connections now", connections.values().sum());
    let limits = state.registry.limits();
    page.gauge(
        "connections_limit",
        "Connections that there may be",
        limits.connections,
    );
    page.gauge(
        "handshakes",
        "Connections being opened now",
        state.registry.handshakes(),
    );
    page.gauge("handshakes_limit", "Those that there may be", limits.handshakes);
    page.gauge(
        "accept_rate_limit",
        "Connections a second that are let in; 0 for as many as come",
        limits.accepts.map_or(0, |rate| rate.get() as usize),
    );
    let certificates = state.credentials.expiring();
    page.gauge(
        "credentials_expiring",
        "Credentials with a certificate that runs out within 30 days",
        certificates.soon,
    );
    page.gauge(
        "credentials_expired",
        "Credentials with a certificate that has run out",
        certificates.over,
    );
    let (tokens, ending) = state.registry.tokens().counts();
    page.gauge("tokens", "Connections whose login is a token that ends", tokens);
    page.gauge(
        "tokens_ending",
        "Those that close soon, before their token ends",
        ending,
    );
    page.of_all(&totals);
    page.of_groups(&totals.groups, &connections);
    page.by_kind(
        "api_refused",
        "Calls of the API by somebody who was not let in",
        "reason",
        &state.auth.refusals().numbers(),
    );
    page.counter(
        "log_entries_dropped",
        "Log book entries dropped in a flood",
        state.books.logbook.queue().dropped(),
    );
    if let Some(counters) = &state.services.notifier {
        page.of_notifier(counters);
    }
    if let Some(outbox) = state.services.bridge.as_ref().and_then(OutboxView::outbox) {
        page.of_bridge(&outbox, parked);
    }
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = encode_registry(&mut text, &page.0);
    let _ = encode_registry(&mut text, &process::registry(state.readiness.started()));
    let _ = encode_eof(&mut text);
    text
}

struct Page(Registry);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: usize) {
        let gauge = Gauge::<i64>::default();
        gauge.set(value as i64);
        self.0.register(name, help, gauge);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    fn counters(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    fn by_kind(&mut self, name: &str, help: &str, label: &'static str, counts: &ByKind) {
        let labelled = |(kind, count): (&&str, &u64)| (vec![(label, (*kind).to_owned())], *count);
        self.counters(name, help, counts.iter().map(labelled));
    }

    fn of_all(&mut self, totals: &Totals) {
        self.counter(
            "connections_opened",
            "Connections that the broker accepted",
            totals.opened,
        );
        self.by_kind(
            "connections_closed",
            "Connections that are over",
            "ending",
            &totals.closed,
        );
        self.by_kind(
            "connections_refused",
            "Connections that did not come about",
            "reason",
            &totals.refused,
        );
        self.counter(
            "accept_pauses",
            "Pauses of accepting, because more connections came a second than may",
            totals.accept_pauses,
        );
        let failures = &totals.upstream_failures;
        self.by_kind(
            "upstream_failures",
            "Failures of the broker leg",
            "kind",
            failures,
        );
        self.counters(
            "requests",
            "Requests by leg and direction",
            requests(&totals.counts, &[]),
        );
        self.counters("bytes", "Bytes of MQTT carried", bytes(&totals.counts, &[]));
        self.counter("ledger_flushes", "Writes of the usage ledger", totals.flushes);
        self.counter(
            "ledger_flush_failures",
            "Writes that failed",
            totals.failed_flushes,
        );
        let seconds = Counter::<f64, AtomicU64>::default();
        seconds.inc_by(totals.flushing.as_secs_f64());
        self.0
            .register("ledger_flush_seconds", "Time that the writes took", seconds);
    }

    fn of_groups(&mut self, groups: &BTreeMap<GroupId, OfGroup>, connections: &BTreeMap<GroupId, usize>) {
        let now = Family::<Labels, Gauge>::default();
        for (group, count) in connections {
            now.get_or_create(&labels_of(group)).set(*count as i64);
        }
        self.0
            .register("entry_point_connections", "Connections now, by group", now);
        type Number = fn(&OfGroup) -> u64;
        let numbers: [(&str, &str, Number); 4] = [
            ("opened", "Connections that the broker accepted, by group", |g| {
                g.opened
            }),
            ("closed", "Connections that are over, by group", |g| g.closed),
            ("refused", "Connections that did not come about, by group", |g| {
                g.refused
            }),
            ("upstream_failures", "Failures of the broker leg, by group", |g| {
                g.upstream_failures
            }),
        ];
        for (name, help, number) in numbers {
            let values = groups.iter().map(|(group, of)| (labels_of(group), number(of)));
            self.counters(&format!("entry_point_{name}"), help, values);
        }
        let all = |parts: Parts| {
            let of = move |(group, of): (&GroupId, &OfGroup)| parts(&of.counts, &labels_of(group));
            groups.iter().flat_map(of).collect::<Vec<_>>()
        };
        let help = "Requests by group, leg and direction";
        self.counters("entry_point_requests", help, all(requests));
        self.counters("entry_point_bytes", "Bytes of MQTT carried, by group", all(bytes));
    }
}

fn labels_of(group: &GroupId) -> Labels {
    vec![("group", group.to_string())]
}

fn requests(counts: &Counts, labels: &[(&'static str, String)]) -> Vec<(Labels, u64)> {
    let parts = [
        ("device", "up", counts.device_up),
        ("broker", "up", counts.broker_up),
        ("broker", "down", counts.broker_down),
        ("device", "down", counts.device_down),
    ];
    let labelled = |(leg, direction, count): (&str, &str, u64)| {
        let mut labels = labels.to_vec();
        labels.extend([("leg", leg.to_owned()), ("direction", direction.to_owned())]);
        (labels, count)
    };
    parts.into_iter().map(labelled).collect()
}

fn bytes(counts: &Counts, labels: &[(&'static str, String)]) -> Vec<(Labels, u64)> {
    let labelled = |(direction, count): (&str, u64)| {
        let mut labels = labels.to_vec();
        labels.push(("direction", direction.to_owned()));
        (labels, count)
    };
    [("up", counts.bytes_up), ("down", counts.bytes_down)]
        .into_iter()
        .map(labelled)
        .collect()
}
