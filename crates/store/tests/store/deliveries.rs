//! The outbox of webhooks.

use std::time::Duration;

use parkade_store::{Deed, Delivery, NewAnswer, Node, Retention, Store};

use super::on_each;

/// Answers that have come to an end, each with an event.
async fn events(store: &Store, node: &Node, owner: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = Delivery::new_id();
        let answer = NewAnswer { id: format!("resp_{id}"), owner: owner.to_owned(), ..NewAnswer::default() };
        store.put_answer(&answer, Some(node), None).await.unwrap();
        let event = Delivery { id: id.clone(), owner: owner.to_owned(), kind: "k".into(), payload: "{}".into() };
        store.finish_answer(node, (&answer.id, "{}", "[]"), (None, &event)).await.unwrap();
        ids.push(id);
    }
    ids
}

async fn taken(store: &Store, most: usize) -> Vec<(String, u64)> {
    let due = store.take_deliveries(most).await.unwrap();
    due.into_iter().map(|attempt| (attempt.delivery.id, attempt.number)).collect()
}

#[test]
fn an_event_is_taken_once_at_a_time_until_it_is_received_or_given_up() {
    on_each(|store| async move {
        let node = store.join().await.unwrap();
        let ids = events(&store, &node, "ada", 3).await;
        let mut first = taken(&store, 10).await;
        first.sort();
        let mut expected: Vec<_> = ids.iter().map(|id| (id.clone(), 1)).collect();
        expected.sort();
        assert_eq!(first, expected);
        assert!(taken(&store, 10).await.is_empty(), "they are being sent");
        store.delivered(&ids[0]).await.unwrap();
        store.not_delivered(&ids[1], "500", Some(Duration::ZERO)).await.unwrap();
        store.not_delivered(&ids[2], "410", None).await.unwrap();
        assert_eq!(taken(&store, 10).await, [(ids[1].clone(), 2)]);
        store.not_delivered(&ids[1], "500", Some(Duration::from_secs(3600))).await.unwrap();
        // What is over is not brought back.
        store.not_delivered(&ids[0], "late", Some(Duration::ZERO)).await.unwrap();
        store.not_delivered(&ids[2], "late", Some(Duration::ZERO)).await.unwrap();
        assert!(taken(&store, 10).await.is_empty());
        let swept = store.sweep(&Retention { deliveries: Duration::ZERO, ..Retention::default() }).await.unwrap();
        assert_eq!(swept.deliveries, 2, "one waits for its time");
    });
}

#[test]
fn an_owner_with_many_events_keeps_nobody_waiting() {
    on_each(|store| async move {
        let node = store.join().await.unwrap();
        events(&store, &node, "ada", 20).await;
        events(&store, &node, "bob", 2).await;
        events(&store, &node, "cat", 1).await;
        let due = store.take_deliveries(6).await.unwrap();
        let of = |owner: &str| due.iter().filter(|attempt| attempt.delivery.owner == owner).count();
        assert_eq!((of("ada"), of("bob"), of("cat")), (3, 2, 1));
    });
}

#[test]
fn who_is_not_to_be_told_leaves_nothing_behind() {
    on_each(|store| async move {
        let node = store.join().await.unwrap();
        let answer = NewAnswer { id: "resp_1".into(), ..NewAnswer::default() };
        store.put_answer(&answer, Some(&node), Some(&Deed::default())).await.unwrap();
        store.finish_answer(&node, ("resp_1", "{}", "[]"), (None, &Delivery::none())).await.unwrap();
        assert!(taken(&store, 10).await.is_empty());
    });
}
