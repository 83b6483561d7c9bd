//! `best_of`: the best of several answers.

use parkade_core::TokenLogprob;

/// The `n` best of the answers to a prompt, best first: those whose tokens were likeliest on average, the earlier of equals. One without
/// tokens is worse than any other. If there are no more than `n`, they stay as they are.
pub(crate) fn best<T>(answers: Vec<T>, n: usize, logprobs: impl Fn(&T) -> &[TokenLogprob]) -> Vec<T> {
    if answers.len() <= n {
        return answers;
    }
    let mean = |answer: &T| {
        let tokens = logprobs(answer);
        let sum: f64 = tokens.iter().map(|token| f64::from(token.logprob)).sum();
        if tokens.is_empty() { f64::NEG_INFINITY } else { sum / tokens.len() as f64 }
    };
    let mut ranked: Vec<(f64, T)> = answers.into_iter().map(|answer| (mean(&answer), answer)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.into_iter().take(n).map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(logprobs: &[f32]) -> Vec<TokenLogprob> {
        logprobs.iter().map(|&logprob| TokenLogprob { id: 0, logprob, top: Vec::new() }).collect()
    }

    #[test]
    fn the_likeliest_on_average_comes_first_and_an_empty_one_last() {
        let answers = vec![tokens(&[-1.0, -2.0]), tokens(&[]), tokens(&[-0.5]), tokens(&[-1.5])];
        let ranked = best(answers.clone(), 3, |tokens| tokens);
        assert_eq!(ranked, [answers[2].clone(), answers[0].clone(), answers[3].clone()]);
        assert_eq!(best(answers.clone(), 4, |tokens| tokens), answers);
    }
}
