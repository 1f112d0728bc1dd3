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
    for name in [
        "refused_total",
        "accepted_total",
        "waiting",
        "parked",
        "broker_down",
    ] {
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

#[test]
fn the_process_is_in_the_metrics_under_the_names_that_prometheus_gives_it() {
    let began = std::time::SystemTime::now();
    let relay = Simrelay::to("mqtt://127.0.0.1:9");
    let page = relay.http().get("/metrics").body;
    assert!(
        page.ends_with("# EOF\n") && page.matches("# EOF").count() == 1,
        "{page}"
    );
    let number = |name: &str| {
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let line = line.unwrap_or_else(|| panic!("no {name} in {page}"));
        line.parse::<f64>().unwrap()
    };
    let memory = number("process_resident_memory_bytes") / relay.memory() as f64;
    assert!((0.5..2.0).contains(&memory), "{memory}");
    let of_process = |name: &str| format!("/proc/{}/{name}", relay.pid());
    let open = std::fs::read_dir(of_process("fd")).unwrap().count() as f64;
    // The call itself and the counting are some more.
    assert!((number("process_open_fds") - open).abs() < 10.0, "{page} {open}");
    let limits = std::fs::read_to_string(of_process("limits")).unwrap();
    let most = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    assert_eq!(
        most.split_whitespace().nth(3).unwrap().parse(),
        Ok(number("process_max_fds"))
    );
    let since =
        |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let started = number("process_start_time_seconds");
    assert!(
        (since(began)..=since(std::time::SystemTime::now())).contains(&started),
        "{started}"
    );
}
