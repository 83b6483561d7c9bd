//! Which file a model's name means: a path, an alias, or a file of a hub repository.

mod aliases;
pub mod fit;
mod hub_model;

use std::path::{Path, PathBuf};

use parkade_model::gguf::Gguf;

pub use aliases::{Alias, aliases};
pub use hub_model::{ChoiceError, HubModel, parts};

use crate::directories;
use crate::names::FileName;

/// Names of the model that the set-up installs.
pub const DEFAULT_NAMES: [&str; 2] = ["default", "smollm2-135m"];

/// SHA-256 of the default model's file.
pub const DEFAULT_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Why a model's name leads to no file.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The default model was never installed.
    #[error("the default model is not at {}; run `make setup` in Parkade's source directory, or name another with --model", .0.display())]
    NoDefault(PathBuf),
    /// A path that leads nowhere.
    #[error("there is no model file at {}; check the path, or see `parkade pull --list`", .0.display())]
    NoFile(PathBuf),
    /// A directory.
    #[error("{} is a directory; name the .gguf file in it", .0.display())]
    Directory(PathBuf),
    /// Neither a path nor an alias nor a repository.
    #[error("'{0}' is no file, no alias and no REPO[:FILE]; see `parkade pull --list`")]
    Unknown(String),
    /// Known, but not here.
    #[error("model '{name}' is not here yet; fetch it with `parkade pull {name}`")]
    NotPulled {
        /// As it was typed.
        name: String,
    },
    /// The choice among files failed.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
}

/// The file that `--model` means.
///
/// # Errors
/// It is not there; the message says how to get it.
pub fn locate(name: &str) -> Result<PathBuf, ModelError> {
    locate_in(name, &directories::models())
}

fn locate_in(name: &str, models: &Path) -> Result<PathBuf, ModelError> {
    if DEFAULT_NAMES.contains(&name) {
        let path = models.join(directories::DEFAULT_MODEL_FILE);
        return if path.is_file() { Ok(path) } else { Err(ModelError::NoDefault(path)) };
    }
    let path = Path::new(name);
    if path.is_dir() {
        return Err(ModelError::Directory(path.to_owned()));
    }
    if path.exists() {
        return Ok(path.to_owned());
    }
    let looks_like_a_path =
        path.is_absolute() || name.starts_with('.') || (name.ends_with(".gguf") && !name.contains(':'));
    match HubModel::parse(name) {
        Some(model) if !looks_like_a_path => {
            let directory = model.directory(models);
            match model.choose(&files_below(&directory)) {
                Ok(file) => Ok(file.below(&directory)),
                Err(error @ ChoiceError::Several { .. }) => Err(error.into()),
                Err(_) => Err(ModelError::NotPulled { name: name.to_owned() }),
            }
        }
        _ if looks_like_a_path => Err(ModelError::NoFile(path.to_owned())),
        _ => Err(ModelError::Unknown(name.to_owned())),
    }
}

/// The files of the model that `path` leads to: several if it is split. One that cannot be opened is by itself; whoever loads it hears why.
#[must_use]
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    Gguf::open(path).map_or_else(|_| vec![path.to_owned()], |gguf| gguf.files().to_vec())
}

/// The files below a directory that a hub could have given, as paths relative to it, in order.
fn files_below(directory: &Path) -> Vec<FileName> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if let Some(name) = path.strip_prefix(directory).ok().and_then(Path::to_str) {
                found.extend(FileName::parse(name));
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_by_path_by_alias_and_by_repository_and_else_the_command_is_named() {
        let home = tempfile::tempdir().expect("a directory");
        let models = home.path();
        let directory = models.join("bartowski/Llama-3.2-1B-Instruct-GGUF");
        let message = |name: &str| locate_in(name, models).expect_err("not there").to_string();
        assert!(message("default").contains("make setup"));
        assert!(message("llama-3.2-1b").contains("parkade pull llama-3.2-1b"));
        assert!(message("some/model:Q4_0").contains("parkade pull some/model:Q4_0"));
        assert!(message("no-such-thing").contains("parkade pull --list"));
        assert!(message("./nothing.gguf").contains("./nothing.gguf"));
        assert!(message(home.path().to_str().expect("text")).contains("is a directory"));

        std::fs::create_dir_all(&directory).expect("directories");
        let file = directory.join("Llama-3.2-1B-Instruct-Q4_K_M.gguf");
        std::fs::write(&file, "").expect("a file");
        for name in [
            "llama-3.2-1b",
            "bartowski/Llama-3.2-1B-Instruct-GGUF",
            "bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
            file.to_str().expect("text"),
        ] {
            assert_eq!(locate_in(name, models).expect("there"), file, "{name}");
        }
        // A download that was interrupted is no model.
        std::fs::rename(&file, directory.join("Llama-3.2-1B-Instruct-Q4_K_M.gguf.0123.part")).expect("renamed");
        assert!(message("llama-3.2-1b").contains("parkade pull"));
    }
}
