//! Who is next, seen from outside: one slot, several that wait for it.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
use std::time::Duration;

use parkade_pool::*;

/// Submits all of them behind a running task, and gives their numbers in the order in which they start.
fn order(specs: &[TaskSpec]) -> Vec<usize> {
    let mut config = PolicyConfig::new(Capacity::new([("slots", 1)]));
    config.limits.preempt = false;
    let mut lot = Lot::new(config).unwrap();
    let now = Time::ZERO;
    let (mut running, _) = lot.submit(now, &spec("first")).unwrap();
    assert_eq!(lot.next_decision(0, true), Some(Decision::Start(running)));
    let ids: Vec<TaskId> = specs.iter().map(|spec| lot.submit(now, spec).unwrap().0).collect();
    let mut order = Vec::new();
    while order.len() < specs.len() {
        lot.ended(running, Ending::Completed);
        lot.settle(now);
        let Some(Decision::Start(next)) = lot.next_decision(0, true) else { panic!("nobody starts") };
        order.push(ids.iter().position(|&id| id == next).unwrap());
        running = next;
        lot.audit(now).unwrap();
    }
    order
}

fn spec(tenant: &str) -> TaskSpec {
    TaskSpec { work: Work::new(10, 10), ..TaskSpec::new(tenant, Cost::fixed(Units::from([1]))) }
}

#[test]
fn inside_a_tenant_the_lower_rank_goes_first_and_equals_in_the_order_of_their_arrival() {
    let ranked = |rank| TaskSpec { rank, ..spec("ada") };
    assert_eq!(order(&[ranked(5), ranked(0), ranked(i64::MAX), ranked(-3), ranked(0)]), [3, 1, 4, 0, 2]);
    assert_eq!(order(&[ranked(i64::MIN), ranked(0), ranked(i64::MIN)]), [0, 2, 1]);
}

#[test]
fn inside_a_tenant_the_earlier_deadline_goes_before_any_rank() {
    let due = |seconds, rank| {
        let deadline = Some(Time::ZERO.after(Duration::from_secs(seconds)));
        TaskSpec { deadline, rank, ..spec("ada") }
    };
    assert_eq!(order(&[spec("ada"), due(900, -9), due(600, 9), due(900, -10)]), [2, 3, 1, 0]);
}

#[test]
fn a_higher_class_goes_first_whatever_ranks_and_deadlines_say() {
    let of = |class| TaskSpec { class, ..spec("ada") };
    let hasty = TaskSpec { rank: -100, deadline: Some(Time::ZERO.after(Duration::from_secs(60))), ..of(Class::Low) };
    assert_eq!(order(&[hasty, of(Class::Normal), of(Class::Critical), of(Class::High)]), [2, 3, 1, 0]);
}

#[test]
fn a_rank_takes_nothing_from_another_tenant() {
    let of = |tenant, rank| TaskSpec { rank, ..spec(tenant) };
    let mixed = [of("ada", -5), of("ada", -4), of("ada", -3), of("bob", 7), of("bob", 8)];
    let order = order(&mixed);
    // Turn by turn, as they have been served alike so far.
    assert_eq!(order.iter().take(4).filter(|&&number| number >= 3).count(), 2, "{order:?}");
}

#[test]
fn a_flood_fills_the_room_for_itself_and_for_nobody_else() {
    let mut config = PolicyConfig::new(Capacity::new([("slots", 1)]));
    (config.limits.max_waiting, config.limits.max_waiting_tokens) = (100, 1 << 20);
    let mut lot = Lot::new(config).unwrap();
    let now = Time::ZERO;
    let mut submit = |tenant: &str| lot.submit(now, &spec(tenant)).map(|_| ());
    submit("running").unwrap();
    (0..100).for_each(|_| submit("flood").unwrap());
    assert!(matches!(submit("flood"), Err(PoolError::QueueFull { waiting: 100, limit: 100, .. })));
    // Two share it now: half of it is ada's.
    (0..50).for_each(|_| submit("ada").unwrap());
    assert!(matches!(submit("ada"), Err(PoolError::QueueFull { limit: 100, .. })), "she has her share");
    assert!(matches!(submit("flood"), Err(PoolError::QueueFull { .. })));
    // A third has a third, and twice the room is the end of it, however many names come.
    (0..33).for_each(|_| submit("bob").unwrap());
    assert!(submit("bob").is_err());
    let names: Vec<String> = (0..100).map(|number| format!("name-{number}")).collect();
    let taken = names.iter().filter(|name| submit(name).is_ok()).count();
    assert_eq!(taken, 200 - 100 - 50 - 33);
    lot.audit(now).unwrap();
}

#[test]
fn who_owes_a_first_token_is_not_parked_before_one_who_has_given_his() {
    let mut lot = Lot::new(PolicyConfig::new(Capacity::new([("slots", 2)]))).unwrap();
    let now = Time::ZERO;
    let soon = TaskSpec { first_token_deadline: Some(now.after(Duration::from_secs(60))), ..spec("ada") };
    let ids = [&soon, &soon].map(|spec| lot.submit(now, spec).unwrap().0);
    for id in ids {
        assert_eq!(lot.next_decision(0, true), Some(Decision::Start(id)));
    }
    // The older one has had its first token, so the younger one, which has not, stays.
    lot.report(Duration::from_millis(1), &[Progress { task: ids[0], prefill: 10, decode: 1 }]);
    lot.settle(now);
    lot.submit(now, &TaskSpec { class: Class::High, ..spec("ada") }).unwrap();
    assert_eq!(lot.next_decision(0, true), Some(Decision::Park(ids[0])));
    lot.parked(ids[0]);
    lot.settle(now);
    lot.audit(now).unwrap();
}
