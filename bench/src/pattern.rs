//! The content of messages: an 8-byte key and a sequence of noise selected by the key, so that
//! either end can verify every byte without having seen the message before.

use std::sync::OnceLock;

/// Size of the key before the noise; the minimum size of a message.
pub const KEY: usize = 8;

/// The noise repeats after a prime number of bytes, so a block that a proxy lost, repeated or moved
/// by any buffer size is not valid by accident.
const PERIOD: usize = 65_521;

fn noise() -> &'static [u8; PERIOD] {
    static NOISE: OnceLock<Box<[u8; PERIOD]>> = OnceLock::new();
    NOISE.get_or_init(|| {
        let mut bytes = Box::new([0; PERIOD]);
        fastrand::Rng::with_seed(0x6e67_696e_785f_7773).fill(&mut bytes[..]);
        bytes
    })
}

/// The noise that fills `len` bytes of the message `key` from byte `offset` of the message.
fn runs(key: u64, offset: u64, len: usize) -> impl Iterator<Item = &'static [u8]> {
    let start = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) % PERIOD as u64;
    let mut at = ((start + offset % PERIOD as u64) % PERIOD as u64) as usize;
    let mut left = len;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let run = &noise()[at..PERIOD.min(at + left)];
        left -= run.len();
        at = 0;
        Some(run)
    })
}

/// Appends the message `key` of `size` bytes (at least [`KEY`]).
pub fn append(out: &mut Vec<u8>, key: u64, size: usize) {
    out.extend_from_slice(&key.to_le_bytes());
    for run in runs(key, KEY as u64, size.saturating_sub(KEY)) {
        out.extend_from_slice(run);
    }
}

/// Appends `size` bytes of noise without a key: the body of a plain HTTP response.
pub fn append_body(out: &mut Vec<u8>, size: usize) {
    for run in runs(0, 0, size) {
        out.extend_from_slice(run);
    }
}

/// Whether `bytes` are those of [`append_body`] from `offset` on.
pub fn is_body(bytes: &[u8], offset: u64) -> bool {
    matches(0, offset, bytes)
}

fn matches(key: u64, offset: u64, mut bytes: &[u8]) -> bool {
    for run in runs(key, offset, bytes.len()) {
        let (head, tail) = bytes.split_at(run.len());
        if head != run {
            return false;
        }
        bytes = tail;
    }
    true
}

/// Verifies one message that arrives in pieces.
#[derive(Default)]
pub struct Check {
    key: [u8; KEY],
    seen: u64,
    damaged: bool,
}

impl Check {
    /// Takes the next bytes of the message.
    pub fn feed(&mut self, bytes: &[u8]) {
        let of_key = KEY.saturating_sub(self.seen as usize).min(bytes.len());
        let (key, noise) = bytes.split_at(of_key);
        let at = self.seen as usize;
        if of_key > 0 {
            self.key[at..at + of_key].copy_from_slice(key);
        }
        let offset = self.seen + of_key as u64;
        self.seen += bytes.len() as u64;
        self.damaged |= !noise.is_empty() && !matches(u64::from_le_bytes(self.key), offset, noise);
    }

    /// The message's key and size, or `None` if it is damaged; ready for the next message.
    pub fn finish(&mut self) -> Option<(u64, u64)> {
        let whole = std::mem::take(self);
        let sound = !whole.damaged && whole.seen >= KEY as u64;
        sound.then(|| (u64::from_le_bytes(whole.key), whole.seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_checks_out_however_it_is_cut() {
        for size in [8, 9, 64, 1000, PERIOD, PERIOD + 8, 3 * PERIOD] {
            let mut message = Vec::new();
            append(&mut message, 77, size);
            assert_eq!(message.len(), size);
            for cut in [1, 3, 8, 4096, 65_536] {
                let mut check = Check::default();
                message.chunks(cut).for_each(|piece| check.feed(piece));
                assert_eq!(check.finish(), Some((77, size as u64)), "size {size} cut {cut}");
            }
        }
    }

    #[test]
    fn a_changed_lost_or_moved_block_shows() {
        let mut message = Vec::new();
        append(&mut message, 5, 200_000);
        let mut changed = message.clone();
        changed[150_000] ^= 1;
        let lost = [&message[..65_536], &message[131_072..]].concat();
        let twice = [&message[..65_536], &message[..]].concat();
        for (name, bytes) in [("changed", changed), ("lost", lost), ("twice", twice)] {
            let mut check = Check::default();
            check.feed(&bytes);
            assert_eq!(check.finish(), None, "{name}");
        }
    }

    #[test]
    fn too_short_is_damaged() {
        let mut check = Check::default();
        check.feed(b"1234567");
        assert_eq!(check.finish(), None);
    }

    #[test]
    fn a_body_is_known_from_any_offset() {
        let mut body = Vec::new();
        append_body(&mut body, 70_000);
        assert!(is_body(&body[..1000], 0));
        assert!(is_body(&body[65_000..], 65_000));
        assert!(!is_body(&body[1..], 0));
    }
}
