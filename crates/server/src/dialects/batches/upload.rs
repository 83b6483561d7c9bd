//! A file that comes in a form (RFC 7578), and goes into the store piece by piece.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use multer::{Field, Multipart};
use parkade_store::{FileWriter, NewFile, Purpose};
use serde_json::Value;

use super::objects;
use crate::access::Identity;
use crate::generate::{AppState, deeds, of_store};
use crate::http::body::pieces;
use crate::http::{ApiError, quote};
use crate::work::LARGEST_INPUT;

/// What a form has beside its file, in bytes.
const LARGEST_REST: u64 = 1 << 20;
/// The longest value of a field that is no file, in bytes.
const LONGEST_VALUE: usize = 1024;
/// The longest name of a file, in bytes.
const LONGEST_NAME: usize = 512;
/// How soon a file may be forgotten, in seconds, as OpenAI's API allows it.
pub(super) const EXPIRY: std::ops::RangeInclusive<u64> = 3600..=2_592_000;

/// What purposes a client can name.
pub(super) const PURPOSES: [Purpose; 2] = [Purpose::Batch, Purpose::UserData];

/// What a form says.
#[derive(Default)]
struct Form {
    file: Option<FileWriter>,
    purpose: Option<Purpose>,
    expires_after: Option<u64>,
}

pub(super) async fn upload(
    State(state): State<AppState>,
    identity: Identity,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let store = state.durable().store()?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| {
        let message = format!("the content-type header is {}; send the file as multipart/form-data", quote(kind));
        ApiError::invalid_value("content-type", message)
    })?;
    let body = pieces(state.http(), &headers, body, LARGEST_INPUT + LARGEST_REST)?;
    let mut fields = Multipart::new(body, boundary);
    let mut form = Form::default();
    while let Some(field) = fields.next_field().await.map_err(unreadable)? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "file" if form.file.is_some() => return Err(twice("file")),
            "file" => {
                let new = NewFile {
                    owner: identity.owner().unwrap_or_default().to_owned(),
                    name: file_name(&field)?,
                    purpose: form.purpose.unwrap_or(Purpose::UserData),
                    expires_after: form.expires_after,
                };
                let writer = store.write_file(new, None).await.map_err(of_store)?;
                form.file = Some(copy(field, writer).await?);
            }
            "purpose" => form.purpose = Some(purpose(&value(field, &name).await?)?),
            "expires_after[seconds]" => form.expires_after = Some(expiry(&value(field, &name).await?)?),
            "expires_after[anchor]" => anchor(&value(field, &name).await?)?,
            other => {
                let message = format!("the form has a field {}; known: file, purpose, expires_after", quote(other));
                return Err(ApiError::invalid_value(quote(other), message));
            }
        }
    }
    let mut file = form.file.ok_or_else(|| ApiError::missing("file", "a file in the form"))?;
    let purpose = form.purpose.ok_or_else(|| ApiError::missing("purpose", "\"batch\" or \"user_data\""))?;
    file.set(purpose, form.expires_after).await.map_err(of_store)?;
    let file = file.finish(&deeds::of(&identity, "file.uploaded", "")).await.map_err(of_store)?;
    Ok(Json(objects::file(&file)))
}

/// Writes a file as it comes.
async fn copy(mut field: Field<'_>, mut writer: FileWriter) -> Result<FileWriter, ApiError> {
    while let Some(piece) = field.chunk().await.map_err(unreadable)? {
        if writer.bytes() + piece.len() as u64 > LARGEST_INPUT {
            let message = format!("the file is larger than {} MB; split it", LARGEST_INPUT >> 20);
            return Err(ApiError::body_too_large(usize::try_from(LARGEST_INPUT).unwrap_or(usize::MAX))
                .with_param("file")
                .with_message(message));
        }
        writer.write(&piece).await.map_err(of_store)?;
    }
    Ok(writer)
}

fn file_name(field: &Field<'_>) -> Result<String, ApiError> {
    let name = field.file_name().unwrap_or("file");
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        let message = format!("the file's name is {}; use 1 to {LONGEST_NAME} bytes that can be shown", quote(name));
        return Err(ApiError::invalid_value("file", message));
    }
    Ok(name.to_owned())
}

async fn value(mut field: Field<'_>, name: &str) -> Result<String, ApiError> {
    let mut text = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(unreadable)? {
        text.extend_from_slice(&piece);
        if text.len() > LONGEST_VALUE {
            let message = format!("{name} has more than {LONGEST_VALUE} bytes");
            return Err(ApiError::invalid_value(name, message));
        }
    }
    String::from_utf8(text).map_err(|_| ApiError::invalid_value(name, format!("{name} is no text in UTF-8")))
}

fn purpose(text: &str) -> Result<Purpose, ApiError> {
    PURPOSES.into_iter().find(|purpose| purpose.name() == text).ok_or_else(|| {
        ApiError::invalid_value("purpose", format!("purpose is {}; allowed: batch, user_data", quote(text)))
    })
}

fn expiry(text: &str) -> Result<u64, ApiError> {
    text.parse().ok().filter(|seconds| EXPIRY.contains(seconds)).ok_or_else(|| {
        let message =
            format!("expires_after[seconds] is {}; allowed: {} to {}", quote(text), EXPIRY.start(), EXPIRY.end());
        ApiError::invalid_value("expires_after", message)
    })
}

fn anchor(text: &str) -> Result<(), ApiError> {
    match text {
        "created_at" => Ok(()),
        _ => {
            let message = format!("expires_after[anchor] is {}; allowed: created_at", quote(text));
            Err(ApiError::invalid_value("expires_after", message))
        }
    }
}

fn twice(field: &str) -> ApiError {
    ApiError::invalid_value(field, format!("{field} is there twice; send it once"))
}

/// What is told of a form that breaks off or is none: the reader of the body knows better than the reader of the form.
fn unreadable(error: multer::Error) -> ApiError {
    if let multer::Error::StreamReadFailed(inner) = error {
        return match inner.downcast::<ApiError>() {
            Ok(error) => *error,
            Err(_) => ApiError::malformed("the body could not be read"),
        };
    }
    ApiError::invalid_value(
        "body",
        "the body is not the form that its content-type announces; send multipart/form-data as RFC 7578 has it",
    )
}
