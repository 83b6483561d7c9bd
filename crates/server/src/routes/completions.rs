//! `POST /v1/completions`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::body;
use crate::errors::ApiError;
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::openai::answers::{self, Answers};
use crate::openai::completions::{self, Completions};
use crate::openai::completions_body::{self, CompletionsEncoder};
use crate::openai::deadlines::Deadlines;
use crate::state::AppState;
use crate::{routes, sse};

pub(super) async fn complete(
    State(state): State<AppState>,
    identity: Identity,
    Extension(exchange): Extension<Arc<Exchange>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    state.ready()?;
    let deadlines = Deadlines::from_headers(&headers)?;
    let raw = body::read(&state, &headers, body).await?;
    let shared = state.clone();
    let inline = raw.len() <= routes::SMALL_BODY;
    let completions = routes::prepare(&state, inline, move || {
        completions::prepare(&shared, &raw.parse()?.value, &identity, deadlines)
    })
    .await?;
    let Completions { model, head, requests, echoes, n, stream, include_usage, prompt_only } = completions;
    let prompts = requests.len();
    let with_logprobs = requests.first().is_some_and(|request| request.logprobs.is_some());
    let mut answers = Answers::submit(&model.engine, requests, completions::PROMPT_FIELD, exchange)?;
    if prompt_only {
        answers.leave_out_text();
    }
    if stream {
        let choices = (prompts, n);
        let encoder = CompletionsEncoder::new(head, model, choices, with_logprobs, include_usage, echoes);
        return sse::respond(answers, encoder, state.config().keep_alive_comment).await;
    }
    let collected = answers::collect(&mut answers, n).await?;
    let usage = answers.usage();
    let echoes = echoes.as_deref();
    let body = completions_body::whole(&head, &model, with_logprobs, echoes, &collected, usage);
    routes::json_body(body)
}
