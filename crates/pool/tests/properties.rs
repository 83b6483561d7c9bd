//! Random commands in random order: whatever is done to a lot, its invariants hold and every task ends once.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
use std::collections::HashMap;
use std::time::Duration;

use parkade_pool::*;
use proptest::prelude::*;

/// One command; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Command {
    Submit {
        tenant: u8,
        class: u8,
        rank: i8,
        deadline: Option<u16>,
        first_token: Option<u16>,
        now: u8,
        expected: u8,
        worst: u8,
        work: (u16, u8),
        parkable: bool,
    },
    Take {
        worker: u8,
    },
    Progress {
        task: u16,
        prefill: u8,
        decode: u8,
    },
    Grow {
        task: u16,
        amount: u8,
    },
    Lend {
        task: u16,
        amount: u8,
    },
    End {
        task: u16,
        failed: bool,
    },
    Cancel {
        task: u16,
    },
    Pause {
        task: u16,
    },
    Unpause {
        task: u16,
    },
    Wait {
        millis: u16,
    },
    Observe {
        hidden: u8,
    },
    Weights {
        max_bypass: u8,
        low: u8,
        critical: u8,
        tenant: u8,
        max_running: Option<u8>,
    },
}

fn command() -> impl Strategy<Value = Command> {
    let submit = (
        (0..4_u8, 0..4_u8, -1..2_i8, prop::option::of(1..2000_u16), prop::option::weighted(0.2, 1..2000_u16)),
        (0..12_u8, 0..8_u8, 0..16_u8, (0..500_u16, 0..40_u8), prop::bool::weighted(0.8)),
    )
        .prop_map(|((tenant, class, rank, deadline, first_token), (now, expected, worst, work, parkable))| {
            Command::Submit { tenant, class, rank, deadline, first_token, now, expected, worst, work, parkable }
        });
    prop_oneof![
        6 => submit,
        6 => (0..2_u8).prop_map(|worker| Command::Take { worker }),
        4 => (any::<u16>(), 0..64_u8, 0..4_u8).prop_map(|(task, prefill, decode)| Command::Progress { task, prefill, decode }),
        4 => (any::<u16>(), 1..4_u8).prop_map(|(task, amount)| Command::Grow { task, amount }),
        2 => (any::<u16>(), 1..4_u8).prop_map(|(task, amount)| Command::Lend { task, amount }),
        3 => (any::<u16>(), any::<bool>()).prop_map(|(task, failed)| Command::End { task, failed }),
        1 => any::<u16>().prop_map(|task| Command::Cancel { task }),
        1 => any::<u16>().prop_map(|task| Command::Pause { task }),
        1 => any::<u16>().prop_map(|task| Command::Unpause { task }),
        2 => (0..500_u16).prop_map(|millis| Command::Wait { millis }),
        1 => (0..4_u8).prop_map(|hidden| Command::Observe { hidden }),
        1 => (0..4_u8, 1..9_u8, 1..99_u8, 1..9_u8, prop::option::of(1..3_u8)).prop_map(
            |(max_bypass, low, critical, tenant, max_running)| {
                Command::Weights { max_bypass, low, critical, tenant, max_running }
            },
        ),
    ]
}

/// A lot and what its user knows about it.
struct World {
    lot: Lot,
    now: Time,
    total: u64,
    /// With a worker, running.
    running: Vec<TaskId>,
    /// With a worker, parked.
    parked: Vec<TaskId>,
    /// Everything that was taken and has not ended.
    living: Vec<TaskId>,
    outcomes: HashMap<TaskId, Ending>,
    observes: bool,
}

impl World {
    fn new(reserve: Reserve, observes: bool) -> World {
        let total = 24;
        let mut config = PolicyConfig::new(Capacity::new([("blocks", total), ("slots", 5)]));
        config.reserve = reserve;
        config.workers = 2;
        (config.limits.max_waiting, config.limits.max_waiting_tokens) = (12, 4000);
        config.limits.class_burst = 500;
        config.limits.max_bypass = 3;
        config.limits.tenant.max_concurrent = Some(9);
        World {
            lot: Lot::new(config).unwrap(),
            now: Time::ZERO,
            total,
            running: vec![],
            parked: vec![],
            living: vec![],
            outcomes: HashMap::new(),
            observes,
        }
    }

