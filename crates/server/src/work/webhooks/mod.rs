//! What webhooks are told. Events stand in the store, written together with what they tell; here they are sent, and sent again until they
//! are received.
//!
//! | file | subject |
//! | --- | --- |
//! | `outbox.rs` | what is due, and what comes of it |
//! | `again.rs` | when an event that was not received is sent again |
//! | `post.rs` | one attempt: a `POST` over a connection of its own |
//! | `resolve.rs` | the addresses that it may be sent to |

mod again;
mod outbox;
mod post;
mod resolve;

pub(super) use outbox::Outbox;
