use super::*;
use crate::notifier::configuration::{Notifications, parse};
use serde_json::json;
use std::path::Path;

async fn queue(folder: &Path) -> Queue {
    Queue::new(crate::database::Database::open(folder).await.unwrap())
}

async fn put(queue: &Queue, destination: &str, text: Result<&str, &str>, urgent: bool, expires: i64) {
    let mut transaction = queue.begin().await.unwrap();
    let job = NewJob {
        destination,
        route: "r",
        topic: "t",
        payload: Some(b"p"),
        text: text.map(str::to_owned).map_err(str::to_owned),
        urgent,
        created: 0,
        expires,
    };
    insert(&mut transaction, &job).await.unwrap();
    transaction.commit().await.unwrap();
}

/// A notification of `topic` that waits for "a".
fn waiting<'a>(topic: &'a str, text: &str) -> NewJob<'a> {
    NewJob {
        destination: "a",
        route: "r",
        topic,
        payload: None,
        text: Ok(text.to_owned()),
        urgent: false,
        created: 0,
        expires: 1000,
    }
}

async fn put_all(queue: &Queue, jobs: impl IntoIterator<Item = NewJob<'_>>) {
    let mut transaction = queue.begin().await.unwrap();
    for job in jobs {
        insert(&mut transaction, &job).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

async fn texts(queue: &Queue, destination: &str, now: i64, urgent_only: bool) -> Vec<String> {
    let jobs = queue.next(destination, now, urgent_only, 10).await.unwrap();
    jobs.into_iter().map(|job| job.text.unwrap_or_default()).collect()
}

fn notifications(most_waiting: u32) -> Notifications {
    let file = json!({ "destinations": { "a": { "type": "log", "mostWaiting": most_waiting } } });
    parse(&file).unwrap().notifications
}

#[tokio::test]
async fn each_destination_has_its_own_order_and_what_is_urgent_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let queue = queue(folder.path()).await;
    for (destination, text, urgent) in [
        ("a", "1", false),
        ("b", "2", false),
        ("a", "3", true),
        ("a", "4", false),
    ] {
        put(&queue, destination, Ok(text), urgent, 100).await;
    }
    assert_eq!(texts(&queue, "a", 50, false).await, ["3", "1", "4"]);
    assert_eq!(texts(&queue, "a", 50, true).await, ["3"]);
    assert_eq!(texts(&queue, "b", 50, false).await, ["2"]);
    assert!(texts(&queue, "a", 100, false).await.is_empty(), "expired");
    let first = queue.next("a", 50, false, 1).await.unwrap();
    queue.delivered(&[first[0].id]).await.unwrap();
    assert_eq!(texts(&queue, "a", 50, false).await, ["1", "4"]);
}

#[tokio::test]
async fn what_failed_waits_and_what_is_dead_comes_back_only_when_somebody_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let queue = queue(folder.path()).await;
    put(&queue, "a", Ok("1"), false, 1000).await;
    put(&queue, "a", Ok("2"), false, 1000).await;
    let jobs = queue.next("a", 0, false, 10).await.unwrap();
    queue.postpone(&jobs[0], 500, "503").await.unwrap();
    queue.bury(&jobs[1], 0, "404").await.unwrap();
    assert!(texts(&queue, "a", 499, false).await.is_empty());
    queue.release("b", 0).await.unwrap();
    assert!(texts(&queue, "a", 499, false).await.is_empty());
    queue.release("a", 499).await.unwrap();
    assert_eq!(
        texts(&queue, "a", 499, false).await,
        ["1"],
        "the destination is back"
    );
    let again = queue.next("a", 500, false, 10).await.unwrap();
    assert_eq!((again.len(), again[0].attempts), (1, 1));
    assert_eq!(
        again[0].retry_key, jobs[0].retry_key,
        "the same for every attempt"
    );
    let dead = Selection {
        dead: true,
        ..Selection::default()
    };
    let listed = queue.list(&dead, 10).await.unwrap();
    assert_eq!((listed.len(), listed[0].reason.as_deref()), (1, Some("404")));
    assert_eq!(queue.requeue(&dead, 2000, 1000).await.unwrap().len(), 1);
    assert_eq!(texts(&queue, "a", 2999, false).await, ["2"]);
    assert_eq!(queue.discard(&Selection::default()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_too_old_or_too_much_goes_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let queue = queue(folder.path()).await;
    put(&queue, "a", Ok("untried"), false, 100).await;
    put(&queue, "a", Ok("tried"), false, 100).await;
    for text in ["1", "2", "3"] {
        put(&queue, "a", Ok(text), false, 1000).await;
    }
    let jobs = queue.next("a", 0, false, 2).await.unwrap();
    queue
        .postpone(&jobs[1], 50, "503 Service Unavailable")
        .await
        .unwrap();
    let swept = queue.sweep(&notifications(2), 100).await.unwrap();
    let expected = Swept {
        buried: 1,
        expired: 1,
        overflowed: 1,
    };
    assert_eq!(swept, expected);
    assert_eq!(texts(&queue, "a", 100, false).await, ["2", "3"]);
    let dead = queue
        .list(
            &Selection {
                dead: true,
                ..Selection::default()
            },
            10,
        )
        .await
        .unwrap();
    let reason = dead[0].reason.as_deref().unwrap();
    assert!(
        reason.contains("time to live") && reason.contains("503"),
        "{reason}"
    );
    assert_eq!(
        queue.sweep(&notifications(2), 100).await.unwrap(),
        Swept::default()
    );
}

#[tokio::test]
async fn a_number_is_never_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let queue = queue(folder.path()).await;
    put(&queue, "a", Ok("1"), false, 100).await;
    let first = queue.next("a", 0, false, 1).await.unwrap();
    queue.delivered(&[first[0].id]).await.unwrap();
    put(&queue, "a", Ok("2"), false, 100).await;
    assert!(queue.next("a", 0, false, 1).await.unwrap()[0].id > first[0].id);
}

#[tokio::test]
async fn as_many_are_handed_over_at_once_as_have_enough_bytes_and_one_at_least() {
    let folder = tempfile::tempdir().unwrap();
    let queue = queue(folder.path()).await;
    let most = usize::try_from(MOST_AT_ONCE).unwrap();
    let payload = vec![0xff; most - 3];
    for (urgent, text) in [(false, "12"), (false, "3"), (true, "4"), (false, "5")] {
        let job = NewJob {
            payload: (text == "12").then_some(&payload),
            urgent,
            ..waiting("t", text)
        };
        put_all(&queue, [job]).await;
    }
    for _ in 0..2 {
        assert_eq!(texts(&queue, "a", 0, false).await, ["4", "12"]);
        let least_tried = queue.least_tried("a", 0, false, 10).await.unwrap();
        assert_eq!(least_tried.len(), 2);
    }
    let first = queue.next("a", 0, false, 1).await.unwrap();
    queue.delivered(&[first[0].id]).await.unwrap();
    assert_eq!(texts(&queue, "a", 0, false).await, ["12"]);
    let first = queue.next("a", 0, false, 1).await.unwrap();
    queue.delivered(&[first[0].id]).await.unwrap();
    assert_eq!(texts(&queue, "a", 0, false).await, ["3", "5"]);
}

#[tokio::test]
async fn of_too_many_what_is_not_urgent_goes_first_and_of_that_the_oldest_of_the_topic_that_has_the_most() {
    let folder = tempfile::tempdir().unwrap();
    let queue = queue(folder.path()).await;
    let fire = NewJob {
        urgent: true,
        ..waiting("fire", "fire")
    };
    let flood = (1..=9).map(|number| waiting("flood", &number.to_string()));
    put_all(&queue, [fire, waiting("door", "door")]).await;
    put_all(&queue, flood).await;
    assert_eq!(queue.sweep(&notifications(4), 0).await.unwrap().overflowed, 7);
    assert_eq!(texts(&queue, "a", 0, false).await, ["fire", "door", "8", "9"]);
    assert_eq!(queue.sweep(&notifications(1), 0).await.unwrap().overflowed, 3);
    assert_eq!(texts(&queue, "a", 0, false).await, ["fire"]);
}

#[tokio::test]
async fn the_bytes_that_wait_are_bounded_for_each_destination_alike() {
    const DESTINATIONS: usize = 128;
    let folder = tempfile::tempdir().unwrap();
    let queue = queue(folder.path()).await;
    let names = (0..DESTINATIONS).map(|number| format!("d{number}"));
    let destinations: serde_json::Map<_, _> = names.map(|name| (name, json!({ "type": "log" }))).collect();
    let notifications = parse(&json!({ "destinations": destinations }))
        .unwrap()
        .notifications;
    // A share is 2 MiB.
    let large = vec![b'x'; 1024 * 1024 - 2];
    let larger = vec![b'x'; 3 * 1024 * 1024];
    let job = |destination, text: &str, payload| NewJob {
        destination,
        payload: Some(payload),
        ..waiting("t", text)
    };
    let jobs = ["1", "2", "3"].map(|text| job("d0", text, large.as_slice()));
    put_all(&queue, jobs).await;
    put_all(&queue, [job("d1", "4", &larger)]).await;
    let swept = queue.sweep(&notifications, 0).await.unwrap();
    assert_eq!(swept.overflowed, 1);
    assert_eq!(texts(&queue, "d0", 0, false).await, ["2", "3"]);
    assert_eq!(texts(&queue, "d1", 0, false).await, ["4"]);
}

#[tokio::test]
async fn dead_letters_of_a_topic_that_is_flooded_drive_out_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let queue = queue(folder.path()).await;
    let dead = |topic| NewJob {
        text: Err("not UTF-8".to_owned()),
        ..waiting(topic, "")
    };
    put_all(&queue, [dead("odd"), dead("odd")]).await;
    put_all(&queue, (0..10_500).map(|_| dead("flood"))).await;
    queue.sweep(&notifications(1), 0).await.unwrap();
    let listed = queue.list(&Selection::default(), 20_000).await.unwrap();
    let odd = listed.iter().filter(|one| one.topic == "odd").count();
    assert_eq!((listed.len(), odd), (10_000, 2));
}
