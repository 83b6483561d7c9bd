//! Which file a model's name means: a path, an alias, or a file of a hub repository.

use std::path::{Path, PathBuf};

use crate::directories;
use crate::names::{FileName, RepoName};

/// A short name for a model that people ask for.
pub struct Alias {
    /// What is typed.
    pub name: &'static str,
    /// The hub's repository.
    pub repo: &'static str,
    /// The quantisation that is taken unless another is named.
    pub file: &'static str,
}

/// The aliases besides `default`. All are of architectures that Parkade runs.
pub const ALIASES: &[Alias] = &[
    Alias { name: "smollm2-360m", repo: "bartowski/SmolLM2-360M-Instruct-GGUF", file: "Q4_K_M" },
    Alias { name: "smollm2-1.7b", repo: "bartowski/SmolLM2-1.7B-Instruct-GGUF", file: "Q4_K_M" },
    Alias { name: "tinyllama-1.1b", repo: "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF", file: "Q4_K_M" },
    Alias { name: "llama-3.2-1b", repo: "bartowski/Llama-3.2-1B-Instruct-GGUF", file: "Q4_K_M" },
    Alias { name: "llama-3.2-3b", repo: "bartowski/Llama-3.2-3B-Instruct-GGUF", file: "Q4_K_M" },
    Alias { name: "llama-3.1-8b", repo: "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", file: "Q4_K_M" },
    Alias { name: "mistral-7b", repo: "bartowski/Mistral-7B-Instruct-v0.3-GGUF", file: "Q4_K_M" },
];

/// Names of the model that the set-up installs.
pub const DEFAULT_NAMES: [&str; 2] = ["default", "smollm2-135m"];

/// SHA-256 of the default model's file.
pub const DEFAULT_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Quantisations in the order in which one is taken when none is named: the best balance of size and quality first.
const PREFERENCE: &[&str] =
    &["Q4_K_M", "Q4_K_S", "Q4_0", "Q4_1", "IQ4_XS", "IQ4_NL", "Q5_K_M", "Q5_K_S", "Q6_K", "Q8_0", "F16", "BF16", "F32"];

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

/// Why no file of a repository can be chosen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// None at all.
    #[error(
        "{repo} has no GGUF file that Parkade can use; it may hold only other formats, or a model split into parts"
    )]
    Nothing {
        /// The repository.
        repo: String,
    },
    /// None of that name.
    #[error("{repo} has no file '{wanted}'; it has: {}", there.join(", "))]
    NoMatch {
        /// The repository.
        repo: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        there: Vec<String>,
    },
    /// Several fit.
    #[error("'{wanted}' fits several files of {repo}: {}; name one", there.join(", "))]
    Several {
        /// The repository.
        repo: String,
        /// What was asked for.
        wanted: String,
        /// Those that fit.
        there: Vec<String>,
    },
}

/// A model on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    /// Owner and name.
    pub repo: RepoName,
    /// File name, or quantisation; `None` lets Parkade choose.
    pub file: Option<FileName>,
}

impl HubModel {
    /// An alias, `OWNER/NAME`, or `OWNER/NAME:FILE`.
    #[must_use]
    pub fn parse(text: &str) -> Option<HubModel> {
        let alias = ALIASES.iter().find(|alias| alias.name == text).map(|alias| (alias.repo, Some(alias.file)));
        let (repo, file) =
            alias.unwrap_or_else(|| text.split_once(':').map_or((text, None), |(repo, file)| (repo, Some(file))));
        let file = file.map(FileName::parse).transpose().ok()?;
        Some(HubModel { repo: RepoName::parse(repo)?, file })
    }

    /// Where its files lie.
    #[must_use]
    pub fn directory(&self, models: &Path) -> PathBuf {
        models.join(self.repo.as_str())
    }

    /// The one among `files` that is meant.
    ///
    /// # Errors
    /// None fits, or several do.
    pub fn choose<'a>(&self, files: &'a [FileName]) -> Result<&'a FileName, ChoiceError> {
        let usable: Vec<&FileName> = files.iter().filter(|file| is_whole_model(file.as_str())).collect();
        let repo = self.repo.to_string();
        let with = |name: &str| usable.iter().copied().filter(|file| has_quantisation(file.as_str(), name)).collect();
        if let Some(wanted) = &self.file {
            if let Some(exact) = files.iter().find(|file| *file == wanted) {
                return Ok(exact);
            }
            let fitting: Vec<&FileName> = with(wanted.as_str());
            let wanted = wanted.to_string();
            let names = |list: &[&FileName]| list.iter().map(|file| file.to_string()).collect();
            return match fitting.as_slice() {
                [one] => Ok(one),
                [] if usable.is_empty() => Err(ChoiceError::Nothing { repo }),
                [] => Err(ChoiceError::NoMatch { repo, wanted, there: names(&usable) }),
                _ => Err(ChoiceError::Several { repo, wanted, there: names(&fitting) }),
            };
        }
        let preferred = PREFERENCE.iter().find_map(|name| with(name).first().copied());
        preferred.or(usable.first().copied()).ok_or(ChoiceError::Nothing { repo })
    }
}

