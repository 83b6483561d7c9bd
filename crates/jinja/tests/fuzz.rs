//! Templates that nobody would write: mutations of those in `tests/data`, and whatever a few rules generate. Each must end, in
//! success or an error, within its limits and on a thread with 2 MiB of stack.
//!
//! `PARKADE_FUZZ_CASES` says how many (a few thousand by default), `PARKADE_FUZZ_SEED` which ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::path::Path;
use std::time::{Duration, Instant};

use parkade_jinja::{Limits, Template, Variable};
use serde_json::{Value, json};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
/// Whatever a machine is busy with: a template that takes longer than this did not end.
const HANGS: Duration = Duration::from_secs(60);
/// A tenth of what a server allows, so that many cases are possible.
const LIMITS: Limits = Limits { source_bytes: 1 << 20, fuel: 200_000, memory_bytes: 8 << 20, output_bytes: 1 << 20 };

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<'t, T: ?Sized>(&mut self, from: &[&'t T]) -> &'t T {
        from[self.below(from.len())]
    }
}

/// Pieces that mean something to a template.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{%-",
    "-%}",
    "{#",
    "#}",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'",
    "\"",
    "\\",
    "|",
    ".",
    ",",
    ":",
    "=",
    "==",
    "~",
    "+",
    "-",
    "*",
    "**",
    "//",
    "%",
    "<",
    ">",
    "!=",
    " not ",
    " and ",
    " or ",
    " in ",
    " is ",
    " if ",
    " else ",
    "for ",
    "endfor",
    "endif",
    "set ",
    "macro ",
    "endmacro",
    "call ",
    "endcall",
    "filter ",
    "endfilter",
    "raw",
    "endraw",
    "recursive",
    "loop",
    "ns",
    "x",
    "messages",
    "none",
    "true",
    "0",
    "1",
    "-1",
    "99999999999999999999",
    "1e308",
    "0.5",
    "''",
    "'a' * 99999",
    "range(99999)",
    "[0] * 99999",
    "é",
    "😀",
    "\u{0}",
    "\n",
    "loop.changed(x)",
    "caller()",
    "namespace(x=1)",
    "ns.x",
    "'{:>9999}'.format(x)",
    "'%9999d' % 1",
    "x[::-1]",
    "x[1:2]",
];
const FILTERS: &[&str] = &[
    "abs",
    "attr('x')",
    "batch(2)",
    "capitalize",
    "center(9)",
    "count",
    "default(1)",
    "dictsort",
    "e",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format(1)",
    "groupby('role')",
    "indent",
    "int",
    "items",
    "join(',')",
    "last",
    "length",
    "list",
    "lower",
    "map('upper')",
    "map(attribute='role')",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "rejectattr('role')",
    "replace('a', 'bb')",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr('role', 'eq', 'user')",
    "slice(3)",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "tojson(indent=3)",
    "truncate(5)",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap(4)",
    "xmlattr",
];
const METHODS: &[&str] = &[
    "split()",
    "split('a')",
    "rsplit(' ', 1)",
    "splitlines()",
    "strip()",
    "strip('ab')",
    "title()",
    "upper()",
    "swapcase()",
    "zfill(5)",
    "center(7)",
    "find('a')",
    "count('')",
    "replace('', '-')",
    "format(1, 2)",
    "join(x)",
    "items()",
    "keys()",
    "get('a')",
    "partition('a')",
    "casefold()",
    "expandtabs()",
    "index(1)",
    "startswith('a')",
    "role",
    "content",
    "x",
    "append(1)",
    "isdigit()",
];

/// An expression of about this depth.
fn expression(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return random
            .pick(&["x", "n", "s", "m", "m[0]", "d", "1", "'a b'", "[]", "{}", "none", "ns", "loop", "2.5", "'%s {}'"])
            .to_owned();
    }
    let a = expression(random, depth - 1);
    let b = expression(random, depth - 1);
    match random.below(12) {
        0 | 1 => format!("{a} | {}", random.pick(FILTERS)),
        2 => format!("({a}).{}", random.pick(METHODS)),
        3 => format!("({a} {} {b})", random.pick(&["+", "-", "*", "/", "//", "%", "~", "**"])),
        4 => format!("{a} {} {b}", random.pick(&["==", "<", ">=", "in", "not in", "and", "or"])),
        5 => format!("[{a}, {b}]"),
        6 => format!("({a}, {b})"),
        7 => format!("{{'k': {a}, {b}: 1}}"),
        8 => format!("({a} if {b} else n)"),
        9 => format!("({a})[{b}]"),
        10 => format!("({a})[{b}:]"),
        _ => format!("({a}) is {}", random.pick(&["string", "defined", "odd", "mapping", "eq(1)", "in(m)", "upper"])),
    }
}

