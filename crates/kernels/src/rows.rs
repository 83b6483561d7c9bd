//! Rows that threads change side by side.

use crate::team::{Disjoint, Team};

/// Calls `f` with the number of each row and with the row's part of each array, which comes with its number of columns. A thread takes rows
/// of about `grain` values at a time, so fewer are done by the caller alone.
///
/// # Panics
/// If there is no array, one has no columns, or they differ in rows.
pub fn for_each_row<const N: usize>(
    team: &Team,
    grain: usize,
    arrays: [(&mut [f32], usize); N],
    f: impl Fn(usize, [&mut [f32]; N]) + Sync,
) {
    let cols = arrays.each_ref().map(|(_, cols)| *cols);
    let rows = arrays[0].0.len() / cols[0];
    let fit = arrays.iter().all(|(x, cols)| *cols > 0 && x.len() % cols == 0 && x.len() / cols == rows);
    assert!(fit, "the arrays are not as many rows of {cols:?} columns");
    let arrays = arrays.map(|(x, _)| Disjoint::new(x));
    let grain = grain / cols.iter().fold(0usize, |sum, &cols| sum.saturating_add(cols));
    team.for_chunks(rows, grain, &|range| {
        for row in range {
            // SAFETY: each row is in one chunk.
            let parts = std::array::from_fn(|i| unsafe { arrays[i].part(row * cols[i]..(row + 1) * cols[i]) });
            f(row, parts);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_called_once_with_its_own_parts() {
        for threads in [1, 3] {
            let team = Team::new(threads);
            for grain in [0, 7, 1_000_000] {
                let (mut a, mut b) = (vec![0.0; 3 * 50], vec![1.0; 50]);
                for_each_row(&team, grain, [(&mut a, 3), (&mut b, 1)], |row, [a, b]| {
                    a.iter_mut().zip([1.0, 2.0, 3.0]).for_each(|(x, y)| *x += row as f32 * y);
                    b[0] -= row as f32;
                });
                for row in 0..50 {
                    let n = row as f32;
                    assert_eq!((&a[3 * row..3 * row + 3], b[row]), (&[n, 2.0 * n, 3.0 * n][..], 1.0 - n));
                }
            }
            for_each_row(&team, 1, [(&mut [], 3)], |_, _| panic!("there is no row"));
        }
    }

    #[test]
    #[should_panic(expected = "as many rows of [2, 1] columns")]
    fn arrays_of_other_rows_are_refused() {
        for_each_row(&Team::new(1), 1, [(&mut [0.0; 6], 2), (&mut [0.0; 4], 1)], |_, _| {});
    }
}
