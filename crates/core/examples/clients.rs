//! Many clients of several classes at once, more than run at a time: who waits for whom.
//!
//! `cargo run --release -p parkade-core --example clients -- MODEL.gguf`

use std::error::Error;
use std::thread;

use parkade_core::{
    Class, EngineConfig, Event, LoadOptions, Message, Request, RequestError, RequestStream, SchedulerKind, Usage, load,
};

const CLIENTS: usize = 12;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("which model? name a GGUF file")?;
    let engine = EngineConfig { scheduler: SchedulerKind::of_this_build(), max_seqs: 4, ..EngineConfig::default() };
    let model = load(path.as_ref(), &LoadOptions { engine, ..LoadOptions::default() })?;

    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let class = [Class::Low, Class::Normal, Class::High][client % 3];
                let question = Message::user(format!("Write a sentence about the number {client}."));
                let request = Request {
                    class,
                    tenant: format!("client {client}"),
                    max_tokens: Some(24),
                    ..model.chat(format!("request {client}"), &[question])?
                };
                // Taken or refused at once; nobody waits here.
                let stream = model.engine.submit(request)?;
                Ok(scope.spawn(move || (class, usage(stream))))
            })
            .collect::<Result<_, Box<dyn Error>>>()?;
        println!("{:8} {:>10} {:>12} {:>8}", "class", "in line", "first token", "total");
        for client in clients {
            let (class, usage) = client.join().expect("no client panics");
            let Usage { queue, first_token, total, .. } = usage?;
            let first_token = first_token.unwrap_or(total);
            println!("{:8} {queue:>10.0?} {first_token:>12.0?} {total:>8.0?}", class.name());
        }
        Ok(())
    })
}

/// Reads a stream to its end.
fn usage(mut stream: RequestStream) -> Result<Usage, RequestError> {
    loop {
        match stream.blocking_next() {
            Some(Event::Done(usage)) => return Ok(usage),
            Some(Event::Failed(error)) => return Err(error),
            Some(_) => {}
            None => return Err(RequestError::Stopped),
        }
    }
}
