//! What the tests share.

use parkade_jinja::{Error, Limits, Rendered, Template, Variable};
use serde_json::Value;

/// Compiles and renders with what comes from the request.
pub fn render(source: &str, context: &Value) -> Result<Rendered, Error> {
    let empty = serde_json::Map::new();
    let context = context.as_object().unwrap_or(&empty);
    let variables: Vec<_> = context.iter().map(|(name, value)| (name.as_str(), Variable::Input(value))).collect();
    let limits = Limits::default();
    Template::compile(source, &limits)?.render(&variables, &limits)
}

/// Runs on a thread with the stack that threads have, and gives what comes out.
pub fn in_a_small_stack<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, run).unwrap();
        thread.join().unwrap()
    })
}
