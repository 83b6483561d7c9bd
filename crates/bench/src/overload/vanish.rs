//! Clients that vanish at random moments: nothing of theirs may be left.

use super::{Bench, Phase};
use crate::load::{Digest, Pace, Plan, Slo, Workload, run as send};
use crate::peer::{Holdings, holdings, json_metrics};
use crate::report::{Axis, Check, Line, Plot, Report, Table};
use crate::serve::seconds;
use crate::{BenchError, tables};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) async fn measure(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    let options = &bench.options;
    let vanish_within = seconds("--vanish-within-seconds", options.vanish_within_seconds)?;
    let before = (holdings(&bench.target).await?, json_metrics(&bench.target).await?);
    crate::output::say(format_args!("{} clients that vanish, for {} s", options.clients, options.seconds));
    let workload = Workload { vanish_within: Some(vanish_within), ..bench.workload(Phase::Scenario) };
    let plan = Plan { pace: Pace::Closed(options.clients), requests: None, sending: Some(bench.sending) };
    let (run, watched) = bench.watching(send(&bench.target, &Arc::new(workload), &plan)).await;

    let settle = seconds("--settle-seconds", options.settle_seconds)?;
    let (after, took) = settled(bench, settle).await?;
    let json = json_metrics(&bench.target).await?;
    report.setting("clients", format!("{}, each gone within {} s", options.clients, options.vanish_within_seconds));
    report.tables.push(held(&before, &(after.clone(), json.clone())));
    let digest = Digest::of(&run, Slo::default(), Duration::ZERO, |_| true);
    let all = [vec![digest]];
    report.tables.push(tables::outcomes("Outcomes", "clients", &["all"], &all));
    report.tables.extend(tables::refusals(&["all"], &all));
    report.tables.extend(tables::complaints(&["all"], &all));

    report.figure("settled_after_seconds", took, "s");
    report.checks.push(Check::at_most("seconds until nothing was held", took, settle.as_secs_f64()));
    let counts = [
        ("running", after.running),
        ("waiting", after.waiting),
        ("KV blocks held", after.blocks_used),
        ("queued_tasks", json["queued_tasks"].as_f64()),
    ];
    for (what, count) in counts {
        report.checks.push(Check::at_most(format!("{what} at the end"), count, 0.0));
    }
    let capacity = json["available_capacity"].as_f64().zip(json["total_capacity"].as_f64());
    let lost = capacity.map(|(available, total)| total - available);
    report.checks.push(Check::at_most("total_capacity - available_capacity at the end", lost, 0.0));
    let books = &json["totals"];
    let ends = ["refused", "completed", "failed", "cancelled", "superseded", "expired"].map(|end| books[end].as_f64());
    let ended = ends.into_iter().sum::<Option<f64>>();
    let lost = books["submitted"].as_f64().zip(ended).map(|(submitted, ended)| (submitted - ended).abs());
    if !books.is_null() {
        report.checks.push(Check::at_most("requests without an end in the server's books", lost, 0.0));
    }
    let broken = all[0][0].not_exactly_one() as f64;
    report.checks.push(Check::at_most("requests without exactly one outcome", Some(broken), 0.0));
    if let (Some((_, first)), Some((_, last))) = (watched.memory.first(), watched.memory.last()) {
        report.figure("resident_growth", Some(last / first), "x");
    }
    report.plots.push(Plot {
        title: "Resident memory of the server".to_string(),
        x: Axis { label: "seconds".to_string(), log: false },
        y: Axis { label: "MiB".to_string(), log: false },
        lines: vec![Line { name: "resident".to_string(), points: watched.memory }],
    });
    Ok(())
}

/// Asks until nothing is held; gives what is held then, and how long that took. `None`: it was still held at the end.
async fn settled(bench: &Bench, settle: Duration) -> Result<(Holdings, Option<f64>), BenchError> {
    let begin = Instant::now();
    loop {
        let held = holdings(&bench.target).await?;
        if held.none_left() {
            return Ok((held, Some(begin.elapsed().as_secs_f64())));
        }
        if begin.elapsed() >= settle {
            return Ok((held, None));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn held(before: &(Holdings, Value), after: &(Holdings, Value)) -> Table {
    let mut table = Table::new("What the server holds", &["what", "before", "after"]);
    type Pick = fn(&Holdings) -> Option<f64>;
    let picks: [(&str, Pick); 4] = [
        ("running requests", |held| held.running),
        ("waiting requests", |held| held.waiting),
        ("parked requests", |held| held.parked),
        ("KV blocks held", |held| held.blocks_used),
    ];
    for (what, pick) in picks {
        table.row(vec![what.into(), pick(&before.0).into(), pick(&after.0).into()]);
    }
    for field in ["active_workers", "queued_tasks", "available_capacity", "total_capacity"] {
        table.row(vec![field.into(), before.1[field].as_f64().into(), after.1[field].as_f64().into()]);
    }
    table
}
