//! Randomness of the operating system's.

use domain::ids::Randomness;

/// What the operating system gives.
pub(crate) struct OsRandom;

impl Randomness for OsRandom {
    fn bits(&mut self) -> u128 {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).expect("the operating system gives randomness once it has booted");
        u128::from_le_bytes(bytes)
    }
}
