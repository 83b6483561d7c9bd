//! Fields that say how the next token is chosen.

use parkade_core::SamplingParams;

use crate::description::Shape::{Above, Either, List, ListOf, Map, Number, ShortText, Text, Whole, Words};
use crate::description::{Field, Shape, field};

/// From 0 to 1.
const SHARE: Shape = Number(Some(0.0), Some(1.0));

/// From 0 to 100.
const UP_TO_100: Shape = Number(Some(0.0), Some(100.0));

const PENALTY: Shape = Number(Some(-2.0), Some(2.0));

/// A limit: -1 is none.
pub(crate) const LIMIT: Shape = Whole(Some(-1), None);

const TOKEN: Shape = Whole(Some(0), None);

/// A number that is added to a logit, or `false`.
const BIAS: Shape = Either(&[Number(Some(-100.0), Some(100.0)), Shape::Boolean]);

/// All of them.
pub(crate) const SAMPLING: &[Field] = &[
    field("temperature", UP_TO_100, "How evenly tokens are drawn; 0 takes the likeliest."),
    field("top_p", SHARE, "Only the likeliest tokens that have this probability together."),
    field("top_k", LIMIT, "Only so many of the likeliest tokens; 0 and -1 are all."),
    field("min_p", SHARE, "Only tokens at least this likely, the likeliest being 1."),
    field("typical_p", SHARE, "Only tokens whose surprise is typical, with this probability together."),
    field("typ_p", SHARE, "llama.cpp's name for `typical_p`."),
    field("top_n_sigma", Number(None, Some(100.0)), "Only tokens within so many deviations of the largest logit."),
    field("nsigma", Number(None, Some(100.0)), "KoboldCpp's name for `top_n_sigma`."),
    field("xtc_probability", SHARE, "How often the likeliest tokens above `xtc_threshold` but one are left out."),
    field("xtc_threshold", SHARE, "How likely a token must be to be left out by XTC."),
    field("presence_penalty", PENALTY, "What a token loses that was there already."),
    field("frequency_penalty", PENALTY, "What a token loses each time that it was there."),
    field("repetition_penalty", Above(0.0, 10.0), "What the logit of a token is divided by that was there."),
    field("repeat_penalty", Above(0.0, 10.0), "llama.cpp's name for `repetition_penalty`."),
    field("repeat_last_n", LIMIT, "How many of the last tokens penalties look at; -1 is all."),
    field("penalty_last_n", LIMIT, "Another name for `repeat_last_n`."),
    field("dry_multiplier", Number(None, Some(100.0)), "How much DRY takes from tokens that would repeat a sequence."),
    field("dry_base", Number(Some(1.0), Some(10.0)), "By how much more with each token of the sequence."),
    field("dry_allowed_length", Whole(Some(0), None), "Sequences up to this length may repeat."),
    field("dry_penalty_last_n", LIMIT, "How many of the last tokens DRY looks at; -1 is all."),
    field("dry_sequence_breakers", ListOf(&ShortText(40), 0, 32), "What no repetition goes across."),
    field(
        "logit_bias",
        Either(&[Map(&BIAS), List(&ListOf(&Either(&[TOKEN, Text, BIAS]), 2, 2))]),
        "What is added to the logits of tokens, by their ids or by texts; `false` forbids them.",
    ),
    field("allowed_token_ids", List(&TOKEN), "The only tokens that may come."),
    field(
        "bad_words",
        ListOf(&ShortText(256), 0, SamplingParams::MAX_BAD_WORDS / 2),
        "Words that may not come, unless nothing else could.",
    ),
    field("seed", Whole(Some(i64::MIN), None), "The same seed draws the same tokens; -1 is a new one each time."),
];

/// The words of `service_tier`.
pub(crate) const TIERS: Shape = Words(&["auto", "default", "flex", "priority"]);
