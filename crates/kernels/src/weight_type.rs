use std::fmt;

/// A weight format of ggml's that Parkade can multiply with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are the formats' own names")]
#[non_exhaustive]
pub enum WeightType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    IQ4NL,
    IQ4XS,
    IQ1S,
    IQ1M,
    IQ2XXS,
    IQ2XS,
    IQ2S,
    IQ3XXS,
    IQ3S,
    TQ1_0,
    TQ2_0,
    Q1_0,
    MXFP4,
    NVFP4,
}

impl WeightType {
    /// Every supported type.
    pub const ALL: &[WeightType] = &[
        WeightType::F32,
        WeightType::F16,
        WeightType::BF16,
        WeightType::Q4_0,
        WeightType::Q4_1,
        WeightType::Q5_0,
        WeightType::Q5_1,
        WeightType::Q8_0,
        WeightType::Q2K,
        WeightType::Q3K,
        WeightType::Q4K,
        WeightType::Q5K,
        WeightType::Q6K,
        WeightType::IQ4NL,
        WeightType::IQ4XS,
        WeightType::IQ1S,
        WeightType::IQ1M,
        WeightType::IQ2XXS,
        WeightType::IQ2XS,
        WeightType::IQ2S,
        WeightType::IQ3XXS,
        WeightType::IQ3S,
        WeightType::TQ1_0,
        WeightType::TQ2_0,
        WeightType::Q1_0,
        WeightType::MXFP4,
        WeightType::NVFP4,
    ];

    /// The type with this number in ggml's `enum ggml_type`, as GGUF files store it.
    pub fn from_ggml_id(id: u32) -> Option<WeightType> {
        WeightType::ALL.iter().copied().find(|ty| ty.ggml_id() == id)
    }

    /// The number in ggml's `enum ggml_type`.
    pub fn ggml_id(self) -> u32 {
        match self {
            WeightType::F32 => 0,
            WeightType::F16 => 1,
            WeightType::Q4_0 => 2,
            WeightType::Q4_1 => 3,
            WeightType::Q5_0 => 6,
            WeightType::Q5_1 => 7,
            WeightType::Q8_0 => 8,
            WeightType::Q2K => 10,
            WeightType::Q3K => 11,
            WeightType::Q4K => 12,
            WeightType::Q5K => 13,
            WeightType::Q6K => 14,
            WeightType::IQ4NL => 20,
            WeightType::IQ4XS => 23,
            WeightType::BF16 => 30,
            WeightType::IQ2XXS => 16,
            WeightType::IQ2XS => 17,
            WeightType::IQ3XXS => 18,
            WeightType::IQ1S => 19,
            WeightType::IQ3S => 21,
            WeightType::IQ2S => 22,
            WeightType::IQ1M => 29,
            WeightType::TQ1_0 => 34,
            WeightType::TQ2_0 => 35,
            WeightType::MXFP4 => 39,
            WeightType::NVFP4 => 40,
            WeightType::Q1_0 => 41,
        }
    }

    /// The usual name, such as `Q4_1` or `IQ4_XS`.
    pub fn name(self) -> &'static str {
        match self {
            WeightType::F32 => "F32",
            WeightType::F16 => "F16",
            WeightType::BF16 => "BF16",
            WeightType::Q4_0 => "Q4_0",
            WeightType::Q4_1 => "Q4_1",
            WeightType::Q5_0 => "Q5_0",
            WeightType::Q5_1 => "Q5_1",
            WeightType::Q8_0 => "Q8_0",
            WeightType::Q2K => "Q2_K",
            WeightType::Q3K => "Q3_K",
            WeightType::Q4K => "Q4_K",
            WeightType::Q5K => "Q5_K",
            WeightType::Q6K => "Q6_K",
            WeightType::IQ4NL => "IQ4_NL",
            WeightType::IQ4XS => "IQ4_XS",
            WeightType::IQ1S => "IQ1_S",
            WeightType::IQ1M => "IQ1_M",
            WeightType::IQ2XXS => "IQ2_XXS",
            WeightType::IQ2XS => "IQ2_XS",
            WeightType::IQ2S => "IQ2_S",
            WeightType::IQ3XXS => "IQ3_XXS",
            WeightType::IQ3S => "IQ3_S",
            WeightType::TQ1_0 => "TQ1_0",
            WeightType::TQ2_0 => "TQ2_0",
            WeightType::Q1_0 => "Q1_0",
            WeightType::MXFP4 => "MXFP4",
            WeightType::NVFP4 => "NVFP4",
        }
    }

    /// How many weights share one block of the file format.
    pub fn block_len(self) -> usize {
        match self {
            WeightType::F32 | WeightType::F16 | WeightType::BF16 => 1,
            WeightType::Q4_0
            | WeightType::Q4_1
            | WeightType::Q5_0
            | WeightType::Q5_1
            | WeightType::Q8_0
            | WeightType::IQ4NL
            | WeightType::MXFP4 => 32,
            WeightType::NVFP4 => 64,
            WeightType::Q1_0 => 128,
            WeightType::Q2K
            | WeightType::Q3K
            | WeightType::Q4K
            | WeightType::Q5K
            | WeightType::Q6K
            | WeightType::IQ4XS
            | WeightType::IQ1S
            | WeightType::IQ1M
            | WeightType::IQ2XXS
            | WeightType::IQ2XS
            | WeightType::IQ2S
            | WeightType::IQ3XXS
            | WeightType::IQ3S
            | WeightType::TQ1_0
            | WeightType::TQ2_0 => 256,
        }
    }

    /// How many bytes one block takes in the file.
    pub fn block_bytes(self) -> usize {
        match self {
            WeightType::F32 => 4,
            WeightType::F16 | WeightType::BF16 => 2,
            WeightType::Q4_0 | WeightType::IQ4NL => 18,
            WeightType::Q4_1 => 20,
            WeightType::Q5_0 => 22,
            WeightType::Q5_1 => 24,
            WeightType::Q8_0 => 34,
            WeightType::Q2K => 84,
            WeightType::Q3K => 110,
            WeightType::Q4K => 144,
            WeightType::Q5K => 176,
            WeightType::Q6K => 210,
            WeightType::IQ4XS => 136,
            WeightType::IQ1S => 50,
            WeightType::IQ1M => 56,
            WeightType::IQ2XXS => 66,
            WeightType::IQ2XS => 74,
            WeightType::IQ2S => 82,
            WeightType::IQ3XXS => 98,
            WeightType::IQ3S => 110,
            WeightType::TQ1_0 => 54,
            WeightType::TQ2_0 => 66,
            WeightType::Q1_0 => 18,
            WeightType::MXFP4 => 17,
            WeightType::NVFP4 => 36,
        }
    }

    /// How many weights share one block of a tile, and of the activations that it is multiplied with. Longer blocks of the file are
    /// some of these with the same scale; NVFP4 becomes F16, which holds all its values.
    pub(crate) fn tile_len(self) -> usize {
        match self {
            WeightType::NVFP4 => 1,
            WeightType::Q1_0 => 32,
            _ => self.block_len(),
        }
    }

    /// Bytes of a row of `cols` weights in the file; `None` if `cols` is not a whole number of
    /// blocks or the size overflows.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        if !cols.is_multiple_of(self.block_len()) {
            return None;
        }
        (cols / self.block_len()).checked_mul(self.block_bytes())
    }
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
