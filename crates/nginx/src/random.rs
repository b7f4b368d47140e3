//! Random bits.

/// Bits from the system's generator, fetched many at a time.
#[derive(Default)]
pub struct Random {
    words: [u64; 32],
    left: usize,
}

impl Random {
    /// 64 bits that nobody can guess.
    pub fn next_u64(&mut self) -> u64 {
        if self.left == 0 {
            let mut bytes = [0; size_of::<[u64; 32]>()];
            // it fails only where the system has no generator, and then masks are no secret to
            // anyone on the path between nginx and the application
            let _ = getrandom::fill(&mut bytes);
            for (word, chunk) in self.words.iter_mut().zip(bytes.chunks_exact(8)) {
                *word = chunk.try_into().map(u64::from_ne_bytes).unwrap_or_default();
            }
            self.left = self.words.len();
        }
        self.left -= 1;
        self.words[self.left]
    }
}
