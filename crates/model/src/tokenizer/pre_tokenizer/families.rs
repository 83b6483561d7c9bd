//! The names of pre-tokenizers, and what follows from each.

use super::patterns::Cut::{Nowhere, Thousands};
use super::patterns::{
    AFMOE_ASIAN, AYA, BAILING, BLOOM, CASED_SCRIPTS, CHINESE_AND_HANGUL, CHINESE_AND_KANA, DEEPSEEK, DIGITS,
    EAST_ASIAN, EXAONE_MOE, GPT2, GPT4O, GRANITE_EMBEDDING, JAIS2, KIMI, LINES, LLAMA3, MINICPM5, NUMBERS, QWEN2,
    QWEN35, SEED, SPARK, Stage, TEKKEN, THREE_DIGITS, UFAKZEKA, UP_TO_THREE_DIGITS, YOUTU,
};

/// What follows from the name of a pre-tokenizer, as llama.cpp has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(super) stages: &'static [Stage],
    /// A word that is a token as a whole is not merged from its bytes.
    pub(crate) ignore_merges: bool,
    /// Whether a text begins with the BOS token unless `tokenizer.ggml.add_bos_token` says otherwise.
    pub(crate) add_bos: bool,
    /// What tokens are made of.
    pub(crate) letters: Letters,
}

/// What the tokens of a vocabulary are spelled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letters {
    /// Bytes, in GPT-2's alphabet.
    Bytes,
    /// Characters of words, which are what lies between white space; that has no tokens. A character that is no token is spelled as below.
    Words,
    /// Characters, with `▁` for a space; a character that is no token is spelled in tokens of bytes.
    Characters {
        /// A run of line ends that is a token is not merged from its parts (Gemma 4).
        whole_lines: bool,
    },
}

