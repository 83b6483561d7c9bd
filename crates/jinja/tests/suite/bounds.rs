//! Bounds, whatever a template does. Everything here runs on a thread with 2 MiB of stack.

use parkade_jinja::{Error, ErrorKind, Limits, Rendered, Template};
use serde_json::json;

use crate::support::{in_a_small_stack, render};

fn run(source: &str) -> Result<Rendered, Error> {
    in_a_small_stack(|| render(source, &json!({"m": [{"role": "user", "content": "hi"}]})))
}

fn stopped(source: &str) -> ErrorKind {
    match run(source) {
        Ok(rendered) => panic!("{} bytes from {}", rendered.text.len(), &source[..source.len().min(80)]),
        Err(error) => error.kind(),
    }
}

fn is_out_of_something(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Fuel | ErrorKind::Memory | ErrorKind::Output | ErrorKind::Depth)
}

#[test]
fn chains_of_any_length_are_no_depth() {
    let n = 20_000;
    let chains = [
        format!("{{{{ 1{} }}}}", "~1".repeat(n)),
        format!("{{{{ 1{} }}}}", "+1".repeat(n)),
        format!("{{{{ 1{} }}}}", "*1".repeat(n)),
        format!("{{{{ 1{} }}}}", "**1".repeat(n)),
        format!("{{{{ {}1 }}}}", "not ".repeat(n)),
        format!("{{{{ {}1 }}}}", "- ".repeat(n)),
        format!("{{{{ 1{} }}}}", " or 1".repeat(n)),
        format!("{{{{ 1{} }}}}", " and 1".repeat(n)),
        format!("{{{{ 1{} }}}}", " < 1".repeat(n)),
        format!("{{{{ 1{} }}}}", "|string".repeat(n)),
        format!("{{{{ 1{} }}}}", " if 0 else 1".repeat(n)),
        format!("{{{{ 'a' {} }}}}", "'a' ".repeat(n)),
        format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(n)),
        format!("{{{{ [{}] | length }}}}", "1,".repeat(n)),
        "{{ 1 }}{% set a = 1 %}".repeat(n),
    ];
    for chain in &chains {
        assert!(run(chain).is_ok(), "{}: {:?}", &chain[..40], run(chain).map(drop));
    }
    let attributes = format!("{{{{ m{} }}}}", ".x".repeat(n));
    assert_eq!(stopped(&attributes), ErrorKind::Failed);
    let tests = format!("{{{{ 1{} }}}}", " is odd".repeat(n));
    assert_eq!(stopped(&tests), ErrorKind::Syntax);
}

/// Each opens something within itself; `levels` deep it is fine, and ever so deep it is an error with the line.
#[test]
fn nesting_has_a_bound_and_below_it_everything_fits_the_stack() {
    let shapes = [
        ("{{ ", "(", "1", ")", " }}"),
        ("{{ ", "[", "1", "]", " }}"),
        ("{{ ", "{1:", "1", "}", " }}"),
        ("{{ ", "m[", "0", "]", " }}"),
        ("{{ ", "m[:", "1", "]", " }}"),
        ("{{ ", "range(", "1", ")", " }}"),
        ("{{ ", "1|default(", "1", ")", " }}"),
        ("{{ ", "1 is in([", "1", "])", " }}"),
        ("{{ ", "(0 or 1 and not 2 < 3 + 4 ~ 5 * 6 ** - ", "1", ")", " }}"),
        ("{{ ", "(0 or 1 and not 2 > 3 + 4 ~ 5 * 6 ** - ", "1", " if 0 if 1 if 1)", " }}"),
        ("", "{% if 1 %}", "x", "{% endif %}", ""),
        ("", "{% if 0 %}{% else %}", "x", "{% endif %}", ""),
        ("", "{% for i in [1] %}", "x", "{% endfor %}", ""),
        ("", "{% for i in [] %}{% else %}", "x", "{% endfor %}", ""),
        ("", "{% set a %}", "x", "{% endset %}", ""),
        ("", "{% filter upper %}", "x", "{% endfilter %}", ""),
        ("", "{% with a = 1 %}", "x", "{% endwith %}", ""),
        ("", "{% macro f() %}", "x", "{% endmacro %}{{ f() }}", ""),
        ("{% macro f() %}{{ caller() }}{% endmacro %}", "{% call f() %}", "x", "{% endcall %}", ""),
        ("", "{% generation %}", "x", "{% endgeneration %}", ""),
    ];
    for (before, open, middle, close, after) in shapes {
        let source = |levels: usize| format!("{before}{}{middle}{}{after}", open.repeat(levels), close.repeat(levels));
        let ends = run(&source(45)).map_err(|error| error.kind());
        assert!(!matches!(ends, Err(ErrorKind::Syntax)), "{open}: {ends:?}");
        for levels in 46..=105 {
            let _ = run(&source(levels));
        }
        for levels in [200, 20_000] {
            assert_eq!(stopped(&source(levels)), ErrorKind::Syntax, "{open}");
        }
        // Never closed.
        assert!(run(&format!("{before}{}", open.repeat(20_000))).is_err());
    }
}

