//! What the server can do: its latency without load, and its throughput at the best concurrency.

use super::{Bench, Phase};
use crate::BenchError;
use crate::load::{Class, Digest, Mix, Pace, Plan, Slo, Workload, run as send};
use crate::report::{Report, Table};
use crate::serve::seconds;
use std::sync::Arc;
use std::time::Duration;

/// More clients than this at once no CPU serves faster.
const MOST_CLIENTS: usize = 512;
/// Growth below this counts as none.
const WORTH_WHILE: f64 = 1.03;

/// One request at a time of the high class: what its clients see of an idle server.
pub(super) async fn unloaded(bench: &Bench) -> Result<Digest, BenchError> {
    crate::output::say(format_args!("unloaded, {} requests one after the other", bench.options.baseline_requests));
    let workload = Workload { mix: Mix::only(Class::High), ..bench.workload(Phase::Baseline) };
    let plan = Plan { pace: Pace::Closed(1), requests: Some(bench.options.baseline_requests), sending: None };
    let run = send(&bench.target, &Arc::new(workload), &plan).await;
    let digest = Digest::of(&run, Slo::default(), Duration::ZERO, |_| true);
    if digest.completed == 0 {
        let why = digest.complaints.keys().next().cloned().unwrap_or_else(|| "it refused".to_string());
        return Err(BenchError::Server {
            url: bench.target.url.clone(),
            reason: format!("no request was answered: {why}"),
        });
    }
    Ok(digest)
}

/// The most requests a second: a closed loop with twice as many clients in each step, until that no longer helps.
pub(super) async fn capacity(bench: &Bench, report: &mut Report) -> Result<f64, BenchError> {
    if let Some(given) = bench.options.capacity {
        report.setting("capacity", format!("{given} requests/s, as given"));
        report.figure("capacity", Some(given), "requests/s");
        return Ok(given);
    }
    let sending = seconds("--capacity-seconds", bench.options.capacity_seconds)?;
    // Clients begin together; until they are out of step their prefills and decodes come in waves.
    let warm_up = sending / 4;
    let columns = ["clients", "requests/s", "output tok/s", "TTFT p50 ms", "per token p50 ms", "refused"];
    let mut table = Table::new("Capacity: closed loop", &columns);
    let (mut best, mut without_growth) = (0.0_f64, 0);
    for step in 0.. {
        let clients = 1 << step;
        if clients > MOST_CLIENTS || without_growth == 2 {
            break;
        }
        crate::output::say(format_args!("capacity, {clients} clients"));
        let workload = bench.workload(Phase::Capacity(step));
        let plan = Plan { pace: Pace::Closed(clients), requests: None, sending: Some(sending) };
        let run = send(&bench.target, &Arc::new(workload), &plan).await;
        let digest = Digest::of(&run, Slo::default(), warm_up, |_| true);
        let rate = requests_per_second(&run.observations, &digest);
        table.row(vec![
            clients.into(),
            rate.into(),
            digest.rate(digest.output_tokens).into(),
            digest.ttft.median().into(),
            digest.per_token.median().into(),
            digest.refused.into(),
        ]);
        let rate = rate.unwrap_or(0.0);
        without_growth = if rate >= best * WORTH_WHILE { 0 } else { without_growth + 1 };
        best = best.max(rate);
    }
    report.tables.push(table);
    report.figure("capacity", Some(best), "requests/s");
    if best > 0.0 {
        return Ok(best);
    }
    let reason = "no answer came while its capacity was measured; give a longer --capacity-seconds".to_string();
    Err(BenchError::Server { url: bench.target.url.clone(), reason })
}

/// Whole requests a second, from the tokens that arrived: answers that the window cuts count with the part inside it.
fn requests_per_second(observations: &[crate::load::Observation], digest: &Digest) -> Option<f64> {
    let lengths: crate::Samples =
        observations.iter().filter(|seen| !seen.pieces.is_empty()).map(|seen| seen.output_tokens as f64).collect();
    Some(digest.rate(digest.output_tokens)? / lengths.mean()?)
}
