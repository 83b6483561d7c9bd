//! What a request needs of a model, in tokens and blocks.

use crate::backend::Backend;
use crate::kv_groups::KvGroups;
use crate::refusal::{Refusal, Remedies};
use crate::request::Request;

/// The sizes that bound every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestLimits {
    pub(crate) context_length: usize,
    pub(crate) blocks: usize,
    pub(crate) groups: KvGroups,
    pub(crate) max_seqs: usize,
    pub(crate) remedies: Remedies,
}

/// What a request takes if every answer becomes as long as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// The longest answer in tokens.
    pub(crate) answer: usize,
    /// KV blocks over all answers, if none of the prompt's were cached.
    pub(crate) blocks: usize,
    /// Sequences.
    pub(crate) seqs: usize,
}

impl RequestLimits {
    pub(crate) fn of(backend: &dyn Backend, max_seqs: usize, most_rows: usize, remedies: Remedies) -> Self {
        RequestLimits {
            context_length: backend.context_length(),
            blocks: backend.blocks(),
            groups: backend.kv_groups().in_passes_of(most_rows),
            // Each sequence that runs has a state.
            max_seqs: if backend.state_bytes() > 0 { max_seqs.min(backend.state_slots()) } else { max_seqs },
            remedies,
        }
    }

    /// What `request` needs in full. An answer that may become longer than context and blocks allow is cut to what they do: only a
    /// prompt is refused for its length.
    ///
    /// # Errors
    /// If the prompt and one token (none, if no answer is wanted) could not be met even by an empty server.
    pub(crate) fn need(&self, request: &Request) -> Result<Need, Refusal> {
        let (prompt, n) = (request.prompt.len(), request.n);
        let shortest = usize::from(request.longest_answer() != Some(0));
        if prompt.saturating_add(shortest) > self.context_length {
            return Err(Refusal::ContextLength { prompt_tokens: prompt, limit: self.context_length });
        }
        if n > self.max_seqs {
            return Err(Refusal::RequestTooLarge {
                param: "n",
                resource: "sequences at once",
                needed: n,
                total: self.max_seqs,
                remedy: self.remedies.seqs,
            });
        }
        let least = self.blocks_in_full(prompt, 1, n);
        if least > self.blocks {
            let alone = self.blocks_in_full(prompt, 1, 1);
            return Err(Refusal::RequestTooLarge {
                param: if alone > self.blocks { "prompt" } else { "n" },
                resource: "KV blocks",
                needed: least,
                total: self.blocks,
                remedy: self.remedies.kv,
            });
        }
        let longest = self.longest_answer(prompt, n);
        let answer = request.longest_answer().map_or(longest, |most| most.min(longest));
        Ok(Need { answer, blocks: self.blocks_in_full(prompt, answer, n), seqs: n })
    }

    /// Blocks for a prompt that `n` answers share, and for their own ends. The last token of an answer is never stored: nothing comes after it.
    pub(crate) fn blocks_in_full(&self, prompt: usize, answer: usize, n: usize) -> usize {
        self.groups.most_blocks_of(prompt, stored(prompt, answer), n)
    }

    /// Whether windows give blocks back before `prompt` and an answer are computed.
    pub(crate) fn slides(&self, prompt: usize, answer: usize) -> bool {
        self.groups.slides(stored(prompt, answer))
    }

    /// How long `n` answers can become in the context and in all blocks together.
    fn longest_answer(&self, prompt: usize, n: usize) -> usize {
        // The first length that does not fit.
        let (mut fits, mut most) = (0, self.context_length.saturating_sub(prompt) + 1);
        while most - fits > 1 {
            let middle = fits + (most - fits) / 2;
            let in_blocks = self.blocks_in_full(prompt, middle, n) <= self.blocks;
            *(if in_blocks { &mut fits } else { &mut most }) = middle;
        }
        fits
    }
}

