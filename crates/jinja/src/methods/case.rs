//! Upper and lower case, and what kind of characters a string has.

use crate::budget::Budget;
use crate::error::Result;
use crate::value::Value;
use crate::value::text::{Text, is_printable, is_space};

/// `capitalize`, `casefold`, `lower`, `swapcase`, `title`, `upper`.
pub(super) fn convert(text: &Text, method: &str, budget: &Budget) -> Result<Value> {
    let mut after_letter = false;
    let mut first = true;
    let converted = match method {
        "lower" => text.map_pieces(budget, str::to_lowercase),
        "upper" => text.map_pieces(budget, str::to_uppercase),
        "casefold" => text.map_chars(budget, |c, out| match c {
            'ß' | 'ẞ' => out.push_str("ss"),
            'ς' => out.push('σ'),
            c => out.extend(c.to_lowercase()),
        }),
        "swapcase" => text.map_chars(budget, |c, out| {
            if c.is_uppercase() { out.extend(c.to_lowercase()) } else { out.extend(c.to_uppercase()) }
        }),
        "title" => text.map_chars(budget, |c, out| {
            if after_letter {
                out.extend(c.to_lowercase())
            } else {
                titlecase(c, out)
            }
            after_letter = c.is_lowercase() || c.is_uppercase();
        }),
        _ => text.map_chars(budget, |c, out| {
            if std::mem::take(&mut first) { titlecase(c, out) } else { out.extend(c.to_lowercase()) }
        }),
    };
    converted.map(Value::Text)
}

/// The letter that begins a word: of one that becomes several only the first is large.
pub(crate) fn titlecase(c: char, out: &mut String) {
    let mut upper = c.to_uppercase();
    out.extend(upper.next());
    upper.for_each(|c| out.extend(c.to_lowercase()));
}

/// `isalpha` and the like.
pub(super) fn is(text: &str, method: &str) -> bool {
    let all = |test: fn(char) -> bool| !text.is_empty() && text.chars().all(test);
    match method {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => text.is_ascii(),
        "isdecimal" => all(|c| c.is_ascii_digit() || (c.is_numeric() && !is_fraction(c))),
        "isdigit" => all(|c| c.is_ascii_digit() || (c.is_numeric() && !is_fraction(c)) || "²³¹".contains(c)),
        "isnumeric" => all(char::is_numeric),
        "isspace" => all(is_space),
        "isprintable" => text.chars().all(is_printable),
        "isidentifier" => {
            all(|c| c.is_alphanumeric() || c == '_') && text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        }
        "islower" => has_case(text, char::is_lowercase, char::is_uppercase),
        "isupper" => has_case(text, char::is_uppercase, char::is_lowercase),
        _ => is_title(text),
    }
}

/// Numbers that are no digits.
fn is_fraction(c: char) -> bool {
    matches!(c, '²' | '³' | '¹' | '¼'..='¾' | '\u{2070}'..='\u{218b}' | '\u{2460}'..='\u{24ff}' | '\u{3021}'..='\u{3029}' | '一'..='鿿')
}

/// Whether a text has letters of one case and none of the other.
pub(crate) fn has_case(text: &str, wanted: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    text.chars().any(wanted) && !text.chars().any(other)
}

fn is_title(text: &str) -> bool {
    let mut after_letter = false;
    let mut any = false;
    for c in text.chars() {
        if (c.is_uppercase() && after_letter) || (c.is_lowercase() && !after_letter) {
            return false;
        }
        after_letter = c.is_uppercase() || c.is_lowercase();
        any |= after_letter;
    }
    any
}
