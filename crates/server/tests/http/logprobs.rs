//! Log-probabilities cover exactly the text that they come with, wherever a stop string ends it.

use axum::Router;
use serde_json::{Value, json};

use crate::support::{Answer, CHAT, COMPLETIONS, api, post};

/// A piece of an answer: its text, and the tokens that came with it.
#[derive(Debug, Default, Clone, PartialEq)]
struct Piece {
    text: String,
    tokens: Vec<String>,
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().expect("text").to_owned()).collect()
}

/// The pieces of an answer; a whole one is one piece.
fn pieces(path: &str, answer: &Answer, streamed: bool) -> Vec<Piece> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let bodies = if streamed { answer.events().0 } else { vec![answer.json()] };
    let piece = |body: &Value| {
        let choice = &body["choices"][0];
        if path == COMPLETIONS {
            let text = choice["text"].as_str().unwrap_or_default().to_owned();
            return Piece { text, tokens: strings(&choice["logprobs"]["tokens"]) };
        }
        let said = if streamed { &choice["delta"] } else { &choice["message"] };
        let tokens = choice["logprobs"]["content"].as_array().into_iter().flatten();
        Piece {
            text: said["content"].as_str().unwrap_or_default().to_owned(),
            tokens: tokens.map(|token| token["token"].as_str().expect("text").to_owned()).collect(),
        }
    };
    bodies.iter().map(piece).collect()
}

fn joined(pieces: &[Piece]) -> Piece {
    Piece {
        text: pieces.iter().map(|piece| piece.text.as_str()).collect(),
        tokens: pieces.iter().flat_map(|piece| piece.tokens.clone()).collect(),
    }
}

async fn ask(api: &Router, path: &str, stop: &[String], streamed: bool) -> Vec<Piece> {
    let mut body = json!({
        "max_tokens": 30, "temperature": 0, "stop": stop, "stream": streamed, "ignore_eos": true,
        // Control tokens have no text in answers.
        "logit_bias": {"0": -100, "1": -100, "2": -100},
    });
    if path == CHAT {
        body["messages"] = json!([{"role": "user", "content": "ab"}]);
        body["logprobs"] = json!(true);
    } else {
        body["prompt"] = json!("ab");
        body["logprobs"] = json!(0);
    }
    pieces(path, &post(api, path, &body).await, streamed)
}

/// Each token begins within the text, and together they spell it; the last one may go on with what was taken away.
fn check(piece: &Piece, about: &str) {
    let spelled = piece.tokens.concat();
    assert!(spelled.starts_with(&piece.text), "{about}: {piece:?}");
    let before_last = piece.tokens.split_last().map_or(0, |(_, before)| before.concat().len());
    assert!(piece.tokens.is_empty() || before_last < piece.text.len(), "{about}: {piece:?}");
}

#[tokio::test]
async fn logprobs_cover_exactly_the_text_that_is_returned() {
    let api = api();
    for path in [CHAT, COMPLETIONS] {
        let plain = joined(&ask(&api, path, &[], false).await);
        assert_eq!((plain.tokens.len(), plain.tokens.concat()), (30, plain.text.clone()), "{path}");
        let characters: Vec<char> = plain.text.chars().collect();
        let mut straddled = false;
        // At tokens' ends, within tokens, over several of them, from the very beginning.
        for (from, count) in (0..12).flat_map(|from| [1, 2, 3, 5].map(|count| (from, count))) {
            let stop: String = characters[from..from + count].iter().collect();
            let kept = &plain.text[..plain.text.find(&stop).expect("a part of it")];
            let whole = joined(&ask(&api, path, std::slice::from_ref(&stop), false).await);
            let about = format!("{path} stopped at {stop:?}");
            assert_eq!(whole.text, kept, "{about}");
            check(&whole, &about);
            straddled |= whole.tokens.concat().len() > whole.text.len();
            let chunks = ask(&api, path, &[stop], true).await;
            assert_eq!(joined(&chunks), whole, "{about}");
            (1..=chunks.len()).for_each(|sent| check(&joined(&chunks[..sent]), &about));
        }
        assert!(straddled, "no stop string began within a token: {:?}", plain.tokens);
    }
}

#[tokio::test]
async fn text_that_only_looks_like_the_beginning_of_a_stop_string_brings_its_tokens_later() {
    let api = api();
    for path in [CHAT, COMPLETIONS] {
        let plain = joined(&ask(&api, path, &[], false).await);
        // Each token may be the beginning of one of these, and none of them comes.
        let stops: Vec<String> =
            plain.text.chars().take(8).map(|character| format!("{character}{character}{character}!")).collect();
        let chunks = ask(&api, path, &stops, true).await;
        assert_eq!(joined(&chunks), plain);
        (1..=chunks.len()).for_each(|sent| check(&joined(&chunks[..sent]), path));
    }
}
