//! Models of the hub: which repository is meant, and which of its files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use parkade_model::gguf::SplitName;

use super::aliases;
use crate::names::{FileName, RepoName};

/// Quantisations in the order in which one is taken when none is named: the best balance of size and quality first.
const PREFERENCE: &[&str] =
    &["Q4_K_M", "Q4_K_S", "Q4_0", "Q4_1", "IQ4_XS", "IQ4_NL", "Q5_K_M", "Q5_K_S", "Q6_K", "Q8_0", "F16", "BF16", "F32"];

/// Why no file of a repository can be chosen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// None at all.
    #[error(
        "{repo} has no GGUF file that Parkade can use; it may hold only other formats, or a split model of which parts are missing"
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
    /// A split model of which parts are missing.
    #[error("{repo} has not all parts of '{wanted}'; missing: {}", missing.join(", "))]
    Incomplete {
        /// The repository.
        repo: String,
        /// What was asked for.
        wanted: String,
        /// The parts.
        missing: Vec<String>,
    },
}

/// A model on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    /// Owner and name.
    pub repo: RepoName,
    /// File name, or quantisation; `None` lets Parkade choose.
    pub file: Option<FileName>,
    /// Quantisations in the order in which one is taken if none is named.
    quants: &'static [&'static str],
}

impl HubModel {
    /// An alias, perhaps with a quantisation behind it (`qwen3:4b-q8_0`), `OWNER/NAME`, or `OWNER/NAME:FILE`.
    #[must_use]
    pub fn parse(text: &str) -> Option<HubModel> {
        let (repo, file, quants) = match aliases::find(text) {
            Some((alias, quant)) => (alias.repo, quant, alias.quants),
            None => match text.split_once(':') {
                Some((repo, file)) => (repo, Some(file), PREFERENCE),
                None => (text, None, PREFERENCE),
            },
        };
        let file = file.map(FileName::parse).transpose().ok()?;
        Some(HubModel { repo: RepoName::parse(repo)?, file, quants })
    }

    /// Where its files lie.
    #[must_use]
    pub fn directory(&self, models: &Path) -> PathBuf {
        models.join(self.repo.as_str())
    }

    /// The one among `files` that is meant; of a split model the first part.
    ///
    /// # Errors
    /// None fits, or several do.
    pub fn choose<'a>(&self, files: &'a [FileName]) -> Result<&'a FileName, ChoiceError> {
        match &self.file {
            Some(wanted) => self.named(wanted, files),
            None => self.candidates(files).first().copied().ok_or(ChoiceError::Nothing { repo: self.repo.to_string() }),
        }
    }

    /// What may be taken when no file is named: one of each quantisation, the best first.
    #[must_use]
    pub fn candidates<'a>(&self, files: &'a [FileName]) -> Vec<&'a FileName> {
        let usable = whole_models(files);
        let with = |quant: &&str| usable.iter().copied().find(|file| has_quantisation(file.as_str(), quant));
        let mut found: Vec<&FileName> = self.quants.iter().filter_map(with).collect();
        if found.is_empty() {
            found.extend(PREFERENCE.iter().filter_map(with));
        }
        if found.is_empty() {
            found.extend(usable.first());
        }
        found
    }

    fn named<'a>(&self, wanted: &FileName, files: &'a [FileName]) -> Result<&'a FileName, ChoiceError> {
        let repo = self.repo.to_string();
        if files.contains(wanted) {
            let parts = parts(wanted);
            let missing: Vec<String> =
                parts.iter().filter(|part| !files.contains(part)).map(ToString::to_string).collect();
            let first = files.iter().find(|file| Some(*file) == parts.first());
            return match first.filter(|_| missing.is_empty()) {
                Some(first) => Ok(first),
                None => Err(ChoiceError::Incomplete { repo, wanted: wanted.to_string(), missing }),
            };
        }
        let usable = whole_models(files);
        let fitting: Vec<&FileName> =
            usable.iter().copied().filter(|file| has_quantisation(file.as_str(), wanted.as_str())).collect();
        let wanted = wanted.to_string();
        let names = |list: &[&FileName]| list.iter().map(|file| file.to_string()).collect();
        match fitting.as_slice() {
            [one] => Ok(one),
            [] if usable.is_empty() => Err(ChoiceError::Nothing { repo }),
            [] => Err(ChoiceError::NoMatch { repo, wanted, there: names(&usable) }),
            _ => Err(ChoiceError::Several { repo, wanted, there: names(&fitting) }),
        }
    }
}

