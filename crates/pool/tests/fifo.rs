//! First come, first served: what `Fifo` promises, alone and under a worker pool.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::collections::VecDeque;
use std::time::Duration;

use parkade_pool::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

fn fifo(blocks: u64, waiting: u64) -> Fifo {
    let mut config = PolicyConfig::new(Capacity::new([("blocks", blocks), ("slots", 4)]));
    config.limits.max_waiting = waiting;
    let mut fifo = Fifo::new(config).unwrap();
    fifo.employ(2);
    fifo
}

fn spec(now: u64, growth: u64) -> TaskSpec {
    TaskSpec {
        work: Work::new(10, 20),
        ..TaskSpec::new("tenant", Cost::growing(Units::from([now, 1]), Units::ZERO, Units::from([growth])))
    }
}

fn started(fifo: &mut Fifo, worker: usize) -> Vec<TaskId> {
    std::iter::from_fn(|| fifo.next_decision(worker, true))
        .map(|decision| match decision {
            Decision::Start(id) => id,
            other => panic!("nobody is parked: {other:?}"),
        })
        .collect()
}

#[test]
fn the_worst_case_is_set_aside_so_that_growth_never_fails() {
    let mut fifo = fifo(10, 9);
    let now = Time::ZERO;
    let (first, placed) = fifo.submit(now, &spec(2, 5)).unwrap();
    assert_eq!(placed, Placement::Admitted);
    let (second, placed) = fifo.submit(now, &spec(2, 2)).unwrap();
    assert_eq!(placed, Placement::Waiting, "3 of 10 are left");
    assert_eq!(fifo.stats().available, Units::from([3, 3]));
    assert_eq!(started(&mut fifo, 0), [first]);
    for _ in 0..5 {
        assert_eq!(fifo.grow(now, first, Units::from([1]), None), Growth::Granted);
    }
    assert_eq!(fifo.grow(now, second, Units::from([1]), None), Growth::Denied, "it does not run");
    assert_eq!(fifo.ended(first, Ending::Completed), Some(Ending::Completed));
    fifo.settle(now);
    assert_eq!(started(&mut fifo, 1), [second]);
}

#[test]
fn nobody_passes_and_no_class_goes_first() {
    let mut fifo = fifo(10, 9);
    let now = Time::ZERO;
    let (first, _) = fifo.submit(now, &spec(6, 0)).unwrap();
    let (large, _) = fifo.submit(now, &spec(8, 0)).unwrap();
    let urgent = TaskSpec { class: Class::Critical, ..spec(1, 0) };
    let (small, placed) = fifo.submit(now, &urgent).unwrap();
    assert_eq!(placed, Placement::Waiting, "it would fit, but another one came before it");
    assert_eq!(fifo.outlook(small).unwrap().ahead, Some(1));
    assert_eq!(started(&mut fifo, 0), [first]);
    fifo.ended(first, Ending::Failed);
    fifo.settle(now);
    assert_eq!(started(&mut fifo, 0), [large, small]);
}

#[test]
fn refusals_say_why_and_leave_nothing_behind() {
    let mut fifo = fifo(10, 1);
    let now = Time::from_nanos(5);
    let too_large = fifo.submit(now, &spec(8, 3)).unwrap_err();
    assert_eq!(too_large, PoolError::TooLarge { unit: "blocks".to_owned(), needed: 11, capacity: 10 });
    let late = TaskSpec { deadline: Some(Time::from_nanos(4)), ..spec(1, 0) };
    assert_eq!(fifo.submit(now, &late).unwrap_err(), PoolError::Expired { late: Duration::from_nanos(1) });
    fifo.submit(now, &spec(10, 0)).unwrap();
    fifo.submit(now, &spec(10, 0)).unwrap();
    let full = fifo.submit(now, &spec(1, 0)).unwrap_err();
    assert!(matches!(full, PoolError::QueueFull { measure: Measure::Tasks, waiting: 1, limit: 1, .. }), "{full}");
    fifo.drain();
    assert!(matches!(fifo.submit(now, &spec(1, 0)), Err(PoolError::Draining { .. })));
    let stats = fifo.stats();
    assert_eq!((stats.submitted, stats.refused, fifo.present()), (6, 4, 2));
}

#[test]
fn a_deadline_ends_a_task_wherever_it_stands() {
    let mut fifo = fifo(10, 9);
    let at = |nanos| TaskSpec { deadline: Some(Time::from_nanos(nanos)), ..spec(6, 0) };
    let (runs, _) = fifo.submit(Time::ZERO, &at(30)).unwrap();
    let (waits, _) = fifo.submit(Time::ZERO, &at(20)).unwrap();
    assert_eq!(started(&mut fifo, 0), [runs]);
    assert_eq!(fifo.next_deadline(), Some(Time::from_nanos(20)));
    fifo.settle(Time::from_nanos(20));
    assert_eq!(fifo.next_ended(), Some((waits, Ending::Expired)));
    fifo.settle(Time::from_nanos(30));
    assert_eq!((fifo.next_ended(), fifo.next_stop()), (None, Some(runs)));
    assert_eq!(fifo.next_decision(0, true), Some(Decision::Cancel(runs)));
    assert_eq!(fifo.ended(runs, Ending::Cancelled), Some(Ending::Expired));
    assert!(fifo.is_empty());
}

