//! When requests are sent.

use super::client::observe;
use super::outcome::{Observation, Outcome};
use super::{Target, Workload};
use crate::random::{Arrivals, Random};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Random numbers for arrivals come from a stream that no request uses.
const ARRIVALS: u64 = 1 << 63;

/// Who decides when the next request goes out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many clients, each of which sends its next request when its last one has ended. A slow server is asked less.
    Closed(usize),
    /// A Poisson process of so many requests a second, whatever the server does: how strangers arrive.
    Open(f64),
}

/// How long it goes on: until either limit is reached.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The pace.
    pub pace: Pace,
    /// The most requests.
    pub requests: Option<usize>,
    /// For how long requests are sent. Those under way then are watched to their end.
    pub sending: Option<Duration>,
}

/// What a run saw.
#[derive(Clone, Debug)]
pub struct Run {
    /// One for each request, in the order of their numbers.
    pub observations: Vec<Observation>,
    /// For how long requests were sent: rates are over this time.
    pub window: Duration,
}

/// Sends `workload` to `target` by `plan` and waits until every request has ended. The number of requests follows from
/// the plan; each has exactly one observation.
pub async fn run(target: &Arc<Target>, workload: &Arc<Workload>, plan: &Plan) -> Run {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    match plan.pace {
        Pace::Closed(concurrency) => {
            let next = Arc::new(AtomicUsize::new(0));
            for _ in 0..concurrency {
                clients.spawn(keep_asking(Arc::clone(target), Arc::clone(workload), *plan, start, Arc::clone(&next)));
            }
        }
        Pace::Open(rate) => {
            let random = Random::new(workload.seed, ARRIVALS + workload.first);
            for (index, at) in Arrivals::poisson(random, rate).enumerate() {
                if plan.requests.is_some_and(|most| index >= most) || plan.sending.is_some_and(|end| at >= end) {
                    break;
                }
                if !workload.is_sent(index) {
                    continue;
                }
                sleep_until(start + at).await;
                let (target, workload) = (Arc::clone(target), Arc::clone(workload));
                clients.spawn(async move { vec![observe(&target, &workload, index, start, at).await] });
            }
        }
    }
    let mut observations: Vec<Observation> = clients.join_all().await.into_iter().flatten().collect();
    observations.sort_by_key(|seen| seen.index);
    let last = |moment: fn(&Observation) -> Duration| observations.iter().map(moment).max().unwrap_or_default();
    let window = match (plan.sending, plan.pace) {
        // The requests may have run out before the time.
        (Some(sending), Pace::Closed(_)) => sending.min(last(|seen| seen.ended)),
        (Some(sending), Pace::Open(_)) if plan.requests.is_none_or(|most| observations.len() < most) => sending,
        (_, Pace::Open(_)) => last(|seen| seen.intended),
        (None, Pace::Closed(_)) => last(|seen| seen.ended),
    };
    Run { observations, window }
}

/// One client of a closed loop.
async fn keep_asking(
    target: Arc<Target>,
    workload: Arc<Workload>,
    plan: Plan,
    start: Instant,
    next: Arc<AtomicUsize>,
) -> Vec<Observation> {
    let mut seen = Vec::new();
    while plan.sending.is_none_or(|end| start.elapsed() < end) {
        // Relaxed: the number only has to be unique.
        let index = next.fetch_add(1, Ordering::Relaxed);
        if plan.requests.is_some_and(|most| index >= most) {
            break;
        }
        let observation = observe(&target, &workload, index, start, start.elapsed()).await;
        // A server that is away or refuses can do so thousands of times a second; clients would not ask at that rate.
        if !matches!(observation.outcome, Outcome::Completed | Outcome::Vanished) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        seen.push(observation);
    }
    seen
}
