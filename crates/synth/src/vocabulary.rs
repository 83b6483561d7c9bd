//! Vocabularies made by rule. Their merges are whole: each token can be reached.

use parkade_model::gguf::{Array, Value};

use crate::random::Random;

const WORDS: &str = "the of and to in is was that for with on as are at be this have from or one had by not but what all were when we \
    there can an your which their said if do will each about how up out them then she many some so these would other into has more her two \
    like him see time could no make than first been its who now people my made over did down only way find use may water long little very \
    after words called just where most know";
const MARKS: &str = "0123456789.,;:!?'\"()-/";
const CONTROL: i32 = 3;
const UNKNOWN: i32 = 2;
const NORMAL: i32 = 1;
const BYTE: i32 = 6;

/// A kind of vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vocabulary {
    /// Byte-level BPE with 17 control tokens, the newline, letters and pairs of letters, and nothing else.
    Letters,
    /// The same for ModernBERT: a beginning and an end around each text.
    MarkedLetters,
    /// The same for embedders: an end after each text.
    EndedLetters,
    /// Byte-level BPE of all bytes with words of up to four letters, and ChatML.
    Chat,
    /// SentencePiece BPE with byte fallback, as Llama 2 has it.
    Llama,
    /// The same as Gemma has it: other control tokens, no space in front.
    Gemma,
    /// Gemma 4's BPE over space marks with byte fallback.
    Gemma4,
    /// WordPiece, as BERT has it.
    WordPiece,
    /// Unigram, as XLM-RoBERTa has it.
    Unigram,
    /// RWKV's tokens, the longest of which wins.
    Rwkv,
}

/// Tokens in the making.
#[derive(Default)]
struct Tokens {
    texts: Vec<String>,
    types: Vec<i32>,
    scores: Vec<f32>,
    merges: Vec<String>,
    limit: usize,
}

impl Tokens {
    /// Adds a token if there is room.
    fn push(&mut self, text: String, kind: i32, score: f32) {
        if self.texts.len() < self.limit {
            self.texts.push(text);
            self.types.push(kind);
            self.scores.push(score);
        }
    }

    fn each(&mut self, texts: impl IntoIterator<Item = String>, kind: i32) {
        texts.into_iter().for_each(|text| self.push(text, kind, 0.0));
    }

    /// Adds the token that two make together.
    fn merged(&mut self, head: &str, tail: &str) {
        if self.texts.len() < self.limit {
            self.merges.push(format!("{head} {tail}"));
            self.push(format!("{head}{tail}"), NORMAL, 0.0);
        }
    }

    /// All pairs of letters that are still free.
    fn pairs(&mut self, score: impl Fn(usize) -> f32) {
        for (at, pair) in pairs().enumerate() {
            self.push(pair, NORMAL, score(at));
        }
    }

    /// Every beginning of every word after a space mark, the shorter first, so that merges reach it.
    fn beginnings(&self, shortest: usize) -> Vec<(String, char)> {
        let mut found: Vec<(String, char)> = Vec::new();
        for word in WORDS.split_whitespace() {
            for (end, last) in word.char_indices().skip(shortest - 1) {
                let head = format!("▁{}", &word[..end]);
                let known = |(other, c): &(String, char)| *other == head && *c == last;
                if !found.iter().any(known) {
                    found.push((head, last));
                }
            }
        }
        found.truncate(self.limit.saturating_sub(self.texts.len()));
        found
    }
}

fn letters() -> impl Iterator<Item = String> {
    ('a'..='z').map(String::from)
}

fn pairs() -> impl Iterator<Item = String> {
    letters().flat_map(|a| letters().map(move |b| format!("{a}{b}")))
}

fn bytes() -> impl Iterator<Item = String> {
    (0..256).map(|byte| format!("<0x{byte:02X}>"))
}

fn marks() -> impl Iterator<Item = String> {
    MARKS.chars().map(String::from)
}

