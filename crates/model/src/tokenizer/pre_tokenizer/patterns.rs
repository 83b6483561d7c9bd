//! The patterns of pre-tokenizers.
//!
//! They are regular expressions, as in the models' own tokenizers, but on an engine whose time is linear in the text. It
//! knows no look-ahead. Two occur in these rules, and [`Cut`] has both: `\s+(?!\S)`, where a run of white space leaves its
//! last character to the word that follows, and groups of three digits that are counted from the end of a number.

/// A pattern, and what becomes of its matches.
pub(super) type Stage = (&'static str, Cut);

/// Where a match is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nowhere.
    Nowhere,
    /// One that ends in white space and has text after it leaves its last character to the next word, unless it is the only one.
    LeaveLast,
    /// The same, but the rule has its own way with line ends: what ends in one stays whole.
    LeaveLastButLines,
    /// After each digit that has a multiple of three behind it. What stands before the first digits goes with them.
    Thousands,
    /// One that is white space and does not end in a line end goes in pieces of the largest power of two from 4 to 512 that fits, then of 2 and 1. One
    /// that has text after it leaves its last character to the next word, unless it is the only one.
    Halves,
}

use Cut::{Halves, LeaveLast, LeaveLastButLines, Nowhere};

macro_rules! contractions {
    () => {
        "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
    };
}

/// Words of letters, numbers, signs with the line ends after them, line ends with the space before them, space.
macro_rules! words {
    ($letters:literal, $numbers:literal, $signs:literal) => {
        words!("", $letters, $numbers, $signs, r"|\s*[\r\n]+|\s+")
    };
    ($first:expr, $letters:literal, $numbers:literal, $signs:literal, $space:literal) => {
        concat!($first, r"[^\r\n\p{L}\p{N}]?", $letters, "|", $numbers, "| ?", $signs, $space)
    };
}

/// Words that change from capitals to small letters once, with a contraction perhaps. Letters outside of ASCII are both.
macro_rules! cased {
    ($letter:literal, $contraction:expr, $rest:literal) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[",
            $letter,
            "&&[^a-z]]*[",
            $letter,
            "&&[^A-Z]]+",
            $contraction,
            r"|[^\r\n\p{L}\p{N}]?[",
            $letter,
            "&&[^a-z]]+[",
            $letter,
            "&&[^A-Z]]*",
            $contraction,
            $rest,
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+"
        )
    };
}

macro_rules! contracted {
    () => {
        concat!(contractions!(), "|")
    };
}

macro_rules! perhaps_contracted {
    () => {
        concat!("(?:", contractions!(), ")?")
    };
}

/// Chinese characters, as Kimi's rules have them.
macro_rules! han {
    () => {
        r"[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2EBEF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}]"
    };
}

/// Words behind one ASCII sign, words of letters and marks, signs and what may follow them.
macro_rules! signs {
    ($after:literal) => {
        concat!(
            r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]"##,
            $after
        )
    };
}

