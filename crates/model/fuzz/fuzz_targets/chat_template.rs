//! Any text as a chat template: it may fail, but in bounded time and memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parkade_model::chat_template::{ChatInput, ChatTemplate};
use serde_json::{Map, json};

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new(source, "<s>", "</s>") else { return };
    let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
    let _ = template.render(&ChatInput {
        messages: &messages,
        tools: None,
        documents: None,
        add_generation_prompt: true,
        extra: &Map::new(),
    });
});
