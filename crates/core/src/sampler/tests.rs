use super::*;
use proptest::prelude::*;

use crate::event::TokenLogprob;
use crate::sampling::{Dry, Xtc};

fn sampler(params: SamplingParams, prompt: &[TokenId], seed: u64) -> Sampler {
    Sampler::new(Arc::new(params), prompt, seed, 0)
}

fn draws(params: &SamplingParams, logits: &[f32], seed: u64, count: usize) -> Vec<TokenId> {
    let mut scratch = Scratch::default();
    // A new sampler for each draw, so that penalties do not build up.
    (0..count)
        .map(|draw| sampler(params.clone(), &[], seed + draw as u64).choose(logits, None, &mut scratch).unwrap())
        .collect()
}

fn possible(params: &SamplingParams, logits: &[f32]) -> Vec<TokenId> {
    let mut ids = draws(params, logits, 1, 2000);
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn logits_of(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln()).collect()
}

#[test]
fn greedy_takes_the_lowest_id_among_equals() {
    let params = SamplingParams::greedy();
    assert_eq!(sampler(params, &[], 0).choose(&[1.0, 3.0, 2.0, 3.0], None, &mut Scratch::default()), Ok(1));
}

/// Chooses a token and takes it.
fn sample(sampler: &mut Sampler, logits: &[f32], scratch: &mut Scratch) -> Result<TokenId, NoDistribution> {
    sampler.choose(logits, None, scratch).inspect(|&token| sampler.accept(token))
}

#[test]
fn the_same_seed_draws_the_same_tokens_and_each_choice_its_own() {
    let logits = vec![0.0; 1000];
    let run = |seed, choice| {
        let mut sampler = Sampler::new(Arc::new(SamplingParams::default()), &[], seed, choice);
        let mut scratch = Scratch::default();
        (0..20).map(|_| sample(&mut sampler, &logits, &mut scratch).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(7, 0), run(7, 0));
    assert_ne!(run(7, 0), run(7, 1));
    assert_ne!(run(7, 0), run(8, 0));
}

#[test]
fn plain_sampling_follows_the_probabilities() {
    let logits = logits_of(&[0.1, 0.2, 0.7]);
    let drawn = draws(&SamplingParams::default(), &logits, 1, 20_000);
    for (id, expected) in [(0, 0.1), (1, 0.2), (2, 0.7)] {
        let share = drawn.iter().filter(|&&drawn| drawn == id).count() as f64 / 20_000.0;
        assert!((share - expected).abs() < 0.015, "token {id}: {share} instead of {expected}");
    }
}

#[test]
fn temperature_sharpens_and_flattens() {
    let logits = logits_of(&[0.4, 0.6]);
    let share = |temperature| {
        let drawn = draws(&SamplingParams { temperature, ..SamplingParams::default() }, &logits, 1, 10_000);
        drawn.iter().filter(|&&id| id == 1).count() as f64 / 10_000.0
    };
    // 0.6^(1/t) / (0.4^(1/t) + 0.6^(1/t))
    assert!((share(0.25) - 0.835).abs() < 0.02);
    assert!((share(4.0) - 0.525).abs() < 0.02);
}

#[test]
fn each_filter_leaves_what_it_should() {
    let logits = logits_of(&[0.05, 0.5, 0.15, 0.3]);
    let with = |set: fn(&mut SamplingParams)| {
        let mut params = SamplingParams::default();
        set(&mut params);
        possible(&params, &logits)
    };
    assert_eq!(with(|_| {}), [0, 1, 2, 3]);
    assert_eq!(with(|p| p.top_k = 2), [1, 3]);
    assert_eq!(with(|p| p.top_p = 0.79), [1, 3]);
    assert_eq!(with(|p| p.top_p = 0.0), [1], "the likeliest token");
    assert_eq!(with(|p| p.typical_p = 0.0), [3], "the most typical token");
    assert_eq!(with(|p| p.min_p = 0.25), [1, 2, 3]);
    // Surprises 3.0, 0.69, 1.9, 1.2; expected 1.14: nearest are 3 (0.06), 1 (0.45), 2 (0.76).
    assert_eq!(with(|p| p.typical_p = 0.25), [3]);
    assert_eq!(with(|p| p.typical_p = 0.7), [1, 3]);
    // top_p counts what top_k left: 0.5 of 0.8 is enough for 0.6.
    assert_eq!(with(|p| (p.top_k, p.top_p) = (2, 0.6)), [1]);
    assert_eq!(with(|p| (p.top_p, p.min_p) = (0.94, 0.5)), [1, 3]);
}

#[test]
fn top_n_sigma_keeps_what_is_near_the_largest_logit_at_any_temperature() {
    // Mean 2, standard deviation 2.
    let logits = [0.0, 0.0, 0.0, 0.0, 4.0, 4.0, 4.0, 4.0, 1.9, 2.1];
    let deviation = softmax::deviation(&logits) as f32;
    for temperature in [0.5, 1.0, 3.0] {
        for (sigmas, kept) in
            [(0.5, vec![4, 5, 6, 7]), (1.99 / deviation, vec![4, 5, 6, 7, 9]), (100.0, (0..10).collect())]
        {
            let params = SamplingParams { temperature, top_n_sigma: sigmas, ..SamplingParams::default() };
            let mut found = Vec::new();
            sampler(params, &[], 0).filter(&logits, 4.0, &mut found, &mut Vec::new());
            let found: Vec<TokenId> = found.iter().map(|candidate| candidate.id).collect();
            assert_eq!(found, kept, "{sigmas} at {temperature}");
        }
    }
}

#[test]
fn xtc_leaves_out_the_likely_as_often_as_it_should() {
    let logits = logits_of(&[0.05, 0.5, 0.15, 0.3]);
    let with = |probability, threshold| {
        let params = SamplingParams { xtc: Xtc { probability, threshold }, ..SamplingParams::default() };
        let drawn = draws(&params, &logits, 1, 10_000);
        [0, 1, 2, 3].map(|id| drawn.iter().filter(|&&drawn| drawn == id).count() as f64 / 10_000.0)
    };
    let near = |found: [f64; 4], expected: [f64; 4]| {
        let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 0.02, "{found:?} instead of {expected:?}");
    };
    near(with(1.0, 0.1), [0.25, 0.0, 0.75, 0.0]);
    near(with(0.5, 0.1), [0.15, 0.25, 0.45, 0.15]);
    near(with(1.0, 0.51), [0.05, 0.5, 0.15, 0.3]);
    near(with(0.0, 0.1), [0.05, 0.5, 0.15, 0.3]);
}

