//! Models with the dimensions of published ones, to measure speed and memory.

use parkade_kernels::WeightType;

use super::{Shape, dense, encoders, experts, gemma};
use crate::dims::{Dims, TINY};
use crate::draft::Draft;
use crate::mix::Mix;
use crate::vocabulary::Vocabulary;

fn real(name: &str, build: fn(Dims) -> Draft, dims: Dims) -> Shape {
    Shape::new(name, build, dims, Vocabulary::Chat).mix(Mix::Q4KM)
}

/// Width, layers, heads, heads of keys and values, values in a head, feed-forward, tokens.
#[expect(clippy::too_many_arguments, reason = "a row of a table")]
fn dims(
    width: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head: usize,
    ffn: usize,
    vocab: usize,
    base: f32,
) -> Dims {
    Dims {
        width,
        layers,
        heads,
        kv_heads,
        head,
        ffn,
        vocab,
        base,
        context: 8192,
        window: 0,
        experts: 0,
        used: 0,
        ..TINY
    }
}

/// All of them.
pub(super) fn all() -> Vec<Shape> {
    let mixture = |dims: Dims, experts, used, expert_ffn| Dims { experts, used, expert_ffn, ..dims };
    let tied = |dims: Dims| Dims { tied: true, ..dims };
    let qwen3 = |width, layers, heads, kv, ffn| dims(width, layers, heads, kv, 128, ffn, 151_936, 1e6);
    vec![
        real("llama-1b", dense::llama3_rope, tied(dims(2048, 16, 32, 8, 64, 8192, 128_256, 500_000.0))),
        real("llama-8b", dense::llama3_rope, dims(4096, 32, 32, 8, 128, 14_336, 128_256, 500_000.0)),
        real("qwen3-0.6b", dense::qwen3, tied(qwen3(1024, 28, 16, 8, 3072))),
        real("qwen3-4b", dense::qwen3, tied(qwen3(2560, 36, 32, 8, 9728))),
        real("qwen3-8b", dense::qwen3, qwen3(4096, 36, 32, 8, 12_288)),
        real("phi3-mini", dense::phi3, Dims { context: 4096, ..dims(3072, 32, 32, 32, 96, 8192, 32_064, 10_000.0) }),
        real("granite-2b", dense::granite, tied(dims(2048, 40, 32, 8, 64, 8192, 49_155, 5_000_000.0))),
        real("gemma3-270m", gemma::gemma3, Dims { window: 512, ..dims(640, 18, 4, 1, 256, 2048, 262_144, 1e6) }),
        real("gemma3-1b", gemma::gemma3, Dims { window: 512, ..dims(1152, 26, 4, 1, 256, 6912, 262_144, 1e6) }),
        real("gemma3-4b", gemma::gemma3_real, Dims { window: 1024, ..dims(2560, 34, 8, 4, 256, 10_240, 262_144, 1e6) }),
        real("minilm", encoders::bert, Dims { context: 512, ..dims(384, 6, 12, 12, 32, 1536, 30_522, 0.0) })
            .vocabulary(Vocabulary::WordPiece)
            .mix(Mix::Plain(WeightType::F32)),
        real("qwen3-30b-a3b", experts::qwen3moe, mixture(qwen3(2048, 48, 32, 4, 6144), 128, 8, 768)),
        real(
            "mixtral-8x7b",
            experts::llama_moe,
            mixture(dims(4096, 32, 32, 8, 128, 14_336, 32_000, 1e6), 8, 2, 14_336),
        ),
        real("olmoe-1b-7b", experts::olmoe, mixture(dims(2048, 16, 16, 16, 128, 1024, 50_304, 10_000.0), 64, 8, 1024)),
        real(
            "granite-3b-a800m",
            experts::granitemoe,
            tied(mixture(dims(1536, 32, 24, 8, 64, 512, 49_155, 10_000.0), 40, 8, 512)),
        ),
        real("64x8-experts", experts::qwen3moe, mixture(dims(2048, 16, 16, 4, 128, 1024, 50_304, 1e6), 64, 8, 1024)),
        real(
            "gpt-oss-20b",
            experts::gpt_oss,
            Dims { window: 128, ..mixture(dims(2880, 24, 64, 8, 64, 2880, 201_088, 150_000.0), 32, 4, 2880) },
        )
        .mix(Mix::Plain(WeightType::MXFP4)),
        real(
            "deepseek-v2-lite",
            experts::deepseek2_lite_real,
            Dims {
                shared_ffn: 2816,
                dense: 1,
                ..mixture(dims(2048, 27, 16, 16, 128, 10_944, 102_400, 10_000.0), 64, 6, 1408)
            },
        ),
    ]
}
