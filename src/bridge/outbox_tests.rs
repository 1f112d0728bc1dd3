use super::*;
use crate::database::Database;
use tempfile::TempDir;

struct Site {
    folder: TempDir,
    database: Database,
    outbox: Outbox,
}

impl Site {
    async fn new() -> Self {
        Self::of(tempfile::tempdir().unwrap()).await
    }

    async fn of(folder: TempDir) -> Self {
        let database = Database::open(folder.path()).await.unwrap();
        let (journal, writing) = Journal::new(database.clone());
        tokio::spawn(writing);
        let outbox = Outbox::open(journal).await.unwrap();
        tokio::spawn(outbox.clone().take_back());
        Self {
            folder,
            database,
            outbox,
        }
    }

    /// As after a crash.
    async fn again(self) -> Self {
        self.database.close().await;
        Self::of(self.folder).await
    }

    /// Publishes while the broker is known to be away.
    async fn accept(&self, text: &str) {
        self.outbox.lost();
        assert_eq!(
            self.outbox.publish(message(text)).await,
            Outcome::Accepted,
            "{text}"
        );
    }

    /// What the link is given next.
    async fn next(&self) -> (Number, String) {
        let next = self.outbox.next().await;
        let text = match next.message {
            Some(message) => message.text.clone(),
            None => self.outbox.load(next.number).await.unwrap().unwrap().text,
        };
        (next.number, text)
    }

    async fn rows(&self) -> Vec<(String, Option<String>)> {
        let sql = "SELECT message, refused FROM bridge_queue ORDER BY number";
        sqlx::query_as(sql)
            .fetch_all(self.database.readers())
            .await
            .unwrap()
    }

