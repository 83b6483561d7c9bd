//! How rerankers want a query and a document: as one text.

use crate::gguf::{Gguf, GgufError};
use crate::tokenizer::{Bos, SpecialTokens, Tokenizer, TokenizerError};
use crate::{Prompt, Source, TokenId};

/// The template of rerankers that are language models.
const TEMPLATE: &str = "tokenizer.chat_template.rerank";
/// Where in it the texts stand.
const PLACES: [&str; 2] = ["{query}", "{document}"];

/// How a query and a document are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pairs {
    /// By a text with places for both.
    Template(String),
    /// By tokens around both.
    Tokens {
        /// Before the query.
        start: Vec<TokenId>,
        /// Between the two.
        between: Vec<TokenId>,
        /// After the document.
        end: Vec<TokenId>,
    },
}

impl Pairs {
    /// Reads what a file says: its template, or else its tokens for beginning, end and separation. A token that the file does not want is not put.
    ///
    /// # Errors
    /// If a key holds something else.
    pub fn from_gguf(gguf: &Gguf) -> Result<Pairs, GgufError> {
        if let Some(template) = gguf.get_str(TEMPLATE)? {
            return Ok(Pairs::Template(template.to_owned()));
        }
        let token = |wanted: &str, by_default: bool, id: &str| -> Result<Option<TokenId>, GgufError> {
            let wanted = gguf.get_bool(&format!("tokenizer.ggml.add_{wanted}_token"))?.unwrap_or(by_default);
            Ok(gguf.get_u32(&format!("tokenizer.ggml.{id}_token_id"))?.filter(|_| wanted))
        };
        // The second name is how llama.cpp's converters spell it.
        let separator = match token("sep", false, "separator")? {
            None => token("sep", false, "seperator")?,
            found => found,
        };
        let end = token("eos", true, "eos")?;
        Ok(Pairs::Tokens {
            start: token("bos", true, "bos")?.into_iter().collect(),
            between: end.into_iter().chain(separator).collect(),
            end: end.into_iter().collect(),
        })
    }

    /// The tokens of both texts, in which nothing is markup.
    ///
    /// # Errors
    /// If the tokenizer cannot express one of them.
    pub fn join(&self, tokenizer: &Tokenizer, query: &str, document: &str) -> Result<Vec<TokenId>, TokenizerError> {
        match self {
            Pairs::Template(template) => tokenizer.encode_prompt(&fill(template, [query, document])),
            Pairs::Tokens { start, between, end } => {
                let mut tokens = start.clone();
                tokens.extend(tokenizer.encode(query, SpecialTokens::AsText, Bos::Never)?);
                tokens.extend(between);
                tokens.extend(tokenizer.encode(document, SpecialTokens::AsText, Bos::Never)?);
                tokens.extend(end);
                Ok(tokens)
            }
        }
    }

    /// How many tokens stand before and behind a document: the query, and what belongs around both. They stay if a document is cut.
    ///
    /// # Errors
    /// If the tokenizer cannot express the query.
    pub fn around(&self, tokenizer: &Tokenizer, query: &str) -> Result<(usize, usize), TokenizerError> {
        let behind = match self {
            Pairs::Template(template) => {
                let (_, behind) = template.split_once(PLACES[1]).unwrap_or((template, ""));
                let behind = fill(behind, [query, ""]);
                tokenizer.encode(behind.text(), SpecialTokens::Parse, Bos::Never)?.len()
            }
            Pairs::Tokens { end, .. } => end.len(),
        };
        let both = self.join(tokenizer, query, "")?.len();
        Ok((both.saturating_sub(behind), behind))
    }
}

/// Puts the texts into their places.
fn fill(template: &str, texts: [&str; 2]) -> Prompt {
    let mut prompt = Prompt::default();
    let mut rest = template;
    loop {
        let places = PLACES.iter().zip(texts).filter_map(|(place, text)| Some((rest.find(place)?, place.len(), text)));
        let Some((at, len, text)) = places.min_by_key(|(at, ..)| *at) else { break };
        prompt.push(&rest[..at], Source::Template);
        prompt.push(text, Source::Request);
        rest = &rest[at + len..];
    }
    prompt.push(rest, Source::Template);
    prompt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_a_template_are_text_whatever_they_spell() {
        let prompt = fill("<a>{query}<b>{document}<c>", ["{document}", "<c>"]);
        assert_eq!(prompt.text(), "<a>{document}<b><c><c>");
        assert_eq!(prompt.given(), [3..13, 16..19]);
    }
}
