//! Frames: the tables of RFC 6455, each sample cut at every point, and tungstenite's header parser
//! as an independent reference.

use proptest::prelude::*;
use std::io::Cursor;
use tungstenite::protocol::frame as tungstenite_frame;
use websocket_tunnel::frame::{
    self, apply_mask, Control, FrameError, FrameHeader, Opcode, Scanner, Step, Stop,
};

#[path = "common/table.rs"]
mod table;

use table::Table;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The examples of RFC 6455 section 5.7: description, bytes, FIN, opcode, mask, payload length.
type Example = (&'static str, Vec<u8>, bool, Opcode, Option<[u8; 4]>, u64);

fn rfc_examples() -> Vec<Example> {
    let hello_masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
    let pong_masked = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
    let binary = |head: &[u8], len: usize| [head, &vec![7; len]].concat();
    vec![
        ("unmasked text", b"\x81\x05Hello".to_vec(), true, Opcode::TEXT, None, 5),
        ("masked text", hello_masked, true, Opcode::TEXT, Some(MASK), 5),
        ("first fragment", b"\x01\x03Hel".to_vec(), false, Opcode::TEXT, None, 3),
        ("last fragment", b"\x80\x02lo".to_vec(), true, Opcode::CONTINUATION, None, 2),
        ("unmasked Ping", b"\x89\x05Hello".to_vec(), true, Opcode::PING, None, 5),
        ("masked Pong", pong_masked, true, Opcode::PONG, Some(MASK), 5),
        ("256 bytes", binary(b"\x82\x7e\x01\x00", 256), true, Opcode::BINARY, None, 256),
        ("64 KiB", binary(b"\x82\x7f\0\0\0\0\0\x01\0\0", 65536), true, Opcode::BINARY, None, 65536),
    ]
}

#[test]
fn headers_of_the_rfc_examples() {
    for (name, bytes, fin, opcode, mask, len) in rfc_examples() {
        let header = FrameHeader::parse(&bytes).unwrap().unwrap();
        let size = bytes.len() as u64 - len;
        assert_eq!(
            (header.fin, header.rsv, header.opcode, header.mask, header.len, header.size.into()),
            (fin, 0, opcode, mask, len, size),
            "{name}"
        );
        for short in 0..size as usize {
            assert_eq!(
                FrameHeader::parse(&bytes[..short]),
                Ok(None),
                "{name}, {short} bytes of it"
            );
        }
    }
}

#[test]
fn lengths_at_the_edges() {
    let table: &[(&[u8], u64, u8)] = &[
        (b"\x82\x00", 0, 2),
        (b"\x82\x7d", 125, 2),
        (b"\x82\x7e\x00\x7e", 126, 4),
        (b"\x82\x7e\xff\xff", 65535, 4),
        (b"\x82\x7f\0\0\0\0\0\x01\0\0", 65536, 10),
        (b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", u64::MAX >> 1, 10),
        // a longer length field than necessary: the end of the frame is known all the same
        (b"\x82\x7e\x00\x05", 5, 4),
        (b"\x82\x7f\0\0\0\0\0\0\0\x05", 5, 10),
    ];
    for (bytes, len, size) in table {
        let header = FrameHeader::parse(bytes).unwrap().unwrap();
        assert_eq!((header.len, header.size), (*len, *size), "{bytes:02x?}");
    }
}

#[test]
fn faults_name_themselves() {
    let table: &[(&[u8], FrameError)] = &[
        (b"\x82\x7f\x80", FrameError::LengthTooBig),
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", FrameError::LengthTooBig),
        (b"\x89\x7e", FrameError::ControlTooLong),
        (b"\x8a\xff", FrameError::ControlTooLong),
        (b"\x8b\x7e\x00\x05", FrameError::ControlTooLong),
        (b"\x09\x00", FrameError::ControlFragmented),
        (b"\x08\x82", FrameError::ControlFragmented),
    ];
    for (bytes, fault) in table {
        assert_eq!(FrameHeader::parse(bytes), Err(*fault), "{bytes:02x?}");
        for short in 0..2 {
            assert_eq!(FrameHeader::parse(&bytes[..short]), Ok(None), "{:02x?}", &bytes[..short]);
        }
    }
}

#[test]
fn a_frame_masked_the_wrong_way_is_a_fault() {
    let masked = frame::ping(*b"12345678", Some(MASK));
    let plain = frame::ping(*b"12345678", None);
    for (mut scanner, bytes, fault) in [
        (Scanner::of_client(), plain, FrameError::NotMasked),
        (Scanner::of_server(), masked, FrameError::Masked),
    ] {
        let steps = steps(&mut scanner, &[&bytes], Stop::AtControl, &Table::default());
        assert_eq!(steps, [Seen::FrameError(fault, 0)]);
        assert!(scanner.is_lost() && !scanner.between_frames());
    }
}

/// A step with its position in the whole stream.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Frame(usize),
    Control(Control, usize),
    /// A fault, with the bytes before the chunk in which it was found.
    FrameError(FrameError, usize),
}

fn steps(scanner: &mut Scanner, chunks: &[&[u8]], stop: Stop, table: &Table) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut before = 0;
    for chunk in chunks {
        let mut at = 0;
        loop {
            match scanner.scan(chunk, &mut at, stop, table) {
                Step::End => break,
                Step::Frame => seen.push(Seen::Frame(before + at)),
                Step::Control(control) => seen.push(Seen::Control(control, before + at)),
                Step::Fault(fault) => seen.push(Seen::FrameError(fault, before)),
            }
        }
        assert_eq!(at, chunk.len(), "all of a chunk is consumed: {chunk:02x?}");
        before += at;
    }
    seen
}

