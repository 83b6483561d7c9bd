//! One tenant sends a hundred times as much as each of the others.

use super::{Bench, Phase, capacity};
use crate::load::{Class, Digest, Mix, Pace, Plan, Tenants, Workload, run as send};
use crate::report::{Check, Report, Table};
use crate::{BenchError, tables};
use std::sync::Arc;

const FLOOD: &str = "flood";

pub(super) async fn measure(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    let capacity = capacity::capacity(bench, report).await?;
    let options = &bench.options;
    let fair = capacity / (options.tenants + 1) as f64;
    let each = options.tenant_load * fair;
    let mut shares: Vec<(String, f64)> = (1..=options.tenants).map(|n| (format!("tenant-{n}"), 1.0)).collect();
    shares.push((FLOOD.to_string(), options.flood));
    let names: Vec<String> = shares.iter().map(|(name, _)| name.clone()).collect();
    let rate = each * (options.tenants as f64 + options.flood);
    crate::output::say(format_args!("tenant flood, {rate:.2} requests/s for {} s", options.seconds));
    report.setting(
        "tenants",
        format!("{} of {each:.3} requests/s each, one of {:.3}", options.tenants, each * options.flood),
    );
    report.setting("fair", format!("{fair:.3} requests/s: the capacity divided by all tenants"));
    let workload = Workload {
        mix: Mix::only(Class::Normal),
        tenants: Some(Tenants::new(shares)),
        announced: bench.announced(),
        ..bench.workload(Phase::Scenario)
    };
    let plan = Plan { pace: Pace::Open(rate), requests: None, sending: Some(bench.sending) };
    let run = send(&bench.target, &Arc::new(workload), &plan).await;

    let columns =
        ["tenant", "sent/s", "completed/s", "fair share/s", "x fair share", "refused/s", "TTFT p50 ms", "TTFT p99 ms"];
    let mut table = Table::new("Tenants", &columns);
    let mut digests = Vec::new();
    let mut worst: Option<f64> = None;
    for name in &names {
        let digest = Digest::of(&run, bench.slo, bench.warm_up, |seen| seen.tenant.as_ref() == Some(name));
        let demand = digest.rate(digest.offered as f64);
        // Nobody is due more than was asked for.
        let due = demand.map(|demand| demand.min(fair));
        let served = digest.rate(digest.completed as f64);
        let share = served.zip(due).filter(|(_, due)| *due > 0.0).map(|(served, due)| served / due);
        if name != FLOOD {
            worst = share.map(|share| worst.map_or(share, |worst: f64| worst.min(share))).or(worst);
        }
        table.row(vec![
            name.as_str().into(),
            demand.into(),
            served.into(),
            due.into(),
            share.into(),
            digest.rate(digest.refused as f64).into(),
            digest.ttft.median().into(),
            digest.ttft.percentile(99.0).into(),
        ]);
        digests.push(vec![digest]);
    }
    report.tables.push(table);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    report.tables.push(tables::outcomes("Outcomes", "tenant", &names, &digests));
    report.tables.extend(tables::refusals(&names, &digests));
    report.tables.extend(tables::complaints(&names, &digests));
    report.figure("worst_tenant_to_fair_share", worst, "x");
    report.checks.push(Check::at_least("throughput of the worst-served other tenant / its fair share", worst, 0.9));
    let broken: usize = digests.iter().flatten().map(Digest::not_exactly_one).sum();
    report.checks.push(Check::at_most("requests without exactly one outcome", Some(broken as f64), 0.0));
    report.notes.extend(tables::trust(&digests.concat()));
    Ok(())
}
