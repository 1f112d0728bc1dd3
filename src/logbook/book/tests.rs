use super::*;
use crate::database::Database;
use crate::logbook::Level;
use std::net::Ipv4Addr;

const EVERYTHING: LogQuery = LogQuery {
    source: None,
    kind: None,
    time: (0, i64::MAX),
    behind: None,
    limit: 1000,
};

fn sim(number: u32) -> Source {
    Source::Sim(Imsi::new(&format!("44010{number:010}")).unwrap())
}

fn stranger(number: u32) -> Source {
    Source::Address(IpAddr::V4(Ipv4Addr::from_bits(number)))
}

fn entry(time: i64, source: Source) -> Entry {
    let body = serde_json::json!({ "reason": format!("at {time}") });
    Entry {
        time,
        source,
        level: Level::Warning,
        body: body.as_object().cloned().unwrap_or_default(),
    }
}

async fn book() -> (tempfile::TempDir, LogBook) {
    let folder = tempfile::tempdir().unwrap();
    let book = LogBook::new(Database::open(folder.path()).await.unwrap());
    (folder, book)
}

async fn times(book: &LogBook, query: &LogQuery) -> Vec<i64> {
    let (found, _) = book.read(query).await.unwrap();
    found.iter().map(|found| found.time).collect()
}

#[tokio::test]
async fn entries_come_back_newest_first_by_source_and_time() {
    let (_folder, book) = book().await;
    for (time, source) in [(10, sim(1)), (30, stranger(7)), (20, sim(1)), (25, sim(2))] {
        book.queue().push(source, |source| entry(time, source));
    }
    book.flush().await.unwrap();
    assert_eq!(times(&book, &EVERYTHING).await, [30, 25, 20, 10]);
    let of = |source| LogQuery {
        source: Some(source),
        ..EVERYTHING
    };
    assert_eq!(times(&book, &of(sim(1))).await, [20, 10]);
    assert_eq!(times(&book, &of(stranger(7))).await, [30]);
    let sims = LogQuery {
        kind: Some(SourceKind::Sim),
        time: (15, 25),
        ..EVERYTHING
    };
    assert_eq!(times(&book, &sims).await, [25, 20]);
    let (found, _) = book.read(&of(sim(2))).await.unwrap();
    assert_eq!(found[0].body["reason"], "at 25");
    assert_eq!((found[0].level.as_str(), &found[0].source), ("warning", &sim(2)));
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_or_overlap() {
    let (_folder, book) = book().await;
    // Entries of the same millisecond, too.
    let entries: Vec<_> = (0..10).map(|n| entry(n / 4, sim(1))).collect();
    book.write(&entries).await.unwrap();
    let mut query = LogQuery {
        limit: 3,
        ..EVERYTHING
    };
    let mut seen = Vec::new();
    loop {
        let (found, next) = book.read(&query).await.unwrap();
        seen.extend(found.iter().map(|found| found.time));
        let Some(next) = next else { break };
        query.behind = Some(next.to_string().parse().unwrap());
    }
    assert_eq!(seen, [2, 2, 1, 1, 1, 1, 0, 0, 0, 0]);
    for bad in ["", "1", "a-b", "1-"] {
        assert!(bad.parse::<PageKey>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn the_book_is_bounded_by_source_in_all_and_in_time() {
    let (_folder, book) = book().await;
    let now = KEPT_FOR + 10;
    let mut entries: Vec<_> = (0..KEPT_OF_ONE + 5).map(|n| entry(now + n, sim(1))).collect();
    entries.push(entry(9, sim(2)));
    entries.extend((0..KEPT_OF_STRANGERS as u32 + 7).map(|n| entry(now, stranger(n))));
    book.write(&entries).await.unwrap();
    book.prune(now).await.unwrap();
    let count = |sims| {
        let database = book.database.clone();
        async move {
            let row = sqlx::query("SELECT count(*), min(time) FROM log_entry WHERE is_sim = ?").bind(sims);
            let row = row.fetch_one(database.readers()).await.unwrap();
            (row.get::<i64, _>(0), row.get::<i64, _>(1))
        }
    };
    assert_eq!(count(true).await, (KEPT_OF_ONE, now + 5));
    assert_eq!(count(false).await, (KEPT_OF_STRANGERS, now));
}
