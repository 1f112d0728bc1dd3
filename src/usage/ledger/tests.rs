use super::*;
use crate::database::Database;
use crate::usage::Counts;
use crate::usage::meter::tests::key_of;

/// 2026-11-23 14:10:11 UTC.
const NOW: i64 = 1_795_443_011;
const DAY: i64 = 86_400;

fn key(number: u32, scheme: Scheme) -> UsageKey {
    key_of(imsi(number).as_str(), scheme)
}

fn imsi(number: u32) -> Imsi {
    Imsi::new(&format!("44010{number:010}")).unwrap()
}

fn one_publish(times: u64) -> Counts {
    Counts {
        device_up: times,
        broker_up: times,
        ..Counts::default()
    }
}

async fn ledger() -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(Database::open(folder.path()).await.unwrap());
    (folder, ledger)
}

async fn device_legs(ledger: &Ledger, period: Period) -> Vec<(String, u64)> {
    let rows = ledger.stats(&imsi(1), period, (0, NOW), NOW).await.unwrap();
    let leg = |row: &StatsRow| (period.date(row.bucket), row.device_leg);
    rows.iter().map(leg).collect()
}

#[tokio::test]
async fn a_delta_is_in_the_five_minutes_the_day_and_the_month() {
    let (_folder, ledger) = ledger().await;
    let mut pending = Pending::default();
    pending.add(NOW - 400, key(1, Scheme::Mqtt), one_publish(1));
    pending.add(NOW, key(1, Scheme::Mqtt), one_publish(2));
    pending.add(NOW, key(2, Scheme::Mqtt), one_publish(9));
    ledger.write(&pending).await.unwrap();
    ledger.write(&pending).await.unwrap();
    let row = |date: &str, count| (date.to_owned(), count);
    assert_eq!(
        device_legs(&ledger, Period::Minutes).await,
        [row("20261123T1400", 2), row("20261123T1410", 4)]
    );
    assert_eq!(device_legs(&ledger, Period::Day).await, [row("20261123", 6)]);
    assert_eq!(device_legs(&ledger, Period::Month).await, [row("202611", 6)]);
    assert!(ledger.knows(&imsi(2)).await.unwrap() && !ledger.knows(&imsi(3)).await.unwrap());
}

#[tokio::test]
async fn however_many_keys_are_written_together_each_gets_its_own_counts() {
    for keys in [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS] {
        let (_folder, ledger) = ledger().await;
        let mut pending = Pending::default();
        for number in 1..=keys as u32 {
            let counts = Counts {
                device_up: number.into(),
                broker_up: 2 * u64::from(number),
                broker_down: 3 * u64::from(number),
                device_down: 4 * u64::from(number),
                bytes_up: 5,
                bytes_down: 6,
            };
            pending.add(NOW, key(number, Scheme::Mqtt), counts);
        }
        ledger.write(&pending).await.unwrap();
        ledger.write(&pending).await.unwrap();
        let right = sqlx::query(
            "WITH key AS (SELECT id, CAST(substr(imsi, 6) AS INTEGER) AS n FROM usage_key)
             SELECT count(*) FROM usage JOIN key ON id = key_id
             WHERE (device_up, broker_up, broker_down, device_down) = (2 * n, 4 * n, 6 * n, 8 * n)",
        );
        let right: i64 = right.fetch_one(ledger.database.readers()).await.unwrap().get(0);
        assert_eq!(right, 3 * keys as i64, "{keys} keys");
    }
}

#[tokio::test]
async fn a_failed_write_adds_nothing_and_can_be_tried_again() {
    let (_folder, ledger) = ledger().await;
    let mut pending = Pending::default();
    pending.add(NOW, key(1, Scheme::Mqtt), one_publish(3));
    pending.add(NOW, key(1, Scheme::Mqtts), one_publish(4));
    let forbid = "CREATE TRIGGER full BEFORE INSERT ON usage WHEN new.period = 2
        BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    sqlx::query(forbid)
        .execute(ledger.database.writer())
        .await
        .unwrap();
    let error = ledger.write(&pending).await.unwrap_err().to_string();
    assert!(error.contains("disk full"), "{error}");
    assert!(device_legs(&ledger, Period::Minutes).await.is_empty());
    assert!(!ledger.knows(&imsi(1)).await.unwrap());
    sqlx::query("DROP TRIGGER full")
        .execute(ledger.database.writer())
        .await
        .unwrap();
    ledger.write(&pending).await.unwrap();
    let rows = ledger
        .stats(&imsi(1), Period::Day, (NOW, NOW), NOW)
        .await
        .unwrap();
    let legs: Vec<_> = rows.iter().map(|row| (row.scheme, row.broker_leg)).collect();
    assert_eq!(legs, [(Scheme::Mqtt, 3), (Scheme::Mqtts, 4)]);
}

