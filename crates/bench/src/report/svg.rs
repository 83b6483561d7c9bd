//! Plots as SVG.

use super::escape::escape;
use super::number::format;
use super::{Axis, Plot};
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 50.0;
/// Okabe and Ito's colours, which colour-blind readers can tell apart.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c7a00"];

/// Where values of an axis lie, in 0..=1.
struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// Covers all values: from 0 on a linear axis, over whole decades on a logarithmic one.
    fn over(axis: &Axis, values: impl Iterator<Item = f64>) -> Scale {
        let (low, high) = values
            .filter(|value| value.is_finite() && (!axis.log || *value > 0.0))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match (low <= high, axis.log) {
            (false, true) => (1.0, 10.0),
            (false, false) => (0.0, 1.0),
            (true, true) => {
                let floor = low.log10().floor();
                (10f64.powf(floor), 10f64.powf(high.log10().ceil().max(floor + 1.0)))
            }
            (true, false) => {
                let step = step(high.max(0.0) - low.min(0.0));
                (low.min(0.0), (high / step).ceil().max(1.0) * step)
            }
        };
        Scale { low, high, log: axis.log }
    }

    fn place(&self, value: f64) -> Option<f64> {
        match self.log {
            true if value <= 0.0 => None,
            true => Some((value / self.low).ln() / (self.high / self.low).ln()),
            false => Some((value - self.low) / (self.high - self.low)),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let decades = (self.high / self.low).log10().round() as i32;
            return (0..=decades).map(|n| self.low * 10f64.powi(n)).collect();
        }
        let step = step(self.high - self.low);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }
}

/// A round step (1, 2 or 5 times a power of ten) that divides `span` into at most ten parts.
fn step(span: f64) -> f64 {
    if span <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf((span / 10.0).log10().floor());
    let fits = |factor: &&f64| span / (power * **factor) <= 10.0;
    power * [1.0, 2.0, 5.0].iter().find(fits).unwrap_or(&10.0)
}

pub(super) fn render(plot: &Plot) -> String {
    let points = || plot.lines.iter().flat_map(|line| line.points.iter());
    let x = Scale::over(&plot.x, points().map(|point| point.0));
    let y = Scale::over(&plot.y, points().map(|point| point.1));
    let at_x = |share: f64| LEFT + share * (WIDTH - LEFT - RIGHT);
    let at_y = |share: f64| HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" width=\"{WIDTH}\" role=\"img\" \
         aria-label=\"{}\" font-family=\"system-ui,sans-serif\" font-size=\"12\" fill=\"currentColor\">\n",
        HEIGHT + 18.0 * plot.lines.len().div_ceil(3) as f64,
        escape(&plot.title),
    );
    for tick in x.ticks() {
        let place = at_x(x.place(tick).unwrap_or(0.0));
        let _ = writeln!(
            out,
            "<path d=\"M{place:.1} {TOP}V{:.1}\" stroke=\"currentColor\" stroke-opacity=\".15\"/>\
             <text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0,
            format(tick)
        );
    }
    for tick in y.ticks() {
        let place = at_y(y.place(tick).unwrap_or(0.0));
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {place:.1}H{:.1}\" stroke=\"currentColor\" stroke-opacity=\".15\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            place + 4.0,
            format(tick)
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        at_x(0.5),
        HEIGHT - BOTTOM + 36.0,
        escape(&plot.x.label),
        at_y(0.5),
        escape(&plot.y.label),
    );
    for (index, line) in plot.lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let placed: Vec<(f64, f64)> =
            line.points.iter().filter_map(|&(px, py)| Some((at_x(x.place(px)?), at_y(y.place(py)?)))).collect();
        let mut path = String::new();
        for (n, (px, py)) in placed.iter().enumerate() {
            let _ = write!(path, "{}{px:.1} {py:.1}", if n == 0 { 'M' } else { 'L' });
        }
        let _ = writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
        // Few points are measurements of their own; many are a curve.
        for (px, py) in placed.iter().filter(|_| placed.len() <= 24) {
            let _ = writeln!(out, "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3.5\" fill=\"{colour}\"/>");
        }
        let (column, row) = (index % 3, index / 3);
        let (px, py) = (LEFT + 230.0 * column as f64, HEIGHT + 18.0 * row as f64);
        let _ = writeln!(
            out,
            "<rect x=\"{px}\" y=\"{:.1}\" width=\"14\" height=\"4\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            py - 1.0,
            px + 20.0,
            py + 5.0,
            escape(&line.name)
        );
    }
    out += "</svg>";
    out
}

#[cfg(test)]
mod tests {
    use super::{Axis, Scale, step};

    fn scale(log: bool, values: &[f64]) -> Scale {
        let axis = Axis { label: String::new(), log };
        Scale::over(&axis, values.iter().copied())
    }

    #[test]
    fn steps_are_round_and_few() {
        for (span, wanted) in [(1.0, 0.1), (10.0, 1.0), (11.0, 2.0), (45.0, 5.0), (60.0, 10.0), (0.0, 1.0)] {
            assert!((step(span) - wanted).abs() < 1e-12, "{span}: {}", step(span));
        }
    }

    #[test]
    fn every_value_lies_inside_the_axes() {
        for (log, values) in [(false, vec![3.0, 97.0]), (true, vec![0.002, 41.0]), (false, vec![-4.0, 2.0])] {
            let scale = scale(log, &values);
            for value in values {
                let place = scale.place(value).expect("inside");
                assert!((0.0..=1.0).contains(&place), "{value} at {place}");
            }
            assert!(scale.ticks().len() <= 12);
        }
    }

    #[test]
    fn a_logarithmic_axis_has_no_place_for_zero_and_no_values_make_no_nan() {
        assert_eq!(scale(true, &[1.0, 10.0]).place(0.0), None);
        assert!(scale(false, &[]).place(0.5).is_some_and(f64::is_finite));
        assert!(scale(false, &[0.0]).place(0.0).is_some_and(f64::is_finite));
    }
}