/// Statements of about this depth.
fn statements(random: &mut Random, depth: usize) -> String {
    let mut out = String::new();
    for _ in 0..=random.below(3) {
        let value = expression(random, 2);
        if depth == 0 {
            out.push_str(&format!("{{{{ {value} }}}}"));
            continue;
        }
        let inner = statements(random, depth - 1);
        out.push_str(&match random.below(9) {
            0 => format!("{{% for i in {value} %}}{inner}{{{{ loop.index }}}}{{% endfor %}}"),
            1 => format!("{{% for i in {value} recursive %}}{inner}{{{{ loop(i) }}}}{{% endfor %}}"),
            2 => format!("{{% if {value} %}}{inner}{{% else %}}b{{% endif %}}"),
            3 => format!("{{% set x = {value} %}}{inner}"),
            4 => format!("{{% set x %}}{inner}{{% endset %}}{{{{ x }}}}"),
            5 => format!("{{% macro f(a, b={value}) %}}{inner}{{% endmacro %}}{{{{ f({value}) }}}}"),
            6 => format!("{{% filter upper %}}{inner}{{% endfilter %}}"),
            7 => format!("{{% set ns = namespace(x={value}) %}}{{% for i in range(50) %}}{{% set ns.x = [ns.x, ns.x] %}}{{% endfor %}}{inner}"),
            _ => format!("{{% set ns = namespace(x='a') %}}{{% for i in range(50) %}}{{% set ns.x = ns.x ~ ns.x %}}{inner}{{% endfor %}}"),
        });
    }
    out
}

/// A template with a few pieces put in, taken out, doubled or swapped.
fn mutated(random: &mut Random, seeds: &[String]) -> String {
    let mut text = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let mut place = |text: &str| {
            let mut at = random.below(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (a, b) = (place(&text), place(&text));
        let (from, to) = (a.min(b), a.max(b));
        match random.below(8) {
            0 | 1 => text.insert_str(a, random.pick(PIECES)),
            2 => drop(text.drain(from..)),
            3 => text.replace_range(from..to, ""),
            4 | 5 => text.insert_str(a, &random.pick(PIECES).repeat(random.below(300))),
            6 => {
                let part = text[from..to].to_owned();
                text.insert_str(a, &part);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                text.insert_str(a, other);
            }
        }
        while !text.is_empty() && text.len() > 100_000 {
            text.pop();
        }
    }
    text
}

fn seeds() -> Vec<String> {
    let mut seeds: Vec<String> = std::fs::read_dir(Path::new(DATA).join("templates"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    // The order of a folder is nobody's promise.
    seeds.sort();
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(format!("{DATA}/cases.json")).unwrap()).unwrap();
    seeds.extend(cases["cases"].as_array().unwrap().iter().map(|case| case[0].as_str().unwrap().to_owned()));
    seeds
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn no_template_gets_out_of_its_bounds() {
    let seeds = seeds();
    let mut random = Random(number("PARKADE_FUZZ_SEED", 1));
    let cases = number("PARKADE_FUZZ_CASES", 3000);
    let messages = json!([
        {"role": "system", "content": "Be <brief>."},
        {"role": "user", "content": "Hi\nthere 😀"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {"a": [1, null]}}}]},
        {"role": "tool", "content": "{\"a\": 1.5}"},
    ]);
    let tools = json!([{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object",
        "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]}}}]);
    let (text, number, dict) = (json!("Ab c<d>"), json!(3), json!({"b": 1, "a": [1, {"x": null}]}));
    let variables = [
        ("messages", Variable::Input(&messages)),
        ("m", Variable::Input(&messages)),
        ("tools", Variable::Input(&tools)),
        ("s", Variable::Input(&text)),
        ("n", Variable::Input(&number)),
        ("d", Variable::Input(&dict)),
        ("bos_token", Variable::Own("<s>")),
        ("add_generation_prompt", Variable::Flag(true)),
    ];
    let mut rendered = 0;
    std::thread::scope(|scope| {
        let run = || {
            for case in 0..cases {
                let source =
                    if random.below(3) == 0 { statements(&mut random, 2) } else { mutated(&mut random, &seeds) };
                let started = Instant::now();
                let result =
                    Template::compile(&source, &LIMITS).and_then(|template| template.render(&variables, &LIMITS));
                assert!(started.elapsed() < HANGS, "case {case} took {:?}: {source}", started.elapsed());
                if let Ok(result) = result {
                    rendered += 1;
                    assert!(result.text.len() <= LIMITS.output_bytes);
                    let mut end = 0;
                    for range in result.input {
                        assert!(range.start >= end && range.start < range.end && range.end <= result.text.len());
                        assert!(result.text.is_char_boundary(range.start) && result.text.is_char_boundary(range.end));
                        end = range.end;
                    }
                }
            }
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, run).unwrap().join().unwrap();
    });
    assert!(rendered > cases / 20, "only {rendered} of {cases} templates could be rendered");
}
