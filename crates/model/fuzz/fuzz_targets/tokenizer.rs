//! Any bytes as a GGUF file with a vocabulary; then some of them as a text to encode.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parkade_model::gguf::Gguf;
use parkade_model::tokenizer::{Bos, SpecialTokens, Tokenizer};

fuzz_target!(|input: (&str, &[u8])| {
    let (text, file) = input;
    let Ok(gguf) = Gguf::from_bytes(file.to_vec()) else { return };
    let Ok(tokenizer) = Tokenizer::from_gguf(&gguf) else { return };
    for special in [SpecialTokens::Parse, SpecialTokens::AsText] {
        if let Ok(ids) = tokenizer.encode(text, special, Bos::AsModel) {
            assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
            tokenizer.decode(&ids);
        }
    }
});
