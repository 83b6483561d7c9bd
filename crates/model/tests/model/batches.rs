//! Batches that are refused, without a panic and without a trace in the cache.

use std::sync::Arc;

use parkade_kernels::{KvCache, KvLayout, KvShape, KvType, Span, Team};
use parkade_model::{Batch, Model, ModelError, Outputs, TokenId};
use proptest::prelude::*;

use crate::support::{BLOCK_LEN, Part, Runner, bits, table};
use crate::synthetic::{CONTEXT, Synthetic, VOCAB};

fn runner() -> Runner {
    Runner::new(&Synthetic::default().gguf(), 1, 10, KvType::F32)
}

/// What running the batch answers.
fn run(
    runner: &mut Runner,
    tokens: &[TokenId],
    spans: &[Span<'_>],
    logit_rows: &[usize],
) -> Result<Vec<f32>, ModelError> {
    let mut logits = Vec::new();
    runner.model.forward(
        &Batch { tokens, spans, states: &[], outputs: Outputs::Logits(logit_rows) },
        &mut runner.kv,
        &mut runner.states,
        &mut logits,
    )?;
    Ok(logits)
}

fn refused(tokens: &[TokenId], spans: &[Span<'_>], logit_rows: &[usize], part: &str) {
    let mut runner = runner();
    let before = bits(&runner.whole(&[1, 2, 3]));
    let message = run(&mut runner, tokens, spans, logit_rows).expect_err("a bad batch was run").to_string();
    assert!(message.contains(part), "{message:?} does not say {part:?}");
    let blocks = table(0, 4);
    let after = runner.step(&[Part { tokens: &[3], past: 2, blocks: &blocks }]).remove(0);
    assert_eq!(bits(&after)[0], before[2], "the cache changed");
}

fn span(first_row: usize, rows: usize, past: usize, blocks: &[u32]) -> Span<'_> {
    Span { first_row, rows, past, blocks }
}

#[test]
fn an_empty_batch_gives_no_logits() {
    assert!(run(&mut runner(), &[], &[], &[]).unwrap().is_empty());
}

#[test]
fn tokens_outside_of_the_vocabulary() {
    refused(&[1, VOCAB as u32], &[span(0, 2, 0, &[4])], &[], "token id 40 in row 1 is outside of the vocabulary of 40");
    refused(&[u32::MAX], &[span(0, 1, 0, &[4])], &[], "token id 4294967295");
}

#[test]
fn spans_that_do_not_cover_the_rows() {
    let tokens = [1, 2, 3, 4];
    refused(&tokens, &[], &[], "cover 0 rows of 4");
    refused(&tokens, &[span(0, 3, 0, &[4])], &[], "cover 3 rows of 4");
    refused(&tokens, &[span(1, 3, 0, &[4])], &[], "span 0 has 3 rows from row 1");
    refused(&tokens, &[span(0, 5, 0, &[4])], &[], "span 0 of 5 rows ends past the 4 tokens");
    refused(&tokens, &[span(0, usize::MAX, 0, &[4])], &[], "ends past");
    refused(&tokens, &[span(0, 2, 0, &[4]), span(1, 3, 0, &[5])], &[], "span 1 has 3 rows from row 1");
    refused(&tokens, &[span(0, 4, 0, &[4]), span(4, 0, 0, &[5])], &[], "span 1 has 0 rows");
    refused(&[], &[span(0, 1, 0, &[4])], &[], "ends past the 0 tokens");
}

#[test]
fn positions_past_the_context() {
    let blocks = table(0, CONTEXT + BLOCK_LEN);
    refused(&[1, 2], &[span(0, 2, CONTEXT - 1, &blocks)], &[], "ends at position 129, past the model's context of 128");
    refused(&[1], &[span(0, 1, usize::MAX, &blocks)], &[], "past the model's context");
}

#[test]
fn block_tables_that_are_too_short_or_wrong() {
    refused(&[1; 17], &[span(0, 17, 0, &[4])], &[], "block table of 1 blocks; its 17 positions need 2 blocks of 16");
    refused(&[1], &[span(0, 1, 31, &[4])], &[], "block table of 1 blocks");
    refused(&[1], &[span(0, 1, 0, &[])], &[], "block table of 0 blocks");
    refused(&[1], &[span(0, 1, 0, &[10])], &[], "names KV block 10; the cache has 10 blocks");
    refused(&[1], &[span(0, 1, 16, &[u32::MAX, 4])], &[], "names KV block 4294967295");
}

#[test]
fn blocks_that_two_spans_would_write() {
    refused(&[1, 2], &[span(0, 1, 0, &[4]), span(1, 1, 0, &[4])], &[], "KV block 4 is written twice");
    refused(&[1; 20], &[span(0, 20, 0, &[4, 4])], &[], "KV block 4 is written twice");
    // Sharing blocks that are only read is what a prefix cache does.
    let mut runner = runner();
    runner.whole(&[1; 16]);
    run(&mut runner, &[1, 2], &[span(0, 1, 16, &[0, 1]), span(1, 1, 16, &[0, 2])], &[]).unwrap();
}

#[test]
fn logit_rows_that_are_no_rows_or_not_in_order() {
    let spans = [span(0, 2, 0, &[4])];
    for rows in [&[2][..], &[1, 0], &[1, 1], &[usize::MAX]] {
        refused(&[1, 2], &spans, rows, "must ascend and be below 2 rows");
    }
}

#[test]
fn a_cache_of_another_model() {
    let mut runner = runner();
    let layout = KvLayout::reading_all(&[KvShape { heads: 2, dim: 16, latent: None }; 2]);
    runner.kv = KvCache::new(layout, 4, BLOCK_LEN, KvType::F32).unwrap();
    let message = run(&mut runner, &[1], &[span(0, 1, 0, &[0])], &[]).unwrap_err().to_string();
    assert!(
        message.contains("2 heads of 16") && message.contains("needs 2 layers, the first with 2 heads of 8"),
        "{message}"
    );
}

#[test]
fn a_cache_that_is_too_large_for_the_machine_is_an_error() {
    let model = Model::load(&Synthetic::default().gguf(), Arc::new(Team::new(1))).unwrap();
    for blocks in [1 << 45, usize::MAX] {
        assert!(model.new_kv_cache(blocks, BLOCK_LEN, KvType::F16).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_batch_makes_the_model_panic(
        tokens in prop::collection::vec(0u32..44, 0..12),
        spans in prop::collection::vec((0usize..14, 0usize..8, prop_oneof![0usize..140, Just(usize::MAX)], prop::collection::vec(0u32..12, 0..10)), 0..4),
        logit_rows in prop::collection::vec(0usize..14, 0..4),
        line_up in any::<bool>(),
    ) {
        let mut runner = runner();
        let mut next = 0;
        let spans: Vec<_> = spans
            .iter()
            .map(|(first, rows, past, blocks)| {
                let first = if line_up { next } else { *first };
                next = first + rows;
                span(first, *rows, *past, blocks)
            })
            .collect();
        let rows = if line_up { next } else { tokens.len() };
        let tokens: Vec<_> = tokens.into_iter().chain(std::iter::repeat(1)).take(rows).collect();
        if let Ok(logits) = run(&mut runner, &tokens, &spans, &logit_rows) {
            prop_assert_eq!(logits.len(), logit_rows.len() * VOCAB);
            prop_assert!(logits.iter().all(|x| x.is_finite()));
        }
    }
}
