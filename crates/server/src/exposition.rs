//! From OpenMetrics' text format to Prometheus' older one.
//!
//! They differ where a counter is declared: OpenMetrics names the family without the `_total` that its samples carry,
//! the older format has one name for both. `# UNIT` lines and exemplars exist only in the newer one.

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
    fn exemplars_are_left_out() {
        assert_eq!(to_prometheus_text("a_total 3 # {trace=\"x\"} 1.0\n"), "a_total 3\n");
    }
}
