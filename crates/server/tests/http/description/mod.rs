//! `/openapi.json`: it says of the API what is true, and answers keep to it.
//!
//! | file | subject |
//! | --- | --- |
//! | `schema.rs` | whether a value keeps to a schema |
//! | `servers.rs` | servers with tiny models of each kind, and the description's operations |
//! | `document.rs` | the document and the page |
//! | `bodies.rs` | bodies made of the description: each field is read, and no body breaks the server |
//! | `answers.rs` | answers have what the description says, and no more |
//! | `readme.rs` | the README's table of all fields |

mod answers;
mod bodies;
mod document;
mod readme;
mod schema;
mod servers;
