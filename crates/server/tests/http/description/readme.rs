//! The README's table of all fields is made of the description.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::servers::{Operation, Servers};

const BEGIN: &str = "<!-- fields: written by a test, see CONTRIBUTING.md -->\n";
const END: &str = "<!-- end of fields -->\n";

/// If it is set, the table is written and not compared.
const WRITE: &str = "PARKADE_WRITE_FIELDS";

/// An endpoint's lists of names: read, refused, ignored.
type Lists = [Vec<String>; 3];

fn lists(operation: &Operation) -> Lists {
    let named = |list: &str| -> Vec<String> {
        let names = operation.body()[list].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let read = operation.fields().map(|(name, _)| name.to_owned()).collect();
    let mut lists = [read, named("x-parkade-refused"), named("x-parkade-ignored")];
    lists.iter_mut().for_each(|names| names.sort_unstable());
    lists
}

fn in_code(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A list that has most of an earlier path's in it is told by what differs.
fn told(names: &[String], earlier: &[(String, Lists)], which: usize) -> String {
    let mut nearest: Option<(usize, String)> = None;
    for (path, lists) in earlier {
        let (more, fewer): (Vec<String>, Vec<String>) = (
            names.iter().filter(|name| !lists[which].contains(name)).cloned().collect(),
            lists[which].iter().filter(|name| !names.contains(name)).cloned().collect(),
        );
        let differing = more.len() + fewer.len();
        let is_nearer = nearest.as_ref().is_none_or(|(before, _)| differing < *before);
        if is_nearer && names.len() > 20 && differing < names.len() / 3 {
            let and = if more.is_empty() { String::new() } else { format!(", and {}", in_code(&more)) };
            let but = if fewer.is_empty() { String::new() } else { format!(", but not {}", in_code(&fewer)) };
            nearest = Some((differing, format!("as `{path}`{but}{and}")));
        }
    }
    nearest.map_or_else(|| in_code(names), |(_, told)| told)
}

fn table(servers: &Servers) -> String {
    let mut text = String::new();
    let mut earlier = Vec::new();
    let mut operations = servers.operations();
    let first = ["/v1/chat/completions", "/v1/completions"];
    operations.sort_by_key(|operation| {
        (first.iter().position(|path| *path == operation.path).unwrap_or(first.len()), operation.path.clone())
    });
    for operation in operations {
        let lists = lists(&operation);
        writeln!(text, "\n| `POST {}` | fields |\n| --- | --- |", operation.path).expect("text");
        for (which, title) in ["supported", "refused", "ignored"].into_iter().enumerate() {
            if !lists[which].is_empty() {
                writeln!(text, "| {title} | {} |", told(&lists[which], &earlier, which)).expect("text");
            }
        }
        earlier.push((format!("POST {}", operation.path), lists));
    }
    text + "\n"
}

#[tokio::test]
async fn the_readme_names_each_field_of_each_path() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md"));
    let readme = std::fs::read_to_string(path).expect("the README");
    let (before, rest) = readme.split_once(BEGIN).expect("where the table begins");
    let (there, after) = rest.split_once(END).expect("where it ends");
    let table = table(&Servers::start().await);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).expect("a README that can be written");
    } else {
        assert!(there == table, "the table of fields is old; run this test with {WRITE}=1 to write it anew");
    }
}
