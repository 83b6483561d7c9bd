//! Names of tensors in a GGUF file.

/// The embedding table `[embedding, vocab]`.
pub const TOKEN_EMBEDDING: &str = "token_embd.weight";
/// Weights of the last norm.
pub const OUTPUT_NORM: &str = "output_norm.weight";
/// The output matrix `[embedding, vocab]`; absent where the embedding table serves for it.
pub const OUTPUT: &str = "output.weight";
/// Divisors of the rotary frequencies, one for each pair.
pub const ROPE_FREQS: &str = "rope_freqs.weight";

/// The name of a layer's tensor: `layer(3, "attn_q", "weight")` is `blk.3.attn_q.weight`.
pub fn layer(index: usize, what: &str, kind: &str) -> String {
    format!("blk.{index}.{what}.{kind}")
}

/// Whether a tensor has no effect on the results, though it is in some files.
pub fn is_harmless(name: &str) -> bool {
    // Old converters stored the rotary frequencies, which follow from the metadata.
    name.ends_with(".attn_rot_embd") || name.ends_with(".rotary_emb.inv_freq")
}

/// Whether a tensor that nothing asked for shows that the model computes more than the forward pass does.
pub fn changes_results(name: &str) -> bool {
    ["blk.", "output", "token_", "rope_", "pos"].iter().any(|prefix| name.starts_with(prefix))
        || name.ends_with(".bias")
}
