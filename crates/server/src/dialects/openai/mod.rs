//! OpenAI's completions, embeddings and what goes with them: bodies are read and checked by hand, answers are written with serde.

pub(in crate::dialects) mod describe;
mod encode;
pub(in crate::dialects) mod error;
pub(in crate::dialects) mod parse;
pub(crate) mod service_tier;

use encode::{Chat, Completions};
use parkade_core::{Request, RequestStream};
use serde_json::Value;

use super::{Dialect, Route};
use crate::access::Identity;
use crate::generate::{
    AppState, Birth, Call, Deadlines, Operation, Sender, Task, TextOperation, complete, embed, wait_for_all,
};
use crate::http::ApiError;

pub use parse::Endpoint;
use parse::{Embeddings, Rerank};

/// OpenAI's API.
pub(crate) const DIALECT: Dialect = Dialect {
    name: "OpenAI",
    prefix: "/",
    routes,
    components: describe::COMPONENTS,
    envelope: "Error",
    error_body: error::envelope,
};

fn routes() -> Vec<Route> {
    let routes = [
        Route::post("/v1/chat/completions", complete::<Chat>, describe::chat()).detachable(),
        Route::post("/v1/completions", complete::<Completions>, describe::completions()).detachable(),
        Route::post("/v1/embeddings", embed::<Embeddings>, describe::embeddings()),
        Route::post("/v1/rerank", embed::<Rerank>, describe::rerank()),
    ];
    routes.into_iter().map(Route::bare_too).collect()
}

/// Answers a body of `/v1/embeddings` as the server does where there are no keys, and returns when all is computed: for programs that have the
/// engine in their own process. `complete` puts in what is not the body's to say.
///
/// # Errors
/// The field that is at fault, or why the engine refuses or fails a text.
pub fn embeddings(state: &AppState, body: &Value, complete: impl Fn(&mut Request)) -> Result<Vec<u8>, ApiError> {
    let sender = Sender { identity: &Identity::ANONYMOUS, deadlines: Deadlines::default() };
    wait_for_all(Embeddings::read(state, body, &sender)?, complete)
}

impl Endpoint {
    /// Reads a body as the server does where there are no keys, and hands in a request for each of its prompts, all or none: for programs
    /// that have the engine in their own process. `complete` puts in what is not the body's to say. It takes time in proportion to the body.
    ///
    /// # Errors
    /// The field that is at fault, or why the engine refuses it.
    pub fn submit(
        self,
        state: &AppState,
        body: &Value,
        complete: impl Fn(&mut Request),
    ) -> Result<Vec<RequestStream>, ApiError> {
        let read = match self {
            Self::Chat => Chat::read,
            Self::Completions => Completions::read,
        };
        let birth = Birth::now();
        let task = read(state, body, &Call::anonymous(&birth))?;
        let Task { model, requests, prompt_field, .. } = task.compile()?;
        let submit = |mut request| {
            complete(&mut request);
            model.engine.submit(request).map_err(|refusal| ApiError::from_refusal(refusal, prompt_field))
        };
        requests.into_iter().map(submit).collect()
    }
}
