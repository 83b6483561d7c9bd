//! From a vocabulary to a tokenizer: its scheme, its special tokens, and what it puts around texts.

use super::checked::{Checked, Spelling};
use super::encoder::Encoder;
use super::fill_in::FillIn;
use super::keys::{ADD_BOS, ADD_EOS, ADD_SEPARATOR, BOS, CLASS, EOS, UNKNOWN, in_vocabulary};
use super::kind::Kind;
use super::pre_tokenizer::{Letters, Rules};
use super::scheme::Scheme;
use super::strip::Stripping;
use super::vocabulary::Vocabulary;
use super::{Tokenizer, TokenizerError};
use crate::TokenId;
use crate::likeness::nearest;

impl Tokenizer {
    /// Makes a tokenizer of a vocabulary. Ids of special tokens that are outside of it, and flags that ask for a token which is not named,
    /// count as missing: see [`Tokenizer::warnings`].
    ///
    /// # Errors
    /// As [`Tokenizer::from_gguf`].
    pub fn from_vocabulary(vocabulary: &Vocabulary<'_>) -> Result<Tokenizer, TokenizerError> {
        let scheme = Scheme::by_name(vocabulary.model).ok_or_else(|| TokenizerError::Model {
            found: vocabulary.model.chars().take(40).collect(),
            supported: Scheme::names(),
        })?;
        let checked = Checked::new(vocabulary)?;
        let mut warnings = Vec::new();
        let special = Special::of(vocabulary, scheme, &checked, &mut warnings);
        let rules = if scheme == Scheme::Bpe { Some(rules(vocabulary, &mut warnings)?) } else { None };
        let frame = Frame::of(vocabulary, scheme, rules.as_ref(), &special, &mut warnings);
        let add_space = vocabulary.add_space_prefix.unwrap_or(true);
        let leading_space = match scheme {
            Scheme::SentencePiece => add_space,
            Scheme::Unigram => add_space || vocabulary.remove_extra_whitespaces == Some(true),
            Scheme::WordPiece => true,
            Scheme::Bpe | Scheme::Longest => false,
        };
        let spelling = match (scheme, &rules) {
            (Scheme::Longest, _) => Spelling::Escaped,
            (_, Some(Rules { letters: Letters::Bytes, .. })) if vocabulary.model == "hybriddna" => Spelling::Dna,
            (_, Some(Rules { letters: Letters::Bytes, .. })) => Spelling::ByteLevel,
            _ => Spelling::SpaceMarks,
        };
        Ok(Tokenizer {
            fill_in: FillIn::of(vocabulary, &mut warnings),
            frame,
            leading_space,
            special: checked.literals(),
            stripping: Stripping::of(vocabulary, &checked),
            markup: checked.markup(&vocabulary.templates, &special.ends, special.bos),
            control: checked.kinds.iter().map(|&kind| kind == Kind::Control).collect(),
            bytes: checked.bytes(spelling),
            texts: vocabulary.tokens.iter().map(|text| text.as_bytes()).collect(),
            encoder: Encoder::new(scheme, rules, vocabulary, &checked, special.unknown)?,
            ends: special.ends,
            bos: special.bos,
            eos: special.eos,
            warnings,
        })
    }
}

/// The tokens that mean something by themselves.
struct Special {
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    separator: Option<TokenId>,
    unknown: Option<TokenId>,
    /// Of each token, whether it ends an answer.
    ends: Vec<bool>,
}

