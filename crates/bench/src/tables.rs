//! Tables that several benchmarks show.

use crate::load::Digest;
use crate::report::Table;
use crate::stats::Samples;
use std::collections::BTreeMap;

/// An empty table for [`latency_rows`].
pub(crate) fn latency(title: &str, who: &str) -> Table {
    Table::new(title, &[who, "class", "what", "samples", "p50", "p90", "p99", "max"])
}

/// Percentiles over all rounds of one server and class.
pub(crate) fn latency_rows(table: &mut Table, who: &str, class: &str, rounds: &[Digest]) {
    type Pick = fn(&Digest) -> &Samples;
    let picks: [(&str, Pick); 4] = [
        ("first text", |digest| &digest.ttft),
        ("gap between texts", |digest| &digest.gaps),
        ("per token of an answer", |digest| &digest.per_token),
        ("whole answer", |digest| &digest.latency),
    ];
    for (what, pick) in picks {
        let samples = Samples::merged(rounds.iter().map(pick));
        table.row(vec![
            who.into(),
            class.into(),
            what.into(),
            samples.len().into(),
            samples.percentile(50.0).into(),
            samples.percentile(90.0).into(),
            samples.percentile(99.0).into(),
            samples.max().into(),
        ]);
    }
}

/// How requests ended.
pub(crate) fn outcomes(title: &str, who: &str, names: &[&str], all: &[Vec<Digest>]) -> Table {
    type Count = fn(&Digest) -> usize;
    let counts: [(&str, Count); 11] = [
        ("sent", |digest| digest.offered),
        ("completed", |digest| digest.completed),
        ("in SLO", |digest| digest.good),
        ("refused", |digest| digest.refused),
        ("expired", |digest| digest.expired),
        ("failed", |digest| digest.failed),
        ("vanished", |digest| digest.vanished),
        ("cut", |digest| digest.cut),
        ("malformed", |digest| digest.malformed),
        ("unreachable", |digest| digest.unreachable),
        ("unanswered", |digest| digest.unanswered),
    ];
    let columns: Vec<&str> = std::iter::once(who).chain(counts.iter().map(|(name, _)| *name)).collect();
    let mut table = Table::new(title, &columns);
    for (name, rounds) in names.iter().zip(all) {
        let mut row = vec![(*name).into()];
        row.extend(counts.iter().map(|(_, count)| rounds.iter().map(count).sum::<usize>().into()));
        table.row(row);
    }
    table
}

/// Refusals by status and code; no table if there were none.
pub(crate) fn refusals(names: &[&str], all: &[Vec<Digest>]) -> Option<Table> {
    let columns =
        ["who", "status", "code", "count", "p50 ms", "p99 ms", "max ms", "Retry-After", "x-should-retry: false"];
    let mut table = Table::new("Refusals", &columns);
    for (name, rounds) in names.iter().zip(all) {
        let mut groups: BTreeMap<&(u16, String), Vec<_>> = BTreeMap::new();
        for (key, group) in rounds.iter().flat_map(|digest| &digest.refusals) {
            groups.entry(key).or_default().push(group);
        }
        for ((status, code), groups) in groups {
            let latency = Samples::merged(groups.iter().map(|group| &group.latency));
            table.row(vec![
                (*name).into(),
                u64::from(*status).into(),
                code.as_str().into(),
                groups.iter().map(|group| group.count).sum::<usize>().into(),
                latency.percentile(50.0).into(),
                latency.percentile(99.0).into(),
                latency.max().into(),
                groups.iter().map(|group| group.with_retry_after).sum::<usize>().into(),
                groups.iter().map(|group| group.told_not_to_retry).sum::<usize>().into(),
            ]);
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

/// What went wrong, in the server's words; no table if nothing did.
pub(crate) fn complaints(names: &[&str], all: &[Vec<Digest>]) -> Option<Table> {
    let mut table = Table::new("What went wrong", &["who", "what", "count"]);
    for (name, rounds) in names.iter().zip(all) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (what, count) in rounds.iter().flat_map(|digest| &digest.complaints) {
            *counts.entry(what).or_default() += count;
        }
        for (what, count) in counts {
            table.row(vec![(*name).into(), what.into(), count.into()]);
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

/// Notes on how far the figures can be trusted.
pub(crate) fn trust(digests: &[Digest]) -> Vec<String> {
    let lag = Samples::merged(digests.iter().map(|digest| &digest.lag));
    let mut notes = Vec::new();
    if let (Some(p99), Some(max)) = (lag.percentile(99.0), lag.max()) {
        notes.push(format!(
            "requests left the generator {p99:.2} ms late at p99, {max:.2} ms at most; latencies count from the intended moment"
        ));
    }
    notes
}
