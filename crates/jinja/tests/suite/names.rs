//! Names that exist nowhere are told when a template is compiled.

use parkade_jinja::{ErrorKind, Limits, Template};
use serde_json::json;

use crate::support::render;

fn refused(source: &str) -> (usize, String) {
    let error = Template::compile(source, &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Syntax, "{error}");
    (error.line(), error.message().to_owned())
}

#[test]
fn unknown_filters_tests_functions_and_methods_are_named_with_their_line() {
    assert_eq!(refused("\n{{ x | shout }}"), (2, "there is no filter named 'shout'".to_owned()));
    assert_eq!(
        refused("{% if false %}\n\n{{ x | shout }}{% endif %}"),
        (3, "there is no filter named 'shout'".to_owned())
    );
    assert_eq!(refused("{{ x is\nloud }}"), (2, "there is no test named 'loud'".to_owned()));
    assert_eq!(refused("\n\n{{ fetch('x') }}"), (3, "there is no function named 'fetch'".to_owned()));
    assert_eq!(refused("{{ x.explode() }}"), (1, "there is no method named 'explode'".to_owned()));
    assert_eq!(
        refused("{{ x.encode('utf-8') }}").1,
        "the method 'encode' is not supported: a prompt is text and has no bytes"
    );
    assert_eq!(refused("{{ x.translate(t) }}").1, "the method 'translate' is not supported: use replace");
    assert!(refused("{{ dict.fromkeys(x) }}").1.contains("'fromkeys' is not supported"));
    assert!(refused("{{ '\\N{DEGREE SIGN}' }}").1.contains("write the character itself"));
    assert!(refused("{{ lipsum() }}").1.contains("'lipsum' is not supported"));
    for tag in ["include 'a'", "import 'a' as b", "from 'a' import b", "extends 'a'"] {
        let (line, message) = refused(&format!("\n{{% {tag} %}}"));
        assert!(line == 2 && message.contains("a chat template stands alone"), "{message}");
    }
    assert!(refused("{% autoescape true %}{% endautoescape %}").1.contains("autoescape"));
}

#[test]
fn what_a_template_makes_sure_of_is_not_refused() {
    let cases = [
        ("{% if fetch is defined %}{{ fetch('x') }}{% else %}no{% endif %}", "no"),
        ("{% if 'shout' is filter %}{{ x | shout }}{% else %}no{% endif %}", "no"),
        ("{% if 'loud' is test %}{{ x is loud }}{% else %}no{% endif %}", "no"),
        ("{% macro f() %}yes{% endmacro %}{{ f() }}", "yes"),
        ("{% macro f(g) %}{{ g() }}{% endmacro %}{% macro h() %}yes{% endmacro %}{{ f(h) }}", "yes"),
        ("{% set ns = namespace() %}{% macro h() %}yes{% endmacro %}{% set ns.run = h %}{{ ns.run() }}", "yes"),
        ("{% macro h() %}yes{% endmacro %}{{ {'run': h}.run() }}", "yes"),
        ("{% for i in [1] %}{{ loop.cycle('yes') }}{% endfor %}", "yes"),
    ];
    for (source, expected) in cases {
        assert_eq!(render(source, &json!({})).map(|rendered| rendered.text).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn what_a_template_raises_is_told_apart_from_what_fails_in_it() {
    let error = render("\n{{ raise_exception('no ' ~ x) }}", &json!({"x": 1})).unwrap_err();
    assert_eq!((error.kind(), error.line(), error.message()), (ErrorKind::Raised, 2, "no 1"));
    let error = render("{{ raise_exception('é' * 10 ** 6) }}", &json!({})).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Raised, &*"é".repeat(2000)));
    let error = render("a\n{{ x ~\n ('a' + 1) }}", &json!({})).unwrap_err();
    assert_eq!((error.kind(), error.line()), (ErrorKind::Failed, 2));
    let error = render("{% macro f(x) %}\n{{ x.y.z }}{% endmacro %}\n{{ f(x) }}", &json!({"x": {}})).unwrap_err();
    assert_eq!((error.kind(), error.line()), (ErrorKind::Failed, 2));
    assert_eq!(error.message(), "'dict object' has no attribute 'y'");
}
