//! What is done with text costs by the byte what it takes: no filter, method or operator is a way to more work for the same steps.
//! Steps are counted here, and no time is measured.

use parkade_jinja::{ErrorKind, Limits, Template, Variable};

use crate::support::in_a_small_stack;

const BYTES: usize = 1 << 20;

/// How a rendering of an expression on a long text `s` ends with so many 64ths of a step for each byte of it.
fn with_parts(expression: &str, parts: usize) -> Result<String, ErrorKind> {
    let limits = Limits { fuel: (BYTES * parts / 64) as u64, ..Limits::default() };
    let text = "Ab <c> ".repeat(BYTES / 7 + 1);
    // The template's own words are not charged before it does something with them.
    let variables = [("s", Variable::Own(&text))];
    let template = Template::compile(&format!("{{% set y = {expression} %}}"), &limits).unwrap();
    template.render(&variables, &limits).map(|rendered| rendered.text).map_err(|error| error.kind())
}

fn costs_at_least(parts: usize, expressions: &[&str]) {
    in_a_small_stack(|| {
        for expression in expressions {
            assert_eq!(with_parts(expression, parts), Err(ErrorKind::Fuel), "{expression}");
        }
    });
}

#[test]
fn copying_comparing_and_hashing_text_cost_a_64th_of_a_step_for_a_byte() {
    let expressions = [
        "s ~ 1",
        "s + 'a'",
        "s * 2",
        "s == s[1:]",
        "s < s ~ ''",
        "s | length",
        "{s: 1}",
        "[s] | join",
        "'%s' % s",
        "'{}'.format(s)",
        "[s] | unique | list",
        "s | safe",
        "s.center(10 ** 7)",
        "dict([[s, 1]])",
    ];
    costs_at_least(1, &expressions);
}

#[test]
fn searching_text_costs_a_32nd_of_a_step_for_a_byte() {
    let expressions = [
        "'x' in s",
        "s.find('x')",
        "s.rfind('x')",
        "s.replace('x', '')",
        "s | replace('x', '')",
        "s[1000000]",
        "s[1:]",
        "s.startswith('x', 1000)",
        "s | truncate(9)",
        "'%.9s' % s",
        "'{:.9}'.format(s)",
        "s.format()",
        "s % ()",
        "s | random",
    ];
    costs_at_least(2, &expressions);
}

#[test]
fn looking_at_each_character_costs_a_16th_of_a_step_for_a_byte() {
    let expressions = [
        "s.strip()",
        "s.lstrip()",
        "s.rstrip('x')",
        "s | trim",
        "s.count('x')",
        "s.split()",
        "s.rsplit()",
        "s.split('x')",
        "s.splitlines()",
        "s.partition('x')",
        "s | wordcount",
        "s | indent",
        "s.isalnum()",
        "s.isprintable()",
        "s.istitle()",
        "s is lower",
        "s is upper",
        "s.expandtabs()",
        "{s: 1} | xmlattr",
    ];
    costs_at_least(4, &expressions);
}

#[test]
fn writing_each_character_anew_costs_an_eighth_of_a_step_for_a_byte() {
    let expressions = [
        "s | upper",
        "s.lower()",
        "s.title()",
        "s | title",
        "s | capitalize",
        "s.swapcase()",
        "s.casefold()",
        "s | e",
        "s | forceescape",
        "s | urlencode",
        "[[s, 1]] | urlencode",
        "s | tojson",
        "{s: 1} | tojson(ensure_ascii=true)",
        "[s] | string",
        "'%r' % s",
        "'{!r}'.format(s)",
        "s | pprint",
        "s | striptags",
        "s | urlize",
        "s | wordwrap",
        "s | int",
        "s | float",
        "[s, s] | sort",
        "[s] | min",
        "strftime_now(s)",
    ];
    costs_at_least(8, &expressions);
    // And none of them costs so much that a request of a few megabytes could not have it.
    in_a_small_stack(|| {
        for expression in expressions {
            let ends = with_parts(expression, 120);
            assert!(!matches!(ends, Err(ErrorKind::Fuel)), "{expression}: {ends:?}");
        }
    });
}

/// Each of these once looked at the rest of the text again and again.
#[test]
fn no_text_makes_work_grow_faster_than_itself() {
    let cases = [
        ("aa-", "s | wordwrap"),
        ("aa-", "s | wordwrap(1)"),
        ("aa-", "s | wordwrap(1000000, false)"),
        ("1-", "s | wordwrap(1000000)"),
        ("a ", "s | wordwrap(1)"),
        ("(", "s | urlize"),
        ("a.)", "s | urlize"),
        ("&", "s | striptags"),
        ("<!--", "s | striptags"),
        ("{{", "s.format()"),
        ("%%", "s % ()"),
        ("1_", "s | int"),
        ("aab", "s.find('aab' * 1000 ~ 'c')"),
    ];
    in_a_small_stack(|| {
        for (pattern, expression) in cases {
            let text = pattern.repeat(3 << 20);
            let limits = Limits::default();
            let template = Template::compile(&format!("{{{{ ({expression}) | length }}}}"), &limits).unwrap();
            // It ends, one way or the other.
            let _ = template.render(&[("s", Variable::Own(&text))], &limits);
        }
    });
}
