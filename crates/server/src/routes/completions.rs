//! `POST /v1/completions`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::access::identity::Identity;
use crate::dialects::openai::encode::completions::{CompletionsEncoder, whole};
use crate::dialects::openai::encode::echo::Echo;
use crate::dialects::openai::parse::completions::{self, Completions};
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
    let inline = raw.len() <= routes::SMALL_BODY;
    let completions =
        routes::prepare(&state, inline, move || completions::prepare(&shared, &raw.parse()?.value, &sender, deadlines))
            .await?;
    let Completions { model, head, requests, echoes, ignored, n, stream, include_usage } = completions;
    if let Some(ignored) = ignored {
        state.ignored_log().tell(&ignored);
        log.set_headers(|headers| headers.extend(ignored.header().map(|names| (routes::IGNORED_FIELDS, names))));
    }
    let prompts = requests.len();
    let with_logprobs = requests.first().is_some_and(|request| request.logprobs.is_some());
    let echoes: Option<Arc<[Echo]>> = echoes.map(Arc::from);
    let encoder = {
        let (head, model, echoes) = (head.clone(), model.clone(), echoes.clone());
        move |include_usage| {
            let (head, model, echoes) = (head.clone(), model.clone(), echoes.clone());
            CompletionsEncoder::new(head, model, (prompts, n), with_logprobs, include_usage, echoes)
        }
    };
    let written = encoder.clone();
    let submission = Submission {
        state: &state,
        model: &model,
        identity: &identity,
        log,
        prompt_field: completions::PROMPT_FIELD,
        // Whoever reads along with a stream finds what its own reader does; with a whole answer goes its usage.
        encoder: Box::new(move || Box::new(encoder(include_usage || !stream))),
    };
    let mut answers = Answers::submit(submission, requests)?;
    if stream {
        return stream::respond(answers, written(include_usage), state.config()).await;
    }
    let collected = answers::collect(&mut answers, n).await?;
    let usage = answers.usage();
    let echoes = echoes.as_deref();
    let body = whole(&head, &model, with_logprobs, echoes, &collected, usage);
    routes::json_body(body)
}