#[test]
fn calls_have_a_bound_and_fit_the_stack() {
    let recursions = [
        "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{% macro f(n) %}{% for i in [1] if i %}{% if i %}{{ [{'a': (f(n + 1) ~ 'x') | upper}] }}{% endif %}{% endfor %}{% endmacro %}{{ f(0) }}",
        "{% macro f() %}{{ caller is defined }}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}",
        "{% macro f() %}{% call g() %}{{ f() }}{% endcall %}{% endmacro %}{% macro g() %}{{ caller() }}{% endmacro %}{{ f() }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% block a %}{{ self.a() }}{% endblock %}",
        "{% macro f(n) %}{% set a %}{% filter upper %}{% with b = 1 %}{{ f(n) }}{% endwith %}{% endfilter %}{% endset %}{% endmacro %}{{ f(0) }}",
        "{% macro f(a=f()) %}{% endmacro %}{{ f() }}",
    ];
    for source in recursions {
        assert_eq!(stopped(source), ErrorKind::Depth, "{source}");
    }
    // Thirty levels, as a schema of a tool might have them, are no problem.
    let schema = "{% macro f(n) %}{% if n %}{% for i in [1] %}{{ '[' ~ f(n - 1) ~ ']' }}{% endfor %}{% endif %}{% endmacro %}{{ f(30) }}";
    assert_eq!(run(schema).unwrap().text, "[".repeat(30) + &"]".repeat(30));
}

/// Values that contain the same value many times over, at many levels: little memory, and work without end for who walks there.
#[test]
fn work_on_shared_values_is_counted_wherever_it_is_done() {
    let two = "{% set ns = namespace(a=[1], b=[1], d={'k': 1}, e={'k': 1}) %}{% for i in range(60) %}\
        {% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}\
        {% set ns.d = {'x': ns.d, 'y': ns.d} %}{% set ns.e = {'x': ns.e, 'y': ns.e} %}{% endfor %}";
    let uses = [
        "ns.a == ns.b",
        "ns.a != ns.b",
        "ns.a < ns.b",
        "ns.a <= ns.b",
        "ns.a in [ns.b]",
        "[ns.a, ns.b] | sort",
        "ns.d == ns.e",
        "[(ns.a,), (ns.b,)] | sort",
        "[ns.a, ns.b] | min",
        "[ns.a].index(ns.b)",
        "[ns.a].count(ns.b)",
        "ns.a",
        "ns.a ~ ''",
        "ns.a | string",
        "ns.a | tojson",
        "ns.d | tojson(indent=2)",
        "ns.d | pprint",
        "'%s' % (ns.a,)",
        "'%r' % [ns.a]",
        "'{}'.format(ns.a)",
        "raise_exception(ns.a)",
        "[ns.a] | join",
        "ns.a | upper",
        "ns.a | e",
        "ns.a | urlencode",
        "ns",
        "ns.a | replace('a', 'b')",
        "[{'k': ns.a}, {'k': ns.b}] | groupby('k')",
        "ns.a is eq(ns.b)",
        "ns.a is in([ns.b])",
        "[ns.a] | select('eq', ns.b) | list",
        "ns.a | wordcount",
        "joiner(ns.a)",
        "[[ns.a, 1]] | urlencode",
        "{'a': ns.a} | xmlattr",
    ];
    for expression in uses {
        let kind = stopped(&format!("{two}{{{{ {expression} }}}}"));
        assert!(is_out_of_something(kind), "{expression}: {kind:?}");
    }
    let changed = format!("{two}{{% for x in [ns.a, ns.b] %}}{{{{ loop.changed(x) }}}}{{% endfor %}}");
    assert!(is_out_of_something(stopped(&changed)));
    // Tuples are hashed.
    let tuples = "{% set ns = namespace(a=(1,)) %}{% for i in range(60) %}{% set ns.a = (ns.a, ns.a) %}{% endfor %}";
    for expression in ["{ns.a: 1}", "[ns.a] | unique | list", "ns.a in {1: 2}", "{}.get(ns.a)", "{}[ns.a]"] {
        let kind = stopped(&format!("{tuples}{{{{ {expression} }}}}"));
        assert!(is_out_of_something(kind), "{expression}: {kind:?}");
    }
}

