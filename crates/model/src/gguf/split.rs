//! Models in several files, as llama.cpp's gguf-split makes them: `NAME-00001-of-00003.gguf` and so on, side by side.
//!
//! The first has the model's metadata. Each says which part it is, of how many, and how many tensors all of them have together.

use std::path::{Path, PathBuf};

use super::error::GgufError;
use super::header::Header;
use super::limits::{MAX_PARTS, MAX_TENSORS};
use super::source::Source;
use super::value::Value;

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// A part's file name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitName {
    /// What all parts' names begin with.
    pub stem: String,
    /// Which part, from 1.
    pub part: u32,
    /// How many there are.
    pub count: u32,
}

impl SplitName {
    /// Of `NAME-00001-of-00003.gguf`, perhaps with folders before it; `None` for any other name, or one of more parts than are read.
    pub fn parse(name: &str) -> Option<SplitName> {
        let number = |digits: &str| {
            let all_digits = digits.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit());
            all_digits.then(|| digits.parse().ok()).flatten()
        };
        let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, part) = rest.rsplit_once('-')?;
        let (part, count) = (number(part)?, number(count)?);
        ((1..=count).contains(&part) && count <= MAX_PARTS).then(|| SplitName { stem: stem.to_owned(), part, count })
    }

    /// The name of a part, from 1.
    pub fn of_part(&self, part: u32) -> String {
        format!("{}-{part:05}-of-{:05}.gguf", self.stem, self.count)
    }

    /// The names of all parts.
    pub fn all(&self) -> impl Iterator<Item = String> + '_ {
        (1..=self.count).map(|part| self.of_part(part))
    }
}

/// What a part says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    /// From 0.
    pub(super) number: u32,
    pub(super) count: u32,
    /// In all parts together.
    tensors: u64,
}

impl Split {
    /// `None` if the file is no part of others.
    pub(super) fn of(header: &Header) -> Result<Option<Split>, GgufError> {
        let get = |key: &str| match header.keys.get(key) {
            Some(&index) => Ok(&header.metadata[index].1),
            None => Err(GgufError::MissingKey { key: key.to_owned() }),
        };
        let wrong = |key: &str, value: &Value, expected: String| GgufError::Invalid {
            field: key.to_owned(),
            found: value.to_string(),
            expected,
        };
        let Ok(count) = get(COUNT) else { return Ok(None) };
        let bounded = count.integer().and_then(|n| u32::try_from(n).ok()).filter(|&n| n <= MAX_PARTS);
        let parts = bounded.ok_or_else(|| wrong(COUNT, count, format!("0 to {MAX_PARTS}")))?;
        if parts <= 1 {
            return Ok(None);
        }
        let number = get(NUMBER)?;
        let own = number.integer().and_then(|n| u32::try_from(n).ok()).filter(|&n| n < parts);
        let tensors = get(TENSORS)?;
        let all = tensors.integer().and_then(|n| u64::try_from(n).ok()).filter(|&n| n <= MAX_TENSORS);
        Ok(Some(Split {
            number: own.ok_or_else(|| wrong(NUMBER, number, format!("0 to {}", parts - 1)))?,
            count: parts,
            tensors: all.ok_or_else(|| wrong(TENSORS, tensors, format!("0 to {MAX_TENSORS}")))?,
        }))
    }
}

/// All parts of the model of which `path` is one, and the header that they make together.
pub(super) fn open(path: &Path, split: Split) -> Result<(Vec<Source>, Header), GgufError> {
    let paths = paths(path, split)?;
    let (first, mut header) = open_part(&paths[0], None)?;
    let mut sources = vec![first];
    for (number, path) in paths.iter().enumerate().skip(1) {
        let (source, part) = open_part(path, Some((&header, number)))?;
        append(&mut header, part, number, path)?;
        sources.push(source);
    }
    if header.tensors.len() as u64 != split.tensors {
        let problem =
            format!("says that all parts have {} tensors, and they have {}", split.tensors, header.tensors.len());
        return Err(GgufError::WrongPart { path: path.to_owned(), problem });
    }
    Ok((sources, header))
}

/// Where the parts are: beside the one at `path`, under its name.
fn paths(path: &Path, split: Split) -> Result<Vec<PathBuf>, GgufError> {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(SplitName::parse);
    let name = name.filter(|name| (name.part, name.count) == (split.number + 1, split.count));
    let Some(name) = name else {
        return Err(GgufError::SplitName { path: path.to_owned(), part: split.number + 1, count: split.count });
    };
    let missing: Vec<String> = name.all().filter(|part| !path.with_file_name(part).is_file()).collect();
    if !missing.is_empty() {
        return Err(GgufError::MissingParts { names: missing.join(", "), count: split.count });
    }
    Ok(name.all().map(|part| path.with_file_name(part)).collect())
}

/// Opens a part; all but the first are held against the first's header.
fn open_part(path: &Path, expected: Option<(&Header, usize)>) -> Result<(Source, Header), GgufError> {
    let in_part = |source| GgufError::Part { path: path.to_owned(), source: Box::new(source) };
    let (source, header) = super::open_one(path).map_err(in_part)?;
    let wrong = |problem: String| GgufError::WrongPart { path: path.to_owned(), problem };
    let own = Split::of(&header).map_err(in_part)?.ok_or_else(|| wrong("is no part of a split model".to_owned()))?;
    let number = expected.map_or(0, |(_, number)| number);
    if own.number as usize != number {
        return Err(wrong(format!("is part {}, and by its name part {}", own.number + 1, number + 1)));
    }
    let Some((first, _)) = expected else { return Ok((source, header)) };
    // Parts have few keys; what they have must be as in the first, which has all.
    for (key, value) in header.metadata.iter().filter(|(key, _)| key != NUMBER) {
        if let Some(of_first) = first.keys.get(key).map(|&index| &first.metadata[index].1).filter(|v| *v != value) {
            return Err(wrong(format!("has {key} {value}, and the first part has {of_first}")));
        }
    }
    if (first.tensors.len() + header.tensors.len()) as u64 > MAX_TENSORS {
        return Err(wrong(format!("and the parts before it have more than {MAX_TENSORS} tensors")));
    }
    Ok((source, header))
}

fn append(header: &mut Header, part: Header, number: usize, path: &Path) -> Result<(), GgufError> {
    for mut tensor in part.tensors {
        tensor.part = number;
        if header.names.insert(tensor.name.clone(), header.tensors.len()).is_some() {
            let problem = format!("has tensor '{}', which a part before it has too", tensor.name);
            return Err(GgufError::WrongPart { path: path.to_owned(), problem });
        }
        header.tensors.push(tensor);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parts_name_says_which_it_is_and_what_the_others_are_called() {
        let name = SplitName::parse("Q4_K_M/big-of-all-00002-of-00003.gguf").unwrap();
        assert_eq!((name.stem.as_str(), name.part, name.count), ("Q4_K_M/big-of-all", 2, 3));
        assert_eq!(name.of_part(3), "Q4_K_M/big-of-all-00003-of-00003.gguf");
        assert_eq!(name.all().count(), 3);
        for other in ["m.gguf", "m-1-of-2.gguf", "m-00000-of-00002.gguf", "m-00003-of-00002.gguf", "m-00001-of-00002"] {
            assert_eq!(SplitName::parse(other), None, "{other}");
        }
    }
}
