//! Filters for addresses of the web.

use crate::budget::{Budget, Work};
use crate::error::{Error, Result, shown};
use crate::eval::Interpreter;
use crate::eval::args::{Args, flag, given};
use crate::filters::html;
use crate::value::Value;
use crate::value::print::write_pieces;
use crate::value::text::{Text, TextBuilder, is_space};

/// Domains that are taken for addresses without `http://`.
const DOMAINS: [&str; 8] = ["com", "net", "int", "edu", "gov", "org", "info", "mil"];

/// Percent-encoding: of a text, or of the pairs of a mapping or a list as a query.
pub(super) fn urlencode(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("urlencode")?;
    let mut out = TextBuilder::new(interpreter.budget);
    let pairs = match &value {
        Value::Dict(dict) => dict.pairs(interpreter.budget)?,
        Value::Seq(_) | Value::Object(..) | Value::Range(_) | Value::Undefined(_) => interpreter.collect(&value)?,
        other => {
            quote(&interpreter.str(other)?, false, &mut out)?;
            return Ok(Value::Text(out.finish()));
        }
    };
    for (index, pair) in pairs.iter().enumerate() {
        let pair = interpreter.iterate(pair)?;
        let (Some(key), Some(value), 2) = (pair.get(0), pair.get(1), pair.len()) else {
            return Err(Error::failed(format!("urlencode needs pairs, not {} values", pair.len())));
        };
        if index > 0 {
            out.push_own("&")?;
        }
        quote(&interpreter.str(&key)?, true, &mut out)?;
        out.push_own("=")?;
        quote(&interpreter.str(&value)?, true, &mut out)?;
    }
    Ok(Value::Text(out.finish()))
}

/// Python's `quote`; in a query spaces become `+`, and `/` is encoded too.
fn quote(text: &Text, query: bool, out: &mut TextBuilder<'_>) -> Result<()> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    write_pieces(text, out, |c, escaped| {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' | '~' => return false,
            '/' if !query => return false,
            ' ' if query => escaped.push('+'),
            c => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let digits = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)].into());
                    escaped.extend(['%', digits[0], digits[1]]);
                }
            }
        }
        true
    })
}

/// What `urlize` writes into its links.
struct Links {
    /// Characters of an address that are shown.
    limit: Option<usize>,
    attributes: String,
    schemes: Vec<String>,
}

/// `urlize(trim_url_limit=None, nofollow=False, target=None, rel=None, extra_schemes=None)`
pub(super) fn urlize(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let names = ["trim_url_limit", "nofollow", "target", "rel", "extra_schemes"];
    let [limit, nofollow, target, rel, schemes] = args.bind("urlize", names, 0)?;
    let budget = interpreter.budget;
    let limit = given(limit).map(|limit| limit.int("trim_url_limit")).transpose()?;
    let mut rels = vec!["noopener".to_owned()];
    if flag(nofollow.as_ref(), false) {
        rels.push("nofollow".to_owned());
    }
    if let Some(rel) = given(rel) {
        budget.make_many(rel.text("rel")?.len(), 8)?;
        rels.extend(rel.text("rel")?.as_str().split(is_space).filter(|word| !word.is_empty()).map(str::to_owned));
    }
    rels.sort();
    rels.dedup();
    let mut attributes = format!(" rel=\"{}\"", html::escape(&Text::own(rels.join(" ")), budget)?.as_str());
    if let Some(target) = given(target) {
        let target = html::escape(&interpreter.str(&target)?, budget)?;
        attributes.push_str(&format!(" target=\"{}\"", target.as_str()));
    }
    let mut links =
        Links { limit: limit.map(|limit| usize::try_from(limit).unwrap_or(0)), attributes, schemes: Vec::new() };
    if let Some(schemes) = given(schemes) {
        for scheme in interpreter.iterate(&schemes)?.iter().take(100) {
            let scheme = scheme.text("a scheme")?;
            let valid = scheme.len() <= 100 && scheme.as_str().contains(':');
            if !valid {
                return Err(Error::failed(format!("'{}' is not a valid URI scheme prefix.", shown(scheme.as_str()))));
            }
            links.schemes.push(scheme.as_str().to_owned());
        }
    }
    let text = html::escape(&interpreter.str(&value)?, budget)?;
    links.write(&text, budget).map(Value::Text)
}

