//! Masks are made on a thread of their own while the pass runs, so that the worker finds them when it chooses.

use std::sync::mpsc::{Sender, SyncSender, channel};
use std::thread;

use super::Stepper;
use super::plan::StepPlan;
use super::structure::Place;

/// The thread that makes masks; it begins with the first answer that has a format, and ends with the engine.
#[derive(Default)]
pub(super) struct Masks {
    jobs: Option<Sender<Job>>,
}

struct Job {
    place: Place,
    back: SyncSender<Place>,
}

impl Job {
    fn run(mut self) {
        self.place.make_mask();
        // Nobody waits for it if the answer has ended.
        let _ = self.back.send(self.place);
    }
}

impl Masks {
    fn make(&mut self, place: Place, back: SyncSender<Place>) {
        let jobs = self.jobs.get_or_insert_with(|| {
            let (jobs, queue) = channel::<Job>();
            let work = move || queue.into_iter().for_each(Job::run);
            if let Err(error) = thread::Builder::new().name("parkade-masks".to_owned()).spawn(work) {
                tracing::warn!(%error, "no thread for masks; the worker makes them itself");
            }
            jobs
        });
        // Without the thread it is done here.
        if let Err(unsent) = jobs.send(Job { place, back }) {
            unsent.0.run();
        }
    }
}

impl Stepper {
    /// Begins to make the masks by which the answers in a pass go on after it.
    pub(super) fn begin_masks(&mut self, plan: &StepPlan) {
        for share in &plan.shares {
            let active = self.requests.get_mut(&share.key).expect("planned requests are here");
            for structure in active.seqs.iter_mut().filter_map(|seq| seq.structure.as_mut()) {
                if let Some((place, back)) = structure.lend() {
                    self.masks.make(place, back);
                }
            }
        }
    }
}
