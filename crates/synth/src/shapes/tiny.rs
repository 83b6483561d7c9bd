//! Small models of every architecture, in which all that is special in it changes the answers: windows shorter than the texts of the
//! tests, soft caps that bite, scales away from 1, several active experts, biases and norms away from 0 and 1.

use parkade_kernels::WeightType;

use super::{Shape, dense, encoders, experts, gemma, state};
use crate::dims::{Dims, TINY};
use crate::draft::Draft;
use crate::mix::Mix;
use crate::vocabulary::Vocabulary;

fn tiny(name: &str, build: fn(Dims) -> Draft, dims: Dims) -> Shape {
    Shape::new(&format!("tiny-{name}"), build, dims, Vocabulary::Letters)
}

/// All of them.
pub(super) fn all() -> Vec<Shape> {
    [dense(), gemmas(), experts(), states(), encoders()].concat()
}

/// Narrower, with one head more than two.
const NARROW: Dims = Dims { width: 96, heads: 3, kv_heads: 3, ffn: 128, ..TINY };
/// All heads have keys and values of their own.
const WIDE_KV: Dims = Dims { kv_heads: 4, ..TINY };

fn dense() -> Vec<Shape> {
    let long = Dims { base: 1_000_000.0, ..TINY };
    let half_million = Dims { base: 500_000.0, ..TINY };
    let large = Dims { width: 32, layers: 64, heads: 2, kv_heads: 1, head: 16, ffn: 32, ..long };
    vec![
        tiny("llama-spm", dense::llama, Dims { tied: true, ..NARROW }).vocabulary(Vocabulary::Llama),
        tiny("llama3-rope", dense::llama3_rope, half_million),
        tiny("qwen2", dense::qwen2, TINY),
        tiny("qwen3", dense::qwen3, Dims { head: 48, ..long }),
        tiny("phi3", dense::phi3, Dims { ffn: 128, ..TINY }),
        tiny("phi3-longrope-short", dense::phi3_longrope_short, Dims { ffn: 128, context: 2048, ..TINY }),
        tiny("phi3-longrope-long", dense::phi3_longrope_long, Dims { ffn: 128, context: 1024, ..TINY }),
        tiny("granite", dense::granite, Dims { layers: 3, ..TINY }),
        tiny("olmo2", dense::olmo2, Dims { base: 500_000.0, ..WIDE_KV }),
        tiny("olmo3", dense::olmo3, Dims { layers: 4, base: 500_000.0, ..NARROW }),
        tiny("smollm3", dense::smollm3, Dims { layers: 4, heads: 6, head: 16, base: 100_000.0, tied: true, ..NARROW }),
        tiny("glm4", dense::glm4, Dims { ffn: 128, ..TINY }),
        tiny("cohere2", dense::cohere2, Dims { layers: 4, ffn: 128, ..TINY }),
        tiny("command-r", dense::command_r, Dims { ffn: 128, ..TINY }),
        tiny("starcoder2", dense::starcoder2, Dims { kv_heads: 1, ffn: 224, ..TINY }),
        tiny("stablelm", dense::stablelm, WIDE_KV),
        tiny("stablelm-12b", dense::stablelm_large, TINY),
        tiny("mistral3", dense::mistral3, long),
        tiny("ernie4_5", dense::ernie4_5, Dims { kv_heads: 1, tied: true, ..half_million }),
        tiny("hunyuan-dense", dense::hunyuan_dense, Dims { tied: true, ..TINY }),
        tiny("minicpm", dense::minicpm, WIDE_KV),
        tiny("minicpm3", dense::minicpm3, Dims { context: 1024, ..WIDE_KV }),
        tiny("exaone4", dense::exaone4_small, Dims { tied: true, ..long }),
        tiny("exaone4-swa", dense::exaone4_large, large),
        tiny("nemotron", dense::nemotron, TINY),
        tiny("seed_oss", dense::seed_oss, Dims { heads: 6, ..long }),
    ]
}

