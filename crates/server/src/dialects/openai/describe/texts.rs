//! Fields of embeddings and rankings.

use crate::description::Shape::{Boolean, Either, ListOf, Object, ShortText, Text, Whole, Words};
use crate::description::{Field, Shape, field};
use crate::dialects::request::describe::LIMIT;

const TOKENS: Shape = ListOf(&Whole(Some(0), None), 1, 1 << 20);

const INPUT: Shape =
    Either(&[ShortText(1 << 20), ListOf(&ShortText(1 << 20), 1, 2048), TOKENS, ListOf(&TOKENS, 1, 2048)]);

const DOCUMENTS: Shape = ListOf(&Either(&[Text, Object(&[field("text", Text, "The document.").needed()])]), 1, 2048);

/// The fields of embeddings and rankings.
pub(super) const TEXTS: &[Field] = &[
    field(
        "truncate",
        Either(&[Boolean, Words(&["START", "END", "NONE", "start", "end", "none"])]),
        "Where texts are cut that are too long; else they are refused.",
    ),
    field("truncate_prompt_tokens", LIMIT, "The most tokens of a text; what is more is cut off."),
];

/// The fields of embeddings.
pub(super) const EMBEDDINGS: &[Field] = &[
    field("input", INPUT, "One or several texts, or their tokens.").needed(),
    field("dimensions", Whole(Some(1), None), "How many dimensions are left; at most the model's own."),
    field("encoding_format", Words(&["float", "base64"]), "How vectors are written."),
];

/// The fields of rankings.
pub(super) const RERANK: &[Field] = &[
    field("query", Text, "What the documents are compared with.").needed(),
    field("documents", DOCUMENTS, "What is ranked."),
    field("texts", DOCUMENTS, "text-embeddings-inference's name for `documents`; its answer is a bare list."),
    field("top_n", LIMIT, "How many documents are given."),
    field("top_k", LIMIT, "Another name for `top_n`."),
    field("return_documents", Boolean, "Whether documents are repeated."),
    field("return_text", Boolean, "text-embeddings-inference's name for `return_documents`."),
    field("raw_scores", Boolean, "Whether scores are the model's own, and not squashed to 0 to 1."),
];
