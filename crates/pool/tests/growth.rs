//! Growth and parking, scripted: what a task was parked for is there when it resumes, and is forgotten when it has it.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
use parkade_pool::*;

const NOW: Time = Time::ZERO;

fn blocks(count: u64) -> Units {
    Units::from([count])
}

/// Starts with so many blocks, may take up to 8 more, and is expected to give this many answer tokens.
fn spec(now: u64, answer: u64) -> TaskSpec {
    let cost = Cost::growing(blocks(now), Units::ZERO, blocks(8).min(blocks(12 - now)));
    TaskSpec { work: Work::new(1, answer), ..TaskSpec::new("tenant", cost) }
}

/// A lot of 12 blocks with what is submitted to it running.
fn running(specs: &[TaskSpec]) -> (Lot, Vec<TaskId>) {
    let mut lot = Lot::new(PolicyConfig::new(Capacity::new([("blocks", 12)]))).unwrap();
    let ids: Vec<TaskId> = specs.iter().map(|spec| lot.submit(NOW, spec).unwrap().0).collect();
    for &id in &ids {
        assert_eq!(lot.next_decision(0, true), Some(Decision::Start(id)));
    }
    (lot, ids)
}

fn settle(lot: &mut Lot) -> Option<Decision> {
    lot.settle(NOW);
    lot.audit(NOW).unwrap();
    lot.next_decision(0, true)
}

#[test]
fn a_task_parked_for_growth_resumes_when_that_is_there_too_and_not_before() {
    // The first one is expected to end with its next token, which would give back a lot: a forecast alone is content.
    let (mut lot, ids) = running(&[spec(6, 1), spec(5, 100)]);
    assert_eq!(lot.grow(NOW, ids[1], blocks(3), None), Growth::ParkSelf, "one is free, and the other was here before");
    assert_eq!(settle(&mut lot), None, "six are free, but it needs five and asked for three");
    assert_eq!(lot.ended(ids[0], Ending::Completed), Some(Ending::Completed));
    assert_eq!(settle(&mut lot), Some(Decision::Resume(ids[1])));
    assert_eq!(lot.grow(NOW, ids[1], blocks(3), None), Growth::Granted);
}

#[test]
fn what_a_task_was_parked_for_is_kept_for_it_until_it_asks_again_and_then_forgotten() {
    let (mut lot, ids) = running(&[spec(6, 1), spec(5, 100)]);
    assert_eq!(lot.grow(NOW, ids[1], blocks(3), None), Growth::ParkSelf);
    lot.ended(ids[0], Ending::Completed);
    assert_eq!(settle(&mut lot), Some(Decision::Resume(ids[1])));
    // Seven are free and three of them are spoken for.
    let (greedy, placed) = lot.submit(NOW, &spec(5, 100)).unwrap();
    assert_eq!(placed, Placement::Waiting, "or the resumed one would be parked again for the same growth");
    let (modest, placed) = lot.submit(NOW, &spec(1, 100)).unwrap();
    assert_eq!(placed, Placement::Admitted);
    assert_eq!(lot.next_decision(0, true), Some(Decision::Start(modest)));
    // It asks for less than it was parked for: then the rest is nobody's.
    assert_eq!(lot.grow(NOW, ids[1], blocks(1), None), Growth::Granted);
    assert_eq!(settle(&mut lot), Some(Decision::Start(greedy)), "nothing is expected to grow any more");
    assert_eq!(lot.stats().free, Units::ZERO);
}
