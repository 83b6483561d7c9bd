//! The header of a file: metadata and tensor descriptions, each checked against the file's size.

use std::collections::{BTreeMap, HashMap, HashSet};

use parkade_kernels::WeightType;

use super::cursor::Cursor;
use super::error::GgufError;
use super::limits::*;
use super::source::Source;
use super::value::Value;

/// A tensor's description. Its bytes were found to lie inside the file and to overlap no other tensor's.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// Its name, as `blk.0.attn_q.weight`.
    pub name: String,
    /// How its values are stored.
    pub ty: WeightType,
    /// Its dimensions in ggml's order: the first is the innermost, the length of a row. A weight matrix is `[inputs, outputs]`.
    pub shape: Vec<usize>,
    /// Which file of a split model it is in, from 0.
    pub(super) part: usize,
    /// Bytes in the file, from its start: as many as `ty` and `shape` ask for.
    pub(super) bytes: std::ops::Range<usize>,
}

impl TensorInfo {
    /// Values in a row.
    pub fn cols(&self) -> usize {
        self.shape[0]
    }

    /// Number of rows: the product of all dimensions but the first.
    pub fn rows(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// Size of its data in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// What the header of a file says, checked.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) metadata: Vec<(String, Value)>,
    pub(super) keys: HashMap<String, usize>,
    /// Keys whose values cannot be used, and why. Whoever needs one fails; most are needed by nobody.
    pub(super) unusable: BTreeMap<String, String>,
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) names: HashMap<String, usize>,
}

/// A description as the file has it, before the place of the tensor data is known.
struct Described {
    name: String,
    ty: WeightType,
    shape: Vec<usize>,
    offset: u64,
    size: u64,
}

/// Where tensor data begins depends on it.
const ALIGNMENT: &str = "general.alignment";
/// The fewest bytes of a metadata entry: key length, type, one byte of value.
const MIN_METADATA_BYTES: u64 = 8 + 4 + 1;
/// The fewest bytes of a tensor description: name length, dimensions, one size, type, offset.
const MIN_TENSOR_BYTES: u64 = 8 + 4 + 8 + 4 + 8;

pub(super) fn parse(file: &Source) -> Result<Header, GgufError> {
    let mut cursor = Cursor::new(file);
    let version = magic_and_version(&mut cursor)?;
    let tensor_count = cursor.count(MAX_TENSORS, MIN_TENSOR_BYTES, &|| "tensor count".to_owned())?;
    let metadata_count = cursor.count(MAX_METADATA, MIN_METADATA_BYTES, &|| "metadata count".to_owned())?;

    let Metadata { entries: metadata, keys, unusable } = Metadata::read(&mut cursor, metadata_count)?;
    let integer = |key: &str| keys.get(key).map(|&i| (&metadata[i].1, metadata[i].1.integer()));
    if let Some(problem) = unusable.get(ALIGNMENT) {
        return Err(GgufError::Unusable { key: ALIGNMENT.to_owned(), problem: problem.clone() });
    }
    let alignment = alignment(&integer)?;

    let mut described = Vec::new();
    let mut seen = HashSet::new();
    for i in 0..tensor_count {
        let tensor = describe(&mut cursor, i, alignment)?;
        if !seen.insert(tensor.name.clone()) {
            return Err(GgufError::Duplicate { name: tensor.name });
        }
        described.push(tensor);
    }
    let tensors = place(described, cursor.position(), alignment, file.len())?;
    let names = tensors.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
    Ok(Header { version, metadata, keys, unusable, tensors, names })
}

/// Metadata entries, sorted into those that can be used and those that cannot.
#[derive(Default)]
struct Metadata {
    entries: Vec<(String, Value)>,
    keys: HashMap<String, usize>,
    unusable: BTreeMap<String, String>,
}

impl Metadata {
    /// Reads entries. A value that is not as it should be is passed over: it matters to those only who need it.
    fn read(cursor: &mut Cursor<'_>, count: u64) -> Result<Metadata, GgufError> {
        let mut metadata = Metadata::default();
        for i in 0..count {
            let key = cursor.string(MAX_KEY_BYTES, &|| format!("key of metadata entry {i}"))?;
            let value = cursor.value(&key)?;
            match cursor.take_problem() {
                Some(problem) => metadata.refuse(key, problem),
                None => metadata.add(key, value),
            }
        }
        // The first of two values is found again by its key.
        metadata.entries.retain(|(key, _)| !metadata.unusable.contains_key(key));
        metadata.keys = metadata.entries.iter().enumerate().map(|(i, (key, _))| (key.clone(), i)).collect();
        Ok(metadata)
    }

    fn add(&mut self, key: String, value: Value) {
        match self.keys.get(&key).map(|&i| self.entries[i].1 == value) {
            None => {
                self.keys.insert(key.clone(), self.entries.len());
                self.entries.push((key, value));
            }
            Some(true) => {}
            Some(false) => self.refuse(key, "occurs twice, with different values".to_owned()),
        }
    }

    fn refuse(&mut self, key: String, problem: String) {
        self.unusable.entry(key).or_insert(problem);
    }
}

fn magic_and_version(cursor: &mut Cursor<'_>) -> Result<u32, GgufError> {
    let magic = cursor.array(&|| "magic".to_owned())?;
    if magic != *b"GGUF" {
        return Err(GgufError::Magic { found: magic });
    }
    let version = cursor.u32(&|| "version".to_owned())?;
    if VERSIONS.contains(&version) {
        return Ok(version);
    }
    let swapped = version.swap_bytes();
    if (1..=*VERSIONS.end()).contains(&swapped) {
        return Err(GgufError::BigEndian { version: swapped });
    }
    Err(GgufError::Version { found: version })
}

