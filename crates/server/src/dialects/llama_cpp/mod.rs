//! llama.cpp's own paths, in the shapes that its clients read; `/tokenize` and its likes take vLLM's fields as well.
//!
//! | file | subject |
//! | --- | --- |
//! | `parse.rs` | `POST /completion`: from a body to requests for the engine |
//! | `infill.rs` | `POST /infill`: a gap in code instead of a prompt |
//! | `prompts.rs` | prompts of texts, tokens, or both |
//! | `settings.rs` | `generation_settings`: how an answer was generated |
//! | `encode.rs` | answers, whole and streamed |
//! | `tokenize.rs` | texts to tokens and back |
//! | `template.rs` | messages to the prompt that a chat template makes of them |
//! | `props.rs` | what the server is like, and what it does |
//! | `describe.rs` | what is said of all that |

mod describe;
mod encode;
mod infill;
mod parse;
mod prompts;
mod props;
mod settings;
mod template;
mod tokenize;

use super::envelope::envelope;
use super::{Dialect, Route};
use crate::generate::{complete, inspect};
use infill::Infill;
use parse::Completion;
use template::ApplyTemplate;
use tokenize::{Detokenize, Tokenize};

/// What of llama.cpp's API is not OpenAI's.
pub(crate) const DIALECT: Dialect = Dialect {
    name: "llama.cpp",
    prefix: "/completion",
    routes,
    components: describe::COMPONENTS,
    envelope: "Error",
    error_body: envelope,
};

fn routes() -> Vec<Route> {
    vec![
        Route::post("/completion", complete::<Completion>, describe::completion()),
        Route::post("/infill", complete::<Infill>, describe::infill()),
        Route::post("/tokenize", inspect::<Tokenize>, describe::tokenize()),
        Route::post("/detokenize", inspect::<Detokenize>, describe::detokenize()),
        Route::get("/tokenizer_info", tokenize::info, describe::tokenizer_info()),
        Route::post("/apply-template", inspect::<ApplyTemplate>, describe::apply_template()),
        Route::get("/props", props::props, describe::props()),
        Route::get("/slots", props::slots, describe::slots()),
    ]
}
