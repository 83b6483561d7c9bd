//! Models in several files, as llama.cpp's gguf-split makes them: `NAME-00001-of-00003.gguf` and so on, side by side.
//!
//! The first has the model's metadata. Each says which part it is, of how many, and how many tensors all of them have together: `split.no`,
//! `split.count` and `split.tensors.count`. A file without these is whole whatever it is called, and the name of a part must agree with them.

use std::ffi::OsStr;
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
    /// `None` if the file is no part of others: it has none of the three keys, or all of one part, or was joined of parts, which leaves a
    /// count of 0.
    pub(super) fn of(header: &Header) -> Result<Option<Split>, GgufError> {
        let find = |key: &str| header.keys.get(key).map(|&index| &header.metadata[index].1);
        let get = |key: &str| match (find(key), header.unusable.get(key)) {
            (Some(value), _) => Ok(value),
            (None, Some(problem)) => Err(GgufError::Unusable { key: key.to_owned(), problem: problem.clone() }),
            (None, None) => Err(GgufError::MissingKey { key: key.to_owned() }),
        };
        if [NUMBER, COUNT, TENSORS].iter().all(|&key| find(key).is_none() && !header.unusable.contains_key(key)) {
            return Ok(None);
        }
        let count = bounded(COUNT, get(COUNT)?, 0, MAX_PARTS.into())? as u32;
        let is_only = count == 1 && find(NUMBER).is_none() && find(TENSORS).is_none();
        if count == 0 || is_only {
            return Ok(None);
        }
        let number = bounded(NUMBER, get(NUMBER)?, 0, u64::from(count) - 1)? as u32;
        let own = header.tensors.len() as u64;
        let (least, most) = if count == 1 { (own, own) } else { (0, MAX_TENSORS) };
        let tensors = bounded(TENSORS, get(TENSORS)?, least, most)?;
        Ok((count > 1).then_some(Split { number, count, tensors }))
    }

    /// The part's name, by which the others are found.
    pub(super) fn name(self, path: &Path) -> Result<SplitName, GgufError> {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(SplitName::parse);
        let (part, count) = (self.number + 1, self.count);
        name.filter(|name| (name.part, name.count) == (part, count)).ok_or_else(|| GgufError::SplitName {
            path: path.to_owned(),
            part,
            count,
        })
    }
}

/// The value of a key, between two numbers.
fn bounded(key: &str, value: &Value, least: u64, most: u64) -> Result<u64, GgufError> {
    let number = value.integer().and_then(|n| u64::try_from(n).ok()).filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| GgufError::Invalid {
        field: key.to_owned(),
        found: value.to_string(),
        expected: if least == most { most.to_string() } else { format!("{least} to {most}") },
    })
}

/// All parts of the model of which `path` is one, and the header that they make together.
pub(super) fn open(path: &Path, split: Split, paths: &[PathBuf]) -> Result<(Vec<Source>, Header), GgufError> {
    let missing: Vec<_> = paths.iter().filter(|part| !part.is_file()).filter_map(|part| part.file_name()).collect();
    if !missing.is_empty() {
        let names = missing.join(OsStr::new(", ")).to_string_lossy().into_owned();
        return Err(GgufError::MissingParts { names, count: split.count });
    }
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
