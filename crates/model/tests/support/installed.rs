//! The models that the set-up put on this machine.

use std::path::PathBuf;

use parkade_model::gguf::Gguf;

/// The default model.
#[allow(dead_code, reason = "some of the tests use other models only")]
pub fn default_model() -> Gguf {
    Gguf::open(&installed_model("SmolLM2-135M-Instruct.Q4_1")).unwrap()
}

/// A model file by its name: in the data directory where `make setup` puts it.
pub fn installed_model(name: &str) -> PathBuf {
    let set = |key: &str| std::env::var_os(key).filter(|v| !v.is_empty()).map(PathBuf::from);
    let data = set("PARKADE_HOME")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("parkade")))
        .or_else(|| Some(set("HOME")?.join(".cache/parkade")))
        .expect("HOME is set");
    let path = data.join("models").join(format!("{name}.gguf"));
    assert!(
        path.is_file(),
        "{} is missing: run `make setup`, for the models of tests `scripts/setup tests`",
        path.display()
    );
    path
}