    async fn wait_for_rows(&self, expected: &[(&str, Option<&str>)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(text, refused)| ((*text).to_owned(), refused.map(str::to_owned)))
            .collect();
        for _ in 0..2000 {
            if self.rows().await == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(self.rows().await, expected);
    }
}

fn message(text: &str) -> Message {
    Message {
        topic: "a".parse().unwrap(),
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn an_acknowledged_message_never_touches_the_disk() {
    let site = Site::new().await;
    let outbox = site.outbox.clone();
    let caller = tokio::spawn(async move { outbox.publish(message("x")).await });
    let (number, text) = site.next().await;
    assert_eq!(text, "x");
    site.outbox.settle(number, Ok(()));
    assert_eq!(caller.await.unwrap(), Outcome::Published);
    assert!(site.outbox.is_empty() && site.rows().await.is_empty());
}

#[tokio::test]
async fn a_refused_message_is_told_to_the_caller_who_waits() {
    let site = Site::new().await;
    let outbox = site.outbox.clone();
    let caller = tokio::spawn(async move { outbox.publish(message("x")).await });
    let (number, _) = site.next().await;
    site.outbox.settle(number, Err("no".to_owned()));
    assert_eq!(caller.await.unwrap(), Outcome::Refused("no".to_owned()));
    assert!(site.outbox.is_empty() && site.rows().await.is_empty());
}

#[tokio::test]
async fn an_acknowledgement_after_the_answer_removes_the_copy_on_disk() {
    let site = Site::new().await;
    let outbox = site.outbox.clone();
    let caller = tokio::spawn(async move { outbox.publish(message("x")).await });
    let (number, _) = site.next().await;
    assert_eq!(caller.await.unwrap(), Outcome::Accepted);
    site.wait_for_rows(&[("x", None)]).await;
    site.outbox.settle(number, Ok(()));
    site.wait_for_rows(&[]).await;
    assert!(site.again().await.outbox.is_empty());
}

#[tokio::test]
async fn messages_keep_their_order_over_lost_connections_and_restarts() {
    let site = Site::new().await;
    for text in ["1", "2"] {
        site.accept(text).await;
    }
    let site = site.again().await;
    site.accept("3").await;
    for _ in 0..2 {
        // Handed out, and lost before any acknowledgement.
        let (_, text) = site.next().await;
        assert_eq!(text, "1");
        site.outbox.lost();
    }
    for expected in ["1", "2", "3"] {
        let (number, text) = site.next().await;
        assert_eq!(text, expected);
        site.outbox.settle(number, Ok(()));
    }
    site.wait_for_rows(&[]).await;
}

#[tokio::test]
async fn what_was_handed_out_when_the_connection_is_lost_is_sent_one_by_one_afterwards() {
    let site = Site::new().await;
    for text in ["1", "2", "3"] {
        site.accept(text).await;
    }
    let (first, _) = site.next().await;
    site.next().await;
    site.outbox.lost();
    assert_eq!(site.next().await.0, first);
    let second = tokio::time::timeout(Duration::from_millis(50), site.outbox.next()).await;
    assert!(second.is_err(), "{second:?}");
    site.outbox.settle(first, Ok(()));
    assert_eq!(site.next().await.1, "2");
}

#[tokio::test]
async fn a_message_over_which_the_broker_hangs_up_is_parked_and_the_others_go_on() {
    let site = Site::new().await;
    for text in ["poison", "good"] {
        site.accept(text).await;
    }
    for _ in 0..STRIKES {
        assert_eq!(site.next().await.1, "poison");
        site.outbox.lost();
    }
    let (number, text) = site.next().await;
    assert_eq!(text, "good");
    site.outbox.settle(number, Ok(()));
    let reason = "the broker closed the connection 5 times when it was sent";
    site.wait_for_rows(&[("poison", Some(reason))]).await;
    // New messages get numbers of their own, and a restart does not try again.
    site.accept("new").await;
    site.wait_for_rows(&[("poison", Some(reason)), ("new", None)])
        .await;
    let site = site.again().await;
    assert_eq!((site.next().await.1, site.outbox.len()), ("new".to_owned(), 1));
}

#[tokio::test]
async fn a_parked_message_waits_for_an_operator_who_has_it_sent_again_or_throws_it_away() {
    let site = Site::new().await;
    for text in ["a", "b", "c"] {
        site.accept(text).await;
    }
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let (number, _) = site.next().await;
        site.outbox.settle(number, Err("no".to_owned()));
        numbers.push(number);
    }
    site.wait_for_rows(&[("a", Some("no")), ("b", Some("no")), ("c", Some("no"))])
        .await;
    let parked = site.outbox.parked();
    assert_eq!(parked.count().await.unwrap(), 3);
    let shown = parked.list(&numbers[1..2]).await.unwrap();
    let shown = &shown[0];
    assert_eq!((shown.text.as_str(), shown.reason.as_str()), ("b", "no"));
    assert_eq!(parked.discard(&numbers[..1]).await.unwrap().len(), 1);
    assert_eq!(parked.requeue(&numbers[1..2]).await.unwrap().len(), 1);
    site.wait_for_rows(&[("b", None), ("c", Some("no"))]).await;
    assert_eq!(
        parked.requeue(&numbers[..2]).await.unwrap().len(),
        0,
        "what is not parked is left alone"
    );
    // The numbers of those that are parked are not given again.
    let site = site.again().await;
    site.accept("d").await;
    site.wait_for_rows(&[("b", None), ("c", Some("no")), ("d", None)])
        .await;
    assert_eq!(site.next().await.1, "b");
    assert_eq!(site.next().await.1, "d");
    assert_eq!(site.outbox.parked().discard(&[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_requeued_is_sent_by_the_bridge_that_runs_between_those_that_are_under_way() {
    let site = Site::new().await;
    for text in ["parked", "under way"] {
        site.accept(text).await;
    }
    let (number, _) = site.next().await;
    site.outbox.settle(number, Err("no".to_owned()));
    let (under_way, text) = site.next().await;
    assert_eq!(text, "under way");
    site.wait_for_rows(&[("parked", Some("no")), ("under way", None)])
        .await;
    assert_eq!(site.outbox.parked().requeue(&[]).await.unwrap().len(), 1);
    assert_eq!(site.next().await, (number, "parked".to_owned()));
    site.outbox.settle(under_way, Ok(()));
    site.outbox.settle(number, Ok(()));
    site.wait_for_rows(&[]).await;
    site.accept("new").await;
    assert_eq!(site.next().await.1, "new");
    assert_eq!(site.outbox.len(), 1);
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let site = Site::new().await;
    {
        let mut waiting = site.outbox.lock();
        waiting.bytes = MOST_BYTES - 1;
    }
    assert_eq!(site.outbox.publish(message("x")).await, Outcome::Full);
}

#[tokio::test]
async fn a_message_that_cannot_be_kept_is_not_promised() {
    let site = Site::new().await;
    sqlx::query("DROP TABLE bridge_queue")
        .execute(site.database.writer())
        .await
        .unwrap();
    site.outbox.lost();
    let outcome = site.outbox.publish(message("x")).await;
    assert!(
        matches!(&outcome, Outcome::Unkept(reason) if reason.contains("bridge_queue")),
        "{outcome:?}"
    );
    assert!(site.outbox.is_empty());
}
