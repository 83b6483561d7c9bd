//! Short names for models that people ask for.

/// A model of the hub under short names.
pub struct Alias {
    /// What is typed; the first is the one that lists show.
    pub names: &'static [&'static str],
    /// The hub's repository.
    pub repo: &'static str,
    /// As in the file's `general.architecture`.
    pub architecture: &'static str,
    /// Parameters, in billions.
    pub billions: f64,
    /// Those of them that a token meets, in billions; less than all where there are experts.
    pub active: f64,
    /// Quantisations in the order in which one is taken that fits the machine.
    pub quants: &'static [&'static str],
}

/// Under two billion parameters four bits cost more quality than memory.
const SMALL: &[&str] = &["Q8_0", "Q6_K", "Q4_K_M", "Q4_0"];
/// Four bits, then what is left when these do not fit.
const USUAL: &[&str] = &["Q4_K_M", "Q4_K_S", "Q4_0", "IQ4_XS", "Q3_K_M", "IQ3_XXS"];
const MXFP4: &[&str] = &["MXFP4"];

const fn alias(
    names: &'static [&'static str],
    repo: &'static str,
    architecture: &'static str,
    [billions, active]: [f64; 2],
    quants: &'static [&'static str],
) -> Alias {
    Alias { names, repo, architecture, billions, active, quants }
}

/// Repositories that are known to be on the hub. See [`aliases`].
#[rustfmt::skip]
const ALIASES: &[Alias] = &[
    alias(&["smollm2:360m", "smollm2-360m"], "bartowski/SmolLM2-360M-Instruct-GGUF", "llama", [0.36, 0.36], SMALL),
    alias(&["smollm2:1.7b", "smollm2", "smollm2-1.7b"], "bartowski/SmolLM2-1.7B-Instruct-GGUF", "llama", [1.7, 1.7], USUAL),
    alias(&["smollm3:3b", "smollm3"], "ggml-org/SmolLM3-3B-GGUF", "smollm3", [3.1, 3.1], USUAL),
    alias(&["tinyllama:1.1b", "tinyllama", "tinyllama-1.1b"], "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF", "llama", [1.1, 1.1], USUAL),
    alias(&["llama3.2:1b", "llama-3.2-1b"], "bartowski/Llama-3.2-1B-Instruct-GGUF", "llama", [1.24, 1.24], USUAL),
    alias(&["llama3.2:3b", "llama3.2", "llama-3.2-3b"], "bartowski/Llama-3.2-3B-Instruct-GGUF", "llama", [3.2, 3.2], USUAL),
    alias(&["llama3.1:8b", "llama3.1", "llama-3.1-8b"], "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", "llama", [8.0, 8.0], USUAL),
    alias(&["mistral:7b", "mistral", "mistral-7b"], "bartowski/Mistral-7B-Instruct-v0.3-GGUF", "llama", [7.2, 7.2], USUAL),
    alias(&["mixtral:8x7b", "mixtral"], "TheBloke/Mixtral-8x7B-Instruct-v0.1-GGUF", "llama", [46.7, 12.9], USUAL),
    alias(&["qwen2.5:0.5b"], "bartowski/Qwen2.5-0.5B-Instruct-GGUF", "qwen2", [0.5, 0.5], SMALL),
    alias(&["qwen2.5:1.5b"], "bartowski/Qwen2.5-1.5B-Instruct-GGUF", "qwen2", [1.5, 1.5], USUAL),
    alias(&["qwen2.5:3b"], "bartowski/Qwen2.5-3B-Instruct-GGUF", "qwen2", [3.1, 3.1], USUAL),
    alias(&["qwen2.5:7b", "qwen2.5"], "bartowski/Qwen2.5-7B-Instruct-GGUF", "qwen2", [7.6, 7.6], USUAL),
    alias(&["qwen2.5-coder:7b", "qwen2.5-coder"], "bartowski/Qwen2.5-Coder-7B-Instruct-GGUF", "qwen2", [7.6, 7.6], USUAL),
    alias(&["qwen3:0.6b"], "unsloth/Qwen3-0.6B-GGUF", "qwen3", [0.6, 0.6], SMALL),
    alias(&["qwen3:1.7b"], "unsloth/Qwen3-1.7B-GGUF", "qwen3", [1.7, 1.7], USUAL),
    alias(&["qwen3:4b"], "unsloth/Qwen3-4B-GGUF", "qwen3", [4.0, 4.0], USUAL),
    alias(&["qwen3:8b", "qwen3"], "unsloth/Qwen3-8B-GGUF", "qwen3", [8.2, 8.2], USUAL),
    alias(&["qwen3:14b"], "unsloth/Qwen3-14B-GGUF", "qwen3", [14.8, 14.8], USUAL),
    alias(&["qwen3:30b", "qwen3:30b-a3b"], "unsloth/Qwen3-30B-A3B-GGUF", "qwen3moe", [30.5, 3.3], USUAL),
    alias(&["deepseek-r1:1.5b"], "unsloth/DeepSeek-R1-Distill-Qwen-1.5B-GGUF", "qwen2", [1.8, 1.8], USUAL),
    alias(&["deepseek-r1:7b", "deepseek-r1"], "unsloth/DeepSeek-R1-Distill-Qwen-7B-GGUF", "qwen2", [7.6, 7.6], USUAL),
    alias(&["gemma2:2b"], "bartowski/gemma-2-2b-it-GGUF", "gemma2", [2.6, 2.6], USUAL),
    alias(&["gemma2:9b", "gemma2"], "bartowski/gemma-2-9b-it-GGUF", "gemma2", [9.2, 9.2], USUAL),
    alias(&["gemma3:270m"], "unsloth/gemma-3-270m-it-GGUF", "gemma3", [0.27, 0.27], SMALL),
    alias(&["gemma3:1b"], "unsloth/gemma-3-1b-it-GGUF", "gemma3", [1.0, 1.0], USUAL),
    alias(&["gemma3:4b", "gemma3"], "unsloth/gemma-3-4b-it-GGUF", "gemma3", [3.9, 3.9], USUAL),
    alias(&["gemma3:12b"], "unsloth/gemma-3-12b-it-GGUF", "gemma3", [11.8, 11.8], USUAL),
    alias(&["phi3:mini", "phi3"], "bartowski/Phi-3-mini-4k-instruct-GGUF", "phi3", [3.8, 3.8], USUAL),
    alias(&["phi3.5:mini", "phi3.5"], "bartowski/Phi-3.5-mini-instruct-GGUF", "phi3", [3.8, 3.8], USUAL),
    alias(&["phi4:mini", "phi4-mini"], "unsloth/Phi-4-mini-instruct-GGUF", "phi3", [3.8, 3.8], USUAL),
    alias(&["granite3.3:2b"], "ibm-granite/granite-3.3-2b-instruct-GGUF", "granite", [2.5, 2.5], USUAL),
    alias(&["granite3.3:8b", "granite3.3"], "ibm-granite/granite-3.3-8b-instruct-GGUF", "granite", [8.2, 8.2], USUAL),
    alias(&["olmo2:7b", "olmo2"], "allenai/OLMo-2-1124-7B-Instruct-GGUF", "olmo2", [7.3, 7.3], USUAL),
    alias(&["olmoe:7b", "olmoe"], "allenai/OLMoE-1B-7B-0924-Instruct-GGUF", "olmoe", [6.9, 1.3], USUAL),
    alias(&["gpt-oss:20b", "gpt-oss"], "ggml-org/gpt-oss-20b-GGUF", "gpt-oss", [20.9, 3.6], MXFP4),
    alias(&["gpt-oss:120b"], "ggml-org/gpt-oss-120b-GGUF", "gpt-oss", [116.8, 5.1], MXFP4),
    alias(&["deepseek-coder-v2:16b", "deepseek-coder-v2"], "bartowski/DeepSeek-Coder-V2-Lite-Instruct-GGUF", "deepseek2", [15.7, 2.4], USUAL),
    alias(&["lfm2:1.2b"], "LiquidAI/LFM2-1.2B-GGUF", "lfm2", [1.2, 1.2], USUAL),
];