/// The characters that stand for bytes in byte-level BPE (Radford et al. 2019).
fn byte_characters() -> impl Iterator<Item = char> {
    let mut spare = 256..;
    (0..=255u8).map(move |byte| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => byte.into(),
        _ => spare.next().and_then(char::from_u32).unwrap_or_default(),
    })
}

impl Vocabulary {
    /// The metadata of `size` tokens.
    pub(crate) fn metadata(self, size: usize) -> Vec<(String, Value)> {
        let mut tokens = Tokens { limit: size, ..Tokens::default() };
        let keys = self.fill(&mut tokens);
        let mut out: Vec<_> = keys.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).collect();
        let mut array = |key: &str, array: Array| {
            if !array.is_empty() {
                out.push((format!("tokenizer.ggml.{key}"), array.into()));
            }
        };
        if matches!(self, Vocabulary::Llama | Vocabulary::Gemma | Vocabulary::Unigram) {
            array("scores", Array::F32(tokens.scores));
        }
        array("merges", Array::Str(tokens.merges));
        array("token_type", Array::I32(tokens.types));
        array("tokens", Array::Str(tokens.texts));
        if self == Vocabulary::Chat {
            out.push(("tokenizer.chat_template".to_owned(), CHATML.into()));
        }
        out
    }

    /// Adds the tokens and gives the other keys.
    fn fill(self, tokens: &mut Tokens) -> Vec<(&'static str, Value)> {
        match self {
            Vocabulary::Letters | Vocabulary::MarkedLetters | Vocabulary::EndedLetters => self.letters(tokens),
            Vocabulary::Chat => chat(tokens),
            Vocabulary::Llama | Vocabulary::Gemma => self.sentencepiece(tokens),
            Vocabulary::Gemma4 => gemma4(tokens),
            Vocabulary::WordPiece => word_piece(tokens),
            Vocabulary::Unigram => unigram(tokens),
            Vocabulary::Rwkv => rwkv(tokens),
        }
    }

    fn letters(self, tokens: &mut Tokens) -> Vec<(&'static str, Value)> {
        tokens.each((0..17).map(|n| format!("<|c{n}|>")), CONTROL);
        tokens.each(["Ċ".to_owned()], NORMAL);
        tokens.each(letters(), NORMAL);
        for pair in pairs() {
            tokens.merged(&pair[..1], &pair[1..]);
        }
        let mut keys = bpe("smollm", 1, 2, self == Vocabulary::MarkedLetters);
        match self {
            Vocabulary::MarkedLetters => {
                keys[1] = ("pre", "modern-bert".into());
                keys.extend([("add_eos_token", true.into()), ("cls_token_id", 1u32.into())]);
                let ids = [("seperator_token_id", 2u32), ("padding_token_id", 3), ("unknown_token_id", 4)];
                keys.extend(ids.map(|(key, id)| (key, id.into())));
            }
            Vocabulary::EndedLetters => {
                keys.extend([("add_eos_token", true.into()), ("padding_token_id", 3u32.into())]);
            }
            _ => {}
        }
        keys
    }

    fn sentencepiece(self, tokens: &mut Tokens) -> Vec<(&'static str, Value)> {
        let gemma = self == Vocabulary::Gemma;
        if gemma {
            tokens.each(["<pad>", "<eos>", "<bos>"].map(str::to_owned), CONTROL);
            tokens.each(["<unk>".to_owned()], UNKNOWN);
        } else {
            tokens.each(["<unk>".to_owned()], UNKNOWN);
            tokens.each(["<s>", "</s>"].map(str::to_owned), CONTROL);
        }
        tokens.each(bytes(), BYTE);
        // A merge of higher score is done first; single characters are never merged into.
        let singles = ["▁".to_owned()].into_iter().chain(letters());
        let plain = marks().chain(["é", "ü", "中", "文"].map(str::to_owned));
        for (at, text) in singles.chain(plain).enumerate() {
            tokens.push(text, NORMAL, -1000.0 - at as f32);
        }
        let merged = letters().map(|letter| format!("▁{letter}")).chain(["▁▁".to_owned()]).collect::<Vec<_>>();
        let longer = tokens.beginnings(2).into_iter().map(|(head, last)| format!("{head}{last}"));
        for (at, text) in merged.into_iter().chain(longer).enumerate() {
            tokens.push(text, NORMAL, -(at as f32));
        }
        tokens.pairs(|at| -500.0 - at as f32);
        let mut keys = vec![("model", "llama".into()), ("pre", "default".into()), ("add_bos_token", true.into())];
        keys.extend([("add_eos_token", false.into()), ("add_space_prefix", (!gemma).into())]);
        let (bos, eos, unknown) = if gemma { (2u32, 1u32, 3u32) } else { (1, 2, 0) };
        keys.extend([("bos_token_id", bos.into()), ("eos_token_id", eos.into()), ("unknown_token_id", unknown.into())]);
        if gemma {
            keys.push(("padding_token_id", 0u32.into()));
        }
        keys
    }
}

