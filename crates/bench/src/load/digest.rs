//! What many observations come to.

use super::arrivals::Run;
use super::outcome::{Answer, Observation, Outcome};
use super::slo::Slo;
use crate::stats::Samples;
use std::collections::BTreeMap;
use std::time::Duration;

/// Refusals of one status and code.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    /// How many.
    pub count: usize,
    /// From the intended moment to the end of the answer, in milliseconds.
    pub latency: Samples,
    /// How many carried a Retry-After of whole seconds.
    pub with_retry_after: usize,
    /// How many said `x-should-retry: false`.
    pub told_not_to_retry: usize,
}

/// Counts, rates and latencies of a set of requests. Latencies are in milliseconds, from the intended moment.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    /// Over how long, in seconds.
    pub seconds: f64,
    /// Requests sent. Always the sum of the ends below.
    pub offered: usize,
    /// Whole answers.
    pub completed: usize,
    /// 429 and 503.
    pub refused: usize,
    /// Deadlines that passed in the waiting room.
    pub expired: usize,
    /// Other answers that are no success, and errors in the stream.
    pub failed: usize,
    /// Streams that ended without an end.
    pub cut: usize,
    /// Streams that broke the protocol or had two ends.
    pub malformed: usize,
    /// No connection, or closed without an answer.
    pub unreachable: usize,
    /// The client's patience ended first.
    pub unanswered: usize,
    /// The client went away, as planned.
    pub vanished: usize,
    /// Whole answers within the SLO.
    pub good: usize,
    /// Output tokens that arrived within the window.
    pub output_tokens: f64,
    /// Prompt tokens of each request, as the server counted.
    pub prompt_tokens: Samples,
    /// Prompt tokens that the server had in its prefix cache, altogether.
    pub cached_tokens: usize,
    /// Time to first text.
    pub ttft: Samples,
    /// Gaps between pieces of text.
    pub gaps: Samples,
    /// Mean time between tokens, one for each answer.
    pub per_token: Samples,
    /// Whole time of complete answers.
    pub latency: Samples,
    /// By how much the generator was late in sending: well above 1 ms means that it was starved.
    pub lag: Samples,
    /// By (status, code).
    pub refusals: BTreeMap<(u16, String), Refusals>,
    /// What the ends that are not exactly one, and the failures, said, with how many said so.
    pub complaints: BTreeMap<String, usize>,
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Digest {
    /// Of all requests of a run that `wanted` picks, sent after `warm_up`. Tokens are counted between then and the end of
    /// the window, whichever request they belong to.
    pub fn of(run: &Run, slo: Slo, warm_up: Duration, wanted: impl Fn(&Observation) -> bool) -> Digest {
        let picked: Vec<&Observation> = run.observations.iter().filter(|seen| wanted(seen)).collect();
        let sent: Vec<&Observation> = picked.iter().copied().filter(|seen| seen.intended >= warm_up).collect();
        let mut digest = Digest {
            seconds: run.window.saturating_sub(warm_up).as_secs_f64(),
            offered: sent.len(),
            output_tokens: picked.iter().map(|seen| tokens_between(seen, warm_up, run.window)).sum(),
            good: sent.iter().filter(|seen| slo.kept_by(seen)).count(),
            prompt_tokens: sent.iter().filter_map(|seen| seen.prompt_tokens).map(|n| n as f64).collect(),
            cached_tokens: sent.iter().filter_map(|seen| seen.cached_tokens).sum(),
            ttft: sent.iter().filter_map(|seen| seen.ttft()).map(ms).collect(),
            gaps: sent.iter().flat_map(|seen| seen.gaps()).map(ms).collect(),
            per_token: sent.iter().filter_map(|seen| seen.time_per_token()).map(ms).collect(),
            lag: sent.iter().map(|seen| ms(seen.sent.saturating_sub(seen.intended))).collect(),
            ..Digest::default()
        };
        let complete = |seen: &&&Observation| seen.outcome == Outcome::Completed;
        digest.latency = sent.iter().filter(complete).map(|seen| ms(seen.latency())).collect();
        sent.iter().for_each(|seen| digest.count(&seen.outcome));
        digest.refusals = refusals(&sent);
        digest
    }

    fn count(&mut self, outcome: &Outcome) {
        let (counter, complaint) = match outcome {
            Outcome::Completed => (&mut self.completed, None),
            Outcome::Refused(_) => (&mut self.refused, None),
            Outcome::Expired(_) => (&mut self.expired, None),
            Outcome::Rejected(answer) => (&mut self.failed, Some(format!("status {} {}", answer.status, answer.code))),
            Outcome::Failed(code) => (&mut self.failed, Some(format!("error in the stream: {code}"))),
            Outcome::Cut => (&mut self.cut, Some("cut stream".to_string())),
            Outcome::Malformed(what) => (&mut self.malformed, Some(what.clone())),
            Outcome::Unreachable(why) => (&mut self.unreachable, Some(why.clone())),
            Outcome::Unanswered => (&mut self.unanswered, Some("no end within the client's patience".to_string())),
            Outcome::Vanished => (&mut self.vanished, None),
        };
        *counter += 1;
        if let Some(complaint) = complaint {
            *self.complaints.entry(complaint).or_default() += 1;
        }
    }

    /// Requests whose client was not told exactly one end.
    pub fn not_exactly_one(&self) -> usize {
        self.cut + self.malformed + self.unreachable + self.unanswered
    }

    /// Requests that were let in.
    pub fn accepted(&self) -> usize {
        self.offered - self.refused - self.unreachable
    }

    /// `count` a second. `None` if no time passed.
    pub fn rate(&self, count: f64) -> Option<f64> {
        (self.seconds > 0.0).then(|| count / self.seconds)
    }

    /// Good answers a second.
    pub fn goodput(&self) -> Option<f64> {
        self.rate(self.good as f64)
    }

    /// Latencies of all refusals, whatever their code.
    pub fn refusal_latency(&self) -> Samples {
        Samples::merged(self.refusals.values().map(|refusals| &refusals.latency))
    }

    /// The share of refusals with Retry-After. `None` if nothing was refused.
    pub fn retry_after_share(&self) -> Option<f64> {
        let with: usize = self.refusals.values().map(|refusals| refusals.with_retry_after).sum();
        (self.refused > 0).then(|| with as f64 / self.refused as f64)
    }
}

