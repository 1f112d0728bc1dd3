use super::*;
use crate::notifier::configuration::parse;
use serde_json::{Value, json};
use std::path::Path;

struct Site {
    queue: Queue,
    notifications: Notifications,
    tally: Tally,
}

impl Site {
    async fn new(folder: &Path, routes: Value) -> Self {
        let file = json!({
            "destinations": { "a": { "type": "log" }, "s": { "type": "slack", "webhookUrl": { "env": "X" } } },
            "routes": routes,
        });
        Self {
            queue: Queue::new(crate::database::Database::open(folder).await.unwrap()),
            notifications: parse(&file).unwrap().notifications,
            tally: Tally::default(),
        }
    }

    async fn take(&mut self, message: &Message) {
        let known = self.notifications.subscriptions();
        let known = known.keys().map(TopicFilter::subscription_id).collect();
        let mut transaction = self.queue.begin().await.unwrap();
        take_message(
            &mut transaction,
            &self.notifications,
            &known,
            message,
            &mut self.tally,
            &mut BTreeSet::new(),
        )
        .await
        .unwrap();
        transaction.commit().await.unwrap();
    }

    async fn waiting(&self, destination: &str) -> Vec<String> {
        let now = Timestamp::now().as_millisecond();
        let jobs = self.queue.next(destination, now, false, 100).await.unwrap();
        jobs.into_iter().map(|job| job.text.unwrap()).collect()
    }
}

fn message(packet_id: u16, topic: &str, payload: &str) -> Message {
    Message {
        topic: topic.to_owned(),
        payload: payload.as_bytes().to_vec(),
        packet_id,
        duplicate: false,
        retained: false,
        subscriptions: Vec::new(),
        time: Timestamp::now(),
    }
}

fn again(message: &Message) -> Message {
    Message {
        duplicate: true,
        ..message.clone()
    }
}

#[tokio::test]
async fn a_message_goes_to_every_destination_of_its_routes_in_their_markup() {
    let folder = tempfile::tempdir().unwrap();
    let routes = json!([
        { "name": "one", "topics": ["stock/+"], "to": ["a", "s"], "template": "{{ message }}" },
        { "name": "two", "topics": ["#"], "to": ["a"], "template": "{{ topic }}" },
    ]);
    let mut site = Site::new(folder.path(), routes).await;
    site.take(&message(1, "stock/low", "<b>")).await;
    assert_eq!(site.waiting("a").await, ["<b>", "stock/low"]);
    assert_eq!(site.waiting("s").await, ["&lt;b&gt;"]);
    site.take(&message(2, "$SYS/uptime", "x")).await;
    assert_eq!((site.tally.received, site.tally.queued), (2, 3));
}

#[tokio::test]
async fn only_a_redelivery_of_the_same_message_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let routes = json!([{ "topics": ["t"], "to": ["a"], "template": "{{ message }}" }]);
    let mut site = Site::new(folder.path(), routes).await;
    let first = message(1, "t", "x");
    site.take(&first).await;
    site.take(&again(&first)).await;
    assert_eq!((site.waiting("a").await.len(), site.tally.duplicates), (1, 1));
    // The same words again are another message, and so are other words under the same packet id.
    site.take(&message(2, "t", "x")).await;
    site.take(&again(&message(1, "t", "y"))).await;
    // What came with an earlier process and was never seen here is taken, whatever its flag says.
    site.take(&again(&message(9, "t", "z"))).await;
    assert_eq!(site.waiting("a").await, ["x", "x", "y", "z"]);
    // When the broker has the acknowledgement, the packet id stands for another message.
    let mut transaction = site.queue.begin().await.unwrap();
    settle(&mut transaction, &[9]).await.unwrap();
    transaction.commit().await.unwrap();
    site.take(&again(&message(9, "t", "z"))).await;
    assert_eq!(site.waiting("a").await.len(), 5);
}