const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

fn bpe(pre: &str, bos: u32, eos: u32, add_bos: bool) -> Vec<(&'static str, Value)> {
    vec![
        ("model", "gpt2".into()),
        ("pre", pre.into()),
        ("bos_token_id", bos.into()),
        ("eos_token_id", eos.into()),
        ("add_bos_token", add_bos.into()),
    ]
}

fn chat(tokens: &mut Tokens) -> Vec<(&'static str, Value)> {
    tokens.each(["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(str::to_owned), CONTROL);
    tokens.each(byte_characters().map(String::from), NORMAL);
    for pair in pairs() {
        tokens.merged(&pair[..1], &pair[1..]);
    }
    letters().for_each(|letter| tokens.merged("Ġ", &letter));
    for pair in pairs() {
        letters().for_each(|letter| tokens.merged(&pair, &letter));
    }
    for head in pairs() {
        pairs().for_each(|tail| tokens.merged(&head, &tail));
    }
    bpe("smollm", 0, 2, false)
}

fn gemma4(tokens: &mut Tokens) -> Vec<(&'static str, Value)> {
    tokens.each(["<pad>", "<eos>", "<bos>"].map(str::to_owned), CONTROL);
    tokens.each(["<unk>".to_owned()], UNKNOWN);
    tokens.each(bytes(), BYTE);
    tokens.each(["▁", "\n"].map(str::to_owned).into_iter().chain(letters()).chain(marks()), NORMAL);
    for (head, last) in tokens.beginnings(1) {
        tokens.merged(&head, &last.to_string());
    }
    let ids = [("bos_token_id", 2u32), ("eos_token_id", 1), ("unknown_token_id", 3), ("padding_token_id", 0)];
    let mut keys = vec![("model", "gemma4".into()), ("pre", "gemma4".into()), ("add_bos_token", true.into())];
    keys.push(("add_space_prefix", false.into()));
    keys.extend(ids.map(|(key, id)| (key, id.into())));
    keys
}

fn word_piece(tokens: &mut Tokens) -> Vec<(&'static str, Value)> {
    tokens.each(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned), CONTROL);
    let others = "&$%+=<>[]#@*_中文人αд".chars().map(String::from);
    let words = WORDS.split_whitespace().filter(|word| word.len() > 1).map(str::to_owned);
    for text in letters().chain(marks()).chain(others).chain(words) {
        tokens.push(format!("▁{text}"), NORMAL, 0.0);
    }
    tokens.each(letters(), NORMAL);
    tokens.pairs(|_| 0.0);
    // Only large vocabularies have room for these.
    for triple in pairs().flat_map(|pair| letters().map(move |letter| format!("{pair}{letter}"))) {
        if !WORDS.split_whitespace().any(|word| word == triple) {
            tokens.push(format!("▁{triple}"), NORMAL, 0.0);
        }
    }
    for pair in pairs() {
        letters().for_each(|letter| tokens.push(format!("{pair}{letter}"), NORMAL, 0.0));
    }
    let ids = [("padding_token_id", 0u32), ("unknown_token_id", 1), ("cls_token_id", 2), ("bos_token_id", 2)];
    let more = [("seperator_token_id", 3u32), ("eos_token_id", 3), ("mask_token_id", 4), ("token_type_count", 2)];
    let mut keys = vec![("model", "bert".into()), ("add_bos_token", true.into()), ("add_eos_token", true.into())];
    keys.push(("add_sep_token", false.into()));
    keys.extend(ids.into_iter().chain(more).map(|(key, id)| (key, id.into())));
    keys
}

fn unigram(tokens: &mut Tokens) -> Vec<(&'static str, Value)> {
    let mut random = Random::of(0, "scores");
    tokens.each(["<s>", "<pad>", "</s>"].map(str::to_owned), CONTROL);
    tokens.each(["<unk>".to_owned()], UNKNOWN);
    tokens.limit -= 1;
    let plain = marks().chain(["é", "ü", "中", "文"].map(str::to_owned));
    let singles = ["▁".to_owned()].into_iter().chain(letters()).chain(letters().map(|letter| format!("▁{letter}")));
    for text in singles.chain(plain) {
        tokens.push(text, NORMAL, -10.0 + random.uniform());
    }
    let longer = tokens.beginnings(2).into_iter().map(|(head, last)| format!("{head}{last}")).collect::<Vec<_>>();
    for text in longer.into_iter().chain(pairs()) {
        tokens.push(text, NORMAL, -9.0 + 2.0 * random.uniform());
    }
    tokens.limit += 1;
    tokens.each(["<mask>".to_owned()], CONTROL);
    let mask = tokens.texts.len() as u32 - 1;
    let ids = [("bos_token_id", 0), ("padding_token_id", 1), ("eos_token_id", 2), ("unknown_token_id", 3)];
    let more = [("seperator_token_id", 2), ("cls_token_id", 0), ("mask_token_id", mask), ("token_type_count", 1)];
    let flags = ["add_space_prefix", "remove_extra_whitespaces", "add_bos_token", "add_eos_token", "add_sep_token"];
    let mut keys = vec![("model", "t5".into()), ("pre", "default".into())];
    keys.extend(flags.map(|key| (key, true.into())));
    keys.extend(ids.into_iter().chain(more).map(|(key, id)| (key, id.into())));
    keys
}

fn rwkv(tokens: &mut Tokens) -> Vec<(&'static str, Value)> {
    tokens.each(["<s>".to_owned()], CONTROL);
    tokens.each(
        (0..=255u8).map(|byte| match byte {
            b'\'' | b'\\' | 0..0x20 | 0x7f.. => format!("\\x{byte:02x}"),
            _ => char::from(byte).to_string(),
        }),
        NORMAL,
    );
    tokens.pairs(|_| 0.0);
    vec![("model", "rwkv".into()), ("bos_token_id", 0u32.into()), ("eos_token_id", 0u32.into())]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_vocabulary_is_as_large_as_asked_and_has_no_token_twice() {
        use Vocabulary::*;
        let tiny = [Letters, MarkedLetters, EndedLetters, Chat, Llama, Gemma, Gemma4, WordPiece, Unigram, Rwkv];
        let large = [(Chat, 262_144), (WordPiece, 30_522)];
        for (kind, size) in tiny.map(|kind| (kind, 512)).into_iter().chain(large) {
            let mut tokens = Tokens { limit: size, ..Tokens::default() };
            kind.fill(&mut tokens);
            assert_eq!(tokens.texts.len(), size, "{kind:?}");
            assert_eq!(tokens.types.len(), size, "{kind:?}");
            let different = tokens.texts.iter().collect::<HashSet<_>>().len();
            assert_eq!(different, size, "{kind:?}");
        }
    }
}
