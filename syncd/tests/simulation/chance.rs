//! Chance, as a tree: each purpose has a branch of its own, so that one more question here changes no answer there.

/// A stream of numbers from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Chance {
    pub fn new(seed: u64) -> Self {
        Chance(mix(seed ^ 0x9e37_79b9_7f4a_7c15))
    }

    /// Returns the branch of a purpose.
    pub fn branch(&self, purpose: &str) -> Chance {
        Chance(purpose.bytes().fold(self.0, |state, byte| mix(state ^ u64::from(byte)).wrapping_add(0x9e37_79b9)))
    }

    /// Returns the next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Returns a number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Tells whether one of `sides` equal cases came.
    pub fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }

    /// Returns one of them; there must be some.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let number = self.below(of.len() as u64);
        &of[usize::try_from(number).expect("an index")]
    }

    /// Returns the number of a weight, as often as it weighs.
    pub fn weighed(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum::<u64>().max(1));
        weights
            .iter()
            .position(|weight| {
                left.checked_sub(*weight).is_none_or(|rest| {
                    left = rest;
                    false
                })
            })
            .unwrap_or(0)
    }
}
