//! Which type each matrix of a file has.

use std::str::FromStr;

use parkade_kernels::WeightType;

use crate::draw::TYPES;
use crate::error::SynthError;

/// The types of a file's matrices. Norms, biases, routers and small tables are always in F32, as llama.cpp has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// All in one; MXFP4 for experts only and the rest in Q8_0, as in the files that there are.
    Plain(WeightType),
    /// As llama.cpp mixes `Q4_K_M`: Q4_K, and Q6_K where rounding hurts most.
    Q4KM,
}

/// What a mix depends on beside the tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) layers: usize,
    pub(crate) experts: usize,
    pub(crate) tied: bool,
}

impl Mix {
    /// The names of all.
    pub fn names() -> impl Iterator<Item = String> {
        TYPES.iter().map(|ty| ty.name().to_lowercase()).chain(["q4_k_m".to_owned()])
    }

    /// The type of a matrix with rows of `cols` values. Where they are no whole blocks, it is the one that llama.cpp takes instead.
    pub(crate) fn type_of(self, name: &str, cols: usize, facts: Facts) -> WeightType {
        let ty = match self {
            Mix::Plain(WeightType::MXFP4) if !name.ends_with("_exps.weight") => WeightType::Q8_0,
            Mix::Plain(ty) => ty,
            Mix::Q4KM => q4_k_m(name, facts),
        };
        if cols.is_multiple_of(ty.block_len()) {
            return ty;
        }
        let smaller = match ty {
            WeightType::Q2K | WeightType::Q3K | WeightType::IQ4XS => WeightType::IQ4NL,
            WeightType::Q4K => WeightType::Q5_0,
            WeightType::Q5K => WeightType::Q5_1,
            _ => WeightType::Q8_0,
        };
        if cols.is_multiple_of(smaller.block_len()) { smaller } else { WeightType::F16 }
    }
}

fn q4_k_m(name: &str, Facts { layers, experts, tied }: Facts) -> WeightType {
    let mut parts = name.split('.');
    let (layer, what) = match (parts.next(), parts.next(), parts.next()) {
        (Some("blk"), Some(layer), Some(what)) => (layer.parse().unwrap_or(0), what),
        (first, ..) => (0, first.unwrap_or(name)),
    };
    let eighth = layers / 8;
    let sensitive = layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
    match what {
        "output" => WeightType::Q6K,
        "token_embd" if tied => WeightType::Q6K,
        "attn_v" | "attn_qkv" | "attn_kv_b" | "attn_k" if experts == 8 => WeightType::Q8_0,
        "attn_output" if experts == 8 => WeightType::Q5K,
        "attn_v" | "attn_qkv" | "attn_kv_b" if sensitive => WeightType::Q6K,
        "ffn_down" | "ffn_down_exps" | "ffn_down_shexp" if sensitive => WeightType::Q6K,
        _ => WeightType::Q4K,
    }
}

impl FromStr for Mix {
    type Err = SynthError;

    fn from_str(name: &str) -> Result<Mix, SynthError> {
        let named = |ty: &&WeightType| ty.name().eq_ignore_ascii_case(name);
        match TYPES.iter().find(named) {
            Some(&ty) => Ok(Mix::Plain(ty)),
            None if name.eq_ignore_ascii_case("q4_k_m") => Ok(Mix::Q4KM),
            None => {
                let known = Mix::names().collect::<Vec<_>>().join(", ");
                Err(SynthError::Type { name: name.to_owned(), known })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q4_k_m_is_mixed_as_llama_cpp_mixes_it() {
        let facts = Facts { layers: 16, experts: 0, tied: false };
        let ty = |name, facts| Mix::Q4KM.type_of(name, 2048, facts);
        assert_eq!(ty("blk.3.attn_q.weight", facts), WeightType::Q4K);
        // The first two layers, the last two, and every third between.
        let down = |layer: &i32| Mix::Q4KM.type_of(&format!("blk.{layer}.ffn_down.weight"), 2048, facts);
        let six_bits: Vec<_> = (0..16).filter(|layer| down(layer) == WeightType::Q6K).collect();
        assert_eq!(six_bits, [0, 1, 4, 7, 10, 13, 14, 15]);
        assert_eq!(ty("output.weight", facts), WeightType::Q6K);
        assert_eq!(ty("token_embd.weight", facts), WeightType::Q4K);
        assert_eq!(ty("token_embd.weight", Facts { tied: true, ..facts }), WeightType::Q6K);
        assert_eq!(ty("blk.3.attn_k.weight", Facts { experts: 8, ..facts }), WeightType::Q8_0);
    }

    #[test]
    fn rows_that_are_no_whole_blocks_have_a_type_of_smaller_blocks() {
        let facts = Facts { layers: 2, experts: 0, tied: false };
        let ty = |ty, cols| Mix::Plain(ty).type_of("blk.0.attn_q.weight", cols, facts);
        assert_eq!(ty(WeightType::Q4K, 2880), WeightType::Q5_0);
        assert_eq!(ty(WeightType::Q6K, 2880), WeightType::Q8_0);
        assert_eq!(ty(WeightType::Q8_0, 100), WeightType::F16);
    }

    #[test]
    fn mxfp4_is_the_type_of_experts() {
        let facts = Facts { layers: 2, experts: 4, tied: false };
        let ty = |name| Mix::Plain(WeightType::MXFP4).type_of(name, 64, facts);
        assert_eq!(ty("blk.1.ffn_down_exps.weight"), WeightType::MXFP4);
        assert_eq!(ty("blk.1.attn_q.weight"), WeightType::Q8_0);
    }

    #[test]
    fn an_unknown_type_is_told_what_there_is() {
        assert_eq!("Q4_K_M".parse::<Mix>().unwrap(), Mix::Q4KM);
        assert_eq!("q8_0".parse::<Mix>().unwrap(), Mix::Plain(WeightType::Q8_0));
        let message = "q9".parse::<Mix>().unwrap_err().to_string();
        assert!(message.starts_with("there is no type 'q9'; types are f32, f16, "), "{message}");
    }
}
