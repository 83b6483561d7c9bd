//! One report with everything in it, in its three forms.

use super::{Axis, Check, Line, Plot, Report, Table};
use crate::machine::Machine;

fn sample() -> Report {
    let mut report = Report::new("serve", "Serving <two> peers", Some(42));
    report.version = "9.9.9";
    report.command = "parkade bench serve --url http://127.0.0.1:1234".to_string();
    report.started_unix = 1_791_184_151;
    report.machine = Machine {
        cpu: "Example CPU".to_string(),
        cores: 2,
        kernel_level: "avx2".to_string(),
        memory_bytes: 8 << 30,
        system: "linux 6.1".to_string(),
        load_average: Some(0.25),
    };
    report.setting("rate", "4 requests/s");
    report.figure("ttft_p99", Some(123.456), "ms");
    report.figure("itl_p99", None, "ms");
    let mut table = Table::new("Latency", &["class", "answers", "TTFT p99 ms"]);
    table.row(vec!["high".into(), 12usize.into(), 123.456.into()]);
    table.row(vec!["normal".into(), 0usize.into(), None::<f64>.into()]);
    report.tables.push(table);
    report.checks.push(Check::at_most("high p99", Some(1.4), 1.5));
    report.checks.push(Check::at_least("goodput", None, 0.9));
    report.plots.push(Plot {
        title: "Goodput".to_string(),
        x: Axis { label: "load".to_string(), log: false },
        y: Axis { label: "answers/s".to_string(), log: true },
        lines: vec![Line { name: "parking-lot & <co>".to_string(), points: vec![(1.0, 4.0), (2.0, 3.9), (4.0, 3.8)] }],
    });
    report.notes = vec!["the machine was idle".to_string()];
    report
}

#[test]
fn text_is_aligned_tables() {
    insta::assert_snapshot!("text", sample().to_text());
}

#[test]
fn json_keeps_its_schema_and_full_precision() {
    let json = serde_json::to_string_pretty(&sample().to_json()).expect("JSON");
    insta::assert_snapshot!("json", json);
}

#[test]
fn html_stands_alone_and_escapes_what_it_shows() {
    let html = sample().to_html();
    insta::assert_snapshot!("html", html);
    for outside in ["<script", "<link", "src=", "url(", "<two>", "<co>"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn keys_are_not_in_the_report() {
    let shown = |line: &str| super::command_line(line.split(' ').map(str::to_string));
    assert_eq!(shown("bench serve --api-key sk-1 --rate 3"), "bench serve --api-key ... --rate 3");
    assert_eq!(shown("bench serve --api-key=sk-1"), "bench serve --api-key=...");
}

#[test]
fn a_check_without_a_measurement_is_not_met() {
    assert!(!Check::at_most("nothing", None, 1.0).met);
    assert!(!Check::at_least("nothing", None, 1.0).met);
    assert!(Check::at_most("equal", Some(1.0), 1.0).met);
    assert!(!Check::at_least("nan", Some(f64::NAN), 1.0).met);
}

#[test]
#[should_panic(expected = "a row of 'Latency'")]
fn a_row_of_the_wrong_width_is_a_programming_error() {
    Table::new("Latency", &["a", "b"]).row(vec!["only one".into()]);
}
