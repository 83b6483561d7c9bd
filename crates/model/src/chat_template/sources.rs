//! Where a model file keeps its chat templates.

use crate::gguf::{Gguf, or_missing};

/// The key of the default template. Others have the key of their name: `tokenizer.chat_template.tool_use`.
const KEY: &str = "tokenizer.chat_template";
/// The name of the template without a name.
pub(super) const DEFAULT: &str = "default";

/// The key of a template in the metadata.
pub(super) fn key(name: &str) -> String {
    if name == DEFAULT { KEY.to_owned() } else { format!("{KEY}.{name}") }
}

/// The names and sources of a model's chat templates. One that is no text counts as missing: completions need none.
pub(crate) fn sources<'a>(gguf: &'a Gguf, warnings: &mut Vec<String>) -> Vec<(&'a str, &'a str)> {
    let named = gguf.metadata().filter_map(|(key, _)| {
        let name = key.strip_prefix(KEY)?.strip_prefix('.')?;
        (!name.is_empty() && name != DEFAULT).then_some((name, key))
    });
    let keys = std::iter::once((DEFAULT, KEY)).chain(named);
    keys.filter_map(|(name, key)| Some((name, or_missing(gguf.get_str(key), warnings)?))).collect()
}
