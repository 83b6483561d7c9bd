//! Schemas as tools, editors and programs have them: how many can be enforced, and what it takes to compile them.
#![cfg(target_os = "linux")]

#[path = "support/words.rs"]
mod words;

use std::fmt::Write;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use parkade_grammar::{Format, Grammars, Limits};
use serde_json::Value;
use words::Words;

/// The most that a schema may take to compile.
const TIME: Duration = Duration::from_secs(1);
const MEMORY: u64 = 64 << 20;

/// The schemas with their names.
fn schemas() -> impl Iterator<Item = (String, Value)> {
    include_str!("data/real/schemas.jsonl").lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).expect("each line is JSON");
        (line["name"].as_str().expect("it has a name").to_owned(), line["schema"].take())
    })
}

/// The time for which this process has used a core.
fn time_used() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let fields: Vec<&str> = text.rsplit_once(')').expect("behind the name").1.split_whitespace().collect();
    // User's and system's time, in hundredths of a second.
    Duration::from_millis(fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number") * 10).sum())
}

/// A figure of this process's memory, in bytes.
fn memory(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("it has this figure");
    line.split_whitespace().nth(1).and_then(|figure| figure.parse::<u64>().ok()).expect("a number") * 1024
}

fn loose(schema: Value) -> Format {
    Format::LarkWithJson {
        lark: "start: @schema0".to_owned(),
        schemas: vec![schema],
        strict: false,
        chosen: Vec::new(),
    }
}

/// One test, so that nothing else uses time and memory meanwhile.
#[test]
fn real_schemas_are_compiled_within_time_and_memory_and_what_is_refused_is_listed() {
    // What is too slow by the process's own time is found below; a loaded machine may take longer. Nothing is kept.
    let limits = Limits { time: Duration::from_secs(60), cache_bytes: 0, ..Limits::default() };
    let grammars = Grammars::with_limits(Arc::new(Words::new(49_152)), limits);
    grammars.compile(&Format::JsonObject).expect("the vocabulary is sorted with the first one");
    let (mut refused, mut count, mut slowest) = (String::new(), 0, Duration::ZERO);
    let before = memory("VmRSS");
    for (name, schema) in schemas() {
        count += 1;
        for format in [Format::JsonSchema { schema: schema.clone(), strict: true }, loose(schema)] {
            let is_strict = matches!(format, Format::JsonSchema { .. });
            let begin = time_used();
            let compiled = grammars.compile(&format);
            let took = time_used() - begin;
            slowest = slowest.max(took);
            assert!(took <= TIME, "{name} took {took:?}");
            match compiled {
                Ok(grammar) => {
                    let mut matcher = grammar.matcher();
                    let begun = matcher.take_forced().expect("it begins");
                    let way = matcher.way_to_end(&[], 1_000).unwrap_or_else(|| panic!("{name} has no whole text"));
                    let text: Vec<u8> = begun.iter().chain(&way).map(|&id| id as u8).collect();
                    serde_json::from_slice::<Value>(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text:?}"));
                }
                Err(error) if is_strict => writeln!(refused, "{name}: {error}").unwrap(),
                Err(error) => panic!("{name}, as arguments of a call: {error}"),
            }
        }
    }
    let grown = memory("VmHWM").saturating_sub(before);
    println!("{count} schemas, {} refused; slowest {slowest:?}; {grown} bytes more", refused.lines().count());
    assert!(count >= 200 && grown <= MEMORY, "{count} schemas, {grown} bytes more");
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/real/refused.txt");
    if std::env::var_os("PARKADE_RECORD").is_some() {
        fs::write(list, &refused).unwrap();
    }
    assert!(
        fs::read_to_string(list).is_ok_and(|known| known == refused),
        "PARKADE_RECORD=1 records what is refused now:\n{refused}"
    );
}
