//! Randomness that can be replayed: a SplitMix64 generator, given its seed and nothing else.
//! The same seed and the same questions give the same answers on every machine.

use domain::ids::Randomness;

/// A stream of pseudo-random numbers (SplitMix64; Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Seed {
    state: u64,
}

impl Seed {
    /// The stream that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A stream for one named part of a world, so that adding a part leaves the others' streams as they were.
    pub fn for_part(seed: u64, name: &str) -> Self {
        // FNV-1a: all that is asked of it is that different names give different streams.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self::new(seed ^ hash)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number in `0..end`; zero where `end` is zero.
    pub fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(end);
        u64::try_from(wide >> 64).unwrap_or(0)
    }
}

impl Randomness for Seed {
    fn bits(&mut self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // First outputs of SplitMix64 for seed 1234567, from the reference implementation.
        let mut seed = Seed::new(1_234_567);
        assert_eq!(
            [seed.next_u64(), seed.next_u64()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn parts_have_streams_of_their_own_and_numbers_stay_below() {
        assert_ne!(Seed::for_part(1, "P01").next_u64(), Seed::for_part(1, "P02").next_u64());
        let mut seed = Seed::new(7);
        let drawn: Vec<u64> = (0..1_000).map(|_| seed.below(10)).collect();
        assert!((0..10).all(|n| drawn.contains(&n)) && drawn.iter().all(|n| *n < 10));
        assert_eq!(seed.below(0), 0);
    }
}
