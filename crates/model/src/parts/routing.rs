//! Which experts a token goes to, and with what weights.

use crate::error::ModelError;
use crate::keys::Keys;
use crate::loader::Presence;

/// Experts of a layer that are believed; the largest published models have 512.
pub(crate) const MAX_EXPERTS: u32 = 1 << 16;
/// Experts of a token that are believed; published models use up to a dozen. What each of them gives a token takes memory.
const MAX_USED: u32 = 64;
/// What the weights' sum is at least when they are divided by it: the smallest normal half-precision number, as elsewhere.
const SMALLEST_SUM: f32 = 6.103_515_6e-5;

/// How tokens choose their experts.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutingPlan {
    /// Experts of a layer.
    pub experts: usize,
    /// Experts that each token goes to.
    pub used: usize,
    /// What the router's outputs become.
    pub scores: RoutingScores,
    /// Whether there is a number for each expert that is added to the scores when experts are chosen, and not to their weights.
    pub selection_bias: Presence,
    /// Experts in groups, of which only the best are open to a token.
    pub groups: Option<ExpertGroups>,
    /// Whether the weights are divided by their sum.
    pub normalised: bool,
    /// Factor of the weights.
    pub scale: f32,
    /// Whether the weights are factors of what the experts read, and not of what they give.
    pub of_input: bool,
}

/// What the router's outputs become; the chosen experts' scores are their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoutingScores {
    /// The softmax over all experts.
    Softmax,
    /// `1 / (1 + exp(-x))` of each.
    Sigmoid,
    /// The softmax over those that were chosen.
    SoftmaxOfChosen,
}

/// Experts in groups of neighbours. A group counts by the sum of its two best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertGroups {
    /// Groups of a layer; divides the experts.
    pub count: usize,
    /// Groups that are open to a token.
    pub used: usize,
}

impl RoutingPlan {
    /// Reads the numbers of a file's metadata. What it does not say is the family's: the scores, and whether weights are normalised.
    pub(crate) fn read(
        keys: &Keys<'_>,
        scores: RoutingScores,
        normalised: bool,
        selection_bias: Presence,
    ) -> Result<RoutingPlan, ModelError> {
        let experts = keys.size("expert_count", MAX_EXPERTS)?;
        let used = keys.size("expert_used_count", MAX_USED)?;
        if used > experts {
            return Err(keys.wrong("expert_used_count", used, format!("1 to the expert_count of {experts}")));
        }
        Ok(RoutingPlan {
            experts,
            used,
            scores: match keys.integer("expert_gating_func")? {
                // Converters of old wrote no number, or 0, for what the family does anyway.
                None | Some(0) => scores,
                Some(1) => RoutingScores::Softmax,
                Some(2) => RoutingScores::Sigmoid,
                Some(3) => RoutingScores::SoftmaxOfChosen,
                Some(other) => {
                    let expected = "1 (softmax), 2 (sigmoid) or 3 (softmax of the chosen)".to_owned();
                    return Err(keys.wrong("expert_gating_func", other, expected));
                }
            },
            selection_bias,
            groups: ExpertGroups::read(keys, experts, used)?,
            normalised: keys.flag("expert_weights_norm")?.unwrap_or(normalised),
            scale: keys.positive("expert_weights_scale")?.unwrap_or(1.0),
            of_input: false,
        })
    }

    /// Chooses the experts of one token by the router's outputs, best first, and appends them and their weights. Of equals the one with the
    /// lower number is better. What is no number counts as the lowest; the weights are no numbers then, in this token and in no other.
    pub(crate) fn choose(
        &self,
        outputs: &mut [f32],
        bias: Option<&[f32]>,
        selection: &mut Vec<f32>,
        chosen: &mut Vec<u32>,
        weights: &mut Vec<f32>,
    ) {
        // Without bias and groups the outputs order as the scores do, and do not run together where those are nearly 0 or 1.
        let by_output = bias.is_none() && self.groups.is_none();
        selection.clear();
        if by_output {
            selection.extend_from_slice(outputs);
        }
        match self.scores {
            RoutingScores::Softmax => softmax(outputs),
            RoutingScores::Sigmoid => outputs.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
            RoutingScores::SoftmaxOfChosen => {}
        }
        if !by_output {
            selection.extend_from_slice(outputs);
        }
        if let Some(bias) = bias {
            selection.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
        }
        if let Some(groups) = self.groups {
            groups.close(selection);
        }
        let first = chosen.len();
        best(selection, self.used, chosen);
        let start = weights.len();
        weights.extend(chosen[first..].iter().map(|&expert| outputs[expert as usize]));
        let weights = &mut weights[start..];
        if self.scores == RoutingScores::SoftmaxOfChosen {
            softmax(weights);
        }
        if self.normalised {
            let sum: f32 = weights.iter().sum();
            // A sum that is no number is not below anything, and stays.
            let sum = if sum < SMALLEST_SUM { SMALLEST_SUM } else { sum };
            weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        weights.iter_mut().for_each(|weight| *weight *= self.scale);
    }
}

impl ExpertGroups {
    fn read(keys: &Keys<'_>, experts: usize, used: usize) -> Result<Option<ExpertGroups>, ModelError> {
        let count = keys.optional_size("expert_group_count", MAX_EXPERTS)?.unwrap_or(1);
        let open = keys.optional_size("expert_group_used_count", MAX_EXPERTS)?.unwrap_or(count);
        if !experts.is_multiple_of(count) {
            let expected = format!("a divisor of the expert_count of {experts}");
            return Err(keys.wrong("expert_group_count", count, expected));
        }
        if open > count || open * (experts / count) < used {
            let expected = format!("groups for {used} experts, and at most the {count} that there are");
            return Err(keys.wrong("expert_group_used_count", open, expected));
        }
        Ok(Some(ExpertGroups { count, used: open }).filter(|_| count > 1))
    }

