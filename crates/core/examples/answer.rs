//! One answer to one question, in one piece.
//!
//! `cargo run --release -p parkade-core --example answer -- MODEL.gguf`

use std::error::Error;

use parkade_core::parking_lot::{InferenceJob, InferenceResult};
use parkade_core::{LoadOptions, Message, Request, SamplingParams, load};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("which model? name a GGUF file")?;
    let model = load(path.as_ref(), &LoadOptions::default())?;

    let question = Message::user("What is the chemical formula of water?");
    let request =
        Request { sampling: SamplingParams::greedy(), max_tokens: Some(64), ..model.chat("water", &[question])? };
    match model.engine.pool().run_blocking(InferenceJob::whole(request))? {
        InferenceResult::Complete(completion) => println!("{}", completion.choices[0].text),
        InferenceResult::Error(error) => return Err(error.into()),
        InferenceResult::Streaming(_) => unreachable!("a whole answer was asked for"),
    }
    Ok(())
}
