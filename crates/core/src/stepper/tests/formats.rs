//! Answers with a format, over real weights that know nothing of it.

use parkade_grammar::{Format, Grammars};
use serde_json::{Value, json};

use super::real::{MODELS, bench_with, by_answer, lively};
use super::*;
use crate::vocabulary::Decoder;

/// All bytes, an end, and pieces that JSON is made of.
struct Pieces(Vec<Vec<u8>>);

const END: TokenId = 256;

impl Pieces {
    fn new() -> Arc<Self> {
        let words =
            ["{\"", "\":", ",\"", "\":\"", "\"}", "true", "false", "ident", "ifier", "desc", "ription", "is_", "avail"];
        let bytes = (0..=255u8).map(|byte| vec![byte]).chain([b"<end>".to_vec()]);
        Arc::new(Pieces(bytes.chain(words.map(|word| word.as_bytes().to_vec())).collect()))
    }
}

impl parkade_grammar::Tokens for Pieces {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self, id: TokenId) -> &[u8] {
        &self.0[id as usize]
    }

    fn is_special(&self, id: TokenId) -> bool {
        id == END
    }

    fn is_end(&self, id: TokenId) -> bool {
        id == END
    }

    fn encode(&self, text: &str) -> Option<Vec<TokenId>> {
        let (mut rest, mut ids) = (text.as_bytes(), Vec::new());
        while !rest.is_empty() {
            let fitting = (0..self.0.len()).filter(|&id| rest.starts_with(&self.0[id]) && id != END as usize);
            let longest = fitting.max_by_key(|&id| self.0[id].len())?;
            ids.push(longest as TokenId);
            rest = &rest[self.0[longest].len()..];
        }
        Some(ids)
    }
}

impl Vocabulary for Pieces {
    fn is_end(&self, id: TokenId) -> bool {
        id == END
    }

    fn decoder(self: Arc<Self>) -> Box<dyn Decoder> {
        Box::new(PieceDecoder(self, Vec::new()))
    }
}

struct PieceDecoder(Arc<Pieces>, Vec<u8>);

impl Decoder for PieceDecoder {
    fn push(&mut self, id: TokenId) -> Result<String, String> {
        self.1.extend(self.0.0.get(id as usize).map_or(&b"?"[..], |piece| piece));
        Ok(String::from_utf8(self.1.clone()).inspect(|_| self.1.clear()).unwrap_or_default())
    }

    fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.1)).into_owned()
    }
}

fn bench(model: &str, prefix_cache: bool) -> Bench {
    bench_with(model, Pieces::new(), prefix_cache)
}

fn record() -> Format {
    let schema = json!({
        "type": "object",
        "properties": {
            "identifier": { "type": "integer", "minimum": 0, "maximum": 999 },
            "description": { "type": "string", "maxLength": 5 },
            "is_available": { "type": "boolean" },
            "category": { "enum": ["furniture", "household", "electronics"] },
        },
        "required": ["identifier", "description", "is_available", "category"],
        "additionalProperties": false,
    });
    Format::JsonSchema { schema, strict: true }
}

fn with_format(format: &Format, request: Request) -> Request {
    Request {
        max_tokens: Some(140),
        format: Some(Grammars::new(Pieces::new()).compile(format).unwrap()),
        ignore_eos: false,
        ..request
    }
}

#[test]
fn an_answer_with_a_schema_is_valid_whatever_the_model_would_say() {
    for ty in MODELS {
        for prompt in [20, 37] {
            let answers = bench(ty, true).answers(&with_format(&record(), lively("r", prompt, Vec::new()))).answers;
            assert_eq!(answers.len(), 2, "{ty}");
            for answer in answers.values() {
                assert_eq!(answer.reason, Some(FinishReason::Stop), "{ty}: {answer:?}");
                let value: Value = serde_json::from_str(&answer.text).unwrap();
                let kinds = [
                    value["identifier"].as_u64().is_some_and(|number| number < 1000),
                    value["description"].as_str().is_some_and(|text| text.chars().count() <= 5),
                    value["is_available"].is_boolean(),
                    ["furniture", "household", "electronics"].map(Value::from).contains(&value["category"]),
                ];
                assert_eq!((kinds, value.as_object().unwrap().len()), ([true; 4], 4), "{ty}: {value}");
            }
        }
    }
}

#[test]
fn a_format_in_every_notation_is_kept_to_its_end() {
    let is_number = |text: &str| text.starts_with('#') && text[1..].chars().all(|c| c.is_ascii_digit());
    for (format, is_right) in [
        (
            Format::Choice(vec!["left".to_owned(), "right".to_owned()]),
            (|text| text == "left" || text == "right") as fn(&str) -> bool,
        ),
        (Format::Regex("#[0-9]{3,9}".to_owned()), is_number),
        (Format::Gbnf("root ::= \"#\" [0-9]{3,9}".to_owned()), is_number),
        (Format::Lark("start: \"#\" DIGITS\nDIGITS: /[0-9]{3,9}/".to_owned()), is_number),
    ] {
        for seed in 20..30 {
            let request = with_format(&format, lively("r", seed, Vec::new()));
            let answers = bench("llama-Q4_1", true).answers(&request).answers;
            assert_eq!(answers.len(), 2);
            for answer in answers.values() {
                assert!(is_right(&answer.text) && answer.reason == Some(FinishReason::Stop), "{answer:?}");
            }
        }
    }
}

