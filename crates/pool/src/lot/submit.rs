//! The gate: a task is admitted, made to wait, or refused, at once.

use std::time::Duration;

use super::Lot;
use super::task::{State, Task};
use crate::rates::retry_after;
use crate::{Measure, Placement, PoolError, Reserve, TaskId, TaskSpec, Time, Work};

/// No task has more tokens than this, whatever it says: sums of them stay far from overflow.
const MOST_TOKENS: u64 = 1 << 40;

impl Lot {
    /// Takes a task, or says why not.
    pub(super) fn judge(&mut self, now: Time, spec: &TaskSpec) -> Result<(TaskId, Placement), PoolError> {
        self.check_alone(now, spec)?;
        let full = self.config.reserve == Reserve::Full || !spec.parkable || spec.work.decode == 0;
        let mut task = Task::new(spec, self.queue.next_moment(), now, full);
        task.work = Work::new(spec.work.prefill.min(MOST_TOKENS), spec.work.decode.min(MOST_TOKENS));
        task.tenant = self.queue.know_tenant(&spec.tenant, &self.config.limits);
        let placed = self.judge_among_others(now, task);
        if let Err(refusal) = placed {
            let tenant = self.queue.know_tenant(&spec.tenant, &self.config.limits);
            self.queue.sweep(tenant);
            return Err(refusal);
        }
        placed
    }

    /// What can be said without looking at the other tasks.
    fn check_alone(&self, now: Time, spec: &TaskSpec) -> Result<(), PoolError> {
        if self.draining {
            return Err(PoolError::Draining { retry_after: retry_after(self.seconds_to_empty()) });
        }
        let growth = spec.cost.worst_growth.saturating_sub(spec.cost.expected_growth);
        let worst = spec.cost.now.saturating_add(spec.cost.expected_growth).saturating_add(growth);
        if let Some(unit) = worst.first_over(self.capacity().total()) {
            return Err(PoolError::TooLarge {
                unit: self.capacity().name(unit).to_owned(),
                needed: worst.get(unit),
                capacity: self.capacity().total().get(unit),
            });
        }
        let deadlines = [spec.deadline, spec.first_token_deadline];
        if let Some(deadline) = deadlines.into_iter().flatten().min().filter(|&deadline| deadline <= now) {
            return Err(PoolError::Expired { late: now.since(deadline) });
        }
        Ok(())
    }

    fn judge_among_others(&mut self, now: Time, task: Task) -> Result<(TaskId, Placement), PoolError> {
        let may_start = self.may_start_at_once(&task);
        let wait = self.wait_of_newcomer(&task);
        self.check_concurrency(&task, wait)?;
        self.check_deadline(now, &task, if may_start { Some(0.0) } else { wait })?;
        let no_room = self.check_room(&task, wait);
        if !may_start {
            no_room?;
            return Ok((self.let_in(task), Placement::Waiting));
        }
        let id = self.let_in(task);
        self.settled = false;
        self.decide(now);
        match self.tasks.get(id).map(|task| task.state) {
            Some(State::Waiting) => {}
            Some(_) => return Ok((id, Placement::Admitted)),
            // Those admitted before it have left it no hope; it has waited for no time and has been announced as expired.
            None => return Ok((id, Placement::Waiting)),
        }
        // It waits after all: then there must be a place for it, and time.
        let late = self.check_deadline(now, self.tasks.at(id.index), wait);
        match no_room.and(late) {
            Ok(()) => Ok((id, Placement::Waiting)),
            Err(refusal) => {
                self.queue.remove_waiting(id.index, self.tasks.at(id.index));
                self.drop_task(id);
                Err(refusal)
            }
        }
    }

    /// Whether a newcomer could start now. When nothing that waits could be admitted when last looked, only the
    /// newcomer itself is in question: it has to fit, or to be able to send others away.
    fn may_start_at_once(&self, task: &Task) -> bool {
        let could_preempt = || self.config.limits.preempt && self.memory.could_preempt(task.class);
        !self.settled || self.memory.forecast_is_stale() || could_preempt() || self.memory.fits(task)
    }