fn alignment<'v>(integer: &impl Fn(&str) -> Option<(&'v Value, Option<i128>)>) -> Result<u64, GgufError> {
    let Some((value, number)) = integer(ALIGNMENT) else {
        return Ok(DEFAULT_ALIGNMENT.into());
    };
    number
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| n.is_power_of_two() && *n <= MAX_ALIGNMENT)
        .map(u64::from)
        .ok_or_else(|| GgufError::Invalid {
            field: ALIGNMENT.to_owned(),
            found: value.to_string(),
            expected: format!("a power of two up to {MAX_ALIGNMENT}"),
        })
}

fn describe(cursor: &mut Cursor<'_>, index: u64, alignment: u64) -> Result<Described, GgufError> {
    let name = cursor.string(MAX_TENSOR_NAME_BYTES, &|| format!("name of tensor {index}"))?;
    let of = |what: &str| format!("{what} of tensor '{name}'");

    let dimensions = cursor.u32(&|| of("number of dimensions"))?;
    if dimensions == 0 || dimensions > MAX_DIMENSIONS {
        return Err(GgufError::Invalid {
            field: of("number of dimensions"),
            found: dimensions.to_string(),
            expected: format!("1 to {MAX_DIMENSIONS}"),
        });
    }
    let mut shape = Vec::new();
    for d in 0..dimensions {
        let size = cursor.u64(&|| of(&format!("dimension {d}")))?;
        let size = usize::try_from(size).ok().filter(|&s| s > 0).ok_or_else(|| GgufError::Invalid {
            field: of(&format!("dimension {d}")),
            found: size.to_string(),
            expected: "a positive size".to_owned(),
        })?;
        shape.push(size);
    }
    let type_id = cursor.u32(&|| of("type"))?;
    let ty = WeightType::from_ggml_id(type_id).ok_or_else(|| GgufError::TensorType {
        tensor: name.clone(),
        type_id,
        type_name: ggml_type_name(type_id),
        supported: supported_types(),
    })?;
    let offset = cursor.u64(&|| of("offset"))?;
    if offset % alignment != 0 {
        return Err(GgufError::Invalid {
            field: of("offset"),
            found: offset.to_string(),
            expected: format!("a multiple of the alignment {alignment}"),
        });
    }
    let size = size_in_bytes(ty, &shape).ok_or_else(|| GgufError::Invalid {
        field: of("shape"),
        found: format!("{shape:?}"),
        expected: format!(
            "rows of whole {} blocks of {} values, and a size below 2^64 bytes",
            ty.name(),
            ty.block_len()
        ),
    })?;
    Ok(Described { name, ty, shape, offset, size })
}

/// `None` if a row is no whole number of blocks, or the size overflows.
fn size_in_bytes(ty: WeightType, shape: &[usize]) -> Option<u64> {
    let (&cols, outer) = shape.split_first()?;
    let bytes = outer.iter().try_fold(ty.row_bytes(cols)?, |size, &d| size.checked_mul(d))?;
    // The number of values must be countable too, since types of less than a byte a value have more values than bytes.
    outer.iter().try_fold(cols, |size, &d| size.checked_mul(d))?;
    u64::try_from(bytes).ok()
}

/// Finds the tensors' places in the file and checks them.
fn place(
    described: Vec<Described>,
    header_end: usize,
    alignment: u64,
    file_len: usize,
) -> Result<Vec<TensorInfo>, GgufError> {
    // A file may end right after the descriptions if there are no tensors, so a start past the end is an empty data section.
    let data_start = (header_end as u64).next_multiple_of(alignment).min(file_len as u64);
    let available = file_len as u64 - data_start;
    let mut tensors = Vec::new();
    let mut extents = Vec::new();
    for tensor in described {
        let end = tensor.offset.checked_add(tensor.size).filter(|&end| end <= available);
        let Some(end) = end else {
            return Err(GgufError::TensorOutOfFile {
                start: tensor.offset,
                end: tensor.offset.saturating_add(tensor.size),
                tensor: tensor.name,
                available,
            });
        };
        extents.push((tensor.offset, end, tensors.len()));
        // Both ends are at most the file's length, which is a usize.
        let bytes = (data_start + tensor.offset) as usize..(data_start + end) as usize;
        tensors.push(TensorInfo { name: tensor.name, ty: tensor.ty, shape: tensor.shape, part: 0, bytes });
    }
    extents.sort_unstable();
    for pair in extents.windows(2) {
        let ((_, end, first), (start, _, second)) = (pair[0], pair[1]);
        if start < end {
            return Err(GgufError::Overlap {
                first: tensors[first].name.clone(),
                second: tensors[second].name.clone(),
            });
        }
    }
    Ok(tensors)
}

/// The names of all weight types that are read, for messages.
pub(super) fn supported_types() -> String {
    WeightType::ALL.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ")
}

/// ggml's names of the types that are not read, so that a message can say which quantisation a file has.
fn ggml_type_name(id: u32) -> &'static str {
    match id {
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        15 => "Q8_K",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        31 => "Q4_0_4_4",
        32 => "Q4_0_4_8",
        33 => "Q4_0_8_8",
        36 => "IQ4_NL_4_4",
        37 => "IQ4_NL_4_8",
        38 => "IQ4_NL_8_8",
        _ => "unknown",
    }
}
