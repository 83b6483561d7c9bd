//! Batches and nodes.

use std::collections::BTreeSet;

use parkade_store::{
    Batch, BatchState, Deed, Delivery, LineResult, NewBatch, NewLine, Node, Order, Purpose, Retention, Store,
    StoreError,
};

use super::{on_each, upload};

async fn batch_of(store: &Store, node: &Node, owner: &str, lines: u64) -> Batch {
    let input_file = upload(store, owner, &vec![b'x'; lines as usize]).await;
    let new = NewBatch {
        owner: owner.to_owned(),
        endpoint: "/v1/chat/completions".to_owned(),
        input_file,
        seconds: 3600,
        completion_window: "24h".to_owned(),
        metadata: "{}".to_owned(),
        output_expires_after: None,
    };
    let deed = Deed { tenant: owner.to_owned(), action: "batch.created".to_owned(), ..Deed::default() };
    let batch = store.create_batch(&new, &deed).await.unwrap();
    assert_eq!(batch.state, BatchState::Validating);
    let claimed = store.claim_batch(node).await.unwrap().expect("its file is to be read");
    assert_eq!(claimed.id, batch.id);
    let line = |number: u64| NewLine {
        number,
        run_order: lines - number,
        custom_id: format!("line-{number}"),
        start: number - 1,
        length: 1,
        refusal: None,
    };
    let lines: Vec<_> = (1..=lines).map(line).collect();
    // As if the node had been interrupted after the first lines.
    store.put_lines(node, &batch.id, &lines[..1], true).await.unwrap();
    store.put_lines(node, &batch.id, &lines, true).await.unwrap();
    store.start_batch(node, &batch.id, "[]").await.unwrap();
    batch
}

fn result(batch: &str, number: u64, by: &str) -> LineResult {
    LineResult {
        batch: batch.to_owned(),
        number,
        is_answered: !number.is_multiple_of(10),
        written: format!("{number} {by}"),
    }
}

async fn finish(store: &Store, node: &Node) -> Batch {
    let batch = store.claim_batch(node).await.unwrap().expect("it is to be finalized");
    assert_eq!(batch.state, BatchState::Finalizing);
    let event = Delivery { id: Delivery::new_id(), owner: batch.owner.clone(), kind: "k".into(), payload: "{}".into() };
    let unfinished = |custom_id: &str, number| format!("{number} {custom_id} unfinished");
    store.finish_batch(node, &batch, unfinished, (&Deed::default(), &event)).await.unwrap();
    store.batch(&batch.owner, &batch.id).await.unwrap().expect("it is there")
}

