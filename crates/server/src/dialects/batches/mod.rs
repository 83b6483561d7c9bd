//! OpenAI's files and batches: many requests in a file, which are answered when nobody else wants the machine.
//!
//! | file | subject |
//! | --- | --- |
//! | `upload.rs` | a file that comes, piece by piece |
//! | `files.rs` | listing, reading and deleting files |
//! | `create.rs` | a batch that is wanted |
//! | `existing.rs` | listing and cancelling batches |
//! | `objects.rs` | files and batches as JSON |
//! | `describe.rs` | what is said of all that |

mod create;
mod describe;
mod existing;
mod files;
mod objects;
mod upload;

use super::{Dialect, Route};
use crate::dialects::envelope::envelope;
pub(crate) use create::ENDPOINTS;

/// Files and batches.
pub(crate) const DIALECT: Dialect = Dialect {
    name: "Batches",
    prefix: "/v1/batches",
    routes,
    components: describe::COMPONENTS,
    envelope: "Error",
    error_body: envelope,
};

fn routes() -> Vec<Route> {
    let routes = [
        Route::post("/v1/files", upload::upload, describe::upload()),
        Route::get("/v1/files", files::list, describe::list_files()),
        Route::get("/v1/files/{id}", files::retrieve, describe::file()),
        Route::get("/v1/files/{id}/content", files::content, describe::content()),
        Route::delete("/v1/files/{id}", files::delete, describe::delete_file()),
        Route::post("/v1/batches", create::create, describe::create()),
        Route::get("/v1/batches", existing::list, describe::list_batches()),
        Route::get("/v1/batches/{id}", existing::retrieve, describe::batch()),
        Route::post("/v1/batches/{id}/cancel", existing::cancel, describe::cancel()),
    ];
    routes.into_iter().map(Route::bare_too).collect()
}
