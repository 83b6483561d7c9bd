//! OpenAI's HTTP API over Parkade's engine.
