//! Whether a model fits the machine's memory, told by its size and its quantisation's name, before it is here.

use parkade_kernels::{Matrix, WeightType};

use crate::machine::Machine;

/// Weights for which the growth of a type's tiles is measured: enough for the headers of blocks to be as in a matrix.
const SAMPLE: (usize, usize) = (64, 4096);
/// A file has tensors of larger types than the one that it is named for.
const MIXED: f64 = 1.1;
/// Room beside the weights, for keys and values and all else: an eighth of the weights, but at least this.
const LEAST_ROOM: u64 = 256 << 20;

/// The type that a quantisation's name stands for, as `Q4_K` for `Q4_K_M`, wherever it is in a file's name.
#[must_use]
pub fn type_in(name: &str) -> Option<WeightType> {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_uppercase();
    let stands_in = |ty: &&WeightType| {
        name.match_indices(ty.name()).any(|(at, found)| {
            let before = name[..at].chars().next_back();
            let after = name[at + found.len()..].chars().next();
            !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') && !after.is_some_and(char::is_alphanumeric)
        })
    };
    WeightType::ALL.iter().find(stands_in).copied()
}

/// Bytes of a file of so many billion parameters.
#[must_use]
pub fn file_bytes(billions: f64, quant: &str) -> u64 {
    let bits = type_in(quant).map_or(4.5, |ty| 8.0 * ty.block_bytes() as f64 / ty.block_len() as f64);
    (billions * 1e9 / 8.0 * bits * MIXED) as u64
}

/// Memory that a file of so many bytes takes once it is loaded, with some room for keys and values.
#[must_use]
pub fn memory_needed(name: &str, bytes: u64) -> u64 {
    let weights = (bytes as f64 * growth(name)) as u64;
    weights.saturating_add(LEAST_ROOM.max(weights / 8))
}

/// How much larger weights are in memory than in a file of that name.
#[must_use]
pub fn growth(name: &str) -> f64 {
    let (rows, cols) = SAMPLE;
    let Some(ty) = type_in(name) else { return MIXED };
    let in_file = ty.row_bytes(cols).map(|bytes| bytes * rows);
    match (in_file, Matrix::hollow(ty, rows, cols)) {
        (Some(in_file), Ok(matrix)) => matrix.memory_bytes() as f64 / in_file as f64,
        _ => MIXED,
    }
}

/// The memory that a model may take here: what the process may use in all, less what the system needs. `None` if the system does not tell.
#[must_use]
pub fn room(machine: &Machine) -> Option<u64> {
    let all = machine.cgroup_memory.map_or(machine.memory_total, |limit| limit.min(machine.memory_total));
    (all > 0).then(|| all / 10 * 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantisation_is_known_by_its_name_in_a_file() {
        for (name, ty) in [
            ("Q4_K_M", WeightType::Q4K),
            ("q8_0", WeightType::Q8_0),
            ("dir-Q8_0/m-Q3_K_XL.gguf", WeightType::Q3K),
            ("gpt-oss-20b-mxfp4.gguf", WeightType::MXFP4),
            ("m.IQ4_XS.gguf", WeightType::IQ4XS),
            ("m-BF16-00001-of-00002.gguf", WeightType::BF16),
            ("m-f16.gguf", WeightType::F16),
        ] {
            assert_eq!(type_in(name), Some(ty), "{name}");
        }
        assert_eq!(type_in("model.gguf"), None);
    }

    #[test]
    fn what_grows_in_memory_is_told_so() {
        assert_eq!(growth("Q8_0"), 1.0);
        assert!(growth("Q4_K_M") < 1.05 && growth("Q5_K_M") > 1.5 && growth("IQ2_XXS") > 2.0);
        let (small, large) = (memory_needed("Q4_0", 1 << 20), memory_needed("Q4_0", 16 << 30));
        assert_eq!((small, large), ((1 << 20) + LEAST_ROOM, 18 << 30));
        let q4 = file_bytes(8.0, "Q4_K_M");
        assert!((4_500_000_000..5_200_000_000).contains(&q4), "{q4}");
    }

    #[test]
    fn the_control_groups_limit_is_the_room_where_there_is_one() {
        let mut machine = Machine::read();
        (machine.memory_total, machine.cgroup_memory) = (100, Some(50));
        assert_eq!(room(&machine), Some(45));
        (machine.memory_total, machine.cgroup_memory) = (0, None);
        assert_eq!(room(&machine), None);
    }
}