/// The files of the model of which `file` is one: itself, or all parts of a split model.
#[must_use]
pub fn parts(file: &FileName) -> Vec<FileName> {
    match SplitName::parse(file.as_str()) {
        Some(split) => split.all().filter_map(|part| FileName::parse(&part).ok()).collect(),
        None => vec![file.clone()],
    }
}

/// The GGUF files that are language models; of a split model that is whole the first part.
fn whole_models(files: &[FileName]) -> Vec<&FileName> {
    let all: HashSet<&str> = files.iter().map(FileName::as_str).collect();
    let is_whole = |file: &&FileName| {
        let lower = file.as_str().to_ascii_lowercase();
        let is_model = lower.ends_with(".gguf") && !lower.contains("mmproj") && !lower.contains("imatrix");
        let is_first = |split: SplitName| split.part == 1 && split.all().all(|part| all.contains(part.as_str()));
        is_model && SplitName::parse(file.as_str()).is_none_or(is_first)
    };
    files.iter().filter(is_whole).collect()
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
    fn every_alias_is_a_hub_model_whose_quantisation_may_be_named() {
        for alias in aliases::aliases() {
            for name in alias.names {
                let model = hub(name);
                assert_eq!((model.repo.as_str(), &model.file, model.quants), (alias.repo, &None, alias.quants));
                let named = hub(&format!("{name}-Q8_0"));
                assert_eq!(named.file.as_ref().map(FileName::as_str), Some("Q8_0"));
            }
        }
    }

    #[test]
    fn an_alias_has_candidates_in_its_own_order() {
        let there = files(&["m-Q2_K.gguf", "m-IQ4_XS.gguf", "m-Q8_0.gguf", "m-Q4_K_M.gguf"]);
        let candidates =
            |name: &str| hub(name).candidates(&there).into_iter().map(FileName::as_str).collect::<Vec<_>>();
        assert_eq!(candidates("qwen3:4b"), ["m-Q4_K_M.gguf", "m-IQ4_XS.gguf"]);
        assert_eq!(candidates("qwen3:0.6b"), ["m-Q8_0.gguf", "m-Q4_K_M.gguf"]);
        let odd = files(&["m-Q2_K.gguf"]);
        assert_eq!(hub("qwen3:4b").candidates(&odd), [&odd[0]], "better than nothing");
    }

    #[test]
    fn a_split_model_is_its_first_part_if_the_others_are_there() {
        let there = files(&[
            "Q8_0/m-Q8_0-00002-of-00002.gguf",
            "Q8_0/m-Q8_0-00001-of-00002.gguf",
            "m-Q4_0-00001-of-00003.gguf",
            "m-Q4_0-00003-of-00003.gguf",
        ]);
        let first = Ok("Q8_0/m-Q8_0-00001-of-00002.gguf");
        assert_eq!(chosen("a/b", &there), first);
        assert_eq!(chosen("a/b:q8_0", &there), first);
        assert_eq!(chosen("a/b:Q8_0/m-Q8_0-00002-of-00002.gguf", &there), first);
        assert_eq!(parts(&there[0]).len(), 2);
        let error = chosen("a/b:m-Q4_0-00003-of-00003.gguf", &there).expect_err("a part is missing").to_string();
        assert!(error.ends_with("missing: m-Q4_0-00002-of-00003.gguf"), "{error}");
        assert!(matches!(chosen("a/b:Q4_0", &there), Err(ChoiceError::NoMatch { .. })));
    }
}