    fn check_concurrency(&self, task: &Task, wait: Option<f64>) -> Result<(), PoolError> {
        let tenant = self.queue.tenant(task);
        match tenant.policy.max_concurrent {
            Some(limit) if tenant.in_flight() >= limit => Err(PoolError::TenantConcurrency {
                tenant: tenant.name.to_string(),
                in_flight: tenant.in_flight(),
                limit,
                retry_after: retry_after(wait),
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn check_deadline(&self, now: Time, task: &Task, wait: Option<f64>) -> Result<(), PoolError> {
        let idle = self.memory.holders().is_empty();
        let is_stale = || self.speed.is_stale(now, idle, self.config.limits.rate_memory);
        let Some(wait) = wait.filter(|_| !is_stale()) else { return Ok(()) };
        let (first_token, whole) = self.speed.seconds_of(task, idle);
        for (deadline, needed) in [(task.first_token_deadline, first_token), (task.deadline, whole)] {
            let Some(needed) = needed.filter(|_| deadline != Time::NEVER) else { continue };
            let needed = Duration::try_from_secs_f64(wait + needed).unwrap_or(Duration::MAX);
            let allowed = deadline.since(now);
            if needed > allowed {
                return Err(PoolError::DeadlineUnreachable { needed, allowed });
            }
        }
        Ok(())
    }

    /// Whether the waiting room, and the tenant's part of it, has a place for one more.
    fn check_room(&self, task: &Task, wait: Option<f64>) -> Result<(), PoolError> {
        let retry_after = retry_after(wait);
        let tokens = task.work.total();
        let limits = &self.config.limits;
        let tenant = self.queue.tenant(task);
        // Everybody who waits, and the newcomer's tenant if it does not yet.
        let sharers = (self.queue.sharers() + u64::from(tenant.waiting == 0)).max(1);
        let part = |limit: u64, own: u64| {
            let part = (u128::from(limit) * u128::from(limits.waiting_percent[task.class])).div_ceil(100);
            let part = u64::try_from(part).unwrap_or(u64::MAX);
            // Whoever fills the room must not shut out those who have less than their share of it: they find as much again.
            if sharers > 1 && own.saturating_mul(sharers) <= limit { part.saturating_mul(2) } else { part }
        };
        let (own_tasks, own_tokens) = (tenant.waiting + 1, tenant.waiting_tokens.saturating_add(tokens));
        let all = [
            (Measure::Tasks, self.tasks.counters.waiting, 1, part(limits.max_waiting, own_tasks)),
            (Measure::Tokens, self.tasks.counters.waiting_tokens, tokens, part(limits.max_waiting_tokens, own_tokens)),
        ];
        for (measure, waiting, more, limit) in all {
            if waiting.saturating_add(more) > limit {
                return Err(PoolError::QueueFull { measure, waiting, limit, retry_after });
            }
        }
        let own = [
            (Measure::Tasks, tenant.waiting, 1, tenant.policy.max_waiting),
            (Measure::Tokens, tenant.waiting_tokens, tokens, tenant.policy.max_waiting_tokens),
        ];
        for (measure, waiting, more, limit) in own {
            if let Some(limit) = limit.filter(|&limit| waiting.saturating_add(more) > limit) {
                let tenant = tenant.name.to_string();
                return Err(PoolError::TenantQueueFull { tenant, measure, waiting, limit, retry_after });
            }
        }
        Ok(())
    }

    /// Puts a new task into the waiting room.
    fn let_in(&mut self, mut task: Task) -> TaskId {
        self.queue.join(&mut task);
        let id = self.tasks.insert(task);
        let task = self.tasks.at(id.index);
        self.queue.add_waiting(id.index, task);
        self.queue.note_need(task, self.tasks.at_most_one_stands_in_line());
        id
    }
}
