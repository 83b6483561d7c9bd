//! An answer that is written while nobody reads, and read by somebody who comes later.
//!
//! `cargo run --release -p parkade-core --example attach -- MODEL.gguf`

use std::error::Error;

use parkade_core::{Event, LoadOptions, Message, Request, RequestId, SamplingParams, load};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("which model? name a GGUF file")?;
    let model = load(path.as_ref(), &LoadOptions::default())?;

    let question = Message::user("Tell me about the sea.");
    let request =
        Request { max_tokens: Some(64), sampling: SamplingParams::greedy(), ..model.chat("sea", &[question])? };
    // Dropping the stream would cancel the request.
    model.engine.submit(request)?.detach();

    // Whoever knows the id can read from any event that is remembered, while it is written and for a while after.
    let mut events = model.engine.pool().streams().attach(&RequestId::from("sea"), 0)?;
    while let Some(event) = events.next().await {
        match event? {
            (_, Event::Token { text, .. } | Event::Finished { text, .. }) => print!("{text}"),
            (number, Event::Done(usage)) => {
                println!("\n[event {number} is the last; {} tokens]", usage.completion_tokens)
            }
            (_, Event::Failed(error)) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