pub(super) const GPT2: Stage = (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+", LeaveLast);
pub(super) const DIGITS: Stage = (r"\p{N}", Nowhere);
pub(super) const THREE_DIGITS: Stage = (r"[0-9][0-9][0-9]", Nowhere);
pub(super) const UP_TO_THREE_DIGITS: Stage = (r"\p{N}{1,3}", Nowhere);
pub(super) const NUMBERS: Stage = (r"\p{N}+", Nowhere);
pub(super) const LINES: Stage = (r"[^\n]+|\n+", Nowhere);
pub(super) const LLAMA3: Stage = (
    words!(contracted!(), r"\p{L}+", r"\p{N}{1,3}", r"[^\s\p{L}\p{N}]+[\r\n]*", r"|\s*[\r\n]+|\s+"),
    LeaveLastButLines,
);
pub(super) const JAIS2: Stage = (LLAMA3.0, Halves);
pub(super) const QWEN2: Stage =
    (words!(contracted!(), r"\p{L}+", r"\p{N}", r"[^\s\p{L}\p{N}]+[\r\n]*", r"|\s*[\r\n]+|\s+"), LeaveLastButLines);
pub(super) const QWEN35: Stage = (
    words!(contracted!(), r"[\p{L}\p{M}]+", r"\p{N}", r"[^\s\p{L}\p{M}\p{N}]+[\r\n]*", r"|\s*[\r\n]+|\s+"),
    LeaveLastButLines,
);
pub(super) const UFAKZEKA: Stage = (words!(r"\p{L}+", r"\p{N}", r"[^\s\p{L}\p{N}]+[\r\n]*"), LeaveLastButLines);
pub(super) const MINICPM5: Stage =
    (words!(contracted!(), r"\p{L}+", r"\p{N}+", r"[^\s\p{L}\p{N}]+[\r\n]*", r"|\s*[\r\n]+|\s+"), LeaveLastButLines);
pub(super) const BAILING: Stage =
    (words!(contracted!(), r"\p{L}+", r"\p{N}", r"[^\s\p{L}\p{N}]+[\r\n]*", r"|\s*[\r\n]|\s+"), LeaveLastButLines);
pub(super) const SEED: Stage =
    (words!(contracted!(), r"\p{L}+", r"\p{N}", r"[^\s\p{L}\p{N}\r\n]+", r"|\s*[\r\n]+|\s+"), LeaveLastButLines);
pub(super) const EXAONE_MOE: Stage = (
    words!(
        contracted!(),
        r"(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+",
        r"\p{N}",
        r"[^\s\p{L}\p{N}]+[\r\n/]?",
        r"|\s*[\r\n]|\s+"
    ),
    LeaveLastButLines,
);
pub(super) const TEKKEN: Stage = (cased!(r"\p{L}", "", r"|\p{N}"), LeaveLastButLines);
pub(super) const GPT4O: Stage = (cased!(r"\p{L}", perhaps_contracted!(), r"|\p{N}{1,3}"), LeaveLastButLines);
pub(super) const GRANITE_EMBEDDING: Stage =
    (cased!(r"[\p{L}\p{M}]", perhaps_contracted!(), r"|\p{N}{1,3}"), LeaveLastButLines);
/// Case changes nothing here, as llama.cpp reads the rule.
pub(super) const AYA: Stage = (
    concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
        perhaps_contracted!(),
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+"
    ),
    LeaveLastButLines,
);
pub(super) const YOUTU: Stage = (
    concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
        perhaps_contracted!(),
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+"
    ),
    LeaveLastButLines,
);
pub(super) const EAST_ASIAN: Stage = ("[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+", Nowhere);
pub(super) const KIMI: Stage = (
    concat!(
        han!(),
        r"+|[^\r\n\p{L}\p{N}]?[\p{L}--",
        han!(),
        "]+",
        perhaps_contracted!(),
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
    ),
    LeaveLastButLines,
);
pub(super) const CHINESE_AND_KANA: Stage = ("[一-龥぀-ゟ゠-ヿ]+", Nowhere);
pub(super) const DEEPSEEK: Stage = (signs!(r"+[\r\n]*|\s*[\r\n]+|\s+"), LeaveLastButLines);
pub(super) const SPARK: Stage = (signs!(r"+|[\r\n]|\s+"), LeaveLast);
pub(super) const CHINESE_AND_HANGUL: Stage = (r"[一-龥ࠀ-一가-\x{D7FF}]+", Nowhere);
/// The letters of the scripts with cases.
pub(super) const CASED_SCRIPTS: Stage = (
    concat!(
        r"\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}",
        r"\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}",
        r"\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}",
        r"\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}",
        r"\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}",
        r"\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}",
        r"\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}",
        r"\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}",
        r"\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}",
        r"\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}",
        r"\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}",
        r"\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}",
        r"\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}",
        r"\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+",
    ),
    Nowhere,
);
pub(super) const BLOOM: Stage = (r" ?[^(\s|.,!?…。，、।۔،)]+", Nowhere);
pub(super) const AFMOE_ASIAN: Stage = (
    concat!(
        "[一-\u{9FFF}㐀-䶿豈-\u{FAFF}぀-ゟ゠-ヿ･-ﾟ⼀-\u{2FDF}เ-\u{E7F}\u{E80}-\u{EFF}ក-\u{17FF}",
        "က-႟ꩠ-ꩿ\u{A9E0}-\u{A9FF}가-\u{D7AF}ᄀ-ᇿ]+"
    ),
    Nowhere,
);