#[test]
fn an_answer_that_is_cut_is_in_its_form() {
    let schema = json!({
        "type": "object",
        "properties": { "story": { "type": "string" }, "notes": { "type": "array", "items": { "type": "string" } } },
        "required": ["story", "notes"],
        "additionalProperties": { "type": "string" },
    });
    let endless = Format::JsonSchema { schema, strict: true };
    for (format, least) in [(&endless, 26), (&Format::JsonObject, 2), (&record(), 80)] {
        for most in least..least + 45 {
            let request = Request { max_tokens: Some(most), ..with_format(format, lively("r", most, Vec::new())) };
            for answer in bench("llama-Q4_1", true).answers(&request).answers.values() {
                let read = serde_json::from_str::<Value>(&answer.text).map_err(|error| error.to_string());
                // A number may be larger than any that is read.
                let is_object = read.map_or_else(|error| error.starts_with("number out"), |value| value.is_object());
                assert!(is_object, "{most} tokens: {answer:?}");
                assert!(answer.tokens.len() <= most, "{most} tokens: {answer:?}");
            }
        }
    }
}

#[test]
fn an_answer_ends_that_repeats_its_pieces() {
    let piece = format!("piece[capture=\"{}\"]: \"call(\" NUMBER \")\"\nNUMBER: /[0-1]/", parkade_grammar::PIECE);
    for (list, end) in [("start: piece (\";\" piece)*", ""), ("start: \"<\" piece (\";\" piece)* \">\"", ">")] {
        let mut request = with_format(&Format::Lark(format!("{list}\n{piece}")), lively("r", 20, Vec::new()));
        // It would go on for ever.
        request.sampling.logit_bias = vec![(END, -100.0), (TokenId::from(b'>'), -100.0)];
        for answer in bench("llama-Q4_1", true).answers(&request).answers.values() {
            let count = |call: &str| answer.text.matches(call).count();
            assert_eq!(count("call(0)").max(count("call(1)")), 4, "{answer:?}");
            assert!(answer.text.ends_with(end) && answer.reason == Some(FinishReason::Stop), "{answer:?}");
        }
    }
}

#[test]
fn an_answer_with_room_is_not_changed_by_its_limit() {
    let whole = with_format(&record(), lively("r", 20, Vec::new()));
    let answer = bench("llama-Q4_1", true).answers(&whole).answers[&0].clone();
    assert_eq!(answer.reason, Some(FinishReason::Stop));
    for most in [answer.tokens.len(), answer.tokens.len() + 1] {
        let limited =
            &bench("llama-Q4_1", true).answers(&Request { max_tokens: Some(most), ..whole.clone() }).answers[&0];
        assert_eq!((&limited.text, limited.reason), (&answer.text, answer.reason));
    }
    // What cannot be whole is cut where it stands.
    for most in [1, 2, 7, 30] {
        let cut = &bench("llama-Q4_1", true).answers(&Request { max_tokens: Some(most), ..whole.clone() }).answers[&0];
        assert!(answer.text.starts_with(&cut.text) && cut.reason == Some(FinishReason::Length), "{cut:?}");
    }
    let stop = Request { stop: vec!["ription\"".to_owned()], ..whole };
    let stopped = &bench("llama-Q4_1", true).answers(&stop).answers[&0];
    assert!(stopped.text.ends_with(",\"desc") && stopped.stop_string.is_some(), "{stopped:?}");
}

/// Without log-probabilities forced tokens are computed without logits; with them they are not; parking and others change neither.
#[test]
fn what_happens_around_an_answer_with_a_format_changes_no_token() {
    for ty in MODELS {
        let request = with_format(&record(), lively("r", 37, Vec::new()));
        let undisturbed = bench(ty, false).answers(&request);
        let quick = bench(ty, false).answers(&Request { logprobs: None, ..request.clone() });
        assert_eq!(quick.answers, undisturbed.answers, "{ty}");
        for moment in 0..3 {
            let mut bench = bench(ty, moment != 1);
            let (key, mut stream) = bench.admit(&request);
            let (_, mut other) = bench.admit(&with_format(&record(), lively("other", 20, Vec::new())));
            let (_, mut free) = bench.admit(&lively("free", 21, Vec::new()));
            // An answer that was parked is computed again in several passes.
            for step in 0.. {
                if step % 40 == 5 + 7 * moment && bench.stepper.park(key) {
                    bench.step();
                    bench.stepper.resume(key);
                }
                if bench.step().progress.is_empty() {
                    break;
                }
            }
            assert_eq!(
                by_answer(&Collected::all(&mut stream)),
                by_answer(&undisturbed),
                "{ty}, parked from {moment} on"
            );
            assert!(Collected::all(&mut other).is_done() && Collected::all(&mut free).is_done());
        }
    }
}

#[test]
fn forced_tokens_take_no_passes_of_their_own() {
    let request = Request { n: 1, logprobs: None, ..with_format(&record(), lively("r", 20, Vec::new())) };
    let mut bench = bench("llama-Q4_1", true);
    let (_, mut stream) = bench.admit(&request);
    let mut passes = 0;
    while !bench.step().progress.is_empty() {
        passes += 1;
    }
    let tokens = Collected::all(&mut stream).answers[&0].tokens.len();
    assert!(passes * 2 < tokens, "{passes} passes for {tokens} tokens");
}