/// One frame, masked or not, with the shortest length field.
fn frame_of(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(bit | len as u8),
        len @ 126..=65535 => {
            bytes.push(bit | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(bit | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    let mut payload = payload.to_vec();
    if let Some(mask) = mask {
        bytes.extend(mask);
        apply_mask(&mut payload, mask, 0);
    }
    bytes.extend(payload);
    bytes
}

/// Streams with everything that a scanner can meet.
fn samples() -> Vec<(&'static str, bool, Vec<u8>)> {
    let mut samples = Vec::new();
    for (name, bytes, _, _, mask, _) in rfc_examples() {
        if bytes.len() < 1000 {
            samples.push((name, mask.is_some(), bytes));
        }
    }
    for mask in [None, Some(MASK)] {
        let stream = [
            frame_of(0x01, b"Hel", mask),
            frame_of(0x89, b"are you there", mask),
            frame_of(0x00, b"", mask),
            frame_of(0x8a, b"12345678", mask),
            frame_of(0x80, b"lo", mask),
            frame_of(0xc2, &[9; 126], mask),
            frame_of(0xfb, b"reserved", mask),
            frame_of(0x83, b"", mask),
            frame_of(0x88, b"\x03\xe9going", mask),
            b"whatever \x81".to_vec(),
        ];
        samples.push(("everything", mask.is_some(), stream.concat()));
        let lost = [frame_of(0x82, b"x", mask), b"\x82\xff\xff\xff\xff\xff".to_vec()].concat();
        samples.push(("lost", mask.is_some(), lost));
    }
    samples
}

fn scanner_of(masked: bool) -> Scanner {
    if masked {
        Scanner::of_client()
    } else {
        Scanner::of_server()
    }
}

/// The steps must not depend on the cuts; only the chunk in which a fault is found does.
fn without_place(seen: &[Seen]) -> Vec<Seen> {
    let strip = |step: &Seen| match step {
        Seen::FrameError(fault, _) => Seen::FrameError(*fault, 0),
        other => other.clone(),
    };
    seen.iter().map(strip).collect()
}

fn assert_cut_alike(name: &str, masked: bool, whole: &[u8], chunks: &[&[u8]]) {
    for stop in [Stop::AtControl, Stop::AtFrame] {
        let (mut one, one_count) = (scanner_of(masked), Table::default());
        let (mut cut, cut_count) = (scanner_of(masked), Table::default());
        let expected = steps(&mut one, &[whole], stop, &one_count);
        let found = steps(&mut cut, chunks, stop, &cut_count);
        let sizes: Vec<usize> = chunks.iter().map(|chunk| chunk.len()).collect();
        let context = format!("{name}, {whole:02x?} cut into {sizes:?}, {stop:?}");
        assert_eq!(without_place(&found), without_place(&expected), "{context}");
        assert_eq!(cut_count, one_count, "{context}");
        assert_eq!(cut.frames(), one.frames(), "{context}");
        assert_eq!(cut.in_message(), one.in_message(), "{context}");
        assert_eq!(cut.between_frames(), one.between_frames(), "{context}");
        assert_eq!((cut.is_closed(), cut.is_lost()), (one.is_closed(), one.is_lost()), "{context}");
    }
}

#[test]
fn every_split_point_of_every_sample() {
    for (name, masked, bytes) in samples() {
        for first in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(first);
            assert_cut_alike(name, masked, &bytes, &[head, tail]);
            for second in 0..=tail.len() {
                let (middle, last) = tail.split_at(second);
                assert_cut_alike(name, masked, &bytes, &[head, middle, last]);
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_cut_alike(name, masked, &bytes, &single);
    }
}

#[test]
fn controls_come_out_unmasked() {
    for mask in [None, Some(MASK)] {
        let size = if mask.is_some() { 6 } else { 2 };
        let digest = |payload: &[u8]| {
            payload.iter().fold(0x811c_9dc5_u32, |digest, byte| {
                (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
            })
        };
        let table: &[(&[u8], Vec<u8>, Option<u16>)] = &[
            (b"", frame::pong(b"", mask).to_vec(), None),
            (b"12345678", frame::ping(*b"12345678", mask).to_vec(), None),
            (b"\x03\xe9bye", frame::close(1001, "bye", mask).to_vec(), Some(1001)),
            (b"", frame_of(0x88, b"", mask), None),
            (b"\x03", frame_of(0x88, b"\x03", mask), None),
            (&[7; 125], frame::pong(&[7; 125], mask).to_vec(), None),
        ];
        for (payload, bytes, code) in table {
            let head = std::array::from_fn(|i| payload.get(i).copied().unwrap_or(0));
            let mut scanner = scanner_of(mask.is_some());
            let seen = steps(&mut scanner, &[bytes], Stop::AtControl, &Table::default());
            let control = Control {
                opcode: Opcode::of(bytes[0]),
                rsv: 0,
                len: payload.len() as u8,
                size: size + payload.len() as u8,
                head,
                digest: digest(payload),
            };
            assert_eq!(seen, [Seen::Control(control, bytes.len())], "{bytes:02x?}");
            assert_eq!(control.close_code(), *code, "{bytes:02x?}");
        }
    }
}

#[test]
fn nothing_is_looked_at_after_a_close() {
    for mask in [None, Some(MASK)] {
        let mut scanner = scanner_of(mask.is_some());
        let stream = [&frame::close(1000, "", mask)[..], b"\x08 no frame"].concat();
        let table = Table::default();
        let seen = steps(&mut scanner, &[&stream], Stop::AtFrame, &table);
        assert!(matches!(seen[..], [Seen::Control(..)]), "{seen:?}");
        assert!(scanner.is_closed() && !scanner.between_frames() && !scanner.is_lost());
        assert_eq!(scanner.frames(), 1);
    }
}

#[test]
fn builders_cut_what_is_too_long() {
    assert_eq!(*frame::close(1001, "", None), *b"\x88\x02\x03\xe9");
    assert_eq!(
        *frame::pong(b"Hello", Some(MASK)),
        *b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
    );
    let reason = "é".repeat(62);
    let close = frame::close(1000, &reason, None);
    assert_eq!(close.len(), 2 + 2 + 122, "an odd 123rd byte would be half a character");
    assert!(std::str::from_utf8(&close[4..]).is_ok());
    assert_eq!(frame::pong(&[0; 200], None).len(), 2 + 125);
}

#[test]
fn message_state_follows_odd_streams() {
    let table: &[(&str, &[u8], bool)] = &[
        ("a continuation with nothing to continue", b"\x80\x00", false),
        ("one that does not end", b"\x00\x00", true),
        ("a message within a message", b"\x01\x00\x82\x00", false),
        ("a Ping within a message", b"\x01\x00\x89\x00", true),
        ("a reserved data frame without FIN", b"\x03\x00", true),
    ];
    for (name, bytes, in_message) in table {
        let mut scanner = Scanner::of_server();
        steps(&mut scanner, &[bytes], Stop::AtFrame, &Table::default());
        assert!(scanner.between_frames(), "{name}");
        assert_eq!(scanner.between_messages(), !in_message, "{name}");
    }
}

#[test]
fn a_table_counts_frames_and_bytes_by_kind() {
    let (mut scanner, table) = (Scanner::of_server(), Table::default());
    let frames = [
        frame_of(0x01, b"abc", None),
        frame_of(0x89, b"ping", None),
        frame_of(0x80, &[0; 300], None),
        frame_of(0x82, &[0; 70_000], None),
    ];
    steps(&mut scanner, &[&frames.concat()], Stop::AtControl, &table);
    let rows = [Opcode::TEXT, Opcode::PING, Opcode::CONTINUATION, Opcode::BINARY].map(|opcode| {
        let row = usize::from(opcode.bits());
        (table.frames[row].get(), table.bytes[row].get())
    });
    assert_eq!(rows, [(1, 3), (1, 4), (1, 300), (1, 70_000)]);
    assert_eq!((table.messages.get(), scanner.frames()), (2, 4));
    // of a payload announced with 2^63 bytes, only the received bytes count
    steps(&mut scanner, &[b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xffabc"], Stop::AtControl, &table);
    assert_eq!(table.bytes[usize::from(Opcode::BINARY.bits())].get(), 70_003);
}

/// The header as tungstenite parses it; `None` if it refuses it or needs more bytes.
fn reference(bytes: &[u8]) -> Option<FrameHeader> {
    let mut cursor = Cursor::new(bytes);
    let (header, len) = tungstenite_frame::FrameHeader::parse(&mut cursor).ok()??;
    let rsv = (u8::from(header.rsv1) << 2) | (u8::from(header.rsv2) << 1) | u8::from(header.rsv3);
    Some(FrameHeader {
        fin: header.is_final,
        rsv,
        opcode: Opcode::of(header.opcode.into()),
        mask: header.mask,
        len,
        size: cursor.position() as u8,
    })
}

proptest! {
    #[test]
    fn headers_are_as_tungstenite_reads_them(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        if let (Some(expected), Ok(Some(header))) = (reference(&bytes), FrameHeader::parse(&bytes)) {
            prop_assert_eq!(header, expected, "{:02x?}", bytes);
        }
    }

    #[test]
    fn any_bytes_cut_anywhere_are_seen_alike(
        masked: bool,
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(0usize..300, 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < bytes.len()).collect();
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        let mut start = 0;
        for cut in cuts {
            chunks.push(&bytes[start..cut]);
            start = cut;
        }
        chunks.push(&bytes[start..]);
        assert_cut_alike("any bytes", masked, &bytes, &chunks);
    }

    #[test]
    fn frames_cut_anywhere_are_seen_alike(
        mask in prop::option::of(any::<[u8; 4]>()),
        frames in prop::collection::vec(
            (any::<bool>(), 0u8..11, prop::collection::vec(any::<u8>(), 0..200)), 1..8),
        step in 1usize..40,
    ) {
        let mut bytes = Vec::new();
        for (fin, opcode, payload) in &frames {
            let control = *opcode >= 8;
            let first = opcode | if *fin || control { 0x80 } else { 0 };
            let len = if control { payload.len().min(125) } else { payload.len() };
            bytes.extend(frame_of(first, &payload[..len], mask));
        }
        let chunks: Vec<&[u8]> = bytes.chunks(step).collect();
        assert_cut_alike("frames", mask.is_some(), &bytes, &chunks);
    }
}
