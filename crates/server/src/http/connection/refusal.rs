//! An error as it is written to a socket by hand, where no HTTP library can do it.

use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;

use crate::http::request_log;
use crate::http::{ApiError, ErrorBody};

/// The whole response. It is the last one on its connection.
pub(super) fn on_the_wire(error: ApiError, error_body: ErrorBody) -> Bytes {
    let body = error_body(&error).to_string();
    let response = error.into_response();
    let mut text = format!("HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers() {
        if name != header::CONTENT_LENGTH && name != header::CONNECTION {
            let value = value.to_str().unwrap_or_default();
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    let id = request_log::new_id();
    text.push_str(&format!("x-request-id: {id}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()));
    Bytes::from(text)
}
