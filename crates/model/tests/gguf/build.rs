//! Files made byte by byte, so that every field can be wrong.

use parkade_kernels::WeightType;
use parkade_model::gguf::write::GgufWriter;
use parkade_model::gguf::{Array, Gguf, GgufError, Value};

/// A file of raw fields.
#[derive(Clone)]
pub struct Raw {
    pub magic: [u8; 4],
    pub version: u32,
    pub tensor_count: u64,
    pub metadata_count: u64,
    pub metadata: Vec<u8>,
    pub tensors: Vec<u8>,
    pub data: Vec<u8>,
}

impl Default for Raw {
    fn default() -> Self {
        Raw {
            magic: *b"GGUF",
            version: 3,
            tensor_count: 0,
            metadata_count: 0,
            metadata: Vec::new(),
            tensors: Vec::new(),
            data: Vec::new(),
        }
    }
}

impl Raw {
    /// Adds a metadata entry from its key, its type's number and its value's bytes.
    pub fn entry(mut self, key: &str, ty: u32, value: &[u8]) -> Raw {
        self.metadata_count += 1;
        self.metadata.extend(string(key));
        self.metadata.extend(ty.to_le_bytes());
        self.metadata.extend(value);
        self
    }

    /// Adds a tensor description.
    pub fn tensor(mut self, name: &str, shape: &[u64], ty: u32, offset: u64) -> Raw {
        self.tensor_count += 1;
        self.tensors.extend(string(name));
        self.tensors.extend((shape.len() as u32).to_le_bytes());
        self.tensors.extend(shape.iter().flat_map(|d| d.to_le_bytes()));
        self.tensors.extend(ty.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self
    }

    /// Gives the file this much tensor data.
    pub fn data(mut self, bytes: usize) -> Raw {
        self.data = vec![1; bytes];
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::from(self.magic);
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensor_count.to_le_bytes());
        out.extend(self.metadata_count.to_le_bytes());
        out.extend(&self.metadata);
        out.extend(&self.tensors);
        if !self.data.is_empty() {
            out.resize(out.len().next_multiple_of(32), 0);
            out.extend(&self.data);
        }
        out
    }

    pub fn open(&self) -> Result<Gguf, GgufError> {
        Gguf::from_bytes(self.bytes())
    }
}

pub fn string(s: &str) -> Vec<u8> {
    let mut out = (s.len() as u64).to_le_bytes().to_vec();
    out.extend(s.as_bytes());
    out
}

/// An array's type, length and element bytes.
pub fn array(ty: u32, len: u64, elements: &[u8]) -> Vec<u8> {
    let mut out = ty.to_le_bytes().to_vec();
    out.extend(len.to_le_bytes());
    out.extend(elements);
    out
}

/// A small valid file with a value of each type and three tensors.
pub fn every_kind() -> Vec<u8> {
    let mut writer = GgufWriter::new();
    writer
        .set("general.architecture", "llama")
        .set("a.u8", 8u8)
        .set("a.i8", -8i8)
        .set("a.u16", 16u16)
        .set("a.i16", -16i16)
        .set("a.u32", 32u32)
        .set("a.i32", -32i32)
        .set("a.f32", 0.5f32)
        .set("a.bool", true)
        .set("a.u64", u64::MAX)
        .set("a.i64", -64i64)
        .set("a.f64", 0.25f64);
    for (key, array) in arrays() {
        writer.set(key, array);
    }
    writer.tensor("one", WeightType::F32, &[3]).unwrap();
    writer.tensor("two", WeightType::Q4_1, &[64, 3]).unwrap();
    writer.tensor("three", WeightType::BF16, &[2, 3, 4, 1]).unwrap();
    let mut file = Vec::new();
    writer.write(&mut file, |tensor| Ok(vec![tensor.name.len() as u8; tensor.bytes])).unwrap();
    file
}

pub fn arrays() -> Vec<(&'static str, Value)> {
    let list: [(&'static str, Array); 13] = [
        ("b.u8", Array::U8(vec![1, 2])),
        ("b.i8", Array::I8(vec![-1, 2])),
        ("b.u16", Array::U16(vec![1, 2])),
        ("b.i16", Array::I16(vec![-1, 2])),
        ("b.u32", Array::U32(vec![1, 2])),
        ("b.i32", Array::I32(vec![-1, 2])),
        ("b.f32", Array::F32(vec![-1.0, 2.0])),
        ("b.bool", Array::Bool(vec![true, false])),
        ("b.str", Array::Str(vec!["a".to_owned(), "é".to_owned(), String::new()])),
        ("b.array", Array::Array(vec![Array::U8(vec![1]), Array::Str(vec![])])),
        ("b.u64", Array::U64(vec![1, 2])),
        ("b.i64", Array::I64(vec![-1, 2])),
        ("b.f64", Array::F64(vec![-1.0, 2.0])),
    ];
    list.into_iter().map(|(key, array)| (key, array.into())).collect()
}