#[tokio::test]
async fn old_buckets_go_and_young_ones_stay() {
    let (_folder, ledger) = ledger().await;
    let mut pending = Pending::default();
    for (days, count) in [(0, 1), (31, 1), (33, 1), (500, 1), (600, 1)] {
        pending.add(NOW - days * DAY, key(1, Scheme::Mqtt), one_publish(count));
    }
    ledger.write(&pending).await.unwrap();
    ledger.prune(NOW).await.unwrap();
    let left = sqlx::query("SELECT count(*) FROM usage GROUP BY period ORDER BY period")
        .fetch_all(ledger.database.readers())
        .await
        .unwrap();
    let left: Vec<i64> = left.iter().map(|row| row.get(0)).collect();
    assert_eq!(left, [2, 4, 3]);
}

#[tokio::test]
async fn an_export_holds_all_sims_and_stops_when_told() {
    let (_folder, ledger) = ledger().await;
    let mut pending = Pending::default();
    // More than one page.
    for number in 0..10_500 {
        let scheme = if number % 2 == 0 {
            Scheme::Mqtts
        } else {
            Scheme::Mqtt
        };
        pending.add(NOW, key(number, scheme), one_publish(1));
    }
    ledger.write(&pending).await.unwrap();
    ledger.write(&pending).await.unwrap();
    let mut rows = Vec::new();
    let all = |row| {
        rows.push(row);
        true
    };
    ledger.export(Period::Month, (NOW, NOW), all).await.unwrap();
    let sum: u64 = rows.iter().map(|row| row.stats.device_leg).sum();
    assert_eq!((rows.len(), sum), (10_500, 21_000));
    let over_tls = rows.iter().filter(|row| row.stats.scheme == Scheme::Mqtts);
    assert_eq!(over_tls.count(), 5_250);
    let mut seen = 0;
    let three = |_| {
        seen += 1;
        seen < 3
    };
    ledger.export(Period::Month, (NOW, NOW), three).await.unwrap();
    assert_eq!(seen, 3);
}

#[tokio::test]
async fn a_key_goes_with_its_last_bucket_and_counts_again_when_it_comes_back() {
    let (_folder, ledger) = ledger().await;
    let mut pending = Pending::default();
    pending.add(NOW - 900 * DAY, key(1, Scheme::Mqtt), one_publish(1));
    pending.add(NOW, key(2, Scheme::Mqtt), one_publish(1));
    ledger.write(&pending).await.unwrap();
    ledger.prune(NOW).await.unwrap();
    assert!(!ledger.knows(&imsi(1)).await.unwrap() && ledger.knows(&imsi(2)).await.unwrap());
    let mut pending = Pending::default();
    pending.add(NOW, key(1, Scheme::Mqtt), one_publish(3));
    ledger.write(&pending).await.unwrap();
    assert_eq!(
        device_legs(&ledger, Period::Day).await,
        [("20261123".to_owned(), 3)]
    );
    ledger.prune(NOW).await.unwrap();
    assert!(ledger.knows(&imsi(1)).await.unwrap());
}

#[tokio::test]
async fn what_was_counted_by_a_wrong_clock_outlives_it_and_is_entered_when_the_clock_is_right() {
    let (folder, ledger) = ledger().await;
    let mut pending = Pending::default();
    pending.add(UNDATED, key(1, Scheme::Mqtt), one_publish(3));
    pending.add(NOW, key(1, Scheme::Mqtt), one_publish(2));
    pending.add(UNDATED, key(2, Scheme::Mqtt), one_publish(1));
    ledger.write(&pending).await.unwrap();
    // The program starts again, the clock is right now.
    let ledger = Ledger::new(Database::open(folder.path()).await.unwrap());
    ledger.prune(NOW).await.unwrap();
    assert!(ledger.date(NOW).await.unwrap());
    assert!(!ledger.date(NOW).await.unwrap(), "it is entered once");
    let row = |date: &str, count| vec![(date.to_owned(), count)];
    assert_eq!(
        device_legs(&ledger, Period::Minutes).await,
        row("20261123T1410", 5)
    );
    assert_eq!(device_legs(&ledger, Period::Day).await, row("20261123", 5));
    assert_eq!(device_legs(&ledger, Period::Month).await, row("202611", 5));
    assert!(ledger.knows(&imsi(2)).await.unwrap());
}
