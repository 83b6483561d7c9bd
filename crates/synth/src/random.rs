//! Random numbers that are the same on every machine and for ever: whole numbers by SplitMix64 (Steele, Lea and Flood 2014), and of
//! floating-point operations only those that IEEE 754 rounds in one way.

/// A stream of random numbers.
pub(crate) struct Random(u64);

impl Random {
    /// The stream that belongs to a name, such as a tensor's.
    pub(crate) fn of(seed: u64, name: &str) -> Random {
        // FNV-1a, so that a stream depends on no other tensor.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut random = Random(seed);
        random.0 = random.next() ^ hash;
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// From 0 to below 1.
    pub(crate) fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    /// Mean 0, standard deviation 1 and nearly normal, at most 3.5: the sum of four uniform numbers.
    pub(crate) fn normal(&mut self) -> f32 {
        const QUARTER: u64 = 0xffff;
        const DEVIATION: f32 = 37_837.23;
        let x = self.next();
        let sum = (x & QUARTER) + (x >> 16 & QUARTER) + (x >> 32 & QUARTER) + (x >> 48);
        (sum as f32 - 2.0 * QUARTER as f32) / DEVIATION
    }

    /// Appends bytes of which each value is as likely.
    pub(crate) fn bytes(&mut self, count: usize, out: &mut Vec<u8>) {
        let end = out.len() + count;
        while out.len() < end {
            let left = end - out.len();
            out.extend(&self.next().to_le_bytes()[..left.min(8)]);
        }
    }
}