fn refusals(sent: &[&Observation]) -> BTreeMap<(u16, String), Refusals> {
    let mut groups: BTreeMap<(u16, String), Vec<(&Answer, f64)>> = BTreeMap::new();
    for seen in sent {
        if let Outcome::Refused(answer) = &seen.outcome {
            let group = groups.entry((answer.status, answer.code.clone())).or_default();
            group.push((answer, ms(seen.latency())));
        }
    }
    let whole_seconds = |text: &String| text.parse::<u32>().is_ok();
    groups
        .into_iter()
        .map(|(key, group)| {
            let refusals = Refusals {
                count: group.len(),
                latency: group.iter().map(|(_, latency)| *latency).collect(),
                with_retry_after: group
                    .iter()
                    .filter(|(a, _)| a.retry_after.as_ref().is_some_and(whole_seconds))
                    .count(),
                told_not_to_retry: group.iter().filter(|(a, _)| a.should_retry == Some(false)).count(),
            };
            (key, refusals)
        })
        .collect()
}

/// Tokens of an answer that arrived from `from` up to `to`. Servers may put several tokens into one piece of text, or
/// none; each piece stands for an equal share of the answer.
fn tokens_between(seen: &Observation, from: Duration, to: Duration) -> f64 {
    let inside = seen.pieces.iter().filter(|at| (from..=to).contains(at)).count();
    inside as f64 * seen.output_tokens as f64 / seen.pieces.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::super::arrivals::Run;
    use super::super::outcome::{Answer, Observation, Outcome};
    use super::{Digest, Slo};
    use crate::load::Class;
    use std::time::Duration;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn seen(intended: u64, pieces: &[u64], outcome: Outcome) -> Observation {
        Observation {
            index: 0,
            class: Class::Normal,
            tenant: None,
            intended: at(intended),
            sent: at(intended + 1),
            ended: at(pieces.last().copied().unwrap_or(intended + 20)),
            pieces: pieces.iter().map(|ms| at(*ms)).collect(),
            output_tokens: pieces.len(),
            prompt_tokens: Some(10),
            cached_tokens: None,
            outcome,
        }
    }

    fn refused(retry_after: Option<&str>) -> Outcome {
        Outcome::Refused(Answer {
            status: 503,
            code: "server_is_overloaded".to_string(),
            retry_after: retry_after.map(str::to_string),
            should_retry: None,
            was_in_line: false,
        })
    }

    fn run(observations: Vec<Observation>) -> Run {
        Run { observations, window: at(2_000) }
    }

    #[test]
    fn latencies_count_from_the_intended_moment() {
        let digest =
            Digest::of(&run(vec![seen(100, &[400, 450, 500], Outcome::Completed)]), Slo::default(), at(0), |_| true);
        assert_eq!((digest.ttft.max(), digest.latency.max()), (Some(300.0), Some(400.0)));
        assert_eq!((digest.gaps.len(), digest.per_token.max(), digest.lag.max()), (2, Some(50.0), Some(1.0)));
    }

    #[test]
    fn every_outcome_is_counted_once_and_they_add_up() {
        let answer =
            |status| Answer { status, code: String::new(), retry_after: None, should_retry: None, was_in_line: false };
        let outcomes = vec![
            Outcome::Completed,
            refused(None),
            Outcome::Expired(answer(503)),
            Outcome::Rejected(answer(400)),
            Outcome::Failed("x".to_string()),
            Outcome::Cut,
            Outcome::Malformed("y".to_string()),
            Outcome::Unreachable("z".to_string()),
            Outcome::Unanswered,
            Outcome::Vanished,
        ];
        let total = outcomes.len();
        let all = outcomes.into_iter().map(|outcome| seen(0, &[], outcome)).collect();
        let digest = Digest::of(&run(all), Slo::default(), at(0), |_| true);
        let sum = digest.completed
            + digest.refused
            + digest.expired
            + digest.failed
            + digest.vanished
            + digest.not_exactly_one();
        assert_eq!((digest.offered, sum, digest.not_exactly_one()), (total, total, 4));
        assert_eq!(digest.complaints.values().sum::<usize>(), 6);
    }

    #[test]
    fn goodput_wants_complete_answers_within_both_limits() {
        let slo = Slo { ttft: Some(at(300)), per_token: Some(at(50)) };
        let good = |observation: Observation| slo.kept_by(&observation);
        assert!(good(seen(0, &[300, 350, 400], Outcome::Completed)));
        assert!(!good(seen(0, &[301, 350, 400], Outcome::Completed)));
        assert!(!good(seen(0, &[300, 351, 402], Outcome::Completed)));
        assert!(!good(seen(0, &[100, 150], Outcome::Cut)));
        assert!(!good(seen(0, &[], Outcome::Completed)));
    }

    #[test]
    fn refusals_are_told_apart_by_code_and_retry_after_must_be_seconds() {
        let all =
            vec![seen(0, &[], refused(Some("7"))), seen(0, &[], refused(None)), seen(0, &[], refused(Some("soon")))];
        let digest = Digest::of(&run(all), Slo::default(), at(0), |_| true);
        let group = &digest.refusals[&(503, "server_is_overloaded".to_string())];
        assert_eq!((group.count, group.with_retry_after, group.latency.max()), (3, 1, Some(20.0)));
        assert_eq!(digest.retry_after_share(), Some(1.0 / 3.0));
        assert_eq!(Digest::default().retry_after_share(), None);
    }

    #[test]
    fn tokens_count_in_the_window_and_requests_after_the_warm_up() {
        let mut early = seen(0, &[500, 1_500, 2_500], Outcome::Completed);
        early.output_tokens = 6;
        let late = seen(1_200, &[1_300], Outcome::Completed);
        let digest = Digest::of(&run(vec![early, late]), Slo::default(), at(1_000), |_| true);
        assert_eq!((digest.offered, digest.seconds, digest.output_tokens), (1, 1.0, 3.0));
        assert_eq!(digest.goodput(), Some(1.0));
    }
}
