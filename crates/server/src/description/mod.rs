//! What the API is, as a value: operations with their bodies and answers, and the OpenAPI document that they make.
//!
//! Bodies are read by hand, so no type could be asked what it reads. Each dialect says it instead: tables of [`Field`]s stand beside its
//! readers, and which of them a body has is told by the same lists of names that the readers go by. So a field that is read stands in the
//! document, and none stands there that is not. A path and what answers there are one [`Route`](crate::dialects::Route), of which both the
//! router and the document are made.
//!
//! | file | subject |
//! | --- | --- |
//! | `shape.rs` | values, in the words of JSON Schema |
//! | `body.rs` | bodies: what is read of them, refused and ignored |
//! | `operation.rs` | what can be asked at a path, and what is answered |
//! | `document.rs` | the OpenAPI document of all operations |

mod body;
mod document;
mod operation;
mod shape;

pub(crate) use body::Body;
pub(crate) use document::{Component, Described, document};
pub(crate) use operation::{Answer, Errors, Operation, Parameter, Place};
pub(crate) use shape::{Field, Shape, field};