/// The names of `tokenizer.ggml.pre` that share rules, and the rules.
const FAMILIES: &[(&[&str], Rules)] = {
    const PLAIN: Rules = Rules { stages: &[], ignore_merges: false, add_bos: false, letters: Letters::Bytes };
    const fn plain(stages: &'static [Stage]) -> Rules {
        Rules { stages, ..PLAIN }
    }
    const fn whole_words(stages: &'static [Stage]) -> Rules {
        Rules { stages, ignore_merges: true, ..PLAIN }
    }
    const fn llama(stages: &'static [Stage]) -> Rules {
        Rules { stages, ignore_merges: true, add_bos: true, ..PLAIN }
    }
    &[
        (&["default"], plain(&[(r"[\p{P}$+<=>^~|]+", Nowhere), GPT2, NUMBERS, THREE_DIGITS])),
        (
            &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
            plain(&[DIGITS, GPT2]),
        ),
        (
            &[
                "gpt-2",
                "mpt",
                "olmo",
                "phi-2",
                "jais",
                "exaone4",
                "mellum",
                "modern-bert",
                "trillion",
                "granite-docling",
                "gigachat",
                "a.x-4.0",
                "roberta-bpe",
                "jina-es",
                "jina-de",
                "jina-v1-en",
                "jina-v2-es",
                "jina-v2-de",
                "jina-v2-code",
            ],
            plain(&[GPT2]),
        ),
        (&["falcon"], plain(&[(r"[\p{P}$+<=>^~|`]+", Nowhere), GPT2, THREE_DIGITS])),
        (
            &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"],
            llama(&[LLAMA3]),
        ),
        (&["jais-2"], plain(&[JAIS2])),
        (&["dbrx", "smaug-bpe", "chatglm-bpe"], plain(&[LLAMA3])),
        (&["glm4", "glm5"], whole_words(&[LLAMA3])),
        (
            &[
                "qwen2",
                "deepseek-r1-qwen",
                "stablelm2",
                "megrez",
                "hunyuan",
                "solar-open",
                "grok-2",
                "kormo",
                "f2llmv2",
            ],
            plain(&[QWEN2]),
        ),
        (&["qwen35"], plain(&[QWEN35])),
        (&["ufakzeka"], plain(&[UFAKZEKA])),
        (&["laguna"], plain(&[LINES, QWEN2])),
        (&["minicpm5"], whole_words(&[UP_TO_THREE_DIGITS, MINICPM5])),
        (&["bailingmoe", "bailingmoe2", "llada-moe"], plain(&[BAILING])),
        (&["seed-coder"], plain(&[SEED])),
        (&["exaone-moe"], plain(&[EXAONE_MOE])),
        (&["tekken"], llama(&[TEKKEN])),
        (&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], plain(&[GPT4O])),
        (&["granite-embed-multi-97m"], whole_words(&[GRANITE_EMBEDDING])),
        (&["tiny_aya", "cohere2moe"], plain(&[(r"\p{N}+", Thousands), AYA])),
        (&["youtu"], whole_words(&[EAST_ASIAN, YOUTU])),
        (&["kimi-k2"], plain(&[KIMI])),
        (
            &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
            plain(&[UP_TO_THREE_DIGITS, CHINESE_AND_KANA, DEEPSEEK]),
        ),
        (&["spark2_5"], plain(&[UP_TO_THREE_DIGITS, CHINESE_AND_KANA, SPARK, DIGITS])),
        (&["afmoe"], plain(&[(r"\p{N}+", Thousands), AFMOE_ASIAN, DEEPSEEK])),
        (
            &["deepseek-llm"],
            plain(&[
                (r"[\r\n]", Nowhere),
                CASED_SCRIPTS,
                (r"\s?[!-/:-~！-／：-～‘-‟、。]+", Nowhere),
                (r"\s+$", Nowhere),
                CHINESE_AND_HANGUL,
                NUMBERS,
            ]),
        ),
        (
            &["deepseek-coder"],
            plain(&[
                (r"[\r\n]", Nowhere),
                (r"\s?\p{L}+", Nowhere),
                (r"\s?\p{P}+", Nowhere),
                CHINESE_AND_HANGUL,
                DIGITS,
            ]),
        ),
        (&["bloom", "gpt3-finnish", "poro-chat"], plain(&[BLOOM])),
        (&["viking"], plain(&[BLOOM, DIGITS])),
        (&["superbpe"], plain(&[NUMBERS, (r"[0-9]+", Thousands)])),
        (
            &["chameleon"],
            Rules {
                stages: &[
                    ("<sentinel:[0-9]+>", Nowhere),
                    ("IMGIMG[A-I]{1,4}Z", Nowhere),
                    ("[\t\n]|    |  ", Nowhere),
                    DIGITS,
                    (r"[\p{P}!-/:-@\[-`{-~]", Nowhere),
                    GPT2,
                ],
                add_bos: true,
                ..PLAIN
            },
        ),
        (
            &["gemma4", "granite-embed-multi-311m"],
            Rules { stages: &[LINES], add_bos: true, letters: Letters::Characters { whole_lines: true }, ..PLAIN },
        ),
        (&["whitespace"], Rules { letters: Letters::Words, ..PLAIN }),
        (&["sarvam-moe"], Rules { stages: &[LINES], letters: Letters::Characters { whole_lines: false }, ..PLAIN }),
    ]
};

impl Rules {
    /// The rules of `name`, a value of `tokenizer.ggml.pre`.
    pub(crate) fn by_name(name: &str) -> Option<Rules> {
        FAMILIES.iter().find(|(names, _)| names.contains(&name)).map(|(_, rules)| *rules)
    }

    /// Whether a text begins with the BOS token, whatever the file says (Gemma 4, as llama.cpp has it).
    pub(crate) fn always_begins(&self) -> bool {
        self.letters == Letters::Characters { whole_lines: true }
    }

    /// All names.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        FAMILIES.iter().flat_map(|(names, _)| names.iter().copied())
    }
}
