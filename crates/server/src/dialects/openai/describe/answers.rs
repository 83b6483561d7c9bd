//! Answers.

use super::details::{CALL_PIECES, CALLS, COUNT, FINISH, PROMPTS, STOP_REASON, TOKENS};
use crate::description::Shape::{Any, Either, Joined, List, Named, Number, Object, OrNull, Text, Words};
use crate::description::{Field, Shape, field};

/// OpenAI's envelope of errors.
pub(super) const ERROR: Shape = Object(&[field(
    "error",
    Object(&[
        field("message", Text, "What is wrong, and what is allowed.").needed(),
        field("type", Text, "").needed(),
        field("param", OrNull(&Text), "The field that is at fault.").needed(),
        field("code", Text, "The reason, for programs.").needed(),
    ]),
    "",
)
.needed()]);

const MODEL: Field = field("model", Text, "").needed();

/// What stands at the head of answers and of their pieces.
const HEAD: &[Field] = &[
    field("id", Text, "The same in all chunks.").needed(),
    field("created", COUNT, "In seconds since 1970.").needed(),
    MODEL,
    field("service_tier", Text, "The tier that was served.").needed(),
    field("system_fingerprint", Text, "").needed(),
    field("timings", Named("Timings"), ""),
];

const PROMPT_TOKENS: Field = field("prompt_token_ids", TOKENS, "If ids are wanted.");
const PROMPT_LOGPROBS: Field = field("prompt_logprobs", PROMPTS, "If they are wanted.");
const PROGRESS: Field =
    field("prompt_progress", Named("PromptProgress"), "While the prompt is computed, if it is wanted.");
const INDEX: Field = field("index", COUNT, "").needed();

/// What each choice has beside its text.
const CHOICE: &[Field] = &[
    INDEX,
    field("finish_reason", FINISH, "`stop`, `length` or `tool_calls`; `null` while it goes on.").needed(),
    field("stop_reason", STOP_REASON, "What had been named and ended the answer."),
    field("token_ids", TOKENS, "If they are wanted."),
];

const USAGE: Field = field("usage", Named("Usage"), "").needed();
const CHUNK_USAGE: Field = field("usage", OrNull(&Named("Usage")), "In the last chunk, if it is wanted.");

const MESSAGE: Shape = Object(&[
    field("role", Words(&["assistant"]), "").needed(),
    field("content", OrNull(&Text), "`null` if the model only called.").needed(),
    field("refusal", OrNull(&Any), ""),
    field("reasoning_content", Text, "Thoughts."),
    field("reasoning", Text, "The same, if `reasoning` was asked for."),
    field("tool_calls", CALLS, ""),
]);

const DELTA: Shape = Object(&[
    field("role", Words(&["assistant"]), ""),
    field("content", OrNull(&Text), "`null` at the beginning."),
    field("reasoning_content", Text, ""),
    field("reasoning", Text, ""),
    field("tool_calls", CALL_PIECES, ""),
]);

const VERBOSE: Field = field("__verbose", Object(&[field("prompt", Text, "As the model reads it.").needed()]), "");

const CHAT_LOGPROBS: Field = field("logprobs", OrNull(&Named("ChatLogprobs")), "").needed();

/// A whole answer to a chat.
pub(super) const CHAT: Shape = Joined(&[
    HEAD,
    &[
        field("object", Words(&["chat.completion"]), "").needed(),
        field("choices", List(&Joined(&[CHOICE, &[field("message", MESSAGE, "").needed(), CHAT_LOGPROBS]])), "")
            .needed(),
        USAGE,
        PROMPT_TOKENS,
        PROMPT_LOGPROBS,
        VERBOSE,
    ],
]);

/// A piece of one.
pub(super) const CHAT_CHUNK: Shape = Joined(&[
    HEAD,
    &[
        field("object", Words(&["chat.completion.chunk"]), "").needed(),
        field("choices", List(&Joined(&[CHOICE, &[field("delta", DELTA, "").needed(), CHAT_LOGPROBS]])), "").needed(),
        CHUNK_USAGE,
        PROGRESS,
        PROMPT_TOKENS,
    ],
]);

const TEXT_LOGPROBS: Field = field("logprobs", OrNull(&Named("TextLogprobs")), "").needed();

/// An answer to texts, or a piece of one.
pub(super) const COMPLETION: Shape = Joined(&[
    HEAD,
    &[
        field("object", Words(&["text_completion"]), "").needed(),
        field(
            "choices",
            List(&Joined(&[
                CHOICE,
                &[field("text", Text, "").needed(), TEXT_LOGPROBS, PROMPT_TOKENS, PROMPT_LOGPROBS],
            ])),
            "",
        )
        .needed(),
        CHUNK_USAGE,
        PROGRESS,
    ],
]);

const TEXT_USAGE: Field = field(
    "usage",
    Object(&[field("prompt_tokens", COUNT, "").needed(), field("total_tokens", COUNT, "").needed()]),
    "",
)
.needed();

const LIST: Field = field("object", Words(&["list"]), "").needed();

/// Vectors.
pub(super) const EMBEDDINGS: Shape = Object(&[
    LIST,
    MODEL,
    field(
        "data",
        List(&Object(&[
            field("object", Words(&["embedding"]), "").needed(),
            INDEX,
            field("embedding", Either(&[List(&Number(None, None)), Text]), "Numbers, or their bytes in base64.")
                .needed(),
        ])),
        "",
    )
    .needed(),
    TEXT_USAGE,
]);

/// Documents, best first.
pub(super) const RANKING: Shape = Either(&[
    Object(&[
        LIST,
        MODEL,
        field(
            "results",
            List(&Object(&[
                INDEX,
                field("relevance_score", Number(None, None), "").needed(),
                field("document", Object(&[field("text", Text, "").needed()]), "If it is wanted."),
            ])),
            "",
        )
        .needed(),
        TEXT_USAGE,
    ]),
    List(&Object(&[INDEX, field("score", Number(None, None), "").needed(), field("text", Text, "If it is wanted.")])),
]);
