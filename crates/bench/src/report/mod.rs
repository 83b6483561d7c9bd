//! What a benchmark hands back: tables, plots, checks against bars, and everything that is needed to repeat it.

mod escape;
mod html;
mod number;
mod svg;
mod text;

use crate::machine::Machine;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// The version of the JSON form. It rises when a field changes its meaning or goes away, not when one is added.
pub const SCHEMA: u32 = 1;

/// The result of one benchmark run. [`to_text`](Self::to_text), [`to_json`](Self::to_json) and
/// [`to_html`](Self::to_html) show the same figures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which benchmark: `quick`, `model`, `engine`, `pool`, `grammar`, `locks`, `serve` or `overload`.
    pub benchmark: &'static str,
    /// One line that says what was measured.
    pub title: String,
    /// Version of Parkade that measured.
    pub version: &'static str,
    /// How this process was called.
    pub command: String,
    /// When the run began, in seconds since 1970 (UTC).
    pub started_unix: u64,
    /// What all random choices follow from.
    pub seed: Option<u64>,
    /// Where it was measured.
    pub machine: Machine,
    /// The settings that the figures depend on, as (name, value).
    pub settings: Vec<(String, String)>,
    /// Single figures under stable names, for scripts.
    pub figures: Vec<Figure>,
    /// Measured values against the bars that they should reach.
    pub checks: Vec<Check>,
    /// The tables.
    pub tables: Vec<Table>,
    /// The plots.
    pub plots: Vec<Plot>,
    /// What a reader must know to read the figures rightly.
    pub notes: Vec<String>,
}

/// One figure under a stable name.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Figure {
    /// Lower-case words with underscores.
    pub name: String,
    /// `None`: nothing was there to measure.
    pub value: Option<f64>,
    /// For example `ms`, `requests/s`.
    pub unit: &'static str,
}

/// A measured value against its bar.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Check {
    /// What must hold.
    pub what: String,
    /// What was measured. `None`: nothing was there to measure, which fails the check.
    pub measured: Option<f64>,
    /// The bar.
    pub bar: f64,
    /// On which side of the bar the value must lie.
    pub direction: Direction,
    /// Whether it does.
    pub met: bool,
}

/// The good side of a bar.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The value must not exceed the bar.
    AtMost,
    /// The value must reach the bar.
    AtLeast,
}

impl Check {
    /// A value that must not exceed `bar`.
    pub fn at_most(what: impl Into<String>, measured: Option<f64>, bar: f64) -> Self {
        Check {
            what: what.into(),
            measured,
            bar,
            direction: Direction::AtMost,
            met: measured.is_some_and(|value| value <= bar),
        }
    }

    /// A value that must reach `bar`.
    pub fn at_least(what: impl Into<String>, measured: Option<f64>, bar: f64) -> Self {
        Check {
            what: what.into(),
            measured,
            bar,
            direction: Direction::AtLeast,
            met: measured.is_some_and(|value| value >= bar),
        }
    }
}

/// A table of labels and numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// Its heading.
    pub title: String,
    /// Column headings, units included.
    pub columns: Vec<String>,
    /// Rows, each as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
}

/// One cell. In JSON a number is a number and an absent value is `null`.
#[derive(Clone, Debug, Serialize, PartialEq)]
#[serde(untagged)]
pub enum Cell {
    /// A label.
    Text(String),
    /// A count.
    Count(u64),
    /// A measured value.
    Number(f64),
    /// Nothing was there to measure.
    Absent(()),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_string())
    }
}
impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}
impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Cell::Count(count as u64)
    }
}
impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Cell::Count(count)
    }
}
impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Cell::Number(value)
    }
}
impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Absent(()), Into::into)
    }
}

impl Table {
    /// An empty table.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        Table { title: title.into(), columns: columns.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it is not as long as the table is wide.
    pub fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a row of '{}'", self.title);
        self.rows.push(cells);
    }
}

/// Lines over two axes.
#[derive(Clone, Debug, Serialize)]
pub struct Plot {
    /// Its heading.
    pub title: String,
    /// What runs to the right, with its unit.
    pub x: Axis,
    /// What runs upward, with its unit.
    pub y: Axis,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One axis of a plot.
#[derive(Clone, Debug, Serialize)]
pub struct Axis {
    /// Name and unit.
    pub label: String,
    /// Logarithmic; values up to 0 are left out then.
    pub log: bool,
}

/// One line of a plot.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// For the legend.
    pub name: String,
    /// (x, y), in the order of drawing.
    pub points: Vec<(f64, f64)>,
}

impl Report {
    /// An empty report that already knows where, when and how it was made.
    pub fn new(benchmark: &'static str, title: impl Into<String>, seed: Option<u64>) -> Self {
        let machine = Machine::detect();
        let notes = machine.warnings();
        Report {
            schema: SCHEMA,
            benchmark,
            title: title.into(),
            version: env!("CARGO_PKG_VERSION"),
            command: command_line(std::env::args()),
            started_unix: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            seed,
            machine,
            settings: Vec::new(),
            figures: Vec::new(),
            checks: Vec::new(),
            tables: Vec::new(),
            plots: Vec::new(),
            notes,
        }
    }

    /// Notes a setting.
    pub fn setting(&mut self, name: &str, value: impl ToString) {
        self.settings.push((name.to_string(), value.to_string()));
    }

    /// Notes a figure.
    pub fn figure(&mut self, name: impl Into<String>, value: Option<f64>, unit: &'static str) {
        self.figures.push(Figure { name: name.into(), value, unit });
    }

    /// The value of a figure, if it was noted and measured.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name)?.value
    }

    /// For a terminal: aligned tables.
    pub fn to_text(&self) -> String {
        text::render(self)
    }

    /// For programs: one JSON object, numbers unrounded.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a report holds only strings, numbers and lists")
    }

    /// For people: one HTML page that needs no other file.
    pub fn to_html(&self) -> String {
        html::render(self)
    }
}

/// How this process was called, without its secrets: reports are shown around.
fn command_line(args: impl Iterator<Item = String>) -> String {
    let mut shown = Vec::new();
    let mut secret = false;
    for arg in args {
        shown.push(match (secret, arg.starts_with("--api-key=")) {
            (true, _) => "...".to_string(),
            (false, true) => "--api-key=...".to_string(),
            (false, false) => arg.clone(),
        });
        secret = arg == "--api-key" && !secret;
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests;
