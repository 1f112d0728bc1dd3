use super::*;
use crate::database::Database;
use crate::notifier::configuration::parse;
use crate::notifier::queue::{NewJob, Selection, insert};
use crate::notifier::send::web_service::Service;
use serde_json::json;
use tokio::time::timeout;

/// Long enough for whatever comes at all.
const SOON: Duration = Duration::from_secs(30);
const MINUTES: Duration = Duration::from_secs(900);

struct Site {
    delivery: Delivery,
    state: State,
    service: Service,
    database: Database,
    notifications: watch::Sender<Arc<Notifications>>,
    stop: watch::Sender<bool>,
    _wake: watch::Sender<u64>,
    _folder: tempfile::TempDir,
}

impl Site {
    /// A webhook that answers as told, and nothing that waits for it.
    async fn answering(answers: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::answering(answers).await;
        let file = json!({ "destinations": { "d": { "type": "webhook", "url": service.url } } });
        let notifications = watch::Sender::new(Arc::new(parse(&file).unwrap().notifications));
        let (stop, wake) = (watch::Sender::new(false), watch::Sender::new(0));
        let database = Database::open(folder.path()).await.unwrap();
        let delivery = Delivery {
            name: "d".to_owned(),
            queue: Queue::new(database.clone()),
            sender: Sender::new(database.clone(), folder.path().to_owned()).unwrap(),
            notifications: notifications.subscribe(),
            counters: Arc::default(),
            wake: wake.subscribe(),
            stop: stop.subscribe(),
        };
        Self {
            delivery,
            state: State::default(),
            service,
            database,
            notifications,
            stop,
            _wake: wake,
            _folder: folder,
        }
    }

    async fn put(&self, text: &str) {
        let now = Timestamp::now().as_millisecond();
        let mut transaction = self.delivery.queue.begin().await.unwrap();
        let job = NewJob {
            destination: "d",
            route: "r",
            topic: "t",
            payload: None,
            text: Ok(text.to_owned()),
            urgent: false,
            created: now,
            expires: now + 1_000_000,
        };
        insert(&mut transaction, &job).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn step(&mut self) -> Result<Option<Duration>, sqlx::Error> {
        self.delivery.step(&mut self.state).await
    }

    async fn execute(&self, statement: &'static str) {
        sqlx::raw_sql(statement)
            .execute(self.database.writer())
            .await
            .unwrap();
    }

    async fn waiting(&self) -> usize {
        let all = Selection::default();
        self.delivery.queue.list(&all, 100).await.unwrap().len()
    }
}

#[tokio::test]
async fn what_was_sent_and_cannot_be_taken_out_of_the_queue_is_not_sent_again() {
    let mut site = Site::answering(&["200 OK\n\n"; 4]).await;
    site.put("one").await;
    site.put("two").await;
    site.execute(
        "CREATE TRIGGER full BEFORE DELETE ON notification
         BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
    )
    .await;
    for _ in 0..3 {
        let error = site.step().await.unwrap_err().to_string();
        assert!(error.contains("disk is full"), "{error}");
        assert_eq!(site.service.requests().len(), 1);
    }
    site.execute("DROP TRIGGER full").await;
    assert_eq!(site.step().await.unwrap(), Some(Duration::ZERO));
    assert_eq!((site.service.requests().len(), site.waiting().await), (1, 1));
    assert_eq!(site.step().await.unwrap(), Some(Duration::ZERO));
    let requests = site.service.requests();
    assert!(requests.len() == 2 && requests[1].contains("two"), "{requests:?}");
    assert_eq!((site.waiting().await, site.step().await.unwrap()), (0, None));
    let numbers = site.delivery.counters.destinations();
    assert_eq!(numbers["d"].delivered, 2);
}

#[tokio::test]
async fn what_a_service_put_off_or_refused_is_asked_once_however_long_the_disk_takes() {
    let mut site = Site::answering(&["503 Service Unavailable\n\n", "404 Not Found\n\n"]).await;
    site.put("one").await;
    for answered in [1, 2] {
        site.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON notification
             BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
        )
        .await;
        assert!(site.step().await.is_err() && site.step().await.is_err());
        site.execute("DROP TRIGGER full").await;
        assert!(site.step().await.unwrap().is_some());
        assert_eq!(site.service.requests().len(), answered);
        site.execute("UPDATE notification SET due = 1").await;
    }
    let listed = site.delivery.queue.list(&Selection::default(), 10).await.unwrap();
    assert!(listed[0].died.is_some() && listed[0].attempts == 2, "{listed:?}");
}

