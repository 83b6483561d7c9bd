//! What can be asked at a path, and what is answered.

use serde_json::{Map, Value, json};

use super::body::Body;
use super::shape::{Field, Shape, object};

/// Statuses of errors, and when they come. Each comes in the envelope of the path's dialect.
const ERRORS: &[(u16, &str)] = &[
    (400, "Something is wrong with the request: `param` names the field, and the message what is allowed."),
    (401, "There is no key, or it is not known."),
    (403, "The request comes from a web page that may not ask, or from a key that is not an operator's."),
    (404, "There is nothing of that name."),
    (408, "The body did not come in time."),
    (409, "Another request has taken this one's place, or something else stands against it."),
    (413, "The body is too large."),
    (415, "The body has an encoding that is not read here."),
    (421, "The server is not meant by this host."),
    (429, "A limit of this key, or of this user; `retry-after` says when to come back."),
    (431, "The head is too large."),
    (499, "The request was cancelled."),
    (500, "The server failed on this request."),
    (501, "The server was started without what this needs, or its operator has it not told."),
    (503, "The server cannot take it now, or cannot be in time; `retry-after` says when to come back."),
    (507, "The disk of the store is full."),
];

/// Which errors can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errors {
    /// Those of what everybody may ask.
    Open,
    /// Those of what needs a key.
    Keyed,
    /// Those of what needs a key, and what an operator may keep to itself.
    Optional,
    /// Those of what names something in its path.
    Named,
    /// Those of a body that is looked at.
    Body,
    /// Those of what an engine computes.
    Computed,
    /// Those of what is in the store.
    Stored,
}

impl Errors {
    fn has(self, status: u16) -> bool {
        match status {
            400 | 403 | 421 | 431 | 500 | 503 => true,
            401 => self != Self::Open,
            404 => !matches!(self, Self::Open | Self::Keyed | Self::Optional),
            408 | 413 | 415 | 429 => matches!(self, Self::Body | Self::Computed | Self::Stored),
            409 => matches!(self, Self::Computed | Self::Stored),
            499 => self == Self::Computed,
            501 => matches!(self, Self::Stored | Self::Optional),
            507 => self == Self::Stored,
            _ => false,
        }
    }

    /// The responses, with this component as their bodies.
    pub(super) fn responses(self, envelope: &str) -> impl Iterator<Item = (String, Value)> {
        let schema = json!({"$ref": format!("#/components/schemas/{envelope}")});
        ERRORS.iter().filter(move |(status, _)| self.has(*status)).map(move |(status, about)| {
            let content = json!({"application/json": {"schema": schema}});
            (status.to_string(), json!({"description": about, "content": content}))
        })
    }
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

/// What is said of a request beside its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub place: Place,
    pub name: &'static str,
    pub shape: Shape,
    pub about: &'static str,
}

impl Parameter {
    fn describe(&self) -> Value {
        let place = match self.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        };
        let needed = self.place == Place::Path;
        let (name, about) = (self.name, self.about);
        json!({"name": name, "in": place, "required": needed, "description": about, "schema": self.shape.schema()})
    }
}

/// What is answered if all is well.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// JSON.
    Json(Shape),
    /// A stream of events, with these as their data.
    Events(Shape),
    /// Text of this type.
    Text(&'static str),
    /// Nothing, with status 204, and when.
    Nothing(&'static str),
}

/// What can be asked at a path.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// In a few words.
    pub summary: &'static str,
    pub parameters: Vec<Parameter>,
    pub body: Option<Body>,
    /// The fields of a form, if it is a form that is sent.
    pub form: &'static [Field],
    pub answers: Vec<Answer>,
    pub errors: Errors,
}

impl Operation {
    /// What is asked without a body.
    pub fn new(summary: &'static str, errors: Errors, answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = answers.into_iter().collect();
        Self { summary, parameters: Vec::new(), body: None, form: &[], answers, errors }
    }

    /// With these parameters.
    #[must_use]
    pub fn with(mut self, parameters: &[Parameter]) -> Self {
        self.parameters.extend_from_slice(parameters);
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }

    /// With these fields of a form.
    #[must_use]
    pub fn form(mut self, fields: &'static [Field]) -> Self {
        self.form = fields;
        self
    }

    /// Its OpenAPI object; `envelope` is how errors are written at its path.
    pub(super) fn describe(&self, id: &str, tag: &str, envelope: &str) -> Value {
        let mut described = json!({
            "operationId": id,
            "tags": [tag],
            "summary": self.summary,
            "responses": self.responses(envelope),
        });
        if !self.parameters.is_empty() {
            described["parameters"] = self.parameters.iter().map(Parameter::describe).collect();
        }
        if let Some(body) = &self.body {
            let content = json!({"schema": body.schema(), "example": body.example});
            described["requestBody"] = json!({"required": true, "content": {"application/json": content}});
        }
        if !self.form.is_empty() {
            let schema = object(self.form.iter().map(|field| (field, field.schema())));
            described["requestBody"] =
                json!({"required": true, "content": {"multipart/form-data": {"schema": schema}}});
        }
        if self.errors == Errors::Open {
            described["security"] = json!([]);
        }
        described
    }

    fn responses(&self, envelope: &str) -> Value {
        let (mut responses, mut content) = (Map::new(), Map::new());
        for answer in &self.answers {
            match answer {
                Answer::Json(shape) => {
                    content.insert("application/json".to_owned(), json!({"schema": shape.schema()}));
                }
                Answer::Events(shape) => {
                    let media = json!({"schema": {"type": "string"}, "x-parkade-event": shape.schema()});
                    content.insert("text/event-stream".to_owned(), media);
                }
                Answer::Text(media) => {
                    content.insert((*media).to_owned(), json!({"schema": {"type": "string"}}));
                }
                Answer::Nothing(when) => {
                    responses.insert("204".to_owned(), json!({"description": when}));
                }
            }
        }
        responses.insert("200".to_owned(), json!({"description": "What was asked for.", "content": content}));
        responses.extend(self.errors.responses(envelope));
        Value::Object(responses)
    }
}
