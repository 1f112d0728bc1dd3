//! `/metrics` tells of the bridge and of the notifier too, where they run beside the relay.

use crate::site::*;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

#[test]
fn what_the_bridge_published_and_the_notifier_delivered_is_in_the_metrics() {
    let file = json!({
        "destinations": { "book": { "type": "log" } },
        "routes": [{ "topics": "notify/#", "to": "book", "template": "{{ message }}" }],
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notifications.json"), file.to_string()).unwrap();
    let local = "127.0.0.1:0";
    let flags = [
        "--relay-listen",
        local,
        "--broker-listen",
        local,
        "--bridge-listen",
        local,
    ];
    let mut running = Simrelay::in_folder(folder, &flags);
    running.wait_for("notifier", |line| line["event"] == "notifier_connected");
    running.wait_for("bridge", |line| line["event"] == "broker_connected");
    let number = |name: &str| {
        let page = running.http().get("/metrics").body;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|number| number.parse::<u64>().unwrap())
    };
    let delivered = "simrelay_notifier_delivered_total{destination=\"book\"}";
    assert_eq!(number("simrelay_bridge_published_total"), Some(0));
    assert_eq!(number("simrelay_notifier_received_total"), Some(0));
    assert_eq!(number(delivered), None);
    let bridge = Http::new(running.bridge(), None);
    let mut published = 0;
    wait_until("delivery of a message from the bridge", || {
        // The subscription may not be there yet for the first.
        let answer = bridge.get("/notify?message=x");
        assert_eq!(answer.status, 200, "{}", answer.body);
        published += 1;
        number(delivered).filter(|delivered| *delivered > 0)
    });
    assert_eq!(number("simrelay_bridge_published_total"), Some(published));
    for name in ["refused_total", "accepted_total", "waiting", "broker_down"] {
        assert_eq!(number(&format!("simrelay_bridge_{name}")), Some(0), "{name}");
    }
    assert_eq!(
        number("simrelay_bridge_http_refusals_total{status=\"404\"}"),
        None
    );
    assert_eq!(bridge.get("/notifi").status, 404);
    assert_eq!(bridge.get("/notify?message=").status, 400);
    assert_eq!(bridge.get("/notify").status, 400);
    assert_eq!(
        number("simrelay_bridge_http_refusals_total{status=\"404\"}"),
        Some(1)
    );
    assert_eq!(
        number("simrelay_bridge_http_refusals_total{status=\"400\"}"),
        Some(2)
    );
    let log = running.folder.path().join("data/notifications.log");
    let mode = std::fs::metadata(log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    // Whoever looks on holds no service up that ends.
    let began = std::time::Instant::now();
    running.signal("TERM");
    assert!(running.wait().success());
    assert!(began.elapsed().as_secs_f32() < 2.5, "{:?}", began.elapsed());
}
