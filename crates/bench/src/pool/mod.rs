//! `parkade bench pool`: the parking lot alone, without engine or model.

mod handover;
mod lot;

pub use lot::LotPath;

use crate::BenchError;
use crate::bounds::within;
use crate::random::fresh_seed;
use crate::report::{Axis, Check, Line, Plot, Report, Table};
use crate::stats::Samples;

/// Decisions a second that the lot should reach on one core.
const DECISIONS: f64 = 1e6;
/// Bytes that a waiting task may take beside its payload.
const BYTES: f64 = 500.0;

/// Measures the lot's decisions with a full waiting room, its memory, and the hand-over to worker threads.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Tasks that wait
    #[arg(long, default_value_t = 100_000)]
    pub waiting: usize,
    /// Tasks that run
    #[arg(long, default_value_t = 256)]
    pub running: usize,
    /// Tenants that they come from
    #[arg(long, default_value_t = 100)]
    pub tenants: usize,
    /// Decisions in each repeat
    #[arg(long, default_value_t = 50_000)]
    pub decisions: usize,
    /// Repeats, after one to warm up
    #[arg(long, default_value_t = 7)]
    pub repeats: usize,
    /// Tasks for the hand-over
    #[arg(long, default_value_t = 20_000)]
    pub handovers: usize,
    /// Seed of the tasks [default: a new one for each run]
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Measures.
///
/// # Errors
/// If options make no sense or no thread can be started.
pub fn run(options: Options) -> Result<Report, BenchError> {
    within("--waiting", 1..=10_000_000, &[options.waiting])?;
    within("--running", 1..=100_000, &[options.running])?;
    within("--tenants", 1..=1_000_000, &[options.tenants])?;
    within("--decisions", 1..=options.waiting, &[options.decisions])?;
    within("--repeats", 1..=1_000, &[options.repeats])?;
    within("--handovers", 1..=10_000_000, &[options.handovers])?;
    let seed = options.seed.unwrap_or_else(fresh_seed);
    let mut report = Report::new("pool", "Pool: the parking lot and its worker threads", Some(seed));
    report.setting(
        "tasks",
        format!("{} waiting, {} running, {} tenants", options.waiting, options.running, options.tenants),
    );
    report.setting("classes", "1 % critical, 9 % high, 70 % normal, 20 % low; three in ten with a deadline");
    let lot = lot::measure(&options, seed)?;
    tell_lot(&mut report, &options, &lot);
    let handover = handover::measure(&options)?;
    tell_handover(&mut report, &handover);
    Ok(report)
}

/// The median of decisions a second, in a second or two.
///
/// # Errors
/// If the lot breaks its promises.
pub(crate) fn decisions(seed: u64) -> Result<Option<f64>, BenchError> {
    let options = Options {
        waiting: 20_000,
        running: 256,
        tenants: 100,
        decisions: 10_000,
        repeats: 5,
        handovers: 1,
        seed: None,
    };
    Ok(lot::measure(&options, seed)?.decisions.median())
}

