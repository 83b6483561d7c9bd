//! Pages of metrics: those of several engines as one, and from OpenMetrics' text format to Prometheus' older one.
//!
//! They differ where a counter is declared: OpenMetrics names the family without the `_total` that its samples carry,
//! the older format has one name for both. `# UNIT` lines and exemplars exist only in the newer one.

/// The pages of several engines as one, in OpenMetrics' format: the samples get the label `model`, and those of a family
/// stand together. A single engine's page stays as it is.
pub(crate) fn of_models(pages: &[(String, String)]) -> String {
    if let [(_, page)] = pages {
        return page.replace("# EOF\n", "");
    }
    /// Comments and samples of one metric.
    #[derive(Default)]
    struct Family<'a> {
        name: &'a str,
        head: Vec<&'a str>,
        samples: String,
    }
    let mut families: Vec<Family<'_>> = Vec::new();
    for (model, page) in pages {
        let label = format!("model=\"{}\"", model.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
        let mut current = 0;
        let mut begun = None;
        for line in page.lines().filter(|line| *line != "# EOF") {
            if let Some(comment) = line.strip_prefix("# ") {
                let name = comment.split(' ').nth(1).unwrap_or(comment);
                if begun != Some(name) {
                    begun = Some(name);
                    current = families.iter().position(|family| family.name == name).unwrap_or_else(|| {
                        families.push(Family { name, ..Family::default() });
                        families.len() - 1
                    });
                }
                let head = &mut families[current].head;
                if !head.contains(&line) {
                    head.push(line);
                }
            } else if let Some(family) = families.get_mut(current) {
                family.samples.push_str(&labelled(line, &label));
            }
        }
    }
    let mut text = String::new();
    for family in families {
        for line in family.head {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&family.samples);
    }
    text
}

/// A sample with one more label, the first.
fn labelled(sample: &str, label: &str) -> String {
    let name = sample.find(['{', ' ']).unwrap_or(sample.len());
    match sample[name..].strip_prefix('{') {
        Some(rest) if rest.starts_with('}') => format!("{}{{{label}{rest}\n", &sample[..name]),
        Some(rest) => format!("{}{{{label},{rest}\n", &sample[..name]),
        None => format!("{}{{{label}}}{}\n", &sample[..name], &sample[name..]),
    }
}

/// Rewrites a page.
pub(crate) fn to_prometheus_text(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len() + 256);
    let mut lines = openmetrics.lines().peekable();
    while let Some(line) = lines.next() {
        let comment = line.strip_prefix("# ");
        let Some((keyword, rest)) = comment.and_then(|comment| comment.split_once(' ')) else {
            if !line.starts_with("# EOF") {
                let sample = line.split(" # {").next().unwrap_or(line);
                text.push_str(sample);
                text.push('\n');
            }
            continue;
        };
        let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
        let counter = match keyword {
            "TYPE" => value == "counter",
            // The help comes before the type.
            "HELP" => lines.peek().is_some_and(|next| next.strip_prefix("# TYPE ") == Some(&format!("{name} counter"))),
            _ => continue,
        };
        let suffix = if counter { "_total" } else { "" };
        let value = if value == "unknown" && keyword == "TYPE" { "untyped" } else { value };
        text.push_str(&format!("# {keyword} {name}{suffix} {value}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_declared_with_the_name_of_their_samples() {
        let page = "# HELP a_requests Requests.\n# TYPE a_requests counter\na_requests_total{route=\"/x\"} 3\n\
                    # HELP a_running Running.\n# TYPE a_running gauge\n# UNIT a_running seconds\na_running 1\n# EOF\n";
        let expected = "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\na_requests_total{route=\"/x\"} 3\n\
                        # HELP a_running Running.\n# TYPE a_running gauge\na_running 1\n";
        assert_eq!(to_prometheus_text(page), expected);
    }

    #[test]
    fn several_models_stand_under_one_declaration_each_with_its_label() {
        let page = |running: u32| {
            format!(
                "# HELP a_running Running.\n# TYPE a_running gauge\na_running {running}\n\
                 # HELP a_ended Ended.\n# TYPE a_ended counter\na_ended_total{{reason=\"stop\"}} 2\n# EOF\n"
            )
        };
        let merged = of_models(&[("one".to_owned(), page(3)), ("t\"wo".to_owned(), page(4))]);
        let expected = "# HELP a_running Running.\n# TYPE a_running gauge\na_running{model=\"one\"} 3\n\
                        a_running{model=\"t\\\"wo\"} 4\n\
                        # HELP a_ended Ended.\n# TYPE a_ended counter\na_ended_total{model=\"one\",reason=\"stop\"} 2\n\
                        a_ended_total{model=\"t\\\"wo\",reason=\"stop\"} 2\n";
        assert_eq!(merged, expected);
        let alone = of_models(&[("one".to_owned(), page(3))]);
        assert!(alone.contains("a_running 3\n") && !alone.contains("EOF"), "{alone}");
    }

    #[test]
    fn exemplars_are_left_out() {
        assert_eq!(to_prometheus_text("a_total 3 # {trace=\"x\"} 1.0\n"), "a_total 3\n");
    }
}