#[test]
fn only_allowed_tokens_come_and_no_end_before_its_time() {
    let logits = [2.0, 1.5, 1.0, -1.0];
    let mut scratch = Scratch::default();
    let params = SamplingParams { allowed_tokens: Some(Arc::new([1, 3])), ..SamplingParams::greedy() };
    assert_eq!(sampler(params, &[], 0).choose(&logits, None, &mut scratch), Ok(1));
    let mut patient = sampler(SamplingParams::greedy(), &[], 0).at_least(2, Arc::new([0, 2]));
    let tokens: Vec<TokenId> = (0..3).map(|_| sample(&mut patient, &logits, &mut scratch).unwrap()).collect();
    assert_eq!(tokens, [1, 1, 0]);
    let params = SamplingParams { bad_words: vec![vec![0, 0], vec![1]], ..SamplingParams::greedy() };
    let mut careful = sampler(params, &[0], 0);
    let tokens: Vec<TokenId> = (0..4).map(|_| sample(&mut careful, &logits, &mut scratch).unwrap()).collect();
    assert_eq!(tokens, [0, 2, 0, 2], "the prompt is not the answer");
}

#[test]
fn a_window_forgets_what_was_said_before_it() {
    let logits = [2.0, 1.9, 1.8, 1.0];
    let run = |window, prompt: &[TokenId], set: fn(&mut SamplingParams)| {
        let mut params = SamplingParams { penalty_window: window, ..SamplingParams::greedy() };
        set(&mut params);
        let mut sampler = sampler(params, prompt, 0);
        let mut scratch = Scratch::default();
        (0..4).map(|_| sample(&mut sampler, &logits, &mut scratch).unwrap()).collect::<Vec<_>>()
    };
    let presence = |p: &mut SamplingParams| p.presence_penalty = 0.5;
    assert_eq!(run(None, &[], presence), [0, 1, 2, 0]);
    assert_eq!(run(Some(1), &[], presence), [0, 1, 0, 1]);
    assert_eq!(run(Some(0), &[], presence), [0, 0, 0, 0]);
    assert_eq!(run(Some(9), &[0], presence), [0, 1, 2, 0], "the prompt is not the answer");
    let repetition = |p: &mut SamplingParams| p.repetition_penalty = 1.5;
    assert_eq!(run(Some(1), &[0], repetition), [1, 0, 1, 0]);
    let all = run(Some(usize::MAX), &[0, 3], |p| (p.repetition_penalty, p.frequency_penalty) = (1.5, 0.1));
    assert_eq!(all, run(None, &[0, 3], |p| (p.repetition_penalty, p.frequency_penalty) = (1.5, 0.1)));
}

