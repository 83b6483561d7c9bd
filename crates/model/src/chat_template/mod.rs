//! Chat messages to the prompt text that a model was trained on, by the template in its GGUF file.
