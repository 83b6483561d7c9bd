use std::sync::OnceLock;

/// Which instructions the kernels use. All levels give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CpuLevel {
    /// Plain Rust, any processor.
    Scalar,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ, VL and VNNI.
    Avx512,
}

/// The environment variable that forces a level: `scalar`, `avx2` or `avx512`.
const FORCE: &str = "PARKADE_CPU";

static LEVEL: OnceLock<CpuLevel> = OnceLock::new();

impl CpuLevel {
    /// The level in use: the best that the processor has, or what `PARKADE_CPU` asks for.
    /// Decided once per process.
    ///
    /// A value that is unknown, or that the processor cannot run, is reported in the log and the
    /// best level is used instead.
    pub fn current() -> CpuLevel {
        *LEVEL.get_or_init(|| match std::env::var(FORCE) {
            Ok(name) => CpuLevel::forced(&name).unwrap_or_else(|message| {
                let best = CpuLevel::best();
                tracing::warn!("the environment variable {FORCE} is '{name}': {message}; using {}", best.name());
                best
            }),
            Err(_) => CpuLevel::best(),
        })
    }

    /// Takes the level of that name, `scalar`, `avx2` or `avx512`, instead of what [`current`](Self::current) would decide.
    ///
    /// # Errors
    /// If there is no such level, the processor lacks it, or another one is in use already.
    pub fn choose(name: &str) -> Result<CpuLevel, &'static str> {
        let level = CpuLevel::forced(name)?;
        if *LEVEL.get_or_init(|| level) == level { Ok(level) } else { Err("another level is in use already") }
    }

    /// The levels that this processor can run, slowest first.
    pub fn available() -> &'static [CpuLevel] {
        match CpuLevel::best() {
            CpuLevel::Scalar => &[CpuLevel::Scalar],
            CpuLevel::Avx2 => &[CpuLevel::Scalar, CpuLevel::Avx2],
            CpuLevel::Avx512 => &[CpuLevel::Scalar, CpuLevel::Avx2, CpuLevel::Avx512],
        }
    }

    /// The name that `PARKADE_CPU` takes.
    pub fn name(self) -> &'static str {
        match self {
            CpuLevel::Scalar => "scalar",
            CpuLevel::Avx2 => "avx2",
            CpuLevel::Avx512 => "avx512",
        }
    }

    fn forced(name: &str) -> Result<CpuLevel, &'static str> {
        let level = match name.trim().to_ascii_lowercase().as_str() {
            "" => return Ok(CpuLevel::best()),
            "scalar" => CpuLevel::Scalar,
            "avx2" => CpuLevel::Avx2,
            "avx512" => CpuLevel::Avx512,
            _ => return Err("the levels are scalar, avx2 and avx512"),
        };
        if CpuLevel::available().contains(&level) { Ok(level) } else { Err("this processor lacks the instructions") }
    }

    /// The best level that the processor has; asked once.
    pub(crate) fn best() -> CpuLevel {
        static BEST: OnceLock<CpuLevel> = OnceLock::new();
        *BEST.get_or_init(CpuLevel::detect)
    }

    fn detect() -> CpuLevel {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 =
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            if avx2 && avx512 {
                return CpuLevel::Avx512;
            }
            if avx2 {
                return CpuLevel::Avx2;
            }
        }
        CpuLevel::Scalar
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forced_level_is_taken_or_explained() {
        assert_eq!(CpuLevel::forced(" Scalar "), Ok(CpuLevel::Scalar));
        assert_eq!(CpuLevel::forced(""), Ok(CpuLevel::best()));
        assert!(CpuLevel::forced("sse9").unwrap_err().contains("avx512"));
        for &level in CpuLevel::available() {
            assert_eq!(CpuLevel::forced(level.name()), Ok(level));
        }
    }
}
