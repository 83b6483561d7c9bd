//! System prompts: a text, or blocks of text.

use serde_json::Value;

use super::messages::block_text;
use crate::dialects::fields::{Fields, wrong_type};
use crate::http::ApiError;

/// The system prompt of a body.
///
/// Some agents put a line like `x-anthropic-billing-header: …` before it that is another one each time. It says nothing to a model and
/// would keep all that follows from the prefix cache, so it is left out.
pub(super) fn read(fields: &Fields<'_>) -> Result<Option<String>, ApiError> {
    let path = || fields.name("system");
    let text = match fields.get("system") {
        None => return Ok(None),
        Some(Value::String(text)) => without_headers(text).to_owned(),
        Some(Value::Array(blocks)) => {
            let mut texts = Vec::with_capacity(blocks.len());
            for (i, block) in blocks.iter().enumerate() {
                let text = without_headers(block_text(block, &format!("{}[{i}]", path()))?);
                if !text.is_empty() {
                    texts.push(text);
                }
            }
            texts.join("\n\n")
        }
        Some(other) => return Err(wrong_type(path(), other, "a string or a list of text blocks")),
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A text without the lines at its beginning that have the form of an HTTP header of somebody's own.
fn without_headers(mut text: &str) -> &str {
    loop {
        let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
        if !is_header(line) {
            return text;
        }
        text = rest.trim_start_matches('\n');
    }
}

/// Whether a line is `x-NAME-header: …`.
fn is_header(line: &str) -> bool {
    line.split_once(':').is_some_and(|(name, _)| {
        name.len() < 100
            && name.starts_with("x-")
            && name.ends_with("-header")
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn system(value: Value) -> Result<Option<String>, ApiError> {
        let body = json!({ "system": value });
        read(&Fields::top(&body).expect("an object"))
    }

    #[test]
    fn text_and_blocks_say_the_same() {
        assert_eq!(system(json!("Be kind.")), Ok(Some("Be kind.".into())));
        let blocks = json!([{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "And short."}]);
        assert_eq!(system(blocks), Ok(Some("Be kind.\n\nAnd short.".into())));
        assert_eq!(system(json!("")), Ok(None));
        assert_eq!(system(json!([])), Ok(None));
    }

    #[test]
    fn what_changes_each_time_and_says_nothing_is_left_out() {
        for header in ["x-anthropic-billing-header: cc_version=2.1; cch=a1b2;", "x-anthropic-billing-header: other"] {
            let blocks = json!([{"type": "text", "text": header}, {"type": "text", "text": "Be kind."}]);
            assert_eq!(system(blocks), Ok(Some("Be kind.".into())));
            assert_eq!(system(json!(format!("{header}\nBe kind."))), Ok(Some("Be kind.".into())));
        }
        assert_eq!(system(json!("x-files: a series")), Ok(Some("x-files: a series".into())));
    }

    #[test]
    fn what_is_no_text_is_named() {
        assert_eq!(system(json!(5)).expect_err("a number").param(), Some("system"));
        let image = json!([{"type": "text", "text": "a"}, {"type": "image"}]);
        assert_eq!(system(image).expect_err("an image").param(), Some("system[1].type"));
    }
}
