//! Masks that are found again: what is slow to find out about a place, and depends on nothing but the state of the lexer.
//!
//! A token that stays inside of a lexeme is allowed wherever the lexer is in the same state; whether one is that crosses the lexeme's end depends on
//! the parser too. So of a state whose mask took a walk through much of the vocabulary the first ones are kept as a mask, and the others, which are
//! few, as a list to be tried each time. The result is the same to the bit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use llguidance::derivre::StateID;
use llguidance::earley::{BiasComputer, ParserRecognizer, SlicedBiasComputer};
use llguidance::toktrie::{Recognizer, SimpleVob, TokTrie, TokenId};
use parkade_sync::Mutex;

/// A mask is slow to make if so many nodes of the vocabulary's trie are walked through for it.
const SLOW: usize = 1_000;

/// How many tokens are tried one by one at most; with more of them a state is not worth being kept.
const MOST_CROSSING: usize = 512;

/// How many states are kept for one request, and for the format.
const MOST_KEPT: usize = 64;

/// Makes the masks of one request.
pub(crate) struct Masks {
    slices: Arc<SlicedBiasComputer>,
    /// Whether states are kept when they are seen for the first time, and not for the second.
    is_eager: bool,
    known: Mutex<Known>,
}

#[derive(Clone, Default)]
struct Known {
    /// States that were slow.
    seen: HashSet<StateID>,
    kept: HashMap<StateID, Arc<Inside>>,
}

/// What is known of a state.
struct Inside {
    /// Tokens that stay inside of the lexeme.
    mask: SimpleVob,
    /// Those that may cross its end.
    crossing: Vec<TokenId>,
}

impl Masks {
    /// Masks of a format, to begin with: each state is kept that is slow.
    pub(crate) fn eager(slices: Arc<SlicedBiasComputer>) -> Self {
        Masks { slices, is_eager: true, known: Mutex::new("grammar.masks", Known::default()) }
    }

    /// Masks that know what these know, and share nothing else. Their lexer's states are numbered as these are, up to here.
    pub(crate) fn apart(&self) -> Self {
        let known = Mutex::new("grammar.masks", self.known.lock().clone());
        Masks { slices: Arc::clone(&self.slices), is_eager: false, known }
    }

    /// Bytes of what is kept.
    pub(crate) fn bytes(&self) -> usize {
        let of = |inside: &Arc<Inside>| 4 * (inside.mask.as_slice().len() + inside.crossing.len());
        self.known.lock().kept.values().map(of).sum()
    }

    /// Whether a state that was slow is to be kept now.
    fn is_due(&self, state: StateID) -> bool {
        let mut known = self.known.lock();
        let is_new = known.seen.insert(state);
        (self.is_eager || !is_new) && known.kept.len() < MOST_KEPT
    }
}

impl BiasComputer for Masks {
    fn compute_bias(&self, lexer: &mut ParserRecognizer<'_>, start: &[u8]) -> SimpleVob {
        let state = lexer.lexer_state();
        let kept = self.known.lock().kept.get(&state).filter(|_| start.is_empty()).cloned();
        if let Some(inside) = kept {
            return inside.complete(lexer, self.trie());
        }
        let (walked, slices) = (lexer.stats_mut().trie_nodes_walked, lexer.stats_mut().slices_applied);
        let mask = self.slices.compute_bias(lexer, start);
        let stats = lexer.stats_mut();
        // Where a slice was taken as a whole, the lexer has not been through it yet, and it would cost something to go.
        let is_slow = stats.trie_nodes_walked - walked >= SLOW && stats.slices_applied == slices;
        if start.is_empty() && is_slow && self.is_due(state) {
            let inside = Inside::of(lexer, self.trie());
            if inside.crossing.len() <= MOST_CROSSING {
                self.known.lock().kept.insert(state, Arc::new(inside));
            }
        }
        mask
    }

    fn trie(&self) -> &TokTrie {
        self.slices.trie()
    }
}

impl Inside {
    /// What the tokens do from the state in which the lexer is.
    fn of(lexer: &mut ParserRecognizer<'_>, trie: &TokTrie) -> Self {
        let mut walk = |crosses| {
            let start = Some(lexer.lexer_state());
            let mut mask = trie.alloc_token_set();
            trie.add_bias(&mut Walk { lexer: &mut *lexer, places: vec![start], crosses }, &mut mask, &[]);
            mask
        };
        let (mask, mut crossing) = (walk(false), walk(true));
        crossing.sub(&mask);
        Inside { mask, crossing: crossing.to_list() }
    }

    /// The mask at a place where the lexer is in this state.
    fn complete(&self, lexer: &mut ParserRecognizer<'_>, trie: &TokTrie) -> SimpleVob {
        let mut mask = self.mask.clone();
        lexer.trie_started("crossing");
        for &id in &self.crossing {
            let bytes = trie.token(id);
            let pushed = bytes.iter().take_while(|&&byte| lexer.try_push_byte(byte)).count();
            lexer.pop_bytes(pushed);
            if pushed == bytes.len() {
                mask.allow_token(id);
            }
        }
        lexer.trie_finished();
        mask
    }
}

/// Goes through the vocabulary by the lexer alone.
struct Walk<'a, 'b> {
    lexer: &'a mut ParserRecognizer<'b>,
    /// States on the way; none behind the end of the lexeme.
    places: Vec<Option<StateID>>,
    /// Whether it goes on behind the end of the lexeme.
    crosses: bool,
}

impl Recognizer for Walk<'_, '_> {
    fn collapse(&mut self) {}

    fn trie_finished(&mut self) {}

    fn pop_bytes(&mut self, count: usize) {
        self.places.truncate(self.places.len() - count);
    }

    fn try_push_byte(&mut self, byte: u8) -> bool {
        let Some(state) = self.places.last().copied().flatten() else {
            self.places.push(None);
            return true;
        };
        let lexer = self.lexer.lexer_mut();
        let next = lexer.transition_start_state(state, Some(byte), &None);
        let stays = !next.is_dead() && !next.has_lowest_match();
        let mut may_cross = || next.has_lowest_match() || !lexer.try_lexeme_end(state).is_error();
        let goes_on = stays || (self.crosses && may_cross());
        if goes_on {
            self.places.push(stays.then_some(next));
        }
        goes_on
    }
}
