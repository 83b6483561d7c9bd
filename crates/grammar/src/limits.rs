//! What compiling and matching may use up.

use std::time::Duration;

/// Bounds of compiling a format and of matching with it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest schema or grammar, in bytes.
    pub bytes: usize,
    /// How deep a schema or the brackets of a grammar may be nested.
    pub depth: usize,
    /// How many schemas a schema may be made of, after references in `oneOf` are written out.
    pub schemas: usize,
    /// How many different places `$ref` may point to.
    pub references: usize,
    /// The largest count in a schema: `minItems`, `maxItems`, `minLength` and the like.
    pub count: u64,
    /// The longest time to compile.
    pub time: Duration,
    /// How many states the lexer of one request may make, 1 to 2 kB each.
    pub lexer_states: usize,
    /// What one mask may cost, in steps of the lexer (about 14,000 a millisecond).
    pub mask_fuel: u64,
    /// Bytes of compiled grammars that are kept.
    pub cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bytes: 256 << 10,
            depth: 64,
            schemas: 20_000,
            references: 1024,
            count: 1 << 16,
            time: Duration::from_secs(1),
            lexer_states: 8_000,
            mask_fuel: 100_000,
            cache_bytes: 64 << 20,
        }
    }
}
