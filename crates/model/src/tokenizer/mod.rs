//! Text to token ids and back, from the vocabulary in the GGUF file.
