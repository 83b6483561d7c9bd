//! Names that come from outside: of hub repositories, and of files in them. A hub is a stranger's machine, and what it
//! calls a file becomes a path on this one.

use std::fmt;
use std::path::{Path, PathBuf};

/// Longest part of a name: file systems take 255 bytes, and what is fetched gets a suffix while it is incomplete.
const PART_BYTES: usize = 200;
/// Longest name of a file with its folders.
const FILE_BYTES: usize = 1000;
/// Most folders around a file.
const FOLDERS: usize = 8;
/// Characters of a wrong name that are shown.
const SHOWN: usize = 80;

/// A name that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{shown}' {problem}")]
pub struct BadName {
    /// Without what a terminal would obey.
    shown: String,
    problem: &'static str,
}

impl BadName {
    fn new(name: &str, problem: &'static str) -> BadName {
        let escaped = |c: char| if is_plain(c) || c == '/' { c.to_string() } else { c.escape_default().to_string() };
        let mut shown: String = name.chars().take(SHOWN).map(escaped).collect();
        if name.chars().nth(SHOWN).is_some() {
            shown.push('…');
        }
        BadName { shown, problem }
    }
}

/// A file of a repository: a path below the repository's folder, never out of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName(String);

impl FileName {
    /// Checks a name, with `/` between folders.
    ///
    /// # Errors
    /// If the file would not lie below its repository's folder, on any system, or the name is not one that can be typed and shown.
    pub fn parse(name: &str) -> Result<FileName, BadName> {
        let wrong = |problem| Err(BadName::new(name, problem));
        if name.starts_with('/') {
            return wrong("is an absolute path");
        }
        if name.len() > FILE_BYTES {
            return wrong("is too long");
        }
        let parts: Vec<&str> = name.split('/').collect();
        if parts.len() > FOLDERS + 1 {
            return wrong("lies in too many folders");
        }
        match parts.iter().find_map(|part| problem_of(part)) {
            Some(problem) => wrong(problem),
            None => Ok(FileName(name.to_owned())),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its place below a folder.
    #[must_use]
    pub fn below(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }

    /// As it stands in an address: all but letters, digits and `-_.~` is percent-encoded.
    #[must_use]
    pub fn in_url(&self) -> String {
        let encoded = |byte: u8| match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        self.0.bytes().map(encoded).collect()
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a folder's or a file's own name.
fn problem_of(part: &str) -> Option<&'static str> {
    match part {
        "" => Some("has an empty part"),
        "." | ".." => Some("leads out of its folder"),
        _ if part.len() > PART_BYTES => Some("is too long"),
        _ if part.starts_with('.') => Some("is hidden"),
        _ if part.starts_with('-') => Some("begins like a flag"),
        _ if part.starts_with(' ') || part.ends_with([' ', '.']) => Some("begins or ends with what cannot be seen"),
        _ if !part.chars().all(is_plain) => Some("has characters that a file's name should not have"),
        _ => None,
    }
}

/// Letters and digits of all scripts, and punctuation that means nothing to file systems: no separators, drives, streams or wildcards,
/// and nothing that cannot be seen.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || " -_.+=,~@#%&!'()[]{}".contains(c)
}

/// A repository: `OWNER/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoName(String);

impl RepoName {
    /// Checks a name. It has the hub's characters only, and cannot be mistaken for a path.
    #[must_use]
    pub fn parse(name: &str) -> Option<RepoName> {
        let (owner, own) = name.split_once('/')?;
        let plain = |part: &str| {
            part.len() <= PART_BYTES
                && problem_of(part).is_none()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        (plain(owner) && plain(own)).then(|| RepoName(name.to_owned()))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_real_repositories_are_taken_as_they_are() {
        for name in [
            "Llama-3.2-1B-Instruct-Q4_K_M.gguf",
            "Q8_0/model-00001-of-00002.gguf",
            "a+b (new), v1.0=x.gguf",
            "模型-Q4_0.gguf",
            "é.gguf",
        ] {
            assert_eq!(FileName::parse(name).map(|file| file.to_string()), Ok(name.to_owned()));
        }
        let file = FileName::parse("Q8_0/a b%é.gguf").expect("a name");
        assert_eq!(file.in_url(), "Q8_0/a%20b%25%C3%A9.gguf");
        assert_eq!(file.below(Path::new("/m/o/n")), Path::new("/m/o/n/Q8_0/a b%é.gguf"));
    }

    #[test]
    fn no_name_leads_out_of_its_folder_on_any_system() {
        for name in [
            "/abs/x-Q8_0.gguf",
            "//host/share/x.gguf",
            "../x.gguf",
            "../../x",
            "a/../../x.gguf",
            "a/..",
            "..",
            ".",
            "./x.gguf",
            "",
            "a//x.gguf",
            "a/",
            "\\x.gguf",
            "..\\x.gguf",
            "a\\..\\..\\x.gguf",
            "C:x.gguf",
            "C:/x.gguf",
            "C:\\x.gguf",
            "x.gguf:stream",
            "~\\x.gguf",
        ] {
            assert!(FileName::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn no_name_says_another_thing_than_it_shows() {
        let long = "x".repeat(PART_BYTES + 1);
        let deep = "a/".repeat(FOLDERS + 1) + "x";
        for name in [
            "x\0.gguf",
            "x\n.gguf",
            "\x1b[2Jx.gguf",
            "x\u{202e}fugg.exe",
            "x\u{200b}.gguf",
            "x\u{2028}.gguf",
            "-rf",
            "a/-x.gguf",
            ".hidden.gguf",
            ".ssh/x",
            "x ",
            "x.",
            " x",
            "x*",
            "x?",
            "x|y",
            "<x>",
            "\"x\"",
            &long,
            &deep,
        ] {
            let error = FileName::parse(name).expect_err(name).to_string();
            assert!(error.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{error:?}");
            assert!(error.chars().count() < 200, "{error}");
        }
    }

    #[test]
    fn repositories_have_an_owner_and_a_name_and_nothing_else() {
        assert_eq!(
            RepoName::parse("bartowski/Llama-3.2-1B_GGUF").expect("one").as_str(),
            "bartowski/Llama-3.2-1B_GGUF"
        );
        for name in [
            "a", "/a", "a/", "a/b/c", "../b", "a/..", "a/.b", "-a/b", "a/-b", "a/b ", "a b/c", "a/b\n", "é/b",
            "a\\b/c", "a/b.",
        ] {
            assert!(RepoName::parse(name).is_none(), "{name}");
        }
    }
}