#[test]
fn an_estimate_follows_the_measured_rates() {
    let mut fifo = fifo(10, 9);
    let (first, _) = fifo.submit(Time::ZERO, &spec(10, 0)).unwrap();
    let (second, _) = fifo.submit(Time::ZERO, &spec(10, 0)).unwrap();
    let (third, _) = fifo.submit(Time::ZERO, &spec(10, 0)).unwrap();
    assert_eq!(started(&mut fifo, 0), [first]);
    assert_eq!(fifo.outlook(third).unwrap().wait, None, "nothing has been measured");
    let progress = |prefill, decode| [Progress { task: first, prefill, decode }];
    fifo.report(Duration::from_secs(1), &progress(10, 0));
    fifo.report(Duration::from_secs(1), &progress(0, 10));
    // Ten tokens a second of each kind: the first has ten left, the second thirty of which two workers do half each.
    let wait = |id| fifo.outlook(id).unwrap().wait.unwrap().as_secs_f64();
    assert!((wait(second) - 1.0).abs() < 1e-6 && (wait(third) - 2.5).abs() < 1e-6, "{} {}", wait(second), wait(third));
}

/// Debug builds check all counts after each decision.
#[test]
fn commands_at_random_leave_the_books_in_order_and_the_order_of_arrival() {
    for seed in 0..200 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut below = move |bound: u64| dice.next_u64() % bound;
        let mut fifo = fifo(20, 30);
        let (mut waiting, mut running) = (VecDeque::new(), Vec::new());
        for turn in 0..400 {
            let now = Time::from_nanos(turn * 10);
            match below(6) {
                0..=2 => {
                    let deadline = (below(4) == 0).then(|| now.after(Duration::from_nanos(1 + below(400))));
                    if let Ok((id, _)) = fifo.submit(now, &TaskSpec { deadline, ..spec(1 + below(8), below(12)) }) {
                        waiting.push_back(id);
                    }
                }
                3 if !running.is_empty() => {
                    let id = running.swap_remove(below(running.len() as u64) as usize);
                    fifo.ended(id, Ending::Completed);
                }
                4 => {
                    let all: Vec<TaskId> = fifo.living();
                    if !all.is_empty() {
                        assert!(fifo.cancel(all[below(all.len() as u64) as usize]));
                    }
                }
                _ => {}
            }
            fifo.settle(now);
            while let Some((id, _)) = fifo.next_ended() {
                waiting.retain(|&other| other != id);
            }
            for worker in 0..2 {
                while let Some(decision) = fifo.next_decision(worker, below(3) > 0) {
                    match decision {
                        Decision::Start(id) => {
                            assert_eq!(waiting.pop_front(), Some(id), "seed {seed}: whoever came first starts first");
                            running.push(id);
                        }
                        Decision::Cancel(id) => {
                            running.retain(|&other| other != id);
                            fifo.ended(id, Ending::Cancelled);
                        }
                        other => panic!("nobody is parked: {other:?}"),
                    }
                }
            }
        }
        fifo.cancel_all();
        for worker in 0..2 {
            while let Some(Decision::Cancel(id)) = fifo.next_decision(worker, true) {
                fifo.ended(id, Ending::Cancelled);
            }
        }
        fifo.settle(Time::from_nanos(1 << 40));
        assert!(fifo.is_empty(), "seed {seed}");
        assert_eq!(fifo.stats().free, Units::from([20, 4]), "seed {seed}");
    }
}

#[test]
fn a_pool_runs_jobs_in_the_order_in_which_they_came() {
    let config = PolicyConfig::new(Capacity::new([("threads", 1)]));
    let pool = JobPool::start(PoolConfig::new(Fifo::new(config).unwrap()), 1).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let tickets: Vec<_> = (0..50)
        .map(|number| {
            let sender = sender.clone();
            let spec = TaskSpec { class: Class::ALL[number % 4], ..TaskSpec::new("t", Cost::fixed(Units::from([1]))) };
            pool.submit(&spec, move |_| sender.send(number).unwrap()).unwrap()
        })
        .collect();
    tickets.into_iter().for_each(|ticket| assert_eq!(ticket.wait(), Outcome::Completed(())));
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    assert!(pool.workers().shutdown(Drain::within(Duration::from_secs(60))).in_time);
}
