use super::super::live::tests::{peer, sim};
use super::*;
use std::sync::Arc;

const ALL: (i64, i64) = (0, i64::MAX);

async fn kept(history: &History, imsi: &Imsi) -> Vec<String> {
    let page = history.page(imsi, ALL, None, 1000).await.unwrap();
    page.into_iter().map(|past| past.event).collect()
}

#[tokio::test]
async fn events_are_kept_in_order_paged_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::new(Database::open(folder.path()).await.unwrap());
    let (sessions, events) = Sessions::new();
    let following = tokio::spawn(history.clone().follow(events, Arc::downgrade(&sessions)));
    let (one, other) = (sim(1), sim(2));
    // All within a millisecond or two: times are still different.
    for _ in 0..70 {
        sessions.opened(&one, peer(1), &"a".into());
        sessions.closed(&one.imsi);
    }
    sessions.opened(&other, peer(2), &"b".into());
    drop(sessions);
    following.await.unwrap();
    let all = history.page(&one.imsi, ALL, None, 1000).await.unwrap();
    assert_eq!(all.len(), KEPT_A_SIM as usize);
    assert!(all.windows(2).all(|pair| pair[0].time > pair[1].time));
    assert_eq!(
        (all[0].event.as_str(), all[1].event.as_str()),
        ("Deleted", "Created")
    );
    assert_eq!(
        (all[0].address.as_str(), all[0].client_id.as_str()),
        ("10.0.0.1", "a")
    );
    let next = history.page(&one.imsi, ALL, Some(all[9].time), 5).await.unwrap();
    assert_eq!(next, all[10..15]);
    let middle = history
        .page(&one.imsi, (all[8].time, all[3].time), None, 99)
        .await
        .unwrap();
    assert_eq!(middle, all[3..=8]);

    let ended = [one.imsi.as_str(), other.imsi.as_str(), "999990000000000"];
    let ended = history.last_ended(&ended).await.unwrap();
    assert_eq!(ended, [(one.imsi.to_string(), all[0].clone())].into());

    assert_eq!(kept(&history, &other.imsi).await, ["Created"]);
    assert_eq!(history.close_left_open().await.unwrap(), 1, "as after a crash");
    assert_eq!(kept(&history, &other.imsi).await, ["Deleted", "Created"]);
    assert_eq!(history.close_left_open().await.unwrap(), 0);
    history.sweep(now_millis() + 1000).await.unwrap();
    assert!(kept(&history, &other.imsi).await.is_empty());
}
#[test]
fn of_a_sim_that_comes_and_goes_without_end_only_what_will_be_kept_is_written() {
    let (sessions, mut events) = Sessions::new();
    let (one, other) = (sim(1), sim(2));
    sessions.opened(&other, peer(2), &"b".into());
    for _ in 0..500 {
        sessions.opened(&one, peer(1), &"a".into());
        sessions.closed(&one.imsi);
    }
    sessions.closed(&other.imsi);
    let mut all: Vec<Event> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let whole = all.clone();
    leave_out_what_is_crowded_out(&mut all);
    let of = |events: &[Event], imsi: &Imsi| -> Vec<_> {
        let of = events.iter().filter(|event| event.session.sim.imsi == *imsi);
        of.map(|event| (event.session.id, event.kind.as_str())).collect()
    };
    let newest = of(&whole, &one.imsi).split_off(1000 - KEPT_A_SIM as usize);
    assert_eq!(of(&all, &one.imsi), newest);
    assert_eq!(of(&all, &other.imsi), of(&whole, &other.imsi));
    assert_eq!(all.len(), 2 + KEPT_A_SIM as usize);
}