impl Links {
    fn write(&self, text: &Text, budget: &Budget) -> Result<Text> {
        budget.work(Work::Rewrite, text.len().saturating_mul(2))?;
        let mut out = TextBuilder::new(budget);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            budget.step(1)?;
            let space = rest.find(|c| !is_space(c)).unwrap_or(rest.len());
            out.push_part(text, &rest[..space])?;
            rest = &rest[space..];
            let end = rest.find(is_space).unwrap_or(rest.len());
            self.write_word(text, &rest[..end], &mut out)?;
            rest = &rest[end..];
        }
        Ok(out.finish())
    }

    fn write_word(&self, text: &Text, word: &str, out: &mut TextBuilder<'_>) -> Result<()> {
        let middle = strip_brackets(word);
        let start = middle.as_ptr() as usize - word.as_ptr() as usize;
        let (head, tail) = (&word[..start], &word[start + middle.len()..]);
        out.push_part(text, head)?;
        let lower = middle.to_lowercase();
        let (href, shown, attributes) = if is_address(&lower) {
            let prefix = if lower.starts_with("http") { "" } else { "https://" };
            (Some(prefix), middle, self.attributes.as_str())
        } else if let Some(address) = middle.strip_prefix("mailto:").filter(|address| is_mail(address)) {
            (Some(""), address, "")
        } else if !middle.starts_with(['@']) && !middle.starts_with("www.") && !middle.contains(':') && is_mail(middle)
        {
            (Some("mailto:"), middle, "")
        } else if self.schemes.iter().any(|scheme| middle.starts_with(scheme.as_str()) && middle != scheme) {
            (Some(""), middle, self.attributes.as_str())
        } else {
            (None, middle, "")
        };
        match href {
            None => out.push_part(text, middle)?,
            Some(prefix) => {
                out.push_own("<a href=\"")?;
                out.push_own(prefix)?;
                out.push_part(text, middle)?;
                out.push_own("\"")?;
                out.push_own(attributes)?;
                out.push_own(">")?;
                let limit = self.limit.filter(|_| !attributes.is_empty());
                let end = limit.and_then(|limit| shown.char_indices().nth(limit)).map(|(at, _)| at);
                out.push_part(text, &shown[..end.unwrap_or(shown.len())])?;
                out.push_own(if end.is_some() { "...</a>" } else { "</a>" })?;
            }
        }
        out.push_part(text, tail)
    }
}

/// A word without the brackets before it, and without punctuation behind it that is not part of an address.
fn strip_brackets(word: &str) -> &str {
    let mut middle = word;
    while let Some(rest) = middle.strip_prefix(['(', '<']).or_else(|| middle.strip_prefix("&lt;")) {
        middle = rest;
    }
    let mut end = middle;
    while let Some(rest) = end.strip_suffix([')', '>', '.', ',', '\n']).or_else(|| end.strip_suffix("&gt;")) {
        end = rest;
    }
    // Closing brackets belong to the address as far as it opens some.
    for (open, close) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
        let missing = end.matches(open).count().saturating_sub(end.matches(close).count());
        for _ in 0..missing {
            let Some(at) = middle[end.len()..].find(close) else { break };
            end = &middle[..end.len() + at + close.len()];
        }
    }
    end
}

fn is_address(text: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '%' | '-');
    let scheme = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = scheme.or_else(|| text.strip_prefix("www."));
    let whole = rest.unwrap_or(text);
    let (host, after) = match whole.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((inner, after)) => (inner, after),
        None => whole.split_at(whole.find([':', '/', '?', '#']).unwrap_or(whole.len())),
    };
    let path = match after.strip_prefix(':') {
        Some(port) => {
            let digits = port.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=5).contains(&digits) {
                return false;
            }
            &port[digits..]
        }
        None => after,
    };
    if !path.is_empty() && !path.starts_with(['/', '?', '#']) {
        return false;
    }
    if whole.starts_with('[') {
        return scheme.is_some() && host.contains(':') && host.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
    }
    let mut labels: Vec<&str> = host.split('.').collect();
    let Some(last) = labels.pop() else { return false };
    if !labels.iter().all(|label| !label.is_empty() && label.chars().all(is_word)) {
        return false;
    }
    if rest.is_none() {
        return !labels.is_empty()
            && DOMAINS.contains(&last)
            && labels.iter().all(|label| (2..=63).contains(&label.chars().count()));
    }
    let domain = (2..=63).contains(&last.len()) && last.bytes().all(|b| b.is_ascii_lowercase());
    let digits = |label: &str| (1..=3).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_digit());
    let numbers = scheme.is_some() && labels.len() == 3 && digits(last) && labels.iter().all(|label| digits(label));
    domain || numbers || last.strip_prefix("xn--").is_some_and(|rest| rest.len() >= 2 && rest.chars().all(is_word))
}

fn is_mail(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    let Some((begin, end)) = host.rsplit_once('.') else { return false };
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    !name.is_empty()
        && begin.starts_with(is_word)
        && begin.chars().all(|c| is_word(c) || matches!(c, '.' | '-'))
        && !end.is_empty()
        && end.chars().all(is_word)
}
