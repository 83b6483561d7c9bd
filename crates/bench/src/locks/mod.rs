//! `parkade bench locks`: Parkade's named and counted locks beside those that they are made of, and those of `std`.

mod contest;
mod latencies;
mod sides;

use crate::BenchError;
use crate::bounds::within;
use crate::report::{Axis, Check, Line, Plot, Report, Table};
use crate::stats::Samples;
use contest::{Case, Kind, Measured};
use sides::{ParkadeMutex, ParkadeRwLock, ParkingLotMutex, ParkingLotRwLock, SIDES, StdMutex, StdRwLock};
use std::time::Duration;

/// What Parkade's locks should reach of `parking_lot`'s rate with one thread and with eight.
const BARS: [(usize, f64); 2] = [(1, 0.95), (8, 0.90)];
/// What the ancestor says that `parking_lot`'s mutex gains over `std`'s, by threads.
const CLAIMED: [(usize, f64); 3] = [(2, 1.10), (8, 1.32), (32, 1.36)];

/// Measures std's, parking_lot's and Parkade's locks in turns: throughput, waits, fairness, bytes.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Threads that want the lock; each number is measured for itself
    #[arg(long, value_delimiter = ',', default_value = "1,2,8,32")]
    pub threads: Vec<usize>,
    /// Rounds; in each all sides have their turn in each case
    #[arg(long, default_value_t = 9)]
    pub rounds: usize,
    /// Milliseconds of each run; there are two of a side in a case, one for the rate and one for the waits
    #[arg(long, default_value_t = 20)]
    pub milliseconds: usize,
}

/// Measures.
///
/// # Errors
/// If options make no sense.
pub fn run(options: Options) -> Result<Report, BenchError> {
    if options.threads.is_empty() {
        return Err(BenchError::Options("--threads names no number".to_string()));
    }
    within("--threads", 1..=1_000, &options.threads)?;
    within("--rounds", 1..=1_000, &[options.rounds])?;
    within("--milliseconds", 1..=60_000, &[options.milliseconds])?;
    let run_for = Duration::from_millis(options.milliseconds as u64);
    let mut report = Report::new("locks", "Locks: std, parking_lot and Parkade's, in turns", None);
    report.setting("runs", format!("{} rounds of {} ms", options.rounds, options.milliseconds));
    report.setting("sections", "short: add one, or read; long: 500 dependent steps; nothing between two of them");
    let mut all = Vec::new();
    for long in [false, true] {
        for kind in Kind::ALL {
            crate::output::say(format_args!("{}, {}", kind.name(), if long { "long" } else { "short" }));
            for &threads in &options.threads {
                let case = Case { kind, long, threads };
                all.push((case, contest::measure(case, options.rounds, run_for)));
            }
        }
    }
    tell_rates(&mut report, &all);
    tell_waits(&mut report, &all);
    tell_bytes(&mut report);
    tell_claims(&mut report, &all);
    report.notes.push(
        "waits are from runs in which each acquisition is timed, so they hold one reading of the clock, some 25 ns; a wait of 0 ns is shorter"
            .to_string(),
    );
    Ok(report)
}

type Cases = [(Case, [Measured; SIDES.len()])];

/// The median over the rounds of one side's rate to another's in the same round.
fn ratio(sides: &[Measured; SIDES.len()], one: usize, other: usize) -> Option<f64> {
    let rounds = sides[one].rates.iter().zip(&sides[other].rates);
    rounds.map(|(one, other)| one / other).collect::<Samples>().median()
}

fn rate(side: &Measured) -> Option<f64> {
    side.rates.iter().copied().collect::<Samples>().median()
}

