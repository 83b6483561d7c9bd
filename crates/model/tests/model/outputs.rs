//! What a pass gives is the caller's choice: logits or hidden states, of any rows.

use parkade_kernels::{Activations, KvType, Matrix, Span, Team, WeightType, matmul};
use parkade_model::gguf::Gguf;
use parkade_model::{Batch, Outputs, TokenId};

use crate::random::Random;
use crate::support::{Runner, bits, table, tiny_model};
use crate::synthetic::{Synthetic, VOCAB};

const ROWS: usize = 60;

/// Runs the tokens alone and in one batch, and gives what was asked for, row by row.
fn run(runner: &mut Runner, tokens: &[TokenId], outputs: Outputs<'_>, width: usize) -> Vec<Vec<f32>> {
    let blocks = table(0, tokens.len());
    let spans = [Span { first_row: 0, rows: tokens.len(), past: 0, blocks: &blocks }];
    let batch = Batch { tokens, spans: &spans, states: &[], outputs };
    // What the vector held before does not matter.
    let mut out = vec![1.0; 3];
    runner.model.forward(&batch, &mut runner.kv, &mut runner.states, &mut out).unwrap();
    assert_eq!(out.len(), outputs.rows().len() * width);
    out.chunks_exact(width).map(<[f32]>::to_vec).collect()
}

#[test]
fn results_of_some_rows_are_those_of_all_rows() {
    let mut runner = Runner::open(&tiny_model("Q4_1"), 2, 8, KvType::F16);
    let config = runner.model.config();
    let (vocab, embedding) = (config.vocab, config.embedding);
    let tokens = Random(ROWS as u64).tokens(ROWS, vocab);
    let all: Vec<usize> = (0..ROWS).collect();
    let logits = bits(&runner.whole(&tokens));
    let hidden = bits(&run(&mut runner, &tokens, Outputs::Hidden(&all), embedding));
    for rows in [&[ROWS - 1][..], &[0], &[3, 17, 58], &all, &[]] {
        let of = |all: &[Vec<u32>]| rows.iter().map(|&row| all[row].clone()).collect::<Vec<_>>();
        let ours = run(&mut runner, &tokens, Outputs::Logits(rows), vocab);
        assert!(bits(&ours) == of(&logits), "logits of {rows:?}");
        let ours = run(&mut runner, &tokens, Outputs::Hidden(rows), embedding);
        assert!(bits(&ours) == of(&hidden), "hidden states of {rows:?}");
    }
}

#[test]
fn logits_are_the_output_matrix_times_the_hidden_states() {
    for (tied, name) in [(false, "output.weight"), (true, "token_embd.weight")] {
        let model = Synthetic { tied, ..Synthetic::default() };
        let gguf = model.gguf();
        let mut runner = Runner::new(&gguf, 1, 8, KvType::F32);
        let tokens = Random(5).tokens(ROWS, VOCAB);
        let all: Vec<usize> = (0..ROWS).collect();
        let hidden = run(&mut runner, &tokens, Outputs::Hidden(&all), model.embedding).concat();
        let logits = runner.whole(&tokens).concat();
        assert_eq!(bits(&[product(&gguf, name, &hidden)]), bits(&[logits]), "{name}");
    }
}

/// The products of rows with a tensor of the file.
fn product(gguf: &Gguf, name: &str, x: &[f32]) -> Vec<f32> {
    let team = Team::new(1);
    let tensor = gguf.tensor(name).unwrap();
    let [cols, rows] = tensor.shape[..] else { panic!("{name} is no matrix") };
    let mut bytes = Vec::new();
    gguf.read(tensor, &mut bytes).unwrap();
    let matrix = Matrix::from_bytes(&team, WeightType::F32, rows, cols, &bytes).unwrap();
    let mut activations = Activations::new();
    activations.set(&team, x, x.len() / cols, cols, &[WeightType::F32]);
    let mut out = vec![0.0; x.len() / cols * rows];
    matmul(&team, &activations, &mut [(&matrix, &mut out)]);
    out
}

#[test]
fn a_pass_that_was_left_gives_what_it_would_have_given() {
    let gguf = Gguf::open(&tiny_model("Q4_K_S")).unwrap();
    let mut runner = Runner::new(&gguf, 2, 8, KvType::F16);
    let width = runner.model.config().embedding;
    let tokens = Random(2).tokens(ROWS, runner.model.config().vocab);
    let rows = [0, 31, ROWS - 1];
    let expected = run(&mut runner, &tokens, Outputs::Hidden(&rows), width);

    let blocks = table(0, ROWS);
    let spans = [Span { first_row: 0, rows: ROWS, past: 0, blocks: &blocks }];
    let batch = Batch { tokens: &tokens, spans: &spans, states: &[], outputs: Outputs::Hidden(&rows) };
    let mut fresh = Runner::new(&gguf, 2, 8, KvType::F16);
    let mut out = Vec::new();
    let mut pass = fresh.model.forward_until(&batch, &mut fresh.kv, &mut fresh.states, &mut out, &|| true).unwrap();
    let mut pauses = 0;
    while let Some(paused) = pass {
        pauses += 1;
        pass = fresh.model.resume(paused, &batch, &mut fresh.kv, &mut fresh.states, &mut out, &|| true).unwrap();
    }
    assert_eq!(pauses, fresh.model.config().layers - 1, "it is left after each layer but the last");
    assert_eq!(bits(&[out]), bits(&[expected.concat()]));
}