#[test]
fn penalties_fall_on_what_was_said() {
    let logits = [2.0, 1.9, 1.0, -1.0];
    let run = |set: fn(&mut SamplingParams), prompt: &[TokenId]| {
        let mut params = SamplingParams::greedy();
        set(&mut params);
        let mut sampler = sampler(params, prompt, 0);
        let mut scratch = Scratch::default();
        (0..4).map(|_| sample(&mut sampler, &logits, &mut scratch).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(|_| {}, &[]), [0, 0, 0, 0]);
    assert_eq!(run(|p| p.presence_penalty = 0.5, &[]), [0, 1, 0, 0]);
    assert_eq!(run(|p| p.presence_penalty = 0.5, &[0]), [0, 1, 0, 0], "the prompt is not the answer");
    assert_eq!(run(|p| p.frequency_penalty = 0.5, &[]), [0, 1, 0, 1]);
    assert_eq!(run(|p| p.repetition_penalty = 1.5, &[0]), [1, 0, 0, 0], "2 / 1.5 and 1.9 / 1.5 are still above 1");
    assert_eq!(run(|p| p.repetition_penalty = 3.0, &[0, 1]), [2, 0, 0, 0]);
    assert_eq!(run(|p| p.logit_bias = vec![(3, 10.0)], &[]), [3, 3, 3, 3]);
    assert_eq!(run(|p| p.logit_bias = vec![(0, -100.0), (1, -100.0)], &[]), [2, 2, 2, 2]);
}

#[test]
fn logits_that_are_no_distribution_are_an_error() {
    for params in [
        SamplingParams::default(),
        SamplingParams::greedy(),
        SamplingParams { top_p: 0.5, ..SamplingParams::default() },
    ] {
        let mut scratch = Scratch::default();
        assert_eq!(sampler(params.clone(), &[], 0).choose(&[0.0, f32::NAN], None, &mut scratch), Err(NoDistribution));
        assert_eq!(
            sampler(params.clone(), &[], 0).choose(&[f32::NEG_INFINITY; 3], None, &mut scratch),
            Err(NoDistribution)
        );
        assert_eq!(sampler(params, &[], 0).choose(&[f32::NEG_INFINITY, 0.0], None, &mut scratch), Ok(1));
    }
}

#[test]
fn logprobs_are_natural_logarithms_of_the_raw_distribution() {
    let logits: Vec<f32> = logits_of(&[0.05, 0.5, 0.15, 0.3]).iter().map(|logit| logit + 7.0).collect();
    let found = logprob(&logits, 2, 2, &mut Scratch::default()).unwrap();
    assert!((found.logprob - 0.15f32.ln()).abs() < 1e-5);
    assert_eq!(found.top.iter().map(|&(id, _)| id).collect::<Vec<_>>(), [1, 3]);
    assert!((found.top[0].1 - 0.5f32.ln()).abs() < 1e-5);
    assert_eq!(logprob(&logits, 2, 0, &mut Scratch::default()).unwrap().top, []);
}

/// The same filters written the slow and obvious way, in 64-bit arithmetic.
fn slow_filter(params: &SamplingParams, logits: &[f32]) -> Vec<TokenId> {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let mut list: Vec<(TokenId, f64)> = logits
        .iter()
        .enumerate()
        .map(|(id, &logit)| (id as TokenId, (f64::from(logit - largest) / f64::from(params.temperature)).exp()))
        .collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if params.top_k > 0 {
        list.truncate(params.top_k as usize);
    }
    let total: f64 = list.iter().map(|&(_, p)| p).sum();
    let mut sum = 0.0;
    let crossing = list.iter().position(|&(_, p)| {
        sum += p;
        sum >= total * f64::from(params.top_p)
    });
    list.truncate(crossing.map_or(list.len(), |place| place + 1));
    let best = list[0].1;
    list.retain(|&(_, p)| p >= best * f64::from(params.min_p));
    list.into_iter().map(|(id, _)| id).collect()
}

proptest! {
    #[test]
    fn the_filters_agree_with_the_slow_way(
        logits in prop::collection::vec((-3000i32..3000).prop_map(|l| l as f32 / 150.0), 2..400),
        temperature in 0.3f32..3.0, top_k in 0u32..50, top_p in 0.05f32..1.0, min_p in 0.0f32..0.5,
    ) {
        let params = SamplingParams { temperature, top_k, top_p, min_p, ..SamplingParams::default() };
        let largest = softmax::largest(&logits).unwrap();
        let mut found = Vec::new();
        sampler(params.clone(), &[], 0).filter(&logits, largest, &mut found, &mut Vec::new());
        let mut found: Vec<TokenId> = found.iter().map(|candidate| candidate.id).collect();
        found.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
        let expected = slow_filter(&params, &logits);
        // The last one may fall on the other side of a limit by rounding.
        prop_assert!(found.len().abs_diff(expected.len()) <= 1, "{found:?} against {expected:?}");
        let common = found.len().min(expected.len());
        prop_assert_eq!(&found[..common], &expected[..common]);
    }

    /// Each value is an end of its range, or close to one. None of them, nor all together, may end a request.
    #[test]
    fn every_combination_of_allowed_values_chooses_a_token(
        logits in prop::collection::vec(any_logit(), 2..200),
        temperature in prop::sample::select(vec![0.0, f32::MIN_POSITIVE, 1.1e-5, 1.0, 100.0]),
        top_k in prop::sample::select(vec![0, 1, 2, u32::MAX]),
        shares in prop::array::uniform3(prop::sample::select(vec![0.0, f32::MIN_POSITIVE, 0.5, 0.999_999_94, 1.0])),
        penalties in prop::array::uniform2(prop::sample::select(vec![-2.0, 0.0, 2.0])),
        repetition_penalty in prop::sample::select(vec![1e-45, 1e-38, 0.5, 1.0, 10.0]),
        bias in prop::sample::select(vec![-100.0, 0.0, 100.0]),
        (top_n_sigma, xtc) in prop::sample::select(vec![(0.0, (0.0, 0.0)), (1e-30, (1.0, 0.0)), (100.0, (0.5, 0.5))]),
        dry in prop::sample::select(vec![None, Some((0.0, 1.0)), Some((100.0, 10.0))]),
        penalty_window in prop::sample::select(vec![None, Some(0), Some(2), Some(usize::MAX)]),
        (bad, allowed_tokens) in prop::sample::select(vec![(0, None), (1, Some([0, 0])), (3, Some([1, 0])), (2, None)]),
        seed in any::<u64>(),
    ) {
        let [top_p, min_p, typical_p] = shares;
        let [presence_penalty, frequency_penalty] = penalties;
        let params = SamplingParams {
            temperature, top_k, top_p, min_p, typical_p, presence_penalty, frequency_penalty, repetition_penalty,
            logit_bias: vec![(0, bias), (1, -bias)],
            top_n_sigma,
            xtc: Xtc { probability: xtc.0, threshold: xtc.1 },
            dry: dry.map(|(multiplier, base)| Dry { multiplier, base, allowed_length: 1, ..Dry::default() }),
            penalty_window,
            bad_words: [vec![0], vec![1], vec![0, 1]][..bad].to_vec(),
            allowed_tokens: allowed_tokens.map(Arc::from),
            seed: None,
        };
        prop_assert_eq!(params.validate(logits.len()), Ok(()));
        let may_come = |id: &usize| allowed_tokens.is_none_or(|ids| ids.contains(&(*id as TokenId)));
        prop_assume!(softmax::largest(&logits).is_some() && (0..logits.len()).any(|id| may_come(&id) && logits[id].is_finite()));
        let mut scratch = Scratch::default();
        let mut sampler = sampler(params, &[1], seed).at_least(2, Arc::new([0, 1]));
        for _ in 0..4 {
            let token = sample(&mut sampler, &logits, &mut scratch);
            prop_assert!(token.is_ok_and(|id| may_come(&(id as usize)) && (id as usize) < logits.len()), "{token:?}");
        }
    }
}

/// Logits as models give them, and the largest and smallest that there are.
fn any_logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => (-3000i32..3000).prop_map(|logit| logit as f32 / 150.0),
        1 => prop::sample::select(vec![0.0, -0.0, 1e30, -1e30, f32::NEG_INFINITY, f32::MIN_POSITIVE]),
    ]
}

