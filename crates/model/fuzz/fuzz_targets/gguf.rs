//! Any bytes as a GGUF file: the header, then the geometry of the model in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parkade_model::ModelConfig;
use parkade_model::gguf::Gguf;

fuzz_target!(|bytes: &[u8]| {
    let Ok(gguf) = Gguf::from_bytes(bytes.to_vec()) else { return };
    let used: usize = gguf.tensors().map(|tensor| tensor.bytes.len()).sum();
    assert!(used <= bytes.len());
    let _ = ModelConfig::from_gguf(&gguf);
});
