//! Where things lie: models and history in the data directory, settings in the configuration directory.

use std::env;
use std::path::PathBuf;

/// File name of the default model, which `make setup` fetches.
pub const DEFAULT_MODEL_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// `$PARKADE_HOME`, else `$XDG_CACHE_HOME/parkade`, else `~/.cache/parkade`.
#[must_use]
pub fn data() -> PathBuf {
    data_from(variable)
}

/// Models: the default one, and a folder for each hub repository.
#[must_use]
pub fn models() -> PathBuf {
    data().join("models")
}

/// The default model's place.
#[must_use]
pub fn default_model() -> PathBuf {
    models().join(DEFAULT_MODEL_FILE)
}

/// Work that outlives its client.
#[must_use]
pub fn store() -> PathBuf {
    data().join("parkade.db")
}

/// What was typed into `parkade run`.
#[must_use]
pub fn history() -> PathBuf {
    data().join("history.txt")
}

/// `$XDG_CONFIG_HOME/parkade/config.toml`, else `~/.config/parkade/config.toml`; `None` without a home.
#[must_use]
pub fn config_file() -> Option<PathBuf> {
    config_from(variable)
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn data_from(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    variable("PARKADE_HOME")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("parkade")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/parkade")))
        // A service without a home still gets a place that the messages name.
        .unwrap_or_else(|| PathBuf::from(".parkade"))
}

fn config_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("XDG_CONFIG_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".config")))
        .map(|dir| dir.join("parkade/config.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn having<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<PathBuf> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
    }

    #[test]
    fn the_data_directory_is_parkade_home_then_xdg_then_the_home() {
        let all = [("PARKADE_HOME", "/p"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(data_from(having(&all)), PathBuf::from("/p"));
        assert_eq!(data_from(having(&all[1..])), PathBuf::from("/x/parkade"));
        assert_eq!(data_from(having(&all[2..])), PathBuf::from("/h/.cache/parkade"));
        assert_eq!(data_from(having(&[])), PathBuf::from(".parkade"));
    }

    #[test]
    fn the_configuration_file_is_looked_for_in_xdg_then_in_the_home() {
        let all = [("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(config_from(having(&all)), Some(PathBuf::from("/x/parkade/config.toml")));
        assert_eq!(config_from(having(&all[1..])), Some(PathBuf::from("/h/.config/parkade/config.toml")));
        assert_eq!(config_from(having(&[])), None);
    }
}
