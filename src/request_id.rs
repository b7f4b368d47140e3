//! The id of a request: the client's if it is safe in any log, otherwise a random one.

/// Maximum length of a client's id.
const LONGEST: usize = 128;

/// Whether an id from outside is accepted: 1 to 128 characters of `A-Z a-z 0-9 . _ = + / -`, which
/// UUIDs, ULIDs, Base64 and the parts of AWS's `X-Amzn-Trace-Id` consist of.
pub fn is_sane(id: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"._=+/-".contains(b);
    (1..=LONGEST).contains(&id.len()) && id.iter().all(allowed)
}

/// 128 bits as 32 hexadecimal digits.
pub fn hexadecimal(bits: [u64; 2]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| {
        let nibble = bits[place / 16] >> (60 - 4 * (place % 16));
        DIGITS[(nibble & 0xf) as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_kept() {
        let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
        let cases: &[(&[u8], bool)] = &[
            (b"a", true),
            (b"6ba7b810-9dad-11d1-80b4-00c04fd430c8", true),
            (b"Zm9v+/=._-", true),
            (longest.as_bytes(), true),
            (b"", false),
            (too_long.as_bytes(), false),
            (b"a b", false),
            (b"a, b", false),
            (b"\"", false),
            (b"\\", false),
            (b"a;b", false),
            (b"$host", false),
            (b"a\x01", false),
            (b"a\n", false),
            ("ä".as_bytes(), false),
            (b"\xff", false),
        ];
        for (id, expected) in cases {
            assert_eq!(is_sane(id), *expected, "{}", String::from_utf8_lossy(id));
        }
    }

    #[test]
    fn a_random_id_has_all_of_its_bits() {
        let id = hexadecimal([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);
        assert_eq!(&id, b"0123456789abcdeffedcba9876543210");
        assert!(is_sane(&id));
    }
}