async fn text(store: &Store, id: Option<&String>) -> Vec<String> {
    let Some(id) = id else { return Vec::new() };
    let file = store.files("ada", Some(Purpose::BatchOutput), (Order::Ascending, None, 100)).await.unwrap();
    let file = file.members.into_iter().find(|file| &file.id == id).expect("the file is its owner's");
    let content = store.read_range(id, 0, file.bytes).await.unwrap();
    String::from_utf8(content).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn each_line_has_one_result_in_the_order_of_the_file() {
    on_each(|store| async move {
        let node = store.join().await.unwrap();
        let batch = batch_of(&store, &node, "ada", 2500).await;
        let mut runs = 0;
        loop {
            let lines = store.claim_lines(&node, 64).await.unwrap();
            let Some(first) = lines.first() else { break };
            assert!(
                lines.windows(2).all(|pair| pair[0].number == pair[1].number + 1),
                "in the order in which they are run"
            );
            assert_eq!((first.endpoint.as_str(), first.start), ("/v1/chat/completions", first.number - 1));
            let results: Vec<_> = lines.iter().map(|line| result(&batch.id, line.number, "me")).collect();
            assert_eq!(store.finish_lines(&node, &results).await.unwrap(), lines.len());
            assert_eq!(store.finish_lines(&node, &results).await.unwrap(), 0, "each has one result");
            runs += lines.len();
        }
        assert_eq!(runs, 2500);
        assert!(store.advance_batches().await.unwrap());
        let ended = finish(&store, &node).await;
        assert_eq!((ended.state, ended.completed, ended.failed), (BatchState::Completed, 2250, 250));
        let expected = |failed: bool| {
            let numbers = (1..=2500_u64).filter(move |number| number.is_multiple_of(10) == failed);
            numbers.map(|number| format!("{number} me")).collect::<Vec<_>>()
        };
        assert_eq!(text(&store, ended.output_file.as_ref()).await, expected(false));
        assert_eq!(text(&store, ended.error_file.as_ref()).await, expected(true));
        assert!(store.sweep(&Retention::default()).await.unwrap().is_empty(), "nothing is left over");
        let due = store.take_deliveries(10).await.unwrap();
        assert_eq!(due.len(), 1);
        assert!(store.take_deliveries(10).await.unwrap().is_empty(), "it is taken");
    });
}

#[test]
fn the_work_of_a_node_that_is_gone_is_done_once_by_others() {
    on_each(|store| async move {
        let (slow, quick) = (store.join().await.unwrap(), store.join().await.unwrap());
        let batch = batch_of(&store, &quick, "ada", 10).await;
        let of_slow = store.claim_lines(&slow, 4).await.unwrap();
        let of_quick = store.claim_lines(&quick, 100).await.unwrap();
        assert_eq!((of_slow.len(), of_quick.len()), (4, 6));
        store.leave(&slow).await.unwrap();
        assert!(matches!(store.renew(&slow).await, Err(StoreError::Fenced)));
        assert!(matches!(store.claim_lines(&slow, 1).await, Err(StoreError::Fenced)));
        let again = store.claim_lines(&quick, 100).await.unwrap();
        assert_eq!(again, of_slow);
        let late: Vec<_> = of_slow.iter().map(|line| result(&batch.id, line.number, "slow")).collect();
        assert_eq!(store.finish_lines(&slow, &late).await.unwrap(), 0);
        let all = of_quick.iter().chain(&again).map(|line| result(&batch.id, line.number, "quick"));
        assert_eq!(store.finish_lines(&quick, &all.collect::<Vec<_>>()).await.unwrap(), 10);
        assert_eq!(store.finish_lines(&slow, &late).await.unwrap(), 0);
        store.advance_batches().await.unwrap();
        let ended = finish(&store, &quick).await;
        assert_eq!(text(&store, ended.output_file.as_ref()).await.len(), 9);
    });
}

#[test]
fn a_cancelled_batch_ends_with_what_it_has() {
    on_each(|store| async move {
        let node = store.join().await.unwrap();
        let batch = batch_of(&store, &node, "ada", 10).await;
        let lines = store.claim_lines(&node, 4).await.unwrap();
        assert!(store.cancel_batch("bob", &batch.id, &Deed::default()).await.unwrap().is_none());
        let cancelled = store.cancel_batch("ada", &batch.id, &Deed::default()).await.unwrap().expect("it is there");
        assert_eq!(cancelled.state, BatchState::Cancelling);
        assert!(store.claim_lines(&node, 4).await.unwrap().is_empty(), "nothing more is begun");
        let known = BTreeSet::from([batch.id.clone()]);
        assert_eq!(store.stopped_batches(&known).await.unwrap(), std::slice::from_ref(&batch.id));
        assert!(!store.advance_batches().await.unwrap(), "what runs is waited for");
        store
            .finish_lines(&node, &[result(&batch.id, lines[0].number, "me"), result(&batch.id, lines[1].number, "me")])
            .await
            .unwrap();
        store.release_lines(&node, &lines[2..]).await.unwrap();
        assert!(store.advance_batches().await.unwrap());
        let ended = finish(&store, &node).await;
        assert_eq!((ended.state, ended.completed + ended.failed, ended.total), (BatchState::Cancelled, 10, 10));
        let written =
            text(&store, ended.output_file.as_ref()).await.len() + text(&store, ended.error_file.as_ref()).await.len();
        assert_eq!(written, 10);
    });
}

#[test]
fn owners_share_and_no_line_is_claimed_twice() {
    on_each(|store| async move {
        let node = store.join().await.unwrap();
        for (owner, lines) in [("ada", 100), ("ada", 100), ("bob", 100), ("cat", 3)] {
            batch_of(&store, &node, owner, lines).await;
        }
        let first = store.claim_lines(&node, 30).await.unwrap();
        let of = |owner: &str| first.iter().filter(|line| line.owner == owner).count();
        assert_eq!((first.len(), of("cat")), (30, 3));
        assert!(of("bob") >= 10 && of("ada") >= 10, "{} {}", of("ada"), of("bob"));
        let mut seen: BTreeSet<_> = first.into_iter().map(|line| (line.batch, line.number)).collect();
        loop {
            let lines = store.claim_lines(&node, 50).await.unwrap();
            if lines.is_empty() {
                break;
            }
            assert!(lines.into_iter().all(|line| seen.insert((line.batch, line.number))));
        }
        assert_eq!(seen.len(), 303);
    });
}
