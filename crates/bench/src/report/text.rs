//! The report on a terminal.

use super::number::{cell, format, moment};
use super::{Cell, Check, Direction, Report, Table};
use std::fmt::Write;

pub(super) fn render(report: &Report) -> String {
    let mut out = format!("{}\n", report.title);
    let _ = writeln!(out, "  machine   {}", report.machine.line());
    let _ = writeln!(out, "  version   parkade {}, {}", report.version, moment(report.started_unix));
    let _ = writeln!(out, "  command   {}", report.command);
    if let Some(seed) = report.seed {
        let _ = writeln!(out, "  seed      {seed}");
    }
    for (name, value) in &report.settings {
        let _ = writeln!(out, "  {name:<9} {value}");
    }
    for shown in &report.tables {
        let _ = write!(out, "\n{}", table(shown));
    }
    if !report.checks.is_empty() {
        let _ = write!(out, "\n{}", table(&checks(&report.checks)));
    }
    if !report.notes.is_empty() {
        out.push('\n');
    }
    for note in &report.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out
}

/// The checks as a table.
pub(super) fn checks(checks: &[Check]) -> Table {
    let mut table = Table::new("Bars", &["what", "measured", "bar", "met"]);
    for check in checks {
        let side = match check.direction {
            Direction::AtMost => "<=",
            Direction::AtLeast => ">=",
        };
        table.row(vec![
            check.what.as_str().into(),
            check.measured.into(),
            format!("{side} {}", format(check.bar)).into(),
            if check.met { "yes" } else { "NO" }.into(),
        ]);
    }
    table
}

fn table(table: &Table) -> String {
    let rows: Vec<Vec<String>> = table.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let widths: Vec<usize> = table
        .columns
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let widest = rows.iter().map(|row| row[column].chars().count()).max();
            widest.unwrap_or(0).max(heading.chars().count())
        })
        .collect();
    // Labels to the left, numbers to the right; a column is what its first row is.
    let label = |column: usize| matches!(table.rows.first().map(|row| &row[column]), Some(Cell::Text(_)));
    let line = |cells: &[String]| {
        let mut out = String::new();
        for (column, (text, &width)) in cells.iter().zip(&widths).enumerate() {
            let _ = match label(column) {
                true => write!(out, "  {text:<width$}"),
                false => write!(out, "  {text:>width$}"),
            };
        }
        format!("{}\n", out.trim_end())
    };
    let mut out = format!("{}\n", table.title);
    out += &line(&table.columns);
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    out += &line(&rules);
    for row in &rows {
        out += &line(row);
    }
    out
}