/// Tokens of a prompt and an answer that are stored.
fn stored(prompt: usize, answer: usize) -> usize {
    prompt.saturating_add(answer.max(1) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> RequestLimits {
        RequestLimits {
            context_length: 100,
            blocks: 10,
            groups: KvGroups::new(&[None], 4),
            max_seqs: 4,
            remedies: Remedies { kv: "--kv-cache-mb", seqs: "--max-seqs" },
        }
    }

    fn request(prompt: usize, max_tokens: Option<usize>, n: usize) -> Request {
        Request { max_tokens, n, ..Request::new("r", vec![1; prompt]) }
    }

    #[test]
    fn the_last_token_needs_no_room() {
        let blocks = |prompt, answer, n| small().need(&request(prompt, Some(answer), n)).unwrap().blocks;
        assert_eq!((blocks(4, 1, 1), blocks(4, 2, 1), blocks(4, 5, 1), blocks(4, 6, 1)), (1, 2, 2, 3));
        assert_eq!(blocks(4, 0, 1), 1);
        assert_eq!(blocks(6, 3, 3), 1 + 3, "the full block of the prompt is shared");
    }

    #[test]
    fn an_open_end_takes_what_context_and_blocks_allow() {
        let answer = |limits: RequestLimits, prompt, n| limits.need(&request(prompt, None, n)).unwrap().answer;
        assert_eq!(answer(small(), 6, 1), 35, "40 stored tokens and one that is not");
        assert_eq!(answer(small(), 6, 3), 4 + 12 + 1 - 6);
        assert_eq!(answer(RequestLimits { context_length: 20, ..small() }, 6, 1), 14);
    }

    #[test]
    fn what_can_never_fit_is_refused_with_the_figures() {
        let refusal = |prompt, answer, n| small().need(&request(prompt, answer, n)).unwrap_err();
        for answer in [None, Some(1), Some(usize::MAX)] {
            assert_eq!(refusal(100, answer, 1), Refusal::ContextLength { prompt_tokens: 100, limit: 100 });
        }
        for answer in [None, Some(0), Some(1), Some(usize::MAX)] {
            assert_eq!(refusal(101, answer, 1), Refusal::ContextLength { prompt_tokens: 101, limit: 100 });
            assert!(matches!(refusal(41, answer, 1), Refusal::RequestTooLarge { needed: 11, total: 10, .. }));
        }
        assert!(matches!(refusal(13, Some(1), 8), Refusal::RequestTooLarge { needed: 8, total: 4, .. }), "answers");
        assert!(matches!(refusal(30, Some(1), 4), Refusal::RequestTooLarge { needed: 11, total: 10, .. }));
        assert!(matches!(refusal(5, Some(5), 5), Refusal::RequestTooLarge { needed: 5, total: 4, .. }));
    }

    #[test]
    fn what_is_too_large_is_laid_to_the_field_that_makes_it_so() {
        let param = |prompt, n| match small().need(&request(prompt, Some(1), n)).unwrap_err() {
            Refusal::RequestTooLarge { param, .. } => param,
            other => panic!("{other:?}"),
        };
        assert_eq!(param(13, 8), "n", "more answers than sequences");
        assert_eq!(param(30, 4), "n", "the prompt alone would fit");
        assert_eq!((param(41, 1), param(41, 4)), ("prompt", "prompt"));
    }

    #[test]
    fn a_prompt_without_an_answer_may_fill_the_context() {
        let roomy = RequestLimits { blocks: 1000, ..small() };
        assert_eq!(roomy.need(&request(100, Some(0), 1)), Ok(Need { answer: 0, blocks: 25, seqs: 1 }));
    }

    #[test]
    fn an_answer_that_is_too_long_is_cut_to_the_room() {
        let roomy = RequestLimits { blocks: 1000, ..small() };
        let cut =
            |limits: &RequestLimits, prompt, most, n| limits.need(&request(prompt, Some(most), n)).unwrap().answer;
        assert_eq!(cut(&roomy, 90, 10, 1), 10);
        assert_eq!(cut(&roomy, 90, 11, 1), 10, "the context ends there");
        assert_eq!(cut(&roomy, 99, usize::MAX, 1), 1);
        assert_eq!(cut(&small(), 30, 12, 1), 11, "40 stored tokens and one that is not");
        assert_eq!(cut(&small(), 40, 5, 1), 1);
        // Whatever is asked for, what is granted fits.
        for (prompt, n) in (1..=40).flat_map(|prompt| (1..=4).map(move |n| (prompt, n))) {
            if let Ok(need) = small().need(&request(prompt, Some(usize::MAX), n)) {
                assert!(need.answer >= 1 && need.blocks <= small().blocks, "{prompt} {n}: {need:?}");
                assert!(small().blocks_in_full(prompt, need.answer + 1, n) > small().blocks, "{prompt} {n}: {need:?}");
            }
        }
    }
}