#[test]
fn values_have_a_greatest_depth() {
    for grow in [
        "[ns.x]",
        "(ns.x,)",
        "{'k': ns.x}",
        "[[ns.x], 1]",
        "dict(k=ns.x)",
        "[ns.x] | list",
        "[ns.x].index",
        "[ns.x] + [1]",
    ] {
        let source = format!(
            "{{% set ns = namespace(x=[]) %}}{{% for i in range(100000) %}}{{% set ns.x = {grow} %}}{{% endfor %}}"
        );
        assert_eq!(stopped(&source), ErrorKind::Depth, "{grow}");
    }
    // At the greatest depth everything that walks over values fits the stack, also from deep within calls.
    let deep = "{% set ns = namespace(x=[1], y=[1], t=(1,)) %}{% for i in range(130) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% set ns.t = (ns.t,) %}{% endfor %}";
    let walks = "{{ ns.x == ns.y }}{{ ns.x < ns.y }}{{ (ns.x ~ '') | length }}{{ (ns.x | tojson) | length }}{{ {ns.t: 1} | length }}{{ (ns.x | pprint) | length > 0 }}";
    assert!(run(&format!("{deep}{walks}")).is_ok());
    let called = format!(
        "{deep}{{% macro f(n) %}}{{% if n %}}{{{{ f(n - 1) }}}}{{% else %}}{walks}{{% endif %}}{{% endmacro %}}{{{{ f(100) }}}}"
    );
    assert!(run(&called).is_ok(), "{:?}", run(&called));
    // A namespace may contain itself.
    assert_eq!(stopped("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}"), ErrorKind::Depth);
    // And the request's own values are looked at before they are taken.
    let mut json = json!(1);
    for _ in 0..300 {
        json = json!([json]);
    }
    let error = in_a_small_stack(|| render("{{ x }}", &json!({"x": json})).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Depth);
}

#[test]
fn memory_is_refused_before_it_is_made() {
    let expressions = [
        "'{:>2000000000}'.format(1)",
        "'{:*^2000000000}'.format('a')",
        "'{:02000000000d}'.format(1)",
        "'{:.2000000000f}'.format(1.5)",
        "'{:{}}'.format('a', 2000000000)",
        "'%2000000000s' % 1",
        "'%*d' % (2000000000, 1)",
        "'%.2000000000f' % 1.5",
        "'%02000000000d' % 1",
        "'%.2000000000d' % 1",
        "'a' * 10 ** 9",
        "'ab' * 10 ** 18",
        "'' * 10 ** 18 ~ 'a' * 10 ** 18",
        "[0] * 10 ** 9",
        "(1, 2) * 10 ** 18",
        "[[]] * 10 ** 9",
        "'a'.center(2000000000)",
        "'a'.ljust(2000000000)",
        "'a'.rjust(10 ** 20)",
        "'1'.zfill(2000000000)",
        "'a\\tb'.expandtabs(2000000000)",
        "'a' | center(2000000000)",
        "'a\\nb' | indent(2000000000)",
        "[1] | tojson(indent=2000000000)",
        "[1] | batch(2000000000, 'x') | list",
        "[1] | slice(2000000000) | list",
        "range(10 ** 12) | list",
        "2 ** (10 ** 9)",
        "9 ** 99999",
        "('a' * 10 ** 6) | replace('', 'b' * 1000)",
        "('a' * 10 ** 5) | replace('a', 'b' * 10 ** 5)",
        "('b' * 10 ** 6).join('a' * 1000)",
        "(range(1000) | map('string') | list) * 10 ** 6",
        "dict(a=[0] * 10 ** 8)",
        "('a\\n' * 10 ** 6) | indent(1000)",
        "('<' * 10 ** 7 * 2) | e | e | forceescape | forceescape",
        "('a ' * 10 ** 7 * 2).split() | length",
    ];
    for expression in expressions {
        let kind = stopped(&format!("{{{{ {expression} }}}}"));
        assert!(is_out_of_something(kind) || kind == ErrorKind::Failed, "{expression}: {kind:?}");
    }
    let loops = [
        "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x.replace('a', 'aa') %}{% endfor %}",
        "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = '%s%s' % (n.x, n.x) %}{% endfor %}",
        "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = [n.x, n.x] | join %}{% endfor %}",
        "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{{ 'aaaaaaaaaaaaaaaa' }}{% endfor %}{% endfor %}",
        "{% for i in range(100000) %}{% set x = namespace(a=range(1000) | list) %}{% endfor %}",
    ];
    for source in loops {
        assert!(is_out_of_something(stopped(source)), "{source}");
    }
}

