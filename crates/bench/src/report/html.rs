//! The report as one HTML page: no scripts, no fonts, no other files.

use super::escape::escape;
use super::number::{cell, moment};
use super::{Cell, Report, Table, svg, text};
use std::fmt::Write;

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1e21;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin-top:2rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .7rem;border-bottom:1px solid #dfe3e8;text-align:right;white-space:nowrap}
th{border-bottom:2px solid #9aa4af}.l{text-align:left;white-space:normal}
.no{color:#b3261e;font-weight:600}.scroll{overflow-x:auto}code{background:#f2f4f6;padding:.1rem .3rem}
svg{max-width:100%;height:auto}
@media(prefers-color-scheme:dark){body{background:#16181b;color:#e3e6ea}th,td{border-color:#3a3f45}code{background:#24282c}.no{color:#ff8a80}}
";

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    let title = escape(&report.title);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style></head>\n\
         <body>\n<h1>{title}</h1>\n"
    );
    let mut about = vec![
        ("machine".to_string(), report.machine.line()),
        ("version".to_string(), format!("parkade {}", report.version)),
        ("when".to_string(), moment(report.started_unix)),
    ];
    about.extend(report.seed.map(|seed| ("seed".to_string(), seed.to_string())));
    about.extend(report.settings.iter().cloned());
    let _ = writeln!(out, "<p><code>{}</code></p>\n<table>", escape(&report.command));
    for (name, value) in &about {
        let _ = writeln!(out, "<tr><th class=\"l\">{}</th><td class=\"l\">{}</td></tr>", escape(name), escape(value));
    }
    out += "</table>\n";
    if !report.checks.is_empty() {
        table(&mut out, &text::checks(&report.checks));
    }
    for shown in &report.tables {
        table(&mut out, shown);
    }
    for plot in &report.plots {
        let _ = writeln!(out, "<h2>{}</h2>\n{}", escape(&plot.title), svg::render(plot));
    }
    for note in &report.notes {
        let _ = writeln!(out, "<p>{}</p>", escape(note));
    }
    out += "</body></html>\n";
    out
}

fn table(out: &mut String, table: &Table) {
    let _ = writeln!(out, "<h2>{}</h2>\n<div class=\"scroll\"><table>", escape(&table.title));
    let label = |column: usize| match table.rows.first().map(|row| &row[column]) {
        Some(Cell::Text(_)) => " class=\"l\"",
        _ => "",
    };
    out.push_str("<tr>");
    for (column, heading) in table.columns.iter().enumerate() {
        let _ = write!(out, "<th{}>{}</th>", label(column), escape(heading));
    }
    out.push_str("</tr>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for (column, value) in row.iter().enumerate() {
            let class = match value {
                Cell::Text(text) if text == "NO" => " class=\"l no\"",
                _ => label(column),
            };
            let _ = write!(out, "<td{class}>{}</td>", escape(&cell(value)));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table></div>\n");
}