fn experts() -> Vec<Shape> {
    let three = Dims { layers: 3, ..TINY };
    let led = Dims { layers: 3, shared_ffn: 32, dense: 1, ..TINY };
    let oss = Dims { layers: 4, ffn: 32, experts: 8, base: 150_000.0, window: 24, ..TINY };
    let lite = Dims { width: 64, heads: 2, kv_heads: 2, ..TINY };
    let q4_k_m = Dims { width: 256, layers: 1, head: 64, ffn: 256, experts: 3, used: 2, expert_ffn: 256, ..TINY };
    vec![
        tiny("llama-moe", experts::llama_moe, Dims { ffn: 64, expert_ffn: 64, used: 2, ..three }),
        tiny("qwen2moe", experts::qwen2moe, Dims { kv_heads: 4, ffn: 128, shared_ffn: 64, ..three }),
        tiny("qwen3moe", experts::qwen3moe, Dims { head: 48, ffn: 256, base: 1_000_000.0, ..three }),
        tiny("qwen3moe-q4km", experts::qwen3moe, Dims { base: 1_000_000.0, ..q4_k_m }).mix(Mix::Q4KM),
        tiny("olmoe", experts::olmoe, Dims { kv_heads: 4, ffn: 32, experts: 8, ..three }),
        tiny("granitemoe", experts::granitemoe, Dims { ffn: 32, shared_ffn: 96, ..three }),
        tiny("glm4moe", experts::glm4moe, Dims { layers: 4, ffn: 128, base: 100_000.0, ..led }),
        tiny(
            "ernie4_5-moe",
            experts::ernie4_5_moe,
            Dims { ffn: 128, shared_ffn: 64, base: 500_000.0, tied: true, ..led },
        ),
        tiny("dots1", experts::dots1, Dims { kv_heads: 4, shared_ffn: 64, base: 1_000_000.0, ..led }),
        tiny("bailingmoe2", experts::bailingmoe2, Dims { experts: 8, base: 600_000.0, ..led }),
        tiny(
            "llama4",
            experts::llama4,
            Dims { layers: 4, experts: 4, used: 1, expert_ffn: 64, shared_ffn: 64, base: 500_000.0, ..TINY },
        ),
        tiny("gpt-oss", experts::gpt_oss, oss).mix(Mix::Plain(WeightType::MXFP4)),
        tiny("gpt-oss-q8", experts::gpt_oss, oss),
        tiny("deepseek2", experts::deepseek3, Dims { ffn: 128, experts: 8, kv_heads: 4, ..led }),
        tiny(
            "deepseek2-lite",
            experts::deepseek2_lite,
            Dims { layers: 27, experts: 4, used: 3, shared_ffn: 64, dense: 1, ..lite },
        ),
        tiny(
            "deepseek2-lite-mla",
            experts::deepseek2_lite_mla,
            Dims { layers: 26, experts: 5, shared_ffn: 32, dense: 2, ..lite },
        ),
    ]
}

fn gemmas() -> Vec<Shape> {
    let third = Dims { width: 96, heads: 3, kv_heads: 1, base: 1_000_000.0, ..TINY };
    let fourth = Dims { layers: 6, ffn: 128, ..third };
    let many = Dims { width: 32, layers: 22, heads: 2, kv_heads: 1, ffn: 64, vocab: 256, ..third };
    vec![
        tiny("gemma2", gemma::gemma2, Dims { layers: 4, head: 64, ffn: 128, ..TINY }).vocabulary(Vocabulary::Gemma),
        tiny("gemma3", gemma::gemma3, Dims { layers: 7, ..third }).vocabulary(Vocabulary::Gemma),
        tiny("gemma3-ropescale", gemma::gemma3_ropescale, Dims { layers: 4, window: 28, ..third })
            .vocabulary(Vocabulary::Gemma),
        tiny("gemma3n", gemma::gemma3n, many).mix(Mix::Plain(WeightType::Q4_0)),
        tiny("gemma4", gemma::gemma4, fourth).vocabulary(Vocabulary::Gemma4),
        tiny("gemma4-moe", gemma::gemma4_moe, Dims { heads: 4, ..fourth }).vocabulary(Vocabulary::Gemma4),
    ]
}