#[tokio::test]
async fn a_service_silences_its_destination_for_minutes_at_most_and_an_operator_ends_that() {
    let mut site = Site::answering(&[
        "429 Too Many Requests\nRetry-After: 86400\n\n",
        "429 Too Many Requests\nRetry-After: 86400\n\n",
        "200 OK\n\n",
    ])
    .await;
    site.put("one").await;
    for answered in [1, 2] {
        assert_eq!(site.step().await.unwrap(), Some(MINUTES));
        assert_eq!(site.service.requests().len(), answered);
        let now = Timestamp::now().as_millisecond();
        assert!(!site.delivery.queue.take_request("d", now).await.unwrap());
        let all = Selection::default();
        assert_eq!(site.delivery.queue.requeue(&all, now, 0).await.unwrap().len(), 1);
        let goes_on = timeout(SOON, site.delivery.pause(Some(MINUTES))).await;
        assert_eq!(goes_on, Ok(true), "an operator's word ends the pause");
    }
    assert_eq!(site.step().await.unwrap(), Some(Duration::ZERO));
    assert_eq!(site.waiting().await, 0);
}

#[tokio::test]
async fn a_destination_that_is_taken_out_and_put_in_again_is_worked_off_by_the_same_task() {
    let mut site = Site::answering(&["200 OK\n\n"]).await;
    let there = Arc::clone(&site.notifications.borrow());
    let none = Arc::new(parse(&json!({})).unwrap().notifications);
    site.notifications.send_replace(none);
    site.put("one").await;
    assert_eq!(site.step().await.unwrap(), None);
    let (service, notifications) = (site.service, site.notifications);
    let working = tokio::spawn(site.delivery.run());
    notifications.send_replace(there);
    let delivered = async {
        while service.requests().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(SOON, delivered).await.is_ok() && !working.is_finished());
    site.stop.send_replace(true);
    assert!(timeout(SOON, working).await.is_ok());
}

/// As often as its pace allows at once.
const AWAY: &[&str] = &["503 Service Unavailable\n\n"; 10];

impl Site {
    /// Fails so often, each time as soon as it may be tried again.
    async fn fail(&mut self, times: u32) {
        for _ in 0..times {
            self.execute("UPDATE notification SET due = 1").await;
            assert!(self.step().await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn a_notification_by_itself_is_tried_again_within_about_a_minute_however_long_its_service_is_away() {
    let mut site = Site::answering(AWAY).await;
    site.put("one").await;
    site.fail(9).await;
    let listed = site.delivery.queue.list(&Selection::default(), 1).await.unwrap();
    let wait = listed[0].due - Timestamp::now().as_millisecond();
    assert!((55_000..=60_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn those_that_fail_by_their_own_fault_do_not_keep_others_from_being_tried() {
    let mut site = Site::answering(AWAY).await;
    site.put("poison 1").await;
    site.put("poison 2").await;
    site.fail(OUTAGE).await;
    site.put("good").await;
    site.fail(2).await;
    let requests = site.service.requests();
    assert!(requests.last().unwrap().contains("good"), "{requests:?}");
}

#[tokio::test]
async fn an_edit_before_an_attempt_does_not_cut_the_pause_after_it_short() {
    let mut site = Site::answering(AWAY).await;
    site.put("one").await;
    let same = site.notifications.borrow().clone();
    site.notifications.send_replace(same);
    assert!(site.step().await.unwrap().is_some());
    assert!(!site.delivery.notifications.has_changed().unwrap());
}
