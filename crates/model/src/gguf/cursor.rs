//! A position in the header that never passes the end of the file.

use super::error::GgufError;
use super::limits::{MAX_ARRAY_DEPTH, MAX_ARRAY_ELEMENTS, MAX_STRING_BYTES};
use super::source::Source;
use super::value::{Array, Value, ValueType};

/// Bytes of the file that are read ahead.
const WINDOW: usize = 1 << 20;

/// Reads the header front to back. What it returns was inside the file; what it allocates is bounded by what is left of it.
pub(super) struct Cursor<'a> {
    source: &'a Source,
    at: usize,
    /// The bytes of the file from `window_start` on; `at` is in them, or just behind.
    window: Vec<u8>,
    window_start: usize,
    /// What is wrong with the value that is being read, though it could be passed over.
    problem: Option<String>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Cursor { source, at: 0, window: Vec::new(), window_start: 0, problem: None }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn remaining(&self) -> usize {
        self.source.len() - self.at
    }

    /// The next `count` bytes.
    fn take(&mut self, count: u64, field: &dyn Fn() -> String) -> Result<&[u8], GgufError> {
        let count = match usize::try_from(count) {
            Ok(count) if count <= self.remaining() => count,
            _ => {
                return Err(GgufError::Truncated {
                    field: field(),
                    offset: self.at,
                    needed: count,
                    available: self.remaining(),
                });
            }
        };
        if self.at + count > self.window_start + self.window.len() {
            self.refill(count)?;
        }
        let start = self.at - self.window_start;
        self.at += count;
        Ok(&self.window[start..start + count])
    }

    /// Makes the window begin at the position and hold `count` bytes at least, which the file has.
    fn refill(&mut self, count: usize) -> Result<(), GgufError> {
        self.window.resize(count.max(WINDOW).min(self.remaining()), 0);
        self.window.shrink_to(WINDOW);
        self.source.read(self.at, &mut self.window)?;
        self.window_start = self.at;
        Ok(())
    }

    /// What was wrong with the last value, if it is not as it should be.
    pub(super) fn take_problem(&mut self) -> Option<String> {
        self.problem.take()
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self, field: &dyn Fn() -> String) -> Result<[u8; N], GgufError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64, field)?);
        Ok(out)
    }

    pub(super) fn u32(&mut self, field: &dyn Fn() -> String) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub(super) fn u64(&mut self, field: &dyn Fn() -> String) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    /// A count that is at most `limit` and whose things, of at least `min_bytes` each, fit into what is left.
    pub(super) fn count(&mut self, limit: u64, min_bytes: u64, field: &dyn Fn() -> String) -> Result<u64, GgufError> {
        let found = self.u64(field)?;
        if found > limit {
            return Err(GgufError::Limit { field: field(), found, limit });
        }
        // The limits are small enough that this product cannot overflow.
        let needed = found * min_bytes;
        if needed > self.remaining() as u64 {
            return Err(GgufError::Truncated {
                field: format!("{} = {found}: what it counts", field()),
                offset: self.at,
                needed,
                available: self.remaining(),
            });
        }
        Ok(found)
    }

    /// A string of at most `limit` bytes. Bytes that are no UTF-8 become U+FFFD.
    pub(super) fn string(&mut self, limit: u64, field: &dyn Fn() -> String) -> Result<String, GgufError> {
        let length = self.count(limit, 1, &|| format!("length of {}", field()))?;
        Ok(String::from_utf8_lossy(self.take(length, field)?).into_owned())
    }

    /// A string inside a value: if it is no UTF-8, the value has a problem.
    fn text(&mut self, name: impl Fn() -> String, field: &dyn Fn() -> String) -> Result<String, GgufError> {
        let length = self.count(MAX_STRING_BYTES, 1, &|| format!("length of {}", field()))?;
        let bytes = self.take(length, field)?;
        let (text, problem) = match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), None),
            Err(error) => {
                let problem = format!("{} not UTF-8 from byte {}", name(), error.valid_up_to());
                (String::new(), Some(problem))
            }
        };
        self.problem = self.problem.take().or(problem);
        Ok(text)
    }

    /// A value of a type that is given before it.
    pub(super) fn value(&mut self, key: &str) -> Result<Value, GgufError> {
        let field = || format!("value of metadata key '{key}'");
        Ok(match self.value_type(key)? {
            ValueType::U8 => Value::U8(u8::from_le_bytes(self.array(&field)?)),
            ValueType::I8 => Value::I8(i8::from_le_bytes(self.array(&field)?)),
            ValueType::U16 => Value::U16(u16::from_le_bytes(self.array(&field)?)),
            ValueType::I16 => Value::I16(i16::from_le_bytes(self.array(&field)?)),
            ValueType::U32 => Value::U32(self.u32(&field)?),
            ValueType::I32 => Value::I32(i32::from_le_bytes(self.array(&field)?)),
            ValueType::F32 => Value::F32(f32::from_le_bytes(self.array(&field)?)),
            ValueType::Bool => {
                let [byte] = self.array(&field)?;
                Value::Bool(byte != 0)
            }
            ValueType::Str => Value::Str(self.text(|| "is".to_owned(), &field)?),
            ValueType::Array => Value::Array(self.array_value(key, 1)?),
            ValueType::U64 => Value::U64(self.u64(&field)?),
            ValueType::I64 => Value::I64(i64::from_le_bytes(self.array(&field)?)),
            ValueType::F64 => Value::F64(f64::from_le_bytes(self.array(&field)?)),
        })
    }

    fn value_type(&mut self, key: &str) -> Result<ValueType, GgufError> {
        let field = || format!("type of metadata key '{key}'");
        let id = self.u32(&field)?;
        ValueType::from_id(id).ok_or_else(|| GgufError::Invalid {
            field: field(),
            found: id.to_string(),
            expected: "a value type from 0 to 12".to_owned(),
        })
    }

    fn array_value(&mut self, key: &str, depth: usize) -> Result<Array, GgufError> {
        if depth > MAX_ARRAY_DEPTH {
            return Err(GgufError::Limit {
                field: format!("depth of arrays inside arrays of metadata key '{key}'"),
                found: depth as u64,
                limit: MAX_ARRAY_DEPTH as u64,
            });
        }
        let ty = self.value_type(key)?;
        let field = || format!("array of metadata key '{key}'");
        let length = || format!("length of the array of metadata key '{key}'");
        let n = self.count(MAX_ARRAY_ELEMENTS, ty.min_bytes(), &length)?;
        Ok(match ty {
            ValueType::U8 => Array::U8(self.take(n, &field)?.to_vec()),
            ValueType::I8 => Array::I8(self.numbers(n, i8::from_le_bytes, &field)?),
            ValueType::U16 => Array::U16(self.numbers(n, u16::from_le_bytes, &field)?),
            ValueType::I16 => Array::I16(self.numbers(n, i16::from_le_bytes, &field)?),
            ValueType::U32 => Array::U32(self.numbers(n, u32::from_le_bytes, &field)?),
            ValueType::I32 => Array::I32(self.numbers(n, i32::from_le_bytes, &field)?),
            ValueType::F32 => Array::F32(self.numbers(n, f32::from_le_bytes, &field)?),
            ValueType::U64 => Array::U64(self.numbers(n, u64::from_le_bytes, &field)?),
            ValueType::I64 => Array::I64(self.numbers(n, i64::from_le_bytes, &field)?),
            ValueType::F64 => Array::F64(self.numbers(n, f64::from_le_bytes, &field)?),
            ValueType::Bool => Array::Bool(self.take(n, &field)?.iter().map(|&byte| byte != 0).collect()),
            ValueType::Str => Array::Str(
                (0..n)
                    .map(|i| {
                        let element = || format!("element {i} of the array of metadata key '{key}'");
                        self.text(|| format!("has an element {i} that is"), &element)
                    })
                    .collect::<Result<_, _>>()?,
            ),
            ValueType::Array => {
                Array::Array((0..n).map(|_| self.array_value(key, depth + 1)).collect::<Result<_, _>>()?)
            }
        })
    }

    fn numbers<const N: usize, T>(
        &mut self,
        n: u64,
        from: impl Fn([u8; N]) -> T,
        field: &dyn Fn() -> String,
    ) -> Result<Vec<T>, GgufError> {
        let (chunks, _) = self.take(n * N as u64, field)?.as_chunks::<N>();
        Ok(chunks.iter().map(|&c| from(c)).collect())
    }
}
