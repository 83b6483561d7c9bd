//! Rows that choose among the members of a stack of matrices, as tokens do among the experts of a layer: the rows are sorted by what they
//! chose, multiplied group by group ([`matmul_grouped`](crate::matmul_grouped)), and added up in the order of each row's own choice.

use crate::WeightType;
use crate::error::KernelError;
use crate::matrix::Matrix;
use crate::team::{Disjoint, Team};

/// Matrices of one shape and type: `[members][rows = outputs][cols = inputs]`.
#[derive(Debug)]
pub struct MatrixStack {
    /// Its tiles are those of all members, one member after the other.
    matrix: Matrix,
    members: usize,
}

impl MatrixStack {
    /// Repacks `bytes`, `members` times `rows` rows of `cols` weights of type `ty` as a GGUF file holds them.
    ///
    /// # Errors
    /// As [`Matrix::from_bytes`].
    pub fn from_bytes(
        team: &Team,
        ty: WeightType,
        members: usize,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> Result<MatrixStack, KernelError> {
        Ok(MatrixStack { matrix: Matrix::stacked(team, ty, members, rows, cols, bytes)?, members })
    }

    /// Matrices that know what they would take and have no weights: see [`Matrix::hollow`].
    ///
    /// # Errors
    /// As [`Matrix::hollow`].
    pub fn hollow(ty: WeightType, members: usize, rows: usize, cols: usize) -> Result<MatrixStack, KernelError> {
        Ok(MatrixStack { matrix: Matrix::stacked_hollow(ty, members, rows, cols)?, members })
    }

    /// Number of matrices.
    pub fn members(&self) -> usize {
        self.members
    }

    /// Number of outputs of a member.
    pub fn rows(&self) -> usize {
        self.matrix.rows()
    }

    /// Number of inputs of a member.
    pub fn cols(&self) -> usize {
        self.matrix.cols()
    }

    /// The products that one row takes with all members.
    pub fn products(&self) -> usize {
        self.members * self.rows() * self.cols()
    }

    /// The type in the file.
    pub fn weight_type(&self) -> WeightType {
        self.matrix.weight_type()
    }

    /// Bytes of memory that the tiles of all members take.
    pub fn memory_bytes(&self) -> usize {
        self.matrix.memory_bytes()
    }

    /// The type and shape of a member, with the tiles of all.
    pub(crate) fn matrix(&self) -> &Matrix {
        &self.matrix
    }
}

/// What rows chose, sorted by it. Each choice of a row has a *place*: those of one group are neighbours, in the order of their rows.
#[derive(Default)]
pub struct Choices {
    ends: Vec<usize>,
    rows: Vec<u32>,
    places: Vec<u32>,
}

impl Choices {
    /// Takes the choices of all rows, `[rows][each]`, which are numbers of groups.
    ///
    /// # Panics
    /// If a choice is not below `groups`, or `each` is 0 or does not divide the number of choices.
    pub fn set(&mut self, groups: usize, each: usize, chosen: &[u32]) {
        assert!(each > 0 && chosen.len().is_multiple_of(each), "{} choices are no rows of {each}", chosen.len());
        let count = u32::try_from(chosen.len()).expect("places have 32 bits");
        // First how many chose a group, then where its places begin, and at last where they end.
        self.ends.clear();
        self.ends.resize(groups, 0);
        chosen.iter().for_each(|&group| self.ends[group as usize] += 1);
        let mut start = 0;
        for end in &mut self.ends {
            start += std::mem::replace(end, start);
        }
        self.rows.resize(chosen.len(), 0);
        self.places.clear();
        for (choice, &group) in (0..count).zip(chosen) {
            let place = &mut self.ends[group as usize];
            self.rows[*place] = choice / each as u32;
            self.places.push(*place as u32);
            *place += 1;
        }
    }