#[tokio::test]
async fn copies_for_overlapping_filters_are_told_apart_by_their_subscriptions() {
    let folder = tempfile::tempdir().unwrap();
    let routes = json!([
        { "name": "errors", "topics": ["+/error"], "to": ["a"], "template": "errors" },
        { "name": "batch", "topics": ["batch/+", "batch/#"], "to": ["a"], "template": "batch" },
    ]);
    let mut site = Site::new(folder.path(), routes).await;
    let id = |filter: &str| TopicFilter::new(filter).unwrap().subscription_id();
    let copy = |packet_id, subscriptions: &[&str]| Message {
        subscriptions: subscriptions.iter().map(|filter| id(filter)).collect(),
        ..message(packet_id, "batch/error", "x")
    };
    for (packet_id, filter) in [(1, "+/error"), (2, "batch/+"), (3, "batch/#")] {
        site.take(&copy(packet_id, &[filter])).await;
    }
    assert_eq!(site.waiting("a").await, ["errors", "batch"]);
    site.take(&copy(4, &["+/error", "batch/+", "batch/#"])).await;
    assert_eq!(site.waiting("a").await.len(), 4);
    site.take(&copy(5, &["earlier/filter"])).await;
    assert_eq!(site.waiting("a").await.len(), 6);
}

#[tokio::test]
async fn kept_messages_are_for_routes_that_ask_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let routes = json!([
        { "name": "new", "topics": ["t"], "to": ["a"], "template": "new" },
        { "name": "all", "topics": ["+"], "to": ["a"], "template": "all", "retained": true },
    ]);
    let mut site = Site::new(folder.path(), routes).await;
    let kept = |topic| Message {
        retained: true,
        ..message(0, topic, "x")
    };
    site.take(&kept("t")).await;
    assert_eq!(site.waiting("a").await, ["all"]);
    let routes = json!([{ "topics": ["t"], "to": ["a"] }]);
    let other = tempfile::tempdir().unwrap();
    let mut site = Site::new(other.path(), routes).await;
    site.take(&kept("t")).await;
    assert_eq!((site.tally.retained, site.tally.queued), (1, 0));
}

#[tokio::test]
async fn repeats_are_left_out_and_counted_in_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let collapse = json!({ "seconds": 60 });
    let routes = json!([
        { "name": "m", "topics": ["m"], "to": ["a"], "template": "{{ message }}", "collapse": collapse },
        { "name": "t", "topics": ["t"], "to": ["a"], "template": "{{ message }}",
          "collapse": { "seconds": 60, "by": "topic" } },
    ]);
    let mut site = Site::new(folder.path(), routes).await;
    let start = Timestamp::from_second(1_000_000).unwrap();
    let at = |seconds: i64, topic: &str, payload: &str| Message {
        time: start + Duration::from_secs(seconds as u64),
        ..message(0, topic, payload)
    };
    for (seconds, topic, payload) in [
        (0, "m", "x"),
        (1, "m", "x"),
        (2, "m", "y"),
        (59, "m", "x"),
        (60, "m", "x"),
        (0, "t", "1"),
        (5, "t", "2"),
        (70, "t", "3"),
    ] {
        site.take(&at(seconds, topic, payload)).await;
    }
    let listed = site
        .queue
        .list(&crate::notifier::queue::Selection::default(), 100)
        .await
        .unwrap();
    let texts: Vec<_> = listed.into_iter().map(|one| one.text.unwrap()).collect();
    assert_eq!(texts, ["x", "y", "x (+2)", "1", "3 (+1)"]);
    assert_eq!(site.tally.collapsed, 3);
}

#[tokio::test]
async fn a_template_that_fails_leaves_a_dead_letter_and_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let routes = json!([{ "topics": ["t"], "to": ["a"], "template": "{{ json.left }}" }]);
    let mut site = Site::new(folder.path(), routes).await;
    site.take(&message(1, "t", "s3cr3t")).await;
    assert!(site.waiting("a").await.is_empty());
    let listed = site
        .queue
        .list(&crate::notifier::queue::Selection::default(), 100)
        .await
        .unwrap();
    assert_eq!(
        (listed[0].text.as_deref(), listed[0].died.is_some()),
        (None, true)
    );
    let reason = listed[0].reason.as_deref().unwrap();
    assert!(reason.contains("json") && !reason.contains("s3cr3t"), "{reason}");
    let counters = Counters::default();
    site.tally.add_to(&counters);
    assert_eq!(counters.destinations()["a"].dead, 1);
}
