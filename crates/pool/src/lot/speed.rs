//! How fast work is done, as far as that is known: the measured service rate, and what first tokens wait for beside it.

use std::time::Duration;

use super::delay::Delay;
use super::task::Task;
use super::tasks::Tasks;
use crate::rates::ServiceRate;
use crate::{PerClass, Progress, TaskId, Time, Work};

/// The machine of time: it is told what steps did, and says how long work will take.
#[derive(Debug, Default)]
pub(super) struct Speed {
    pub(super) rate: ServiceRate,
    /// What first tokens wait for when their tasks have been admitted.
    delays: PerClass<Delay>,
    /// Tasks that have had their first token since the lot last knew the time.
    first_tokens: Vec<TaskId>,
    /// When the lot knew the time first after tokens had been reported, and whether some have been reported since.
    last_report: Time,
    reported: bool,
}

impl Speed {
    /// A step took `busy` and did this.
    pub(super) fn record(&mut self, busy: Duration, progress: &[Progress], memory: Duration) {
        let work = progress.iter().fold(Work::default(), |sum, step| sum.plus(Work::new(step.prefill, step.decode)));
        let streams = progress.iter().filter(|step| step.decode > 0).count() as u64;
        self.reported |= work.total() > 0;
        self.rate.record(busy, work, streams, memory);
    }

    /// A task has had its first token.
    pub(super) fn note_first_token(&mut self, id: TaskId) {
        self.first_tokens.push(id);
    }

    /// Learns how long first tokens take among the others, from those that have come since the last time.
    pub(super) fn learn(&mut self, now: Time, tasks: &Tasks) {
        if std::mem::take(&mut self.reported) {
            self.last_report = now;
        }
        for id in std::mem::take(&mut self.first_tokens) {
            let Some(task) = tasks.get(id).filter(|task| task.parkings == 0) else { continue };
            let alone = self.rate.seconds(Work::new(task.work.prefill, 0)).unwrap_or(0.0);
            let took = now.since(task.started).as_secs_f64();
            self.delays[task.class].record((took - alone).max(0.0));
        }
    }

    /// Rates are forgotten in busy time only. So when nothing has run for long they say nothing about now: a task that they
    /// would refuse is let in and measures them anew. Otherwise a machine that was slow once could refuse for ever.
    pub(super) fn is_stale(&self, now: Time, idle: bool, memory: Duration) -> bool {
        idle && !self.reported && now.since(self.last_report) > memory
    }

    /// Seconds from its start to a task's first token and to its end, among others or alone.
    pub(super) fn seconds_of(&self, task: &Task, idle: bool) -> (Option<f64>, Option<f64>) {
        let delay = if idle { 0.0 } else { self.delays[task.class].bound() };
        let first_token = self.rate.seconds(Work::new(task.work.prefill, 0)).map(|alone| alone + delay);
        let decode = self.rate.alone(task.work.decode);
        (first_token, first_token.zip(decode).map(|(first_token, decode)| first_token + decode))
    }
}