#[test]
fn only_what_is_allowed_is_chosen_whatever_the_rest_says() {
    let logits: Vec<f32> = (0..75).map(|at| (at * 37 % 75) as f32 / 10.0).collect();
    let with = |ids: &[usize]| {
        let mut words = vec![0u32; 75usize.div_ceil(32)];
        ids.iter().for_each(|&id| words[id / 32] |= 1 << (id % 32));
        words
    };
    let most: Vec<usize> = (0..75).filter(|id| id % 7 != 3).collect();
    for ids in [vec![0], vec![74], vec![5, 33, 40, 70], most] {
        for params in [
            SamplingParams::greedy(),
            SamplingParams::default(),
            SamplingParams { top_k: 3, ..SamplingParams::default() },
        ] {
            let mut scratch = Scratch::default();
            let words = with(&ids);
            let seen: Vec<usize> = (0..50)
                .map(|seed| {
                    sampler(params.clone(), &[], seed).choose(&logits, Some(&words), &mut scratch).unwrap() as usize
                })
                .collect();
            assert!(seen.iter().all(|id| ids.contains(id)), "{seen:?} of {ids:?}");
            if params.temperature == 0.0 {
                let best = ids.iter().max_by(|a, b| logits[**a].total_cmp(&logits[**b])).unwrap();
                assert_eq!(seen[0], *best);
            }
        }
        // What is beyond the mask is not allowed.
        let beyond = sampler(SamplingParams::default(), &[], 1).choose(&logits, Some(&[1]), &mut Scratch::default());
        assert_eq!(beyond, Ok(0));
    }
    let none = sampler(SamplingParams::default(), &[], 1).choose(&logits, Some(&[]), &mut Scratch::default());
    assert_eq!(none, Err(NoDistribution));
}