impl Special {
    fn of(vocabulary: &Vocabulary<'_>, scheme: Scheme, checked: &Checked<'_>, warnings: &mut Vec<String>) -> Special {
        let tokens = vocabulary.tokens.len();
        let mut named = |key, id: Option<u32>| id.and_then(|id| in_vocabulary(key, id, tokens, warnings));
        let ends_named: Vec<_> =
            vocabulary.ends.iter().filter_map(|&(key, id)| Some((key, named(key, Some(id))?))).collect();
        let (bos, class) = (named(BOS, vocabulary.bos), named(CLASS, vocabulary.class));
        let unknown = named(UNKNOWN, vocabulary.unknown);
        let separator = vocabulary.separator.and_then(|(key, id)| named(key, Some(id)));
        let eos = ends_named.iter().find(|(key, _)| *key == EOS).map(|&(_, id)| id);
        let usual = scheme.usual();
        let or_usual = |id: Option<u32>, usual: Option<u32>| id.or(usual.filter(|&id| (id as usize) < tokens));
        // BERT's files name the class token and the separator, and these frame a text.
        let (bos, eos) = if scheme == Scheme::WordPiece { (bos.or(class), separator.or(eos)) } else { (bos, eos) };
        let (bos, eos) = (or_usual(bos, usual.bos), or_usual(eos, usual.eos));
        let ends_named = ends_named.into_iter().map(|(_, id)| id).chain(eos);
        Special {
            bos,
            eos,
            separator: separator.or(eos),
            unknown: or_usual(unknown, usual.unknown),
            ends: checked.ends(ends_named),
        }
    }
}

/// What is put around texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// Before a text.
    pub(super) before: Option<TokenId>,
    /// After a text.
    pub(super) after: Option<TokenId>,
    /// Between two texts, after the end of the first.
    pub(super) between: Option<TokenId>,
}

impl Frame {
    fn of(
        vocabulary: &Vocabulary<'_>,
        scheme: Scheme,
        rules: Option<&Rules>,
        special: &Special,
        warnings: &mut Vec<String>,
    ) -> Frame {
        let mut flag = |set: Option<bool>, default: bool, token: Option<TokenId>, flag, key| {
            if set == Some(true) && token.is_none() {
                warnings.push(format!("{flag} is true, but {key} names no token; it counts as false"));
            }
            token.filter(|_| set.unwrap_or(default))
        };
        // llama.cpp frames these whatever their files say.
        let always = scheme == Scheme::WordPiece;
        let bos_always = always || rules.is_some_and(Rules::always_begins);
        let begins = scheme == Scheme::SentencePiece || rules.is_some_and(|rules| rules.add_bos);
        let before = flag(vocabulary.add_bos.filter(|_| !bos_always), begins || bos_always, special.bos, ADD_BOS, BOS);
        let ends = always || scheme == Scheme::Unigram;
        let after = flag(vocabulary.add_eos.filter(|_| !always), ends, special.eos, ADD_EOS, EOS);
        // XLM-RoBERTa's pairs have two, T5's and BERT's one.
        let between = scheme == Scheme::Unigram && before.is_some();
        let between = flag(vocabulary.add_separator, between, special.separator, ADD_SEPARATOR, EOS);
        Frame { before, after, between }
    }
}

/// The rules of `tokenizer.ggml.pre`.
fn rules(vocabulary: &Vocabulary<'_>, warnings: &mut Vec<String>) -> Result<Rules, TokenizerError> {
    let name =
        if ["gemma4", "whitespace"].contains(&vocabulary.model) { Some(vocabulary.model) } else { vocabulary.pre };
    let name = name.unwrap_or_else(|| {
        warnings.push(
            "tokenizer.ggml.pre is missing, so text is split into words by the rules of 'default'; \
             answers may be worse than the model can give: convert the model again with a current converter"
                .to_owned(),
        );
        "default"
    });
    // In a file of another model white space would have tokens.
    let is_of_model = |rules: &Rules| rules.letters != Letters::Words || vocabulary.model == "whitespace";
    Rules::by_name(name).filter(is_of_model).ok_or_else(|| TokenizerError::PreTokenizer {
        found: name.chars().take(40).collect(),
        nearest: nearest(name, Rules::names()),
        supported: Rules::names().collect::<Vec<_>>().join(", "),
    })
}