    fn end(&mut self, id: TaskId, ending: Ending) {
        self.running.retain(|&other| other != id);
        self.parked.retain(|&other| other != id);
        self.living.retain(|&other| other != id);
        assert_eq!(self.outcomes.insert(id, ending), None, "{id} ended twice");
    }

    fn park(&mut self, id: TaskId) {
        self.running.retain(|&other| other != id);
        self.parked.push(id);
    }

    fn pick(list: &[TaskId], number: u16) -> Option<TaskId> {
        (!list.is_empty()).then(|| list[number as usize % list.len()])
    }

    fn submit(&mut self, command: Command) {
        let Command::Submit { tenant, class, rank, deadline, first_token, now, expected, worst, work, parkable } =
            command
        else {
            return;
        };
        let cost = Cost::growing(
            Units::from([u64::from(now), 1]),
            Units::from([u64::from(expected)]),
            Units::from([u64::from(worst)]),
        );
        let due = |millis: Option<u16>| millis.map(|millis| self.now.after(Duration::from_millis(millis.into())));
        let spec = TaskSpec {
            class: Class::ALL[class as usize],
            rank: rank.into(),
            deadline: due(deadline),
            first_token_deadline: due(first_token),
            work: Work::new(work.0.into(), work.1.into()),
            parkable,
            ..TaskSpec::new(format!("tenant-{tenant}"), cost)
        };
        match self.lot.submit(self.now, &spec) {
            Ok((id, _)) => self.living.push(id),
            Err(PoolError::TooLarge { needed, capacity, .. }) => assert!(needed > capacity),
            Err(refusal) => {
                assert!(refusal.retry_after().is_none_or(|after| (1..=120).contains(&after.as_secs())))
            }
        }
    }

    fn take(&mut self, worker: u8) {
        match self.lot.next_decision(worker.into(), true) {
            Some(Decision::Start(id)) => self.running.push(id),
            Some(Decision::Resume(id)) => {
                assert!(self.parked.contains(&id));
                self.parked.retain(|&other| other != id);
                self.running.push(id);
            }
            Some(Decision::Park(id)) => {
                assert!(self.running.contains(&id));
                self.park(id);
                self.lot.parked(id);
            }
            Some(Decision::Cancel(id)) => {
                let ending = self.lot.ended(id, Ending::Cancelled).expect("it has not ended before");
                self.end(id, ending);
            }
            None => {}
        }
    }

    fn grow(&mut self, task: u16, amount: u8) {
        if let Some(id) = Self::pick(&self.running, task) {
            match self.lot.grow(self.now, id, Units::from([amount.into()]), None) {
                Growth::Granted => {}
                Growth::ParkFirst(victims) => victims.into_iter().for_each(|victim| {
                    assert_ne!(victim, id);
                    assert!(self.running.contains(&victim));
                    self.park(victim);
                }),
                Growth::ParkSelf => self.park(id),
                Growth::Denied => {
                    self.lot.ended(id, Ending::Failed);
                    self.end(id, Ending::Failed);
                }
            }
        }
    }

