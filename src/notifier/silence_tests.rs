use super::*;
use crate::notifier::configuration::parse;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_topic_that_has_spoken_and_falls_silent_is_told_of_once_until_it_speaks_again() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::new(crate::database::Database::open(folder.path()).await.unwrap());
    let file = json!({
        "timeZone": "UTC",
        "destinations": { "a": { "type": "log" } },
        "silences": [{ "name": "h", "topic": "health/check", "minutes": 10, "to": ["a"],
                       "template": "{{ topic }} {{ minutes }} {{ since }} {{ broker }}" }],
    });
    let notifications = parse(&file).unwrap().notifications;
    let start: Timestamp = "2026-11-23T05:00:00Z".parse().unwrap();
    let at = |minutes: u64| start + Duration::from_secs(minutes * 60);
    let check = async |listening: u64, now: u64| {
        let counters = Counters::default();
        let told = check(
            &queue,
            &notifications,
            &counters,
            at(listening),
            at(now),
            "connected",
        )
        .await
        .unwrap();
        assert!(counters.destinations().is_empty());
        told.len()
    };
    let speak = async |now: u64| {
        let mut transaction = queue.begin().await.unwrap();
        heard(&mut transaction, "h", "", at(now).as_millisecond())
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    };
    assert_eq!(check(0, 100).await, 0, "it never spoke");
    speak(100).await;
    assert_eq!(check(0, 109).await, 0);
    assert_eq!(check(0, 110).await, 1);
    assert_eq!(check(0, 200).await, 0, "once");
    assert_eq!(check(150, 200).await, 0, "not after a restart either");
    speak(200).await;
    assert_eq!(check(205, 214).await, 0, "what nobody could hear was no silence");
    assert_eq!(check(205, 215).await, 1);
    let listed = queue
        .list(&crate::notifier::queue::Selection::default(), 10)
        .await
        .unwrap();
    let texts: Vec<_> = listed.iter().map(|one| one.text.as_deref().unwrap()).collect();
    let expected = [
        "health/check 10 2026-11-23 06:40:00 connected",
        "health/check 10 2026-11-23 08:20:00 connected",
    ];
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn an_alarm_whose_template_failed_is_counted_and_told_when_the_template_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::new(crate::database::Database::open(folder.path()).await.unwrap());
    let with = |template: &str| {
        let file = json!({
            "timeZone": "UTC",
            "destinations": { "a": { "type": "log" } },
            "silences": [{ "name": "h", "topic": "h", "minutes": 10, "to": ["a"], "template": template }],
        });
        parse(&file).unwrap().notifications
    };
    let (broken, mended) = (
        with("{{ since + 1 }}"),
        with("{{ topic }} {{ since }} {{ broker }} {{ time }}"),
    );
    let spoke: Timestamp = "2026-11-23T05:00:00Z".parse().unwrap();
    let told = spoke + Duration::from_secs(630);
    let mut transaction = queue.begin().await.unwrap();
    heard(&mut transaction, "h", "", spoke.as_millisecond())
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let counters = Counters::default();
    let alarms = check(&queue, &broken, &counters, spoke, told, "unreachable").await;
    assert_eq!(alarms.unwrap(), ["h"]);
    assert_eq!(counters.destinations()["a"].dead, 1);
    let all = crate::notifier::queue::Selection::default();
    let later = told.as_millisecond() + 1000;
    assert_eq!(queue.requeue(&all, later, 1_000_000).await.unwrap().len(), 1);
    let mut jobs = queue.next("a", later, false, 10).await.unwrap();
    let text = |job: &Job| again(&mended, &mended.silences[0], job, &mended.destinations["a"]).unwrap();
    assert_eq!(text(&jobs[0]), "h 2026-11-23 05:00:00 unreachable 05:10:30");
    jobs[0].payload = None;
    assert_eq!(text(&jobs[0]), "h 2026-11-23 05:00:30 unknown 05:10:30");
}

/// An alarm after ten minutes, for each topic of `sensor/+` by itself, and a queue.
struct Sensors {
    _folder: tempfile::TempDir,
    queue: Queue,
    notifications: Notifications,
    began: Timestamp,
}

impl Sensors {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::new(crate::database::Database::open(folder.path()).await.unwrap());
        let file = json!({
            "timeZone": "UTC",
            "destinations": { "a": { "type": "log" } },
            "silences": [{ "name": "s", "topic": "sensor/+", "by": "topic", "minutes": 10, "to": ["a"],
                           "template": "{{ topic }} is silent" }],
        });
        let notifications = parse(&file).unwrap().notifications;
        let began = "2026-11-23T05:00:00Z".parse().unwrap();
        Self {
            _folder: folder,
            queue,
            notifications,
            began,
        }
    }

    fn at(&self, minutes: u64) -> Timestamp {
        self.began + Duration::from_secs(minutes * 60)
    }

    async fn speak(&self, topic: &str, minutes: u64) {
        let alarm = &self.notifications.silences[0];
        let mut transaction = self.queue.begin().await.unwrap();
        let watched = watched(alarm, topic);
        heard(&mut transaction, "s", watched, self.at(minutes).as_millisecond())
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }

    /// How many silences are told.
    async fn check(&self, minutes: u64) -> usize {
        let counters = Counters::default();
        let now = self.at(minutes);
        check(
            &self.queue,
            &self.notifications,
            &counters,
            self.began,
            now,
            "connected",
        )
        .await
        .unwrap()
        .len()
    }

    async fn told(&self) -> Vec<String> {
        let all = crate::notifier::queue::Selection::default();
        let listed = self.queue.list(&all, 2_000).await.unwrap();
        listed.into_iter().map(|one| one.text.unwrap()).collect()
    }
}

#[tokio::test]
async fn of_many_topics_the_one_that_falls_silent_is_named() {
    let sensors = Sensors::new().await;
    for topic in ["sensor/a", "sensor/b", "sensor/c"] {
        sensors.speak(topic, 0).await;
    }
    sensors.speak("sensor/b", 5).await;
    assert_eq!(sensors.check(9).await, 0);
    assert_eq!(sensors.check(11).await, 2);
    assert_eq!(sensors.told().await, ["sensor/a is silent", "sensor/c is silent"]);
    assert_eq!(sensors.check(15).await, 1);
    assert_eq!(sensors.check(99).await, 0, "each once");
    sensors.speak("sensor/c", 100).await;
    assert_eq!(sensors.check(111).await, 1);
    assert_eq!(
        sensors.told().await[2..],
        ["sensor/b is silent", "sensor/c is silent"]
    );
}

#[tokio::test]
async fn topics_without_end_fill_nothing_and_who_was_silent_for_long_makes_room() {
    let sensors = Sensors::new().await;
    for number in 0..MOST_TOPICS + 5 {
        sensors.speak(&format!("sensor/{number:04}"), 0).await;
    }
    assert_eq!(sensors.check(10).await, 1_000);
    sensors.speak("sensor/new", 20).await;
    assert_eq!(sensors.check(30).await, 0);
    let month = 31 * 24 * 60;
    assert_eq!(sensors.check(month).await, 0);
    sensors.speak("sensor/new", month).await;
    assert_eq!(sensors.check(month + 10).await, 1);
}