fn states() -> Vec<Shape> {
    let plain = Dims { ffn: 128, experts: 0, ..TINY };
    let tied = Dims { base: 1_000_000.0, tied: true, ..plain };
    let three = Dims { layers: 3, ..plain };
    let delta = Dims { layers: 4, base: 1_000_000.0, ..plain };
    let mixed = Dims { experts: 6, shared_ffn: 32, ..delta };
    vec![
        tiny("lfm2", state::lfm2, Dims { layers: 5, ..tied }),
        tiny("lfm2moe", state::lfm2moe, Dims { layers: 4, experts: 6, used: 2, dense: 2, ..tied }),
        tiny("mamba2", state::mamba2, Dims { layers: 4, ffn: 0, tied: true, ..plain }),
        tiny("granitehybrid", state::granite_hybrid, Dims { ffn: 32, experts: 6, used: 2, shared_ffn: 64, ..three }),
        tiny("granitehybrid-dense", state::granite_hybrid, three),
        tiny("falcon-h1", state::falcon_h1, Dims { base: 1_000_000.0, ..three }),
        tiny("qwen3next", state::qwen3next, mixed),
        tiny("qwen3next-fused", state::qwen3next_fused, mixed),
        tiny("qwen35", state::qwen35, delta),
        tiny("qwen35moe", state::qwen35moe, mixed),
        tiny("rwkv7", state::rwkv7, Dims { head: 64, ffn: 192, ..three }).vocabulary(Vocabulary::Rwkv),
    ]
}

fn encoders() -> Vec<Shape> {
    let bert = Dims { layers: 3, ffn: 192, context: 256, ..NARROW };
    let gated = Dims { layers: 3, ..NARROW };
    let four = Dims { layers: 4, used: 2, ..NARROW };
    let near = Dims { base: 160_000.0, window: 16, ..four };
    let gemma = Dims { layers: 4, kv_heads: 1, ffn: 96, base: 1_000_000.0, window: 24, ..NARROW };
    let qwen3 = Dims { layers: 3, ffn: 128, base: 1_000_000.0, tied: true, ..TINY };
    vec![
        tiny("bert", encoders::bert, bert).vocabulary(Vocabulary::WordPiece),
        tiny("bert-cls", encoders::bert_cls, bert).vocabulary(Vocabulary::WordPiece),
        tiny("xlm-roberta", encoders::xlm_roberta, bert).vocabulary(Vocabulary::Unigram),
        tiny("nomic-bert", encoders::nomic_bert, Dims { base: 1000.0, ..gated }).vocabulary(Vocabulary::WordPiece),
        tiny("nomic-bert-moe", encoders::nomic_bert_moe, four).vocabulary(Vocabulary::Unigram),
        tiny("modern-bert", encoders::modern_bert, near).vocabulary(Vocabulary::MarkedLetters),
        tiny("modern-bert-rerank", encoders::modern_bert_rerank, Dims { layers: 3, ..near })
            .vocabulary(Vocabulary::MarkedLetters),
        tiny("jina-bert-v2", encoders::jina_bert_v2, gated).vocabulary(Vocabulary::WordPiece),
        tiny("jina-bert-v2-code", encoders::jina_bert_v2_code, gated).vocabulary(Vocabulary::WordPiece),
        tiny("jina-bert-v2-rerank", encoders::jina_bert_v2_rerank, gated).vocabulary(Vocabulary::WordPiece),
        tiny("gemma-embedding", gemma::gemma_embedding, gemma).vocabulary(Vocabulary::Gemma),
        tiny("qwen3-embedding", encoders::qwen3_embedding, qwen3).vocabulary(Vocabulary::EndedLetters),
        tiny("bert-rerank", encoders::bert_rerank, bert).vocabulary(Vocabulary::WordPiece),
        tiny("xlm-roberta-rerank", encoders::xlm_roberta_rerank, bert).vocabulary(Vocabulary::Unigram),
        tiny("qwen3-rerank", encoders::qwen3_rerank, qwen3),
    ]
}
