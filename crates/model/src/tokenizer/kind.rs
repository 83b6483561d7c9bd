//! What each token of a vocabulary is for.

use super::TokenizerError;
use super::end_tokens::Named;
use super::keys::{TOKENS, TYPES};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte(u8),
}

impl Kind {
    /// Of what a token's name says, or else of its number in the file.
    pub(super) fn of(named: Option<Named>, number: i64, index: usize, text: &str) -> Result<Kind, TokenizerError> {
        match named {
            Some(Named::End | Named::Control) => return Ok(Kind::Control),
            Some(Named::Message) => return Ok(Kind::UserDefined),
            Some(Named::Text) => return Ok(Kind::Normal),
            None => {}
        }
        match number {
            1 => Ok(Kind::Normal),
            2 => Ok(Kind::Unknown),
            3 => Ok(Kind::Control),
            4 => Ok(Kind::UserDefined),
            // 0 is "undefined": llama.cpp shows no text for it either.
            0 | 5 => Ok(Kind::Unused),
            6 => byte_name(text).map(Kind::Byte).ok_or_else(|| {
                let problem = "its type is byte (6), so it should be named <0x00> to <0xFF>";
                TokenizerError::entry(TOKENS, index, text, problem)
            }),
            other => {
                let problem = "token types go from 0 to 6";
                Err(TokenizerError::entry(TYPES, index, &other.to_string(), problem))
            }
        }
    }

    /// Whether such a token is found where its text stands, before anything else is looked at.
    pub(super) fn is_literal(self) -> bool {
        matches!(self, Kind::Control | Kind::Unknown | Kind::UserDefined)
    }

    /// Whether such a token stands for text that is made of smaller parts.
    pub(super) fn is_made_of_text(self) -> bool {
        matches!(self, Kind::Normal | Kind::UserDefined | Kind::Unused)
    }
}

/// The byte of a token named `<0x00>` to `<0xFF>`.
pub(super) fn byte_name(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}
