//! GGUF in, logits out: tokenizer, chat template, architectures.