/// A GGUF that is a language model and not split into parts.
fn is_whole_model(file: &str) -> bool {
    let lower = file.to_ascii_lowercase();
    lower.ends_with(".gguf") && !lower.contains("mmproj") && !lower.contains("imatrix") && !lower.contains("-of-")
}

/// Whether a quantisation's name stands in a file's name, as a word of its own.
fn has_quantisation(file: &str, name: &str) -> bool {
    let stem = file.rsplit('/').next().unwrap_or(file).to_ascii_uppercase();
    let name = name.to_ascii_uppercase();
    stem.match_indices(&name).any(|(at, _)| {
        let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        !word(stem[..at].chars().next_back()) && !word(stem[at + name.len()..].chars().next())
    })
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

    fn files(names: &[&str]) -> Vec<FileName> {
        names.iter().map(|name| FileName::parse(name).expect("a name")).collect()
    }

    fn chosen<'a>(model: &str, there: &'a [FileName]) -> Result<&'a str, ChoiceError> {
        hub(model).choose(there).map(FileName::as_str)
    }

    fn hub(text: &str) -> HubModel {
        HubModel::parse(text).expect("a hub model")
    }

    #[test]
    fn a_quantisation_is_found_as_a_whole_word_in_either_spelling() {
        let there = files(&["m-Q4_K_M.gguf", "m-IQ4_K_M.gguf", "m-Q4_K_S.gguf", "m.q8_0.gguf", "README.md"]);
        assert_eq!(chosen("a/b:q4_k_m", &there), Ok("m-Q4_K_M.gguf"));
        assert_eq!(chosen("a/b:Q8_0", &there), Ok("m.q8_0.gguf"));
        assert!(matches!(hub("a/b:Q4_K").choose(&there), Err(ChoiceError::NoMatch { .. })));
    }

    #[test]
    fn without_a_file_the_best_balance_is_taken_and_never_a_part_or_a_projector() {
        let there =
            files(&["m-F16.gguf", "m-Q8_0.gguf", "m-Q4_K_M-00001-of-00002.gguf", "mmproj-Q4_K_M.gguf", "m-Q4_0.gguf"]);
        assert_eq!(chosen("a/b", &there), Ok("m-Q4_0.gguf"));
        assert!(matches!(hub("a/b").choose(&files(&["model.safetensors"])), Err(ChoiceError::Nothing { .. })));
    }

    #[test]
    fn an_exact_name_wins_and_a_vague_one_lists_what_fits() {
        let there = files(&["q4/a-Q4_0.gguf", "b-Q4_0.gguf"]);
        assert_eq!(chosen("a/b:b-Q4_0.gguf", &there), Ok("b-Q4_0.gguf"));
        let error = hub("a/b:Q4_0").choose(&there).expect_err("two fit");
        assert_eq!(error.to_string(), "'Q4_0' fits several files of a/b: q4/a-Q4_0.gguf, b-Q4_0.gguf; name one");
    }

    #[test]
    fn names_that_would_leave_the_data_directory_are_no_hub_models() {
        for name in [
            "a/..",
            "../b",
            "a/b:../x.gguf",
            "a/b:/etc/passwd",
            "a",
            "a/b/c",
            "/a",
            "a/b:x\\y",
            "",
            "a/b:",
            "-a/b",
            "a/b:-x",
            "a/b:C:x",
        ] {
            assert_eq!(HubModel::parse(name), None, "{name}");
        }
    }

    #[test]
    fn every_alias_is_a_hub_model_under_a_name_of_its_own() {
        for alias in ALIASES {
            let model = hub(alias.name);
            assert_eq!(hub(&format!("{}:{}", alias.repo, alias.file)), model);
            assert_eq!(ALIASES.iter().filter(|other| other.name == alias.name).count(), 1);
            assert!(!DEFAULT_NAMES.contains(&alias.name));
        }
    }

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
