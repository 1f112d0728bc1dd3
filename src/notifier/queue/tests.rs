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
    assert_eq!(queue.requeue(&dead, 2000, 1000).await.unwrap(), 1);
    assert_eq!(texts(&queue, "a", 2999, false).await, ["2"]);
    assert_eq!(queue.discard(&Selection::default()).await.unwrap(), 2);
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
