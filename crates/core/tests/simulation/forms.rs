//! Answers with a format: what they have to be is found out by an engine of its own, in which each is alone and nothing goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use parkade_core::{
    Clock, Engine, Event, FinishReason, Format, Grammar, Request, SamplingParams, SchedulerKind, TokenId, Tokens,
};
use parkade_sync::Mutex;

use crate::client::Expected;
use crate::config;
use crate::machine::{END, FIRST_PLAIN, Machine, Syllables, VOCAB, mix};
use crate::world::World;

/// How many different requests with a format there are. Each comes again and again.
const KINDS: u64 = 90;

/// The letters of the plain tokens.
const LETTERS: &[u8] = b"abcdefgh";

/// Whether a text is of a form.
type IsOfForm = fn(&str) -> bool;

/// Forms, and what is of them.
const FORMS: [(&str, IsOfForm); 3] = [
    ("start: \"a\" ITEM (\"c\" ITEM)* \"b\"\nITEM: /[d-h]{1,6}/", is_list),
    ("start: \"a\" start \"b\" | WORD\nWORD: /[c-h]+/", is_nested),
    ("start: \"abcdefgh\" (\"a\" | \"b\") \"hgfedcba\"", |text| {
        ["abcdefghahgfedcba", "abcdefghbhgfedcba"].contains(&text)
    }),
];

fn is_list(text: &str) -> bool {
    let inside = text.strip_prefix('a').and_then(|text| text.strip_suffix('b'));
    let is_item = |item: &str| (1..=6).contains(&item.len()) && item.bytes().all(|letter| letter > b'c');
    inside.is_some_and(|inside| inside.split('c').all(is_item))
}

fn is_nested(text: &str) -> bool {
    match text.strip_prefix('a') {
        Some(rest) => rest.strip_suffix('b').is_some_and(is_nested),
        None => !text.is_empty() && text.bytes().all(|letter| letter > b'b'),
    }
}

impl Tokens for Syllables {
    fn count(&self) -> usize {
        VOCAB
    }

    fn bytes(&self, id: TokenId) -> &[u8] {
        match id.checked_sub(FIRST_PLAIN) {
            Some(letter) => &LETTERS[letter as usize..][..1],
            None => &b"0123"[id as usize..][..1],
        }
    }

    fn is_special(&self, id: TokenId) -> bool {
        id < FIRST_PLAIN
    }

    fn is_end(&self, id: TokenId) -> bool {
        id == END
    }

    fn encode(&self, text: &str) -> Option<Vec<TokenId>> {
        let place = |byte| LETTERS.iter().position(|&letter| letter == byte);
        text.bytes().map(|byte| place(byte).map(|at| FIRST_PLAIN + at as TokenId)).collect()
    }
}

/// The requests that have a format.
#[derive(Default)]
pub struct Forms {
    grammars: Vec<Arc<Grammar>>,
    known: BTreeMap<u64, Expected>,
}

impl Forms {
    pub fn new(engine: &Engine) -> Forms {
        let grammar = |(lark, _): &(&str, _)| engine.compile(&Format::Lark((*lark).to_owned())).unwrap();
        Forms { grammars: FORMS.iter().map(grammar).collect(), known: BTreeMap::new() }
    }

    /// A request of some kind.
    pub fn request(&self, id: String, kind: u64) -> Request {
        let kind = kind % KINDS;
        let plain = VOCAB as u64 - u64::from(FIRST_PLAIN);
        let prompt = (0..=kind % 20).map(|at| FIRST_PLAIN + (mix(kind / 4 * 64 + at) % plain) as TokenId).collect();
        Request {
            max_tokens: Some(1 + (mix(kind) % 30) as usize),
            sampling: SamplingParams { temperature: 0.0, ..SamplingParams::default() },
            format: Some(Arc::clone(&self.grammars[kind as usize % FORMS.len()])),
            ..Request::new(id, prompt)
        }
    }

    /// What its answer has to be.
    pub fn expected(&mut self, kind: u64) -> Expected {
        let kind = kind % KINDS;
        if let Some(known) = self.known.get(&kind) {
            return known.clone();
        }
        let request = self.request("alone".to_owned(), kind);
        let found = alone(&request);
        check(&found, request.max_tokens.unwrap(), kind as usize % FORMS.len());
        self.known.entry(kind).or_insert(found).clone()
    }
}

/// An answer is of its form if it was not cut. If it was, it is brought to an end in its form where there is room for any.
fn check(answer: &Expected, room: usize, form: usize) {
    let text: String = answer.tokens.iter().map(|&id| char::from(LETTERS[(id - FIRST_PLAIN) as usize])).collect();
    let must_be = answer.end == Ok(FinishReason::Stop) || room >= [3, 3, 17][form];
    assert!(FORMS[form].1(&text) || !must_be, "{text} with room for {room}: {:?}", answer.end);
}

/// The answer of an engine that has nothing else to do.
fn alone(request: &Request) -> Expected {
    let clock = Clock::by_hand();
    let world = World::new(SchedulerKind::Default, 0, 0, clock.clone()).without_faults();
    let machine = Machine::new(64, &[], 0, 4, 96, Arc::new(Mutex::new("simulation.alone", world)));
    let config = config(SchedulerKind::Default);
    let (engine, mut worker) = Engine::by_hand(Box::new(machine), Arc::new(Syllables), config, clock).unwrap();
    let mut stream = engine.submit(request.clone()).unwrap();
    let (mut tokens, mut end) = (Vec::new(), Err("no end"));
    loop {
        worker.turn();
        while let Some(event) = stream.try_next() {
            match event {
                Event::Token { id, .. } => tokens.push(id),
                Event::Finished { reason, .. } => end = Ok(reason),
                Event::Done(_) => return Expected { tokens, end },
                other => panic!("alone: {other:?}"),
            }
        }
    }
}