fn tell_rates(report: &mut Report, all: &Cases) {
    for long in [false, true] {
        let section = if long { "long" } else { "short" };
        let mut table = Table::new(
            format!("Acquisitions a second, millions, {section} sections"),
            &["lock", "threads", "std", "parking_lot", "parkade", "parkade / parking_lot", "parking_lot / std"],
        );
        for kind in Kind::ALL {
            let cases = || all.iter().filter(|(case, _)| case.kind == kind && case.long == long);
            for (case, sides) in cases() {
                let to_raw = ratio(sides, 2, 1);
                let mut row = vec![kind.name().into(), case.threads.into()];
                row.extend(sides.iter().map(|side| rate(side).map(|rate| rate / 1e6).into()));
                row.extend([to_raw.into(), ratio(sides, 1, 0).into()]);
                table.row(row);
                let key = format!("{}_{section}_{}", kind.key(), case.threads);
                for (name, side) in SIDES.iter().zip(sides) {
                    report.figure(format!("{key}_{name}"), rate(side), "acquisitions/s");
                }
                report.figure(format!("{key}_parkade_to_parking_lot"), to_raw, "");
                if let Some((_, bar)) = BARS.iter().find(|(threads, _)| *threads == case.threads) {
                    let what = format!("{} threads, {section}, {}: parkade / parking_lot", case.threads, kind.name());
                    report.checks.push(Check::at_least(what, to_raw, *bar));
                }
            }
            let line = |side: usize| Line {
                name: SIDES[side].to_string(),
                points: cases()
                    .filter_map(|(case, sides)| Some((case.threads as f64, rate(&sides[side])? / 1e6)))
                    .collect(),
            };
            report.plots.push(Plot {
                title: format!("{}, {section} sections: acquisitions a second", kind.name()),
                x: Axis { label: "threads".to_string(), log: true },
                y: Axis { label: "millions/s".to_string(), log: false },
                lines: (0..SIDES.len()).map(line).collect(),
            });
        }
        report.tables.push(table);
    }
}

fn tell_waits(report: &mut Report, all: &Cases) {
    let columns = ["lock", "section", "threads", "side", "p50 ns", "p99 ns", "p99.9 ns", "longest us", "Jain's index"];
    let mut table = Table::new("Waits for the lock, and how evenly threads come to their turns (1 is even)", &columns);
    for (case, sides) in all {
        for (name, side) in SIDES.iter().zip(sides) {
            let mut row = vec![case.kind.name().into(), case.section().into(), case.threads.into(), (*name).into()];
            row.extend([50.0, 99.0, 99.9].map(|percent| side.latencies.percentile(percent).into()));
            row.extend([(side.latencies.longest_ns as f64 / 1e3).into(), side.jain.median().into()]);
            table.row(row);
        }
    }
    report.tables.push(table);
}

fn tell_bytes(report: &mut Report) {
    let mut table = Table::new("Bytes of a lock", &["lock", "std", "parking_lot", "parkade"]);
    let rows: [(&str, [usize; SIDES.len()]); 4] = [
        ("Mutex<()>", [size_of::<StdMutex<()>>(), size_of::<ParkingLotMutex<()>>(), size_of::<ParkadeMutex<()>>()]),
        ("Mutex<u64>", [size_of::<StdMutex<u64>>(), size_of::<ParkingLotMutex<u64>>(), size_of::<ParkadeMutex<u64>>()]),
        ("RwLock<()>", [size_of::<StdRwLock<()>>(), size_of::<ParkingLotRwLock<()>>(), size_of::<ParkadeRwLock<()>>()]),
        (
            "RwLock<u64>",
            [size_of::<StdRwLock<u64>>(), size_of::<ParkingLotRwLock<u64>>(), size_of::<ParkadeRwLock<u64>>()],
        ),
    ];
    for (lock, bytes) in rows {
        table.row([lock.into()].into_iter().chain(bytes.map(Into::into)).collect());
    }
    report.tables.push(table);
}

