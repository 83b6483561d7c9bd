//! A streamed answer, event by event.

use super::outcome::Outcome;
use serde_json::Value;

/// What has been said so far. Chat and text completions differ only in where the text is.
#[derive(Debug, Default)]
pub(super) struct StreamedAnswer {
    finishes: usize,
    errors: Vec<String>,
    done: bool,
    violation: Option<String>,
    /// From the usage chunk, if one came.
    pub(super) output_tokens: Option<usize>,
    pub(super) prompt_tokens: Option<usize>,
    pub(super) cached_tokens: Option<usize>,
}

impl StreamedAnswer {
    /// Takes an event's data; true if it brought text.
    pub(super) fn event(&mut self, data: &str) -> bool {
        if self.done {
            self.violation("an event after [DONE]");
            return false;
        }
        if data.trim() == "[DONE]" {
            self.done = true;
            return false;
        }
        let Ok(chunk) = serde_json::from_str::<Value>(data) else {
            self.violation("an event that is not JSON");
            return false;
        };
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            self.errors.push(error_code(error));
        }
        self.usage(&chunk["usage"]);
        let mut text = false;
        for choice in chunk["choices"].as_array().map_or(&[][..], Vec::as_slice) {
            let pieces = [&choice["delta"]["content"], &choice["delta"]["reasoning_content"], &choice["text"]];
            text |= pieces.iter().any(|piece| piece.as_str().is_some_and(|piece| !piece.is_empty()));
            if choice["finish_reason"].is_string() {
                self.finishes += 1;
            }
        }
        text
    }

    /// The outcome, now that the stream has ended. `whole` is false if the connection broke or an event was incomplete.
    pub(super) fn outcome(&self, whole: bool) -> Outcome {
        if let Some(violation) = &self.violation {
            return Outcome::Malformed(violation.clone());
        }
        match (self.finishes, self.errors.as_slice(), self.done) {
            (1, [], true) if whole => Outcome::Completed,
            (0, [code], _) => Outcome::Failed(code.clone()),
            (0, [], false) | (1, [], _) => Outcome::Cut,
            (0, [], true) => Outcome::Malformed("[DONE] without a finish_reason".to_string()),
            _ => Outcome::Malformed("more than one end".to_string()),
        }
    }

    fn usage(&mut self, usage: &Value) {
        let count = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
        self.output_tokens = count(&usage["completion_tokens"]).or(self.output_tokens);
        self.prompt_tokens = count(&usage["prompt_tokens"]).or(self.prompt_tokens);
        self.cached_tokens = count(&usage["prompt_tokens_details"]["cached_tokens"]).or(self.cached_tokens);
    }

    fn violation(&mut self, what: &str) {
        self.violation.get_or_insert_with(|| what.to_string());
    }
}

/// The `code` of an error object, else its `type`, else what there is.
pub(super) fn error_code(error: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    text(&error["code"]).or_else(|| text(&error["type"])).or_else(|| text(error)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Outcome, StreamedAnswer};

    const ROLE: &str = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
    const TEXT: &str = r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}"#;
    const PLAIN: &str = r#"{"choices":[{"index":0,"text":"Hi"}]}"#;
    const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":3}}}"#;
    const ERROR: &str = r#"{"error":{"message":"x","type":"server_error","code":"internal_error"}}"#;

    fn outcome(events: &[&str], whole: bool) -> Outcome {
        let mut answer = StreamedAnswer::default();
        events.iter().for_each(|event| {
            answer.event(event);
        });
        answer.outcome(whole)
    }

    #[test]
    fn a_whole_answer_is_complete_and_counts_its_tokens() {
        let mut answer = StreamedAnswer::default();
        let text: Vec<bool> =
            [ROLE, TEXT, PLAIN, STOP, USAGE, "[DONE]"].iter().map(|event| answer.event(event)).collect();
        assert_eq!(text, [false, true, true, false, false, false]);
        assert_eq!(answer.outcome(true), Outcome::Completed);
        assert_eq!((answer.prompt_tokens, answer.output_tokens, answer.cached_tokens), (Some(9), Some(4), Some(3)));
    }

    #[test]
    fn a_stream_that_stops_anywhere_before_its_end_is_cut() {
        for events in [&[][..], &[ROLE], &[ROLE, TEXT], &[TEXT, STOP], &[TEXT, STOP, USAGE]] {
            assert_eq!(outcome(events, true), Outcome::Cut, "{events:?}");
        }
        assert_eq!(outcome(&[TEXT, STOP, "[DONE]"], false), Outcome::Cut);
    }

    #[test]
    fn an_error_in_the_stream_is_one_end_with_or_without_done() {
        assert_eq!(outcome(&[TEXT, ERROR], true), Outcome::Failed("internal_error".to_string()));
        assert_eq!(outcome(&[TEXT, ERROR, "[DONE]"], true), Outcome::Failed("internal_error".to_string()));
    }

    #[test]
    fn two_ends_are_malformed() {
        for events in [
            &[STOP, STOP, "[DONE]"][..],
            &[STOP, ERROR],
            &[ERROR, ERROR],
            &[STOP, "[DONE]", TEXT],
            &["[DONE]", "[DONE]"],
        ] {
            assert!(matches!(outcome(events, true), Outcome::Malformed(_)), "{events:?}");
        }
    }

    #[test]
    fn no_json_makes_it_panic() {
        for event in
            ["", "null", "3", "[]", "{\"choices\":3}", "{\"choices\":[3]}", "{\"usage\":[]}", "{\"error\":\"no\"}", "{"]
        {
            let mut answer = StreamedAnswer::default();
            assert!(!answer.event(event));
            assert_ne!(answer.outcome(true), Outcome::Completed);
        }
    }
}
