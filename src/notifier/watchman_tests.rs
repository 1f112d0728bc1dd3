use super::*;
use crate::notifier::configuration::parse;
use crate::notifier::message::Message;
use crate::notifier::queue::{NewJob, Selection, insert};
use serde_json::json;
use std::path::Path;

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;

async fn watchman(folder: &Path, is_connected: bool) -> Watchman {
    let file = json!({
        "destinations": { "a": { "type": "log" } },
        "silences": [{ "name": "quiet", "topic": "door", "minutes": 60, "to": ["a"] }],
    });
    Watchman {
        queue: Queue::new(crate::database::Database::open(folder).await.unwrap()),
        notifications: watch::Sender::new(Arc::new(parse(&file).unwrap().notifications)).subscribe(),
        counters: Arc::default(),
        connected: watch::Sender::new(is_connected).subscribe(),
        wake: watch::Sender::new(0),
        much: Arc::default(),
    }
}

/// A notification that came at `created` and is of use for a day.
async fn put(watchman: &Watchman, text: &str, created: i64) {
    let mut transaction = watchman.queue.begin().await.unwrap();
    let job = NewJob {
        destination: "a",
        route: "r",
        topic: "t",
        payload: None,
        text: Ok(text.to_owned()),
        urgent: false,
        created,
        expires: created + DAY,
    };
    insert(&mut transaction, &job).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn due(watchman: &Watchman, now: Moment) -> Vec<String> {
    let jobs = watchman.queue.next("a", now.wall, false, 10).await.unwrap();
    jobs.into_iter().map(|job| job.text.unwrap()).collect()
}

/// `moment`, and so many milliseconds later, the clock set meanwhile.
fn later(moment: Moment, passed: i64, set_by: i64) -> Moment {
    Moment {
        wall: moment.wall + passed + set_by,
        steady: moment.steady + passed,
    }
}

#[tokio::test]
async fn a_clock_that_is_set_forward_or_back_makes_nothing_that_waits_older_or_younger() {
    for set_by in [2 * DAY, -2 * DAY] {
        let folder = tempfile::tempdir().unwrap();
        let watchman = watchman(folder.path(), true).await;
        let start = Moment::now();
        let mut seen = Seen::at(start);
        put(&watchman, "untried", start.wall + SECOND).await;
        put(&watchman, "tried", start.wall + SECOND).await;
        let jobs = watchman
            .queue
            .next("a", start.wall + SECOND, false, 10)
            .await
            .unwrap();
        let postponed = watchman.queue.postpone(&jobs[1], start.wall + 2 * SECOND, "down");
        postponed.await.unwrap();
        let now = later(start, 5 * SECOND, set_by);
        put(&watchman, "came by the new clock", now.wall - SECOND).await;
        watchman.look(&mut seen, now).await;
        let all = ["untried", "tried", "came by the new clock"];
        assert_eq!(due(&watchman, now).await, all, "{set_by}");
        let listed = watchman.queue.list(&Selection::default(), 10).await.unwrap();
        let expected = [
            start.wall + SECOND + set_by,
            start.wall + SECOND + set_by,
            now.wall - SECOND,
        ];
        let created: Vec<_> = listed.iter().map(|one| one.created).collect();
        assert_eq!(created, expected, "{set_by}");
        // Their time to live is a day as it passes.
        let now = later(now, DAY - 10 * SECOND, 0);
        watchman.look(&mut seen, now).await;
        assert_eq!(due(&watchman, now).await, all, "{set_by}");
        let now = later(now, 10 * SECOND, 0);
        watchman.look(&mut seen, now).await;
        assert!(due(&watchman, now).await.is_empty(), "{set_by}");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_forward_is_no_silence() {
    let folder = tempfile::tempdir().unwrap();
    let watchman = watchman(folder.path(), true).await;
    let start = Moment::now();
    let mut seen = Seen::at(start);
    let mut transaction = watchman.queue.begin().await.unwrap();
    silence::heard(&mut transaction, "quiet", "", start.wall)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let now = later(start, 5 * SECOND, DAY);
    watchman.look(&mut seen, now).await;
    assert!(due(&watchman, now).await.is_empty());
    let now = later(now, HOUR, 0);
    watchman.look(&mut seen, now).await;
    assert_eq!(due(&watchman, now).await.len(), 1, "a silence of an hour is one");
}

#[tokio::test]
async fn a_message_is_remembered_until_the_broker_has_had_its_hour_to_send_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let (connected, is_connected) = watch::channel(false);
    let watchman = Watchman {
        connected: is_connected,
        ..watchman(folder.path(), false).await
    };
    let start = Moment::now();
    let mut message = Message {
        topic: "t".to_owned(),
        payload: b"p".to_vec(),
        packet_id: 7,
        duplicate: false,
        retained: false,
        subscriptions: Vec::new(),
        time: Timestamp::from_millisecond(start.wall - DAY).unwrap(),
    };
    let came_before = async |message: &Message| {
        let mut transaction = watchman.queue.begin().await.unwrap();
        let before = recall::came_before(&mut transaction, message).await.unwrap();
        transaction.commit().await.unwrap();
        before
    };
    assert!(!came_before(&message).await);
    message.duplicate = true;
    // Started a day later; the broker is back after two hours more.
    let mut seen = Seen::at(start);
    for passed in [5 * SECOND, 2 * HOUR] {
        watchman.look(&mut seen, later(start, passed, 0)).await;
        assert!(came_before(&message).await, "{passed}");
    }
    connected.send_replace(true);
    watchman
        .look(&mut seen, later(start, 2 * HOUR + 5 * SECOND, 0))
        .await;
    assert!(came_before(&message).await);
    watchman.look(&mut seen, later(start, 4 * HOUR, 0)).await;
    assert!(!came_before(&message).await);
}
