//! Reading Prometheus text, as far as benchmarks need it.

/// The sum of all samples of the metric `name` whose labels contain `label` (as `part="forward"`; empty for any).
/// `None` if there is no such sample.
pub(crate) fn sum(text: &str, name: &str, label: &str) -> Option<f64> {
    let value = |line: &str| -> Option<f64> {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(labelled) => labelled.split_once('}')?,
            None => ("", rest.strip_prefix(' ')?),
        };
        if !labels.contains(label) {
            return None;
        }
        value.split_whitespace().next()?.parse().ok()
    };
    let values: Vec<f64> = text.lines().filter_map(value).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn samples_are_picked_by_name_and_label() {
        let text =
            "# HELP steps x\nsteps{part=\"a\",m=\"1\"} 2\nsteps{part=\"b\"} 3.5 1700000000\nsteps_total 9\nplain 4\n";
        assert_eq!(sum(text, "steps", ""), Some(5.5));
        assert_eq!(sum(text, "steps", "part=\"a\""), Some(2.0));
        assert_eq!(sum(text, "plain", ""), Some(4.0));
        assert_eq!(sum(text, "step", ""), None);
        assert_eq!(sum(text, "plain", "part=\"a\""), None);
    }
}
