//! Loads in multiples of the capacity.

use super::{Bench, Phase, capacity};
use crate::load::{Class, Digest, Pace, Plan, Workload, run as send};
use crate::report::{Axis, Check, Line, Plot, Report, Table};
use crate::{BenchError, Samples, tables};
use std::sync::Arc;

/// One load.
struct Level {
    load: f64,
    all: Digest,
    high: Digest,
    normal: Digest,
    /// The high class of this load without the others.
    alone: Option<Digest>,
    /// (seconds since the first load began, MiB)
    memory: Vec<(f64, f64)>,
    scrape_ms: Samples,
}

impl Level {
    fn name(&self) -> String {
        format!("{}x", self.load)
    }
}

pub(super) async fn measure(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    let unloaded = capacity::unloaded(bench).await?;
    let capacity = capacity::capacity(bench, report).await?;
    let before = bench.resident_mib();
    let mut levels = Vec::new();
    let mut passed = 0.0;
    for (step, &load) in bench.options.loads.iter().enumerate() {
        let rate = load * capacity;
        crate::output::say(format_args!("{load}x, {rate:.2} requests/s for {} s", bench.options.seconds));
        let workload = Workload { announced: bench.announced(), ..bench.workload(Phase::Level(step)) };
        let plan = Plan { pace: Pace::Open(rate), requests: None, sending: Some(bench.sending) };
        let alone = match bench.options.alone {
            false => None,
            true => {
                let workload = Workload { only: Some(Class::High), ..workload.clone() };
                let run = send(&bench.target, &Arc::new(workload), &plan).await;
                Some(Digest::of(&run, bench.slo, bench.warm_up, |_| true))
            }
        };
        let (run, watched) = bench.watching(send(&bench.target, &Arc::new(workload), &plan)).await;
        let digest = |class: Option<Class>| {
            Digest::of(&run, bench.slo, bench.warm_up, |seen| class.is_none_or(|class| seen.class == class))
        };
        let memory: Vec<(f64, f64)> = watched.memory.into_iter().map(|(at, mib)| (passed + at, mib)).collect();
        passed = memory.last().map_or(passed, |(at, _)| *at);
        let (all, high, normal) = (digest(None), digest(Some(Class::High)), digest(Some(Class::Normal)));
        levels.push(Level { load, all, high, normal, alone, memory, scrape_ms: watched.scrape_ms });
    }
    tell(report, &unloaded, &levels, before);
    Ok(())
}