/// What the ancestor says, beside what is measured here.
fn tell_claims(report: &mut Report, all: &Cases) {
    let mut table = Table::new("What the ancestor says", &["claim", "said", "short sections", "long sections"]);
    let mutex = |threads: usize, long: bool| {
        let case = Case { kind: Kind::Mutex, long, threads };
        all.iter().find(|(other, _)| *other == case).map(|(_, sides)| sides)
    };
    for (threads, said) in CLAIMED {
        let measured = [false, true].map(|long| mutex(threads, long).and_then(|sides| ratio(sides, 1, 0)));
        let mut row = vec![format!("parking_lot's mutex / std's, {threads} threads").into(), said.into()];
        row.extend(measured.map(Into::into));
        table.row(row);
    }
    let most = all.iter().map(|(case, _)| case.threads).max().unwrap_or(1);
    let bytes = [size_of::<ParkingLotMutex<u64>>(), size_of::<StdMutex<u64>>()];
    for (name, said, bytes) in [("parking_lot's", 24.0, bytes[0]), ("std's", 40.0, bytes[1])] {
        table.row(vec![
            format!("bytes of {name} mutex (here of a u64)").into(),
            said.into(),
            bytes.into(),
            bytes.into(),
        ]);
    }
    for (side, name) in SIDES.iter().enumerate().take(2) {
        let jain = |long| mutex(most, long).and_then(|sides| sides[side].jain.median());
        let claim = format!("turns in the order of coming: Jain's index of {name}'s mutex, {most} threads");
        let said = if side == 1 { Some(1.0) } else { None };
        table.row(vec![claim.into(), said.into(), jain(false).into(), jain(true).into()]);
    }
    report.tables.push(table);
}

#[cfg(test)]
mod tests {
    use super::{Options, run};
    use crate::report::Cell;

    fn options() -> Options {
        Options { threads: vec![1, 2, 8], rounds: 2, milliseconds: 1 }
    }

    #[test]
    fn a_small_run_has_all_its_figures_bars_and_tables() {
        let report = run(options()).expect("a report");
        for kind in ["mutex", "rwlock_reads", "rwlock_writes", "rwlock_mixed"] {
            for case in ["short_1", "short_2", "short_8", "long_1", "long_2", "long_8"] {
                for side in ["std", "parking_lot", "parkade", "parkade_to_parking_lot"] {
                    let figure = format!("{kind}_{case}_{side}");
                    assert!(report.value(&figure).is_some_and(|value| value > 0.0), "{figure}");
                }
            }
        }
        // One thread and eight, of four kinds, short and long.
        assert_eq!(report.checks.len(), 16);
        let rows: Vec<usize> = report.tables.iter().map(|table| table.rows.len()).collect();
        assert_eq!(rows, [12, 12, 72, 4, 7], "rates, rates, waits, bytes, claims");
        assert_eq!(report.plots.len(), 8);
        assert!(report.plots.iter().all(|plot| plot.lines.iter().all(|line| line.points.len() == 3)));
        for row in &report.tables[2].rows {
            assert!(row[4..].iter().all(|cell| matches!(cell, Cell::Number(_))), "{row:?}");
            assert!(matches!(row[8], Cell::Number(jain) if jain > 0.0 && jain <= 1.0 + 1e-9), "{row:?}");
        }
    }

    #[test]
    fn a_claim_about_threads_that_were_not_there_stays_open() {
        let report = run(Options { threads: vec![1], rounds: 1, milliseconds: 1 }).expect("a report");
        assert_eq!(report.checks.len(), 8);
        let claims = report.tables.last().expect("the claims");
        assert_eq!(claims.rows[0][2], Cell::Absent(()));
    }

    #[test]
    fn runs_without_threads_or_time_are_refused() {
        for (wrong, said) in [
            (Options { threads: vec![], ..options() }, "--threads names no number"),
            (Options { threads: vec![2, 0], ..options() }, "--threads is 0"),
            (Options { rounds: 0, ..options() }, "--rounds is 0"),
            (Options { milliseconds: 0, ..options() }, "--milliseconds is 0"),
        ] {
            let error = run(wrong).expect_err("refused").to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