    fn run(&mut self, command: Command) {
        match command {
            Command::Submit { .. } => self.submit(command),
            Command::Take { worker } => self.take(worker),
            Command::Progress { task, prefill, decode } => {
                if let Some(task) = Self::pick(&self.running, task) {
                    let progress = Progress { task, prefill: prefill.into(), decode: decode.into() };
                    self.lot.report(Duration::from_millis(10), &[progress]);
                }
            }
            Command::Grow { task, amount } => self.grow(task, amount),
            Command::Lend { task, amount } => {
                if let Some(id) = Self::pick(&self.running, task) {
                    let (amount, before) = (Units::from([amount.into()]), self.lot.stats().in_use);
                    let lent = self.lot.lend(id, amount);
                    let expected = if lent { before.saturating_sub(amount) } else { before };
                    assert_eq!(self.lot.stats().in_use, expected);
                }
            }
            Command::End { task, failed } => {
                if let Some(id) = Self::pick(&self.running, task) {
                    let ending = if failed { Ending::Failed } else { Ending::Completed };
                    assert_eq!(self.lot.ended(id, ending), Some(ending));
                    assert_eq!(self.lot.ended(id, ending), None, "a task ends once");
                    self.end(id, ending);
                }
            }
            Command::Cancel { task } => {
                if let Some(id) = Self::pick(&self.living, task) {
                    assert!(self.lot.cancel(id));
                }
            }
            Command::Pause { task } => {
                if let Some(id) = Self::pick(&self.running, task) {
                    assert!(self.lot.pause(id));
                    self.park(id);
                }
            }
            Command::Unpause { task } => {
                if let Some(id) = Self::pick(&self.parked, task) {
                    self.lot.unpause(id);
                }
            }
            Command::Wait { millis } => self.now = self.now.after(Duration::from_millis(millis.into())),
            Command::Observe { hidden } => {
                if self.observes {
                    let free = self.lot.stats().capacity.saturating_sub(self.taken());
                    self.lot.observe(free.saturating_sub(Units::from([hidden.into()])));
                }
            }
            Command::Weights { max_bypass, low, critical, tenant, max_running } => {
                let mut limits = self.lot.limits().clone();
                limits.max_bypass = max_bypass.into();
                limits.class_weights = PerClass::new(low.into(), 4, 8, critical.into());
                let policy =
                    TenantPolicy { weight: tenant.into(), max_running: max_running.map(u64::from), ..limits.tenant };
                limits.tenants.insert("tenant-0".to_owned(), policy);
                self.lot.reconfigure(limits).unwrap();
            }
        }
        self.lot.settle(self.now);
        while let Some((id, ending)) = self.lot.next_ended() {
            self.end(id, ending);
        }
        if let Err(broken) = self.lot.audit(self.now) {
            panic!("{broken}");
        }
    }

    /// What the workers hold, as an executor would count it: without what is still on its way.
    fn taken(&self) -> Units {
        let stats = self.lot.stats();
        stats.in_use.saturating_sub(self.lot.in_transit())
    }

    /// Lets everything come to its end.
    fn finish(mut self) {
        self.lot.drain();
        if self.observes {
            self.lot.observe(self.lot.stats().capacity.saturating_sub(self.taken()));
        }
        for round in 0..20_000 {
            if self.lot.is_empty() {
                break;
            }
            assert!(round < 19_999, "stuck: {:?}", self.lot.stats());
            for worker in 0..2 {
                self.run(Command::Take { worker });
            }
            for paused in self.parked.clone() {
                self.lot.unpause(paused);
            }
            self.run(Command::End { task: 0, failed: false });
            if self.observes {
                self.run(Command::Observe { hidden: 0 });
            }
        }
        assert!(self.living.is_empty(), "{:?} never ended", self.living);
        let stats = self.lot.stats();
        assert_eq!(stats.in_use, Units::ZERO);
        assert_eq!(stats.completed + stats.failed + stats.cancelled + stats.expired, self.outcomes.len() as u64);
        assert_eq!(self.total, stats.capacity.get(0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_under_any_commands(
        commands in prop::collection::vec(command(), 1..200),
        full in any::<bool>(),
        observes in any::<bool>(),
    ) {
        let mut world = World::new(if full { Reserve::Full } else { Reserve::Predicted }, observes);
        commands.into_iter().for_each(|command| world.run(command));
        world.finish();
    }

    #[test]
    fn units_never_wrap(amounts in prop::array::uniform4(any::<u64>()), others in prop::array::uniform4(any::<u64>())) {
        let (a, b) = (Units::from(amounts), Units::from(others));
        match a.checked_add(b) {
            Some(sum) => {
                prop_assert_eq!(sum, a.saturating_add(b));
                prop_assert_eq!(sum.checked_sub(b), Some(a));
            }
            None => prop_assert!((0..4).any(|unit| amounts[unit].checked_add(others[unit]).is_none())),
        }
        prop_assert_eq!(a.fits_in(b), a.saturating_sub(b).is_zero());
    }
}
