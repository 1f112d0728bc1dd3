//! Statistics, exports, log book, metrics.

use super::*;
use crate::entrypoint::Scheme;
use crate::logbook::{Entry, Level, Source};
use crate::sim::{GroupId, Imsi, Sim, SimId};
use crate::usage::{Counts, Pending, UsageKey};
use std::sync::Arc;

/// 2026-11-23 14:10:11 UTC.
const THEN: i64 = 1_795_443_011;
const IMSI: &str = "440103000000001";
const GONE: &str = "440103000000777";

impl Api {
    /// Two messages of a SIM that is there, one of a SIM that is not.
    async fn count(&self) -> i64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.unwrap().as_secs() as i64;
        let mut pending = Pending::default();
        for (imsi, scheme, requests) in [
            (IMSI, Scheme::Mqtt, 2),
            (IMSI, Scheme::Mqtts, 3),
            (GONE, Scheme::Mqtt, 1),
        ] {
            let sim_id = SimId::new("8981100000000000777").unwrap();
            let mut sim = Sim::new(sim_id, Imsi::new(imsi).unwrap());
            sim.group_id = Some(GroupId::new("default").unwrap());
            let key = UsageKey::new(Arc::new(sim), scheme);
            let counts = Counts {
                device_up: requests,
                broker_up: requests,
                ..Counts::default()
            };
            pending.add(now, key, counts);
        }
        self.books.ledger.write(&pending).await.unwrap();
        now
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }
}

#[tokio::test]
async fn statistics_have_soracoms_shape() {
    let api = Api::new().await;
    let now = api.count().await;
    for (period, digits) in [("month", 6), ("day", 8), ("minutes", 13)] {
        let path = format!("/v1/stats/beam/subscribers/{IMSI}?from={now}&to={now}&period={period}");
        let stats = api.json(&path).await;
        assert_eq!(stats.as_array().unwrap().len(), 1, "{stats}");
        assert_eq!(stats[0]["date"].as_str().unwrap().len(), digits);
        assert!(stats[0]["unixtime"].as_i64().unwrap() <= now);
        assert_eq!(
            stats[0]["beamStatsMap"],
            json!({ "inMqtt": { "count": 5 }, "outMqtt": { "count": 2 }, "outMqtts": { "count": 3 } })
        );
    }
    let day = |imsi: &str, at: i64| format!("/v1/stats/beam/subscribers/{imsi}?from={at}&to={at}&period=day");
    assert_eq!(api.json(&day(IMSI, 1)).await, json!([]));
    // A SIM that is gone keeps its history; one that never was has none.
    assert_eq!(
        api.json(&day(GONE, now)).await[0]["beamStatsMap"]["inMqtt"]["count"],
        1
    );
    for unknown in ["440103000000002", "nobody"] {
        let (code, message) = refusal(api.get(&day(unknown, now)).await, StatusCode::NOT_FOUND).await;
        assert_eq!(code, "NoSuchSubscriber");
        assert!(message.contains(unknown));
    }
}