fn tell_lot(report: &mut Report, options: &Options, lot: &lot::Measured) {
    let mut speed = Table::new("The lot on one core", &["what", "a second", "min", "max", "ns each"]);
    let rows = [
        ("decisions: a task ends, the next is chosen and started", &lot.decisions),
        ("submissions into the full waiting room", &lot.submissions),
        ("turns: decision and replacement together", &lot.turns),
        ("steps: progress of all that run, and who sits out", &lot.steps),
        ("decisions where memory is short and higher classes park lower ones", &lot.tight_decisions),
    ];
    for (what, rate) in rows {
        speed.row(vec![
            what.into(),
            rate.median().into(),
            rate.min().into(),
            rate.max().into(),
            rate.median().map(|rate| 1e9 / rate).into(),
        ]);
    }
    let mut single =
        Table::new("Single decisions, ns (each timed by itself)", &["samples", "p50", "p90", "p99", "p99.9", "max"]);
    let each = &lot.each_ns;
    let mut row = vec![each.len().into()];
    row.extend([50.0, 90.0, 99.0, 99.9].map(|percent| each.percentile(percent).into()));
    row.push(each.max().into());
    single.row(row);
    let mut memory = Table::new("Memory", &["waiting tasks", "bytes each"]);
    memory.row(vec![options.waiting.into(), lot.bytes_each.into()]);
    report.tables.extend([speed, single, memory]);
    report.figure("decisions_per_second", lot.decisions.median(), "decisions/s");
    report.figure("submissions_per_second", lot.submissions.median(), "tasks/s");
    report.figure("steps_per_second", lot.steps.median(), "steps/s");
    report.figure("tight_decisions_per_second", lot.tight_decisions.median(), "decisions/s");
    report.figure("tight_decisions_per_end", lot.tight_per_end, "decisions");
    report.figure("decision_p99_ns", each.percentile(99.0), "ns");
    report.figure("bytes_per_waiting_task", lot.bytes_each, "bytes");
    report.checks.push(Check::at_least("decisions a second on one core", lot.decisions.median(), DECISIONS));
    report.checks.push(Check::at_most("bytes of a waiting task", lot.bytes_each, BYTES));
    report.plots.push(Plot {
        title: "Single decisions: the share of all that took at most so long".to_string(),
        x: Axis { label: "ns".to_string(), log: true },
        y: Axis { label: "%".to_string(), log: false },
        lines: vec![Line { name: "decision".to_string(), points: each.curve(200) }],
    });
    report.notes.push(
        "memory is the growth of this process' resident set while the waiting room fills, tenants' names shared; it is only right \
         for tens of thousands of tasks"
            .to_string(),
    );
}

fn tell_handover(report: &mut Report, handover: &handover::Measured) {
    let mut table = Table::new("Hand-over to a worker thread, us", &["what", "samples", "p50", "p90", "p99", "max"]);
    let rows: [(&str, &Samples); 3] = [
        ("submit() itself", &handover.submit_us),
        ("from submit() until an idle worker has the task", &handover.taken_us),
        ("from submit() until the waiter has the result", &handover.round_trip_us),
    ];
    for (what, samples) in rows {
        let mut row = vec![what.into(), samples.len().into()];
        row.extend([50.0, 90.0, 99.0].map(|percent| samples.percentile(percent).into()));
        row.push(samples.max().into());
        table.row(row);
    }
    report.tables.push(table);
    report.figure("handover_p50_us", handover.taken_us.percentile(50.0), "us");
    report.figure("handover_p99_us", handover.taken_us.percentile(99.0), "us");
    report.figure("round_trip_p50_us", handover.round_trip_us.percentile(50.0), "us");
    report.figure("tasks_per_second", Some(handover.tasks_per_second), "tasks/s");
}

#[cfg(test)]
mod tests {
    use super::{Options, run};

    fn options() -> Options {
        Options { waiting: 2_000, running: 16, tenants: 7, decisions: 500, repeats: 2, handovers: 200, seed: Some(1) }
    }

    #[test]
    fn a_small_lot_has_all_its_figures() {
        let report = run(options()).expect("a report");
        for figure in [
            "decisions_per_second",
            "submissions_per_second",
            "steps_per_second",
            "tight_decisions_per_second",
            "decision_p99_ns",
            "handover_p50_us",
            "tasks_per_second",
        ] {
            assert!(report.value(figure).is_some_and(|value| value > 0.0), "{figure}");
        }
        assert_eq!(report.checks.len(), 2);
    }

    #[test]
    fn more_decisions_than_tasks_are_refused() {
        let error = run(Options { decisions: 3_000, ..options() }).expect_err("too many").to_string();
        assert!(error.contains("--decisions is 3000") && error.contains("2000"), "{error}");
    }
}
