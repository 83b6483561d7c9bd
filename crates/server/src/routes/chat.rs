//! `POST /v1/chat/completions`.

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
use crate::openai::chat::{self, Chat};
use crate::openai::chat_body::{self, ChatEncoder};
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
    // A template is a program from a file that somebody made: never on an async thread.
    let chat =
        routes::prepare(&state, false, move || chat::prepare(&shared, &raw.parse()?.value, &identity, deadlines))
            .await?;
    let Chat { model, head, request, stream, include_usage } = chat;
    let n = request.n;
    let with_logprobs = request.logprobs.is_some();
    let mut answers = Answers::submit(&model.engine, vec![request], chat::PROMPT_FIELD, exchange)?;
    if stream {
        let encoder = ChatEncoder::new(head, model, n, with_logprobs, include_usage);
        return sse::respond(answers, encoder, state.config().keep_alive_comment).await;
    }
    let collected = answers::collect(&mut answers, n).await?;
    let usage = answers.usage();
    let answer = collected.first().ok_or_else(|| ApiError::internal("the engine gave no answer"))?;
    routes::json_body(chat_body::whole(&head, &model, with_logprobs, answer, usage))
}