/// The aliases besides `default`, of the architectures that this program runs.
pub fn aliases() -> impl Iterator<Item = &'static Alias> {
    let runs = |alias: &&Alias| parkade_model::architectures().any(|name| name == alias.architecture);
    ALIASES.iter().filter(runs)
}

/// The alias that is meant, and the quantisation if one is named behind it: `qwen3:4b`, or `qwen3:4b-q8_0`.
pub(super) fn find(text: &str) -> Option<(&'static Alias, Option<&str>)> {
    let named = |name: &str| aliases().find(|alias| alias.names.contains(&name));
    if let Some(alias) = named(text) {
        return Some((alias, None));
    }
    let (name, quant) = text.rsplit_once('-')?;
    let is_quant =
        quant.contains('_') || ["f16", "bf16", "f32", "mxfp4"].contains(&quant.to_ascii_lowercase().as_str());
    named(name).filter(|_| is_quant).map(|alias| (alias, Some(quant)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_has_names_of_its_own() {
        let names: Vec<&str> = ALIASES.iter().flat_map(|alias| alias.names).copied().collect();
        for alias in ALIASES {
            for name in alias.names {
                assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
                assert!(!super::super::DEFAULT_NAMES.contains(name), "{name}");
            }
            assert!(alias.active > 0.0 && alias.active <= alias.billions && !alias.quants.is_empty());
        }
        // Only of what runs, and that is most of them.
        assert!(aliases().count() >= 20);
        assert!(aliases().any(|alias| alias.architecture == "qwen3moe" && alias.active < alias.billions));
    }

    #[test]
    fn a_quantisation_may_stand_behind_an_alias() {
        let found = |text| find(text).map(|(alias, quant)| (alias.names[0], quant));
        assert_eq!(found("qwen3:4b"), Some(("qwen3:4b", None)));
        assert_eq!(found("qwen3:4b-q8_0"), Some(("qwen3:4b", Some("q8_0"))));
        assert_eq!(found("llama-3.2-1b"), Some(("llama3.2:1b", None)));
        assert_eq!(found("llama-3.2-1b-IQ4_XS"), Some(("llama3.2:1b", Some("IQ4_XS"))));
        assert_eq!(found("qwen3:30b-a3b"), Some(("qwen3:30b", None)), "no quantisation, but a name");
        assert_eq!(found("qwen3:4b-instruct"), None);
        assert_eq!(found("nothing-q8_0"), None);
    }
}