#[tokio::test]
async fn a_query_that_cannot_be_answered_is_refused_by_name() {
    let api = Api::new().await;
    for (query, named) in [
        ("", "period"),
        ("from=1&to=2", "period"),
        ("from=1&period=day", "to is missing"),
        ("from=x&to=2&period=day", "from: \"x\""),
        ("from=-1&to=2&period=day", "from: \"-1\""),
        ("from=1&to=-2&period=day", "to: \"-2\""),
        ("from=1&to=2&period=hour", "\"hour\""),
        ("from=3&to=2&period=day", "from 3 is later"),
        ("from=1&to=1795452483000&period=day", "give seconds"),
    ] {
        let path = format!("/v1/stats/beam/subscribers/{IMSI}?{query}");
        let (_, message) = refusal(api.get(&path).await, StatusCode::BAD_REQUEST).await;
        assert!(message.contains(named), "{query}: {message}");
    }
    for (query, named) in [
        ("service=Mail", "\"Mail\""),
        ("resource_type=Car", "\"Car\""),
        ("resource_type=Subscriber&resource_id=x", "an IMSI"),
        ("from=x", "from: \"x\""),
        ("from=1795452483001&to=1795452483000", "later"),
        ("from=1795452483", "1970-01-21"),
        ("to=1795452483", "give milliseconds"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("last_evaluated_key=x", "last_evaluated_key"),
    ] {
        let (_, message) = refusal(
            api.get(&format!("/v1/logs?{query}")).await,
            StatusCode::BAD_REQUEST,
        )
        .await;
        assert!(message.contains(named), "{query}: {message}");
    }
}

#[tokio::test]
async fn an_export_is_a_file_at_the_host_that_was_called() {
    let api = Api::new().await;
    let now = api.count().await;
    let path = &format!("/v1/stats/beam/operators/{}/export", api.operator);
    let wanted = json!({ "from": now, "to": now, "period": "month" });
    let made: Value = api.post(path, &wanted).await.json().await.unwrap();
    let url = made["url"].as_str().unwrap();
    assert!(url.starts_with(&api.url), "{url}");
    let file = api.get(&url[api.url.len()..]).await;
    assert_eq!(file.headers()["content-type"], "text/csv; charset=utf-8");
    // Without a login, as the URL is signed.
    let fetched = reqwest::get(url).await.unwrap();
    assert_eq!(fetched.status(), StatusCode::OK);
    let text = file.text().await.unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines.remove(0),
        "imsi,date,soracomBeamType,count,unixtime,groupId,entryPoint"
    );
    let mut columns: Vec<_> = lines
        .iter()
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|columns| (columns[0], columns[2], columns[3], columns[5], columns[6]))
        .collect();
    columns.sort_unstable();
    let (group, key) = ("default", "mqtt://beam.soracom.io:1883");
    let expected = [
        (IMSI, "inMqtt", "2", group, key),
        (IMSI, "inMqtt", "3", group, key),
        (IMSI, "outMqtt", "2", group, key),
        (IMSI, "outMqtts", "3", group, key),
        (GONE, "inMqtt", "1", group, key),
        (GONE, "outMqtt", "1", group, key),
    ];
    assert_eq!(columns, expected);

    let later: Value = api
        .post(&format!("{path}?export_mode=async"), &wanted)
        .await
        .json()
        .await
        .unwrap();
    let id = later["exportedFileId"].as_str().unwrap();
    let status = api.json(&format!("/v1/files/exported/{id}")).await;
    assert_eq!(status["status"], "exported");
    let (plain, _) = url.split_once("?signature=").unwrap();
    assert!(
        status["url"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{plain}?signature="))
    );
    assert!(plain.ends_with(later["exportedFilePath"].as_str().unwrap()));

    for (bad, named) in [
        (json!({ "from": 1, "to": 2, "period": "year" }), "\"year\""),
        (json!({ "from": -1, "to": 2, "period": "month" }), "from: \"-1\""),
        (json!({ "from": 1, "to": -2, "period": "month" }), "to: \"-2\""),
    ] {
        let (_, message) = refusal(api.post(path, &bad).await, StatusCode::BAD_REQUEST).await;
        assert!(message.contains(named), "{bad}: {message}");
    }
    refusal(
        api.post(path, &json!({ "from": 1 })).await,
        StatusCode::BAD_REQUEST,
    )
    .await;
    let path = "/v1/stats/beam/operators/OP1/export";
    refusal(api.post(path, &wanted).await, StatusCode::NOT_FOUND).await;
    refusal(api.get("/v1/files/exported/x").await, StatusCode::NOT_FOUND).await;
    refusal(
        api.get("/v1/files/exported/x/stats.csv").await,
        StatusCode::NOT_FOUND,
    )
    .await;
    let refused = reqwest::get(plain).await.unwrap();
    assert_eq!(refusal(refused, StatusCode::UNAUTHORIZED).await.0, "Unauthorized");
}