#[test]
fn the_chances_of_a_token_are_those_of_what_it_was_drawn_from() {
    let logits: Vec<f32> = (0..40).map(|at| (at * 11 % 40) as f32 / 8.0).collect();
    let mut scratch = Scratch::default();
    let mut chances = |params: SamplingParams, count| {
        let id = sampler(params, &[], 3).choose(&logits, None, &mut scratch).unwrap();
        (id, chance(id, count, &mut scratch))
    };
    let sum = |told: &TokenLogprob| told.top.iter().map(|(_, chance)| f64::from(*chance).exp()).sum::<f64>();
    let (id, certain) = chances(SamplingParams::greedy(), 5);
    assert_eq!((certain.logprob, certain.top), (0.0, vec![(id, 0.0)]));
    // A filter leaves three, whatever is asked for; and all of the chance is theirs.
    let (id, filtered) = chances(SamplingParams { top_k: 3, ..SamplingParams::default() }, 5);
    assert_eq!(filtered.top.len(), 3);
    assert!((sum(&filtered) - 1.0).abs() < 1e-5 && filtered.top.contains(&(id, filtered.logprob)), "{filtered:?}");
    // Without one all have a chance, and the temperature counts: here the model's own.
    let (id, whole) = chances(SamplingParams::default(), 40);
    assert!((sum(&whole) - 1.0).abs() < 1e-5 && whole.top.len() == 40, "{whole:?}");
    let own = logprob(&logits, id, 40, &mut Scratch::default()).unwrap();
    assert!((own.logprob - whole.logprob).abs() < 1e-4, "{} {}", own.logprob, whole.logprob);
    assert!(whole.top.iter().zip(&own.top).all(|((id, _), (other, _))| id == other), "{whole:?}");
    let (_, hot) = chances(SamplingParams { temperature: 2.0, ..SamplingParams::default() }, 1);
    assert!(hot.top.len() == 1 && hot.top[0].1 < whole.top[0].1);
}