fn tell(report: &mut Report, unloaded: &Digest, levels: &[Level], before: Option<f64>) {
    let unloaded_p99 = unloaded.ttft.percentile(99.0);
    report.figure("unloaded_ttft_p99_ms", unloaded_p99, "ms");
    let best = levels.iter().filter_map(|level| level.all.goodput()).fold(0.0, f64::max);
    let to_unloaded = |level: &Level| Some(level.high.ttft.percentile(99.0)? / unloaded_p99?);
    let to_best = |level: &Level| (best > 0.0).then_some(level.all.goodput()? / best);
    report.tables.push(loads(levels, to_unloaded, to_best));
    report.tables.extend(alone(levels, unloaded_p99));
    report.tables.push(memory(levels));
    report.tables.extend(scrapes(levels));

    let mut latency = tables::latency("Latency, ms from the intended moment", "load");
    tables::latency_rows(&mut latency, "unloaded", "high", std::slice::from_ref(unloaded));
    for level in levels {
        tables::latency_rows(&mut latency, &level.name(), "high", std::slice::from_ref(&level.high));
        tables::latency_rows(&mut latency, &level.name(), "normal", std::slice::from_ref(&level.normal));
    }
    report.tables.push(latency);
    let names: Vec<String> = levels.iter().map(Level::name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all: Vec<Vec<Digest>> = levels.iter().map(|level| vec![level.all.clone()]).collect();
    report.tables.push(tables::outcomes("Outcomes", "load", &names, &all));
    // A class can be made quick by turning its requests away: so their ends are shown too.
    let high: Vec<Vec<Digest>> = levels.iter().map(|level| vec![level.high.clone()]).collect();
    report.tables.push(tables::outcomes("Outcomes of the high class", "load", &names, &high));
    report.tables.extend(tables::refusals(&names, &all));
    report.tables.extend(tables::complaints(&names, &all));

    for level in levels {
        let figures = [
            ("offered", level.all.rate(level.all.offered as f64), "requests/s"),
            ("goodput", level.all.goodput(), "answers/s"),
            ("goodput_to_best", to_best(level), "x"),
            ("high_ttft_p99_ms", level.high.ttft.percentile(99.0), "ms"),
            ("high_completed", completed(&level.high), "x"),
            ("high_ttft_p99_to_unloaded", to_unloaded(level), "x"),
            ("refusal_max_ms", level.all.refusal_latency().max(), "ms"),
            ("retry_after_share", level.all.retry_after_share(), "x"),
            ("not_exactly_one_outcome", Some(level.all.not_exactly_one() as f64), "requests"),
        ];
        if let Some(alone) = level.alone.as_ref().map(|alone| alone.ttft.percentile(99.0)) {
            report.figure(format!("load_{}_alone_ttft_p99_ms", level.load), alone, "ms");
        }
        for (name, value, unit) in figures {
            report.figure(format!("load_{}_{name}", level.load), value, unit);
        }
        let what = |text: &str| format!("{}: {text}", level.name());
        report.checks.push(Check::at_most(what("high p99 TTFT / unloaded p99"), to_unloaded(level), 1.5));
        report.checks.push(Check::at_least(what("goodput / best"), to_best(level), 0.9));
        // A load without refusals has broken no promise on them.
        if level.all.refused > 0 {
            report.checks.push(Check::at_most(what("slowest refusal, ms"), level.all.refusal_latency().max(), 50.0));
            report.checks.push(Check::at_least(what("refusals with Retry-After"), level.all.retry_after_share(), 1.0));
        }
        let broken = level.all.not_exactly_one() as f64;
        report.checks.push(Check::at_most(what("requests without exactly one outcome"), Some(broken), 0.0));
    }
    let after = levels.last().and_then(|level| level.memory.last()).map(|(_, mib)| *mib);
    if let (Some(before), Some(after)) = (before, after) {
        report.figure("resident_growth", Some(after / before), "x");
        report.checks.push(Check::at_most(
            "server memory, last load's end / first load's begin",
            Some(after / before),
            1.05,
        ));
        report.notes.push(
            "systems give memory when it is first written: the server's resident memory grows until every KV block was used \
             once; a small --kv-cache-mb shows whether it is flat after that"
                .to_string(),
        );
    } else {
        report.notes.push("the server's memory was not watched; give --server-pid".to_string());
    }
    plots(report, levels);
    report.notes.extend(tables::trust(&all.concat()));
}

/// The share of requests that got their whole answer.
fn completed(digest: &Digest) -> Option<f64> {
    (digest.offered > 0).then(|| digest.completed as f64 / digest.offered as f64)
}

fn loads(
    levels: &[Level],
    to_unloaded: impl Fn(&Level) -> Option<f64>,
    to_best: impl Fn(&Level) -> Option<f64>,
) -> Table {
    let columns = [
        "load",
        "offered/s",
        "accepted/s",
        "refused/s",
        "high answered",
        "high TTFT p99 ms",
        "x unloaded",
        "normal TTFT p99 ms",
        "goodput/s",
        "x best",
        "refusal p99 ms",
        "Retry-After",
        "not exactly one",
    ];
    let mut table = Table::new("Loads", &columns);
    for level in levels {
        let all = &level.all;
        table.row(vec![
            level.name().into(),
            all.rate(all.offered as f64).into(),
            all.rate(all.accepted() as f64).into(),
            all.rate(all.refused as f64).into(),
            completed(&level.high).map(|share| format!("{:.1} %", 100.0 * share)).into(),
            level.high.ttft.percentile(99.0).into(),
            to_unloaded(level).into(),
            level.normal.ttft.percentile(99.0).into(),
            all.goodput().into(),
            to_best(level).into(),
            all.refusal_latency().percentile(99.0).into(),
            all.retry_after_share().map(|share| format!("{:.1} %", 100.0 * share)).into(),
            all.not_exactly_one().into(),
        ]);
    }
    table
}

/// What the high class waits for itself, and what for the others.
fn alone(levels: &[Level], unloaded_p99: Option<f64>) -> Option<Table> {
    let columns =
        ["load", "requests", "alone p50 ms", "alone p99 ms", "x unloaded", "among all p50 ms", "p99 ms", "x alone"];
    let mut table = Table::new("The high class alone, at the same moments, and among all: first text", &columns);
    for level in levels {
        let alone = &level.alone.as_ref()?.ttft;
        let (among, p99) = (&level.high.ttft, alone.percentile(99.0));
        table.row(vec![
            level.name().into(),
            alone.len().into(),
            alone.median().into(),
            p99.into(),
            p99.zip(unloaded_p99).map(|(p99, unloaded)| p99 / unloaded).into(),
            among.median().into(),
            among.percentile(99.0).into(),
            among.percentile(99.0).zip(p99).map(|(among, alone)| among / alone).into(),
        ]);
    }
    Some(table)
}

fn memory(levels: &[Level]) -> Table {
    let mut table = Table::new("Resident memory of the server, MiB", &["load", "begin", "end", "most"]);
    for level in levels {
        let mib: Samples = level.memory.iter().map(|(_, mib)| *mib).collect();
        table.row(vec![
            level.name().into(),
            level.memory.first().map(|(_, mib)| *mib).into(),
            level.memory.last().map(|(_, mib)| *mib).into(),
            mib.max().into(),
        ]);
    }
    table
}

/// What reading the metrics costs, if the server has any.
fn scrapes(levels: &[Level]) -> Option<Table> {
    let mut table = Table::new("GET /metrics, ms, once a second", &["load", "answers", "p50", "p99", "max"]);
    for level in levels {
        let took = &level.scrape_ms;
        took.median()?;
        table.row(vec![
            level.name().into(),
            took.len().into(),
            took.median().into(),
            took.percentile(99.0).into(),
            took.max().into(),
        ]);
    }
    Some(table)
}

fn plots(report: &mut Report, levels: &[Level]) {
    let linear = |label: &str| Axis { label: label.to_string(), log: false };
    let line = |name: &str, value: &dyn Fn(&Level) -> Option<f64>| Line {
        name: name.to_string(),
        points: levels.iter().filter_map(|level| Some((level.load, value(level)?))).collect(),
    };
    report.plots.push(Plot {
        title: "Answers a second".to_string(),
        x: linear("load, multiples of the capacity"),
        y: linear("a second"),
        lines: vec![
            line("offered", &|level| level.all.rate(level.all.offered as f64)),
            line("completed", &|level| level.all.rate(level.all.completed as f64)),
            line("within SLO", &|level| level.all.goodput()),
        ],
    });
    report.plots.push(Plot {
        title: "Time to first text".to_string(),
        x: linear("load, multiples of the capacity"),
        y: Axis { label: "ms".to_string(), log: true },
        lines: vec![
            line("high, p99", &|level| level.high.ttft.percentile(99.0)),
            line("high, median", &|level| level.high.ttft.median()),
            line("normal, p99", &|level| level.normal.ttft.percentile(99.0)),
            line("normal, median", &|level| level.normal.ttft.median()),
        ],
    });
    let points = levels.iter().flat_map(|level| level.memory.iter().copied()).collect();
    report.plots.push(Plot {
        title: "Resident memory of the server".to_string(),
        x: linear("seconds since the first load began"),
        y: linear("MiB"),
        lines: vec![Line { name: "resident".to_string(), points }],
    });
}