    /// Where the places of each group end.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// The row at each place.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The places of each row's choices, `[rows][each]`, in its own order.
    pub fn places(&self) -> &[u32] {
        &self.places
    }
}

/// `out[row] = sum over choices of weights[row][choice] * x[place]`, added up in the row's own order. `x` is `[places][cols]`, `weights` as
/// [`Choices::places`], and `out` is `[rows][cols]`.
///
/// # Panics
/// If a size does not fit, or `cols` is 0.
pub fn sum_choices(team: &Team, choices: &Choices, weights: &[f32], x: &[f32], cols: usize, out: &mut [f32]) {
    let places = &choices.places;
    assert!(cols > 0 && out.len().is_multiple_of(cols), "out is not a whole number of rows");
    assert_eq!(places.len(), weights.len(), "there is not one weight for each choice");
    assert_eq!(Some(x.len()), places.len().checked_mul(cols), "x is not one row for each choice");
    if out.is_empty() {
        return;
    }
    let rows = out.len() / cols;
    assert!(places.len().is_multiple_of(rows), "the rows have not as many choices each");
    let each = places.len() / rows;
    let out = Disjoint::new(out);
    team.for_chunks(rows, (16_384 / (cols * each.max(1))).max(1), &|range| {
        for row in range {
            // SAFETY: each row is in one chunk.
            let out = unsafe { out.part(row * cols..(row + 1) * cols) };
            out.fill(0.0);
            let choices = row * each..(row + 1) * each;
            for (&place, &weight) in places[choices.clone()].iter().zip(&weights[choices]) {
                for (out, x) in out.iter_mut().zip(&x[place as usize * cols..][..cols]) {
                    *out += weight * x;
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Numbers, bits, weights};
    use crate::{Activations, GroupedProduct, matmul, matmul_grouped};

    /// Different groups for each row, some of them often and some never.
    fn chosen(numbers: &mut Numbers, rows: usize, groups: usize, each: usize) -> Vec<u32> {
        let mut chosen = Vec::new();
        for _ in 0..rows {
            let from = chosen.len();
            while chosen.len() < from + each {
                let group = numbers.below(groups).min(numbers.below(groups)) as u32;
                if !chosen[from..].contains(&group) {
                    chosen.push(group);
                }
            }
        }
        chosen
    }

    #[test]
    fn choices_are_sorted_by_group_and_then_by_row() {
        let mut choices = Choices::default();
        choices.set(4, 2, &[2, 0, 0, 3, 2, 0]);
        assert_eq!(choices.ends(), [3, 3, 5, 6]);
        assert_eq!(choices.rows(), [0, 1, 2, 0, 2, 1]);
        assert_eq!(choices.places(), [3, 0, 1, 5, 4, 2]);
        choices.set(2, 1, &[]);
        assert_eq!((choices.ends(), choices.rows()), (&[0, 0][..], &[][..]));
    }

    /// The row's result by the plain product of each of its choices, one row at a time.
    fn alone(team: &Team, experts: &[Matrix], bias: &[f32], x: &[f32], chosen: &[u32], weights: &[f32]) -> Vec<f32> {
        let (rows, ty) = (experts[0].rows(), experts[0].weight_type());
        let mut activations = Activations::new();
        activations.set(team, x, 1, x.len(), &[ty]);
        let mut sum = vec![0.0; rows];
        for (&expert, &weight) in chosen.iter().zip(weights) {
            let mut out = vec![0.0; rows];
            matmul(team, &activations, &mut [(&experts[expert as usize], &mut out)]);
            for ((sum, out), bias) in sum.iter_mut().zip(out).zip(&bias[expert as usize * rows..]) {
                *sum += weight * (out + bias);
            }
        }
        sum
    }

    #[test]
    fn a_row_gets_from_its_experts_what_it_would_get_alone() {
        let one = Team::new(1);
        let mut numbers = Numbers(11);
        for &ty in WeightType::ALL {
            let (members, outputs, cols) = (5, 35, 256);
            let bytes = weights(ty, members * outputs * cols, &mut numbers);
            let bias = numbers.floats(members * outputs);
            let stack = MatrixStack::from_bytes(&one, ty, members, outputs, cols, &bytes).unwrap();
            let member_bytes = bytes.len() / members;
            let experts: Vec<Matrix> = bytes
                .chunks_exact(member_bytes)
                .map(|bytes| Matrix::from_bytes(&one, ty, outputs, cols, bytes).unwrap())
                .collect();
            assert_eq!(stack.memory_bytes(), experts.iter().map(Matrix::memory_bytes).sum::<usize>());
            for (rows, each) in [(1, 1), (1, 3), (7, 2), (90, 3)] {
                let (x, factors) = (numbers.floats(rows * cols), numbers.floats(rows * each));
                let chosen = chosen(&mut numbers, rows, members, each);
                let want: Vec<f32> = (0..rows)
                    .flat_map(|row| {
                        let choices = row * each..(row + 1) * each;
                        let x = &x[row * cols..(row + 1) * cols];
                        alone(&one, &experts, &bias, x, &chosen[choices.clone()], &factors[choices])
                    })
                    .collect();
                for threads in [1, 3] {
                    let team = Team::new(threads);
                    let (mut all, mut gathered) = (Activations::new(), Activations::new());
                    all.set(&team, &x, rows, cols, &[ty]);
                    let mut choices = Choices::default();
                    choices.set(members, each, &chosen);
                    gathered.gather(&all, choices.rows(), &[ty]);
                    let mut twice = [vec![9.0; rows * each * outputs], vec![9.0; rows * each * outputs]];
                    let mut products = twice.each_mut().map(|out| GroupedProduct {
                        weights: &stack,
                        bias: Some(&bias),
                        out: &mut out[..],
                    });
                    matmul_grouped(&team, &gathered, choices.ends(), &mut products);
                    let mut sums = vec![9.0; rows * outputs];
                    for out in &twice {
                        sum_choices(&team, &choices, &factors, out, outputs, &mut sums);
                        assert_eq!(bits(&sums), bits(&want), "{ty}, {rows} rows, {threads} threads");
                    }
                }
            }
        }
    }

    #[test]
    fn wrong_stacks_are_errors_that_say_what_fits() {
        let team = Team::new(1);
        let invalid = |members, rows, len| {
            MatrixStack::from_bytes(&team, WeightType::Q8_0, members, rows, 32, &vec![0; len]).unwrap_err().to_string()
        };
        assert!(invalid(0, 2, 0).contains("at least one"));
        assert!(invalid(3, 2, 34 * 5).contains("3 x 2 x 32 weights of Q8_0 take 204 bytes"));
        assert!(invalid(usize::MAX / 4, 1 << 20, 0).contains("overflows"));
    }
}
