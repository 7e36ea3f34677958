//! Uids and generated names, drawn from a seed and a counter.
//!
//! Knows no clock and no randomness of the machine. Invariant: the n-th draw of a seed is always the same, and no uid is drawn twice.

/// Letters of generated names: those of the real server, which spell no words.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Length of a generated suffix.
const SUFFIX: usize = 5;

/// A source of uids and names.
#[derive(Debug, Clone)]
pub struct Identities {
    seed: u64,
    drawn: u64,
    addresses: u32,
}

impl Identities {
    /// Returns the source of a seed.
    pub fn new(seed: u64) -> Identities {
        Identities { seed, drawn: 0, addresses: 0 }
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.seed ^ mix(self.drawn))
    }

    /// Draws a uid in the form of a random UUID; its last part counts, so no two are alike.
    pub fn uid(&mut self) -> String {
        let bits = self.draw();
        let (a, b, c) = (bits >> 32, (bits >> 16) & 0xffff, bits & 0xfff);
        format!("{a:08x}-{b:04x}-4{c:03x}-8000-{:012x}", self.drawn)
    }

    /// Draws the suffix of a generated name.
    pub fn suffix(&mut self) -> String {
        let mut bits = self.draw();
        let letters = (0..SUFFIX).map(|_| {
            let letter = LETTERS[usize::try_from(bits % LETTERS.len() as u64).unwrap_or_default()];
            bits /= LETTERS.len() as u64;
            char::from(letter)
        });
        letters.collect()
    }

    /// Draws a number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.draw() % u64::from(bound)).unwrap_or_default()
    }

    /// Draws the next pair of bytes of an address; starts again after 65,000.
    pub fn address(&mut self) -> (u32, u32) {
        self.addresses = self.addresses % 65_000 + 1;
        (self.addresses >> 8, self.addresses & 0xff)
    }
}

/// Scrambles a number (the finalizer of splitmix64).
fn mix(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Writes the hash of a text in letters that names may have; as long as the real server's pod template hashes.
pub fn hash_text(text: &str) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let digits = (mix(hash) % 10_000_000_000).to_string();
    digits.bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_does_not() {
        let (mut a, mut b, mut c) = (Identities::new(1), Identities::new(1), Identities::new(2));
        let uid = a.uid();
        assert_eq!(uid, b.uid());
        assert_ne!(uid, c.uid());
        assert_ne!(uid, a.uid());
        assert_eq!(uid.len(), 36);
        assert_eq!(a.suffix().len(), 5);
    }
}