#[test]
fn time_is_bounded() {
    let sources = [
        "{% for a in range(10000) %}{% for b in range(10000) %}{% set c = a * b %}{% endfor %}{% endfor %}",
        "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) if range(100000) | sum %}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% for a in range(100000) %}{{ 'b' in x }}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% set y = 'a' * 999999 ~ 'a' %}{% for a in range(100000) %}{{ x == y }}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% for a in range(100000) %}{% set y = x | length %}{% endfor %}",
        "{% set x = 'é' * 1000000 %}{% for a in range(100000) %}{% set y = x[99999] %}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% for a in range(100000) %}{% set y = x.strip('b') %}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% for a in range(100000) %}{% set y = x.count('b') + x.find('b') %}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% for a in range(100000) %}{% set y = {'a': 1}[x] %}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% for a in range(100000) %}{% set y = x is lower %}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% for a in range(100000) %}{% set y = x | int + x | float + x | wordcount %}{% endfor %}",
        "{% set x = '\t' * 20000000 %}{% for a in range(1000) %}{% set y = x.expandtabs(0) %}{% endfor %}",
        "{% set x = range(100000) | list %}{% for a in range(100000) %}{{ -1 in x }}{% endfor %}",
        "{% set x = range(100000) | list %}{% for a in range(100000) %}{{ x | sort | length }}{% endfor %}",
        "{% set x = range(100000) | list %}{% for a in range(100000) %}{{ x | max }}{% endfor %}",
        "{% for a in range(100000) %}{% set x = '%.300f' % 1e300 %}{% endfor %}",
        "{% for a in range(100000) %}{% set x = '{:.300f}'.format(1e-300) %}{% set x = 1e300 | round(300) %}{% endfor %}",
    ];
    for source in sources {
        assert!(is_out_of_something(stopped(source)), "{source}");
    }
    let many = |before: &str, after: &str| {
        let names: String = (0..40_000).map(|i| format!("{before}a{i}{after}")).collect();
        names
    };
    let macros = format!("{{% macro f({}b) %}}{{% endmacro %}}{{{{ f({}b=1) }}}}", many("", ","), many("", "=1,"));
    assert!(is_out_of_something(stopped(&macros)));
}

#[test]
fn each_bound_says_which_one_it_is() {
    let limits = Limits { source_bytes: 100, fuel: 1000, memory_bytes: 10_000, output_bytes: 50 };
    let run = |source: &str| {
        let error = Template::compile(source, &limits).and_then(|template| template.render(&[], &limits)).unwrap_err();
        (error.kind(), error.message().to_owned())
    };
    assert_eq!(run(&" ".repeat(101)).1, "the template has 101 bytes; up to 100 are taken");
    assert_eq!(
        run("{% for i in range(9999) %}{% endfor %}"),
        (ErrorKind::Fuel, "it did not finish within 1000 steps".into())
    );
    assert_eq!(run("{{ 'a' * 10001 }}"), (ErrorKind::Memory, "it needs more than 10000 bytes of memory".into()));
    assert_eq!(run("{{ 'a' * 51 }}"), (ErrorKind::Output, "it writes more than 50 bytes".into()));
}

#[test]
fn the_mutable_methods_of_python_are_refused_as_in_its_sandbox() {
    for call in ["[1].append(2)", "[1].pop()", "{'a': 1}.update({})", "{'a': 1}.pop('a')", "''.__class__()"] {
        match run(&format!("{{{{ {call} }}}}")) {
            Err(error) => {
                assert!(error.message().contains("is unsafe") || error.kind() == ErrorKind::Syntax, "{error}")
            }
            Ok(rendered) => panic!("{call}: {rendered:?}"),
        }
    }
}
