//! Schemas as tools, editors and programs have them: how many can be enforced, and what it takes to compile them.
#![cfg(target_os = "linux")]

use std::fmt::Write;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use parkade_grammar::{Format, Grammars, Limits, Tokens};
use serde_json::Value;

/// The most that a schema may take to compile.
const TIME: Duration = Duration::from_secs(1);
const MEMORY: u64 = 64 << 20;

/// All bytes, an end, and as many further tokens as vocabularies have: words of up to eight letters, some with a space before them.
struct Words(Vec<Vec<u8>>);

const END: usize = 256;

impl Words {
    fn new(count: usize) -> Self {
        let mut random = 1u64;
        let mut below = |most: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % most
        };
        let mut words: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).chain([b"<end>".to_vec()]).collect();
        words.extend(["{\"", "\":", "\",\"", "\":\"", "\"}", "},{\"", "[\"", "\"]", "true", "false"].map(Into::into));
        while words.len() < count {
            let mut word = b" "[..below(2)].to_vec();
            word.extend((0..2 + below(7)).map(|_| b"etaoinshrdlucmfwypvbgk"[below(22)]));
            words.push(word);
        }
        Words(words)
    }
}

impl Tokens for Words {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self, id: u32) -> &[u8] {
        self.0.get(id as usize).map_or(&[], Vec::as_slice)
    }

    fn is_special(&self, id: u32) -> bool {
        id as usize == END
    }

    fn is_end(&self, id: u32) -> bool {
        id as usize == END
    }

    fn encode(&self, text: &str) -> Option<Vec<u32>> {
        Some(text.bytes().map(u32::from).collect())
    }
}

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
