//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::access::identity::Identity;
use crate::dialects::openai::encode::chat::{ChatEncoder, whole};
use crate::dialects::openai::parse::chat::{self, Chat};
use crate::generate::answers::{self, Answers, Submission};
use crate::generate::deadlines::Deadlines;
use crate::generate::state::AppState;
use crate::generate::stream;
use crate::http::body;
use crate::http::error::ApiError;
use crate::http::request_log::RequestLog;
use crate::routes;

pub(super) async fn complete(
    State(state): State<AppState>,
    identity: Identity,
    Extension(log): Extension<Arc<RequestLog>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    state.admits()?;
    let deadlines = Deadlines::from_headers(&headers)?;
    let raw = body::read(state.http(), identity.payer(log.sender()), &headers, body).await?;
    let (shared, sender) = (state.clone(), identity.clone());
    // A template is a program from a file that somebody made: never on an async thread.
    let chat =
        routes::prepare(&state, false, move || chat::prepare(&shared, &raw.parse()?.value, &sender, deadlines)).await?;
    let Chat { model, head, request, stream, include_usage, ignored } = chat;
    if let Some(ignored) = ignored {
        state.ignored_log().tell(&ignored);
        log.set_headers(|headers| headers.extend(ignored.header().map(|names| (routes::IGNORED_FIELDS, names))));
    }
    let n = request.n;
    let with_logprobs = request.logprobs.is_some();
    let encoder = {
        let (head, model) = (head.clone(), model.clone());
        move |include_usage| ChatEncoder::new(head.clone(), model.clone(), n, with_logprobs, include_usage)
    };
    let written = encoder.clone();
    let submission = Submission {
        state: &state,
        model: &model,
        identity: &identity,
        log,
        prompt_field: chat::PROMPT_FIELD,
        // Whoever reads along with a stream finds what its own reader does; with a whole answer goes its usage.
        encoder: Box::new(move || Box::new(encoder(include_usage || !stream))),
    };
    let mut answers = Answers::submit(submission, vec![request])?;
    if stream {
        return stream::respond(answers, written(include_usage), state.config()).await;
    }
    let collected = answers::collect(&mut answers, n).await?;
    let usage = answers.usage();
    let answer = collected.first().ok_or_else(|| ApiError::internal("the engine gave no answer"))?;
    routes::json_body(whole(&head, &model, with_logprobs, answer, usage))
}