#[tokio::test]
async fn a_signature_is_good_for_its_file_and_for_nothing_else() {
    let api = Api::new().await;
    let path = &format!("/v1/stats/beam/operators/{}/export", api.operator);
    let wanted = json!({ "from": 1, "to": 2, "period": "month" });
    let made = json_of(api.post(path, &wanted).await, 200).await;
    let (file, signature) = made["url"].as_str().unwrap().split_once("?signature=").unwrap();
    let get = |url: String| async move { reqwest::get(url).await.unwrap() };
    for other in [
        format!("{}?signature={signature}", file.replace("-1-2/", "-1-3/")),
        format!("{}/v1/groups?signature={signature}", api.url),
        format!("{file}?signature=1.AAAA"),
    ] {
        let (code, message) = refusal(get(other.clone()).await, StatusCode::UNAUTHORIZED).await;
        assert_eq!(code, "InvalidSignature", "{other}");
        assert!(message.contains("ask for a new export"), "{message}");
    }
    let metrics = get(format!("{}/metrics", api.url)).await.text().await.unwrap();
    let counted = "simrelay_api_refused_total{reason=\"wrong_signature\"} 3";
    assert!(metrics.contains(counted), "{metrics}");
    // Who shows a token is let in by that.
    let path = file.strip_prefix(&api.url).unwrap();
    assert_eq!(
        api.get(&format!("{path}?signature=x")).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn logs_are_pages_of_entries_in_soracoms_shape() {
    let api = Api::new().await;
    for n in 0..3 {
        let source = Source::Sim(Imsi::new(IMSI).unwrap());
        api.books.logbook.queue().push(source, |source| Entry {
            time: THEN * 1000 + n,
            source,
            level: Level::Error,
            body: json!({ "reason": "why", "n": n }).as_object().unwrap().clone(),
        });
    }
    let stranger = Source::Address("192.0.2.1".parse().unwrap());
    api.books.logbook.queue().push(stranger, |source| Entry {
        time: THEN * 1000,
        source,
        level: Level::Warning,
        body: serde_json::Map::new(),
    });
    api.books.logbook.flush().await.unwrap();
    let path = format!("/v1/logs?resource_type=Subscriber&resource_id={IMSI}&service=Beam&limit=2&from=&to=");
    let first = api.get(&path).await;
    let key = first.headers()["x-soracom-next-key"].to_str().unwrap().to_owned();
    let first: Value = first.json().await.unwrap();
    assert_eq!(
        first[0],
        json!({
            "time": THEN * 1000 + 2, "resourceType": "Subscriber", "resourceId": IMSI, "service": "Beam",
            "logLevel": "error", "operatorId": api.operator, "body": { "reason": "why", "n": 2 }
        })
    );
    let second = api.get(&format!("{path}&last_evaluated_key={key}")).await;
    assert!(second.headers().get("x-soracom-next-key").is_none());
    let second: Value = second.json().await.unwrap();
    assert_eq!(
        (second.as_array().unwrap().len(), &second[0]["body"]["n"]),
        (1, &json!(0))
    );
    let strangers = api
        .json("/v1/logs?resource_type=Address&resource_id=192.0.2.1")
        .await;
    assert_eq!(
        (&strangers[0]["resourceType"], &strangers[0]["resourceId"]),
        (&json!("Address"), &json!("192.0.2.1"))
    );
    assert_eq!(api.json("/v1/logs?").await.as_array().unwrap().len(), 4);
    for nothing in [
        "service=Air",
        "resource_type=Device&resource_id=d",
        "to=1000000000000",
    ] {
        assert_eq!(
            api.json(&format!("/v1/logs?{nothing}")).await,
            json!([]),
            "{nothing}"
        );
    }
}

#[tokio::test]
async fn prometheus_needs_no_token_and_gets_bounded_labels() {
    let api = Api::new().await;
    let response = reqwest::get(format!("{}/metrics", api.url)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let text = response.text().await.unwrap();
    for line in [
        "simrelay_connections 0",
        "simrelay_sims 1",
        "simrelay_groups 1",
        "simrelay_connections_opened_total 0",
        "simrelay_requests_total{leg=\"device\",direction=\"up\"} 0",
        "simrelay_bytes_total{direction=\"down\"} 0",
        "simrelay_log_entries_dropped_total 0",
        "simrelay_ledger_flush_failures_total 0",
        "simrelay_build_info{version=\"0.1.0\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
}
