//! Random bytes, and sessions in which some bytes are others: refused, or sessions that behave.

use super::random::{any_settings, op};
use super::samples::samples;
use super::stranger;
use proptest::prelude::*;
use std::sync::LazyLock;
use websocket_tunnel::Session;

static ENCODED: LazyLock<Vec<[u8; Session::ENCODED_LEN]>> =
    LazyLock::new(|| samples().iter().map(|sample| sample.tunnel.session.encode()).collect());

/// Another byte, mostly one that an enum, a flag or a length could be.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![4 => 0u8..16, 1 => any::<u8>(), 1 => Just(0xff), 2 => (0u32..8).prop_map(|bit| 1 << bit)]
}

/// A sample, with some bytes of other samples or of nobody.
fn mutated() -> impl Strategy<Value = [u8; Session::ENCODED_LEN]> {
    let sample = || any::<prop::sample::Index>();
    let bytes = prop::collection::vec((0..Session::ENCODED_LEN, byte()), 0..4);
    let parts = prop::collection::vec((0..Session::ENCODED_LEN, 1usize..20, sample()), 0..3);
    (sample(), bytes, parts).prop_map(|(sample, bytes, parts)| {
        let mut encoded = *sample.get(&ENCODED);
        for (at, len, other) in parts {
            let end = Session::ENCODED_LEN.min(at + len);
            encoded[at..end].copy_from_slice(&other.get(&ENCODED)[at..end]);
        }
        for (at, byte) in bytes {
            encoded[at] = byte;
        }
        encoded
    })
}

#[test]
fn every_sample_with_any_bit_flipped_is_refused_or_behaves() {
    let mut accepted = 0;
    for encoded in ENCODED.iter() {
        for bit in 0..8 * Session::ENCODED_LEN {
            let mut bytes = *encoded;
            bytes[bit / 8] ^= 1 << (bit % 8);
            accepted += u32::from(stranger::run(&bytes, super::harness::settings(), &[]));
        }
    }
    assert!(accepted > 10_000, "{accepted} are sessions");
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Session::decode(&bytes).is_err());
    }

    #[test]
    fn random_bytes_of_the_right_length_are_refused_or_behave(
        mut bytes in prop::collection::vec(byte(), Session::ENCODED_LEN),
        ops in prop::collection::vec(op(), 0..20),
        settings in any_settings(),
    ) {
        bytes[0] = Session::FORMAT;
        stranger::run(&bytes, settings, &ops);
    }

    #[test]
    fn mutated_sessions_are_refused_or_behave(
        bytes in mutated(),
        ops in prop::collection::vec(op(), 0..40),
        settings in any_settings(),
    ) {
        stranger::run(&bytes, settings, &ops);
    }
}
