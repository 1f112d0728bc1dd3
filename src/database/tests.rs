use super::*;

#[tokio::test]
async fn a_database_is_made_once_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    Database::open(&data).await.unwrap().close().await;
    let database = Database::open(&data).await.unwrap();
    let row = sqlx::query("PRAGMA user_version").fetch_one(database.readers());
    assert_eq!(row.await.unwrap().get::<i64, _>(0), STEPS.len() as i64);
}

#[tokio::test]
async fn a_database_can_be_opened_while_another_process_writes() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path()).await.unwrap();
    let writing = database.begin().await.unwrap();
    Database::open(folder.path()).await.unwrap().close().await;
    writing.commit().await.unwrap();
}

#[tokio::test]
async fn a_file_of_a_later_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path()).await.unwrap();
    let later = sqlx::query("PRAGMA user_version = 999");
    later.execute(database.writer()).await.unwrap();
    database.close().await;
    let error = Database::open(folder.path()).await.unwrap_err();
    assert!(
        matches!(error, DatabaseError::Newer { found: 999, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn who_reads_does_not_wait_for_who_writes_and_sees_what_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path()).await.unwrap();
    let seen = async || {
        let count = sqlx::query("SELECT count(*) FROM bridge_queue").fetch_one(database.readers());
        count.await.unwrap().get::<i64, _>(0)
    };
    let insert = "INSERT INTO bridge_queue (number, time, topic, message) VALUES (1, 0, 'a', 'b')";
    let mut writing = database.begin().await.unwrap();
    sqlx::query(insert).execute(&mut *writing).await.unwrap();
    assert_eq!(seen().await, 0);
    writing.commit().await.unwrap();
    assert_eq!(seen().await, 1);
}

#[tokio::test]
async fn who_only_reads_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path()).await.unwrap();
    let delete = sqlx::query("DELETE FROM bridge_queue").execute(database.readers());
    let refusal = delete.await.unwrap_err().to_string();
    assert!(refusal.contains("readonly"), "{refusal}");
    database.write_nothing().await.unwrap();
}

#[tokio::test]
async fn all_who_write_at_once_get_their_turn() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path()).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..50 {
        let database = database.clone();
        writers.spawn(async move {
            let mut transaction = database.begin().await.unwrap();
            let insert = "INSERT INTO bridge_queue (number, time, topic, message) VALUES (?, 0, 'a', 'b')";
            sqlx::query(insert)
                .bind(number)
                .execute(&mut *transaction)
                .await
                .unwrap();
            // Half of them give up, by dropping what they began.
            if number % 2 == 0 {
                transaction.commit().await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let count = sqlx::query("SELECT count(*) FROM bridge_queue").fetch_one(database.readers());
    assert_eq!(count.await.unwrap().get::<i64, _>(0), 25);
}

#[tokio::test]
async fn what_an_earlier_program_wrote_is_there_after_its_schema_was_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&folder.path().join(FILE)).create_if_missing(true);
    let mut earlier = SqliteConnection::connect_with(&options).await.unwrap();
    for step in &STEPS[..6] {
        sqlx::raw_sql(*step).execute(&mut earlier).await.unwrap();
    }
    let rows = "INSERT INTO notification_silence VALUES ('door', 7, 1);
                INSERT INTO bridge_queue VALUES (3, 0, 'a', 'b', 'no');
                PRAGMA user_version = 6";
    sqlx::raw_sql(rows).execute(&mut earlier).await.unwrap();
    earlier.close().await.unwrap();
    let database = Database::open(folder.path()).await.unwrap();
    let found = "SELECT alarm || silence.topic || heard || told || number || again
                 FROM notification_silence AS silence, bridge_queue";
    let found: String = sqlx::query_scalar(found)
        .fetch_one(database.readers())
        .await
        .unwrap();
    assert_eq!(found, "door7130");
}
