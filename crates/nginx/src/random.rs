//! Random bits.

/// Bits from the system's generator, fetched 2 kB at a time.
#[derive(Default)]
pub struct Random {
    words: [u64; 32],
    left: usize,
}

impl Random {
    /// 64 unpredictable bits. They are predictable only if the system has no random number
    /// generator.
    pub fn next_u64(&mut self) -> u64 {
        if self.left == 0 {
            let mut bytes = [0; size_of::<[u64; 32]>()];
            // getrandom fails only if the system has no generator; then someone between nginx and
            // the upstream can predict the masks of frames
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
