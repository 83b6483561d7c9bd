//! Answers that are computed whether or not somebody reads.

use std::sync::Arc;

use super::answers::Answers;
use super::event_log::EventLog;
use crate::generate::Encoder;
use crate::http::Frames;

/// Computes answers to their end and writes down what happens.
pub(super) fn run(mut answers: Answers, encoder: Arc<dyn Encoder>, log: Arc<EventLog>) {
    tokio::spawn(async move {
        let mut chunks = Arc::clone(&encoder).chunks();
        let mut frames = Frames::default();
        chunks.open(&mut frames);
        loop {
            log.push(&mut frames, false);
            match answers.next().await {
                Ok(Some((prompt, event))) => chunks.event(prompt, event, &mut frames),
                Ok(None) => {
                    chunks.close(answers.usage(), &mut frames);
                    break;
                }
                Err(error) => {
                    chunks.error(&error.into(), &mut frames);
                    break;
                }
            }
        }
        log.push(&mut frames, true);
        encoder.settled();
    });
}
