//! A conversation whose answers are printed as they come.
//!
//! `cargo run --release -p parkade-core --example stream -- MODEL.gguf`

use std::error::Error;
use std::io::Write;

use parkade_core::{Event, LoadOptions, Message, Request, SamplingParams, load};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("which model? name a GGUF file")?;
    let model = load(path.as_ref(), &LoadOptions::default())?;

    let mut conversation = vec![Message::system("You answer in one short sentence.")];
    for question in ["What is the chemical formula of water?", "And what is its colour?"] {
        println!("> {question}");
        conversation.push(Message::user(question));
        let request = Request {
            max_tokens: Some(64),
            sampling: SamplingParams::greedy(),
            ..model.chat(question, &conversation)?
        };
        let mut stream = model.engine.submit(request)?;
        let mut answer = String::new();
        // It ends with exactly one `Done` or `Failed`; dropping it earlier cancels the request.
        while let Some(event) = stream.blocking_next() {
            match event {
                Event::Token { text, .. } | Event::Finished { text, .. } => {
                    print!("{text}");
                    std::io::stdout().flush()?;
                    answer.push_str(&text);
                }
                // The conversation so far comes from the prefix cache: only the new question is computed.
                Event::Done(usage) => {
                    println!("\n[{} of {} prompt tokens were cached]", usage.cached_tokens, usage.prompt_tokens)
                }
                Event::Failed(error) => return Err(error.into()),
                _ => {}
            }
        }
        conversation.push(Message::assistant(answer));
    }
    Ok(())
}