    /// Leaves no expert of the groups that are not among the best to choose.
    fn close(self, selection: &mut [f32]) {
        let len = selection.len() / self.count;
        let sums: Vec<f32> = selection
            .chunks_exact(len)
            .map(|group| {
                let mut two = Vec::new();
                best(group, 2.min(len), &mut two);
                two.iter().map(|&expert| group[expert as usize]).sum()
            })
            .collect();
        let mut open = Vec::new();
        best(&sums, self.used, &mut open);
        for (group, scores) in selection.chunks_exact_mut(len).enumerate() {
            if !open.contains(&(group as u32)) {
                scores.fill(f32::NEG_INFINITY);
            }
        }
    }
}

/// Appends the places of the `count` largest, the largest first.
fn best(scores: &[f32], count: usize, chosen: &mut Vec<u32>) {
    let start = chosen.len();
    for _ in 0..count {
        let mut found: Option<(u32, f32)> = None;
        for (place, &score) in (0..).zip(scores) {
            let score = if score.is_nan() { f32::NEG_INFINITY } else { score };
            if found.is_none_or(|(_, largest)| score > largest) && !chosen[start..].contains(&place) {
                found = Some((place, score));
            }
        }
        chosen.extend(found.map(|(place, _)| place));
    }
}

fn softmax(x: &mut [f32]) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f64;
    for x in x.iter_mut() {
        *x = (*x - largest).exp();
        sum += f64::from(*x);
    }
    let factor = (1.0 / sum) as f32;
    x.iter_mut().for_each(|x| *x *= factor);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(experts: usize, used: usize, scores: RoutingScores) -> RoutingPlan {
        RoutingPlan {
            experts,
            used,
            scores,
            selection_bias: Presence::Never,
            groups: None,
            normalised: false,
            scale: 1.0,
            of_input: false,
        }
    }

    fn choose(plan: &RoutingPlan, outputs: &[f32], bias: Option<&[f32]>) -> (Vec<u32>, Vec<f32>) {
        let (mut chosen, mut weights) = (Vec::new(), Vec::new());
        plan.choose(&mut outputs.to_vec(), bias, &mut Vec::new(), &mut chosen, &mut weights);
        (chosen, weights)
    }

    fn near(got: &[f32], want: &[f32]) {
        assert_eq!(got.len(), want.len());
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{got:?} instead of {want:?}");
    }

    /// Outputs whose softmax is 0.1, 0.2, 0.3 and 0.4.
    fn tenths() -> [f32; 4] {
        [1.0f32, 2.0, 3.0, 4.0].map(f32::ln)
    }

    #[test]
    fn weights_are_scores_of_all_or_of_the_chosen() {
        let (chosen, weights) = choose(&plan(4, 2, RoutingScores::Softmax), &tenths(), None);
        assert_eq!(chosen, [3, 2]);
        near(&weights, &[0.4, 0.3]);
        near(&choose(&plan(4, 2, RoutingScores::SoftmaxOfChosen), &tenths(), None).1, &[4.0 / 7.0, 3.0 / 7.0]);
        near(&choose(&plan(4, 2, RoutingScores::Sigmoid), &tenths(), None).1, &[0.8, 0.75]);
        let normalised = RoutingPlan { normalised: true, scale: 2.0, ..plan(4, 2, RoutingScores::Softmax) };
        near(&choose(&normalised, &tenths(), None).1, &[8.0 / 7.0, 6.0 / 7.0]);
    }

    #[test]
    fn a_bias_changes_the_choice_and_not_the_weights() {
        let (chosen, weights) = choose(&plan(4, 2, RoutingScores::Softmax), &tenths(), Some(&[0.5, 0.0, 0.0, 0.0]));
        assert_eq!(chosen, [0, 3]);
        near(&weights, &[0.1, 0.4]);
    }

    #[test]
    fn only_the_best_groups_are_open() {
        // The best expert of all is in a group whose two best add up to less than those of the first.
        let outputs = [0.3, 0.3, 0.5, 0.0, 0.1, 0.1];
        let groups = Some(ExpertGroups { count: 3, used: 1 });
        let plan = RoutingPlan { groups, ..plan(6, 2, RoutingScores::SoftmaxOfChosen) };
        assert_eq!(choose(&plan, &outputs, None).0, [0, 1]);
        assert_eq!(choose(&RoutingPlan { groups: None, ..plan }, &outputs, None).0, [2, 0]);
    }

    #[test]
    fn of_equals_the_first_is_chosen_and_what_is_no_number_last() {
        let plan = plan(5, 3, RoutingScores::Sigmoid);
        assert_eq!(choose(&plan, &[0.0; 5], None).0, [0, 1, 2]);
        let (chosen, weights) = choose(&plan, &[f32::NAN, 1.0, f32::NAN, -1.0, f32::INFINITY], None);
        assert_eq!(chosen, [4, 1, 3]);
        assert!(weights.iter().all(|weight| weight.is_finite()));
        let (chosen, weights) = choose(&plan, &[f32::NAN; 5], None);
        assert_eq!(chosen, [0, 1, 2]);
        assert!(weights.iter().all(|weight| weight.is_nan()));
    }
}
