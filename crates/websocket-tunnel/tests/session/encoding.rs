//! Sessions as bytes, and bytes as sessions.

use super::harness::*;
use super::samples::samples;
use std::path::Path;
use websocket_tunnel::{DecodeError, End, Field, Reason, Session};

/// What a session says of itself.
fn text_of(session: &Session) -> String {
    format!("{session:?}")
}

#[test]
fn every_session_is_the_same_after_a_round_trip() {
    for sample in samples() {
        let session = &sample.tunnel.session;
        let bytes = session.encode();
        let decoded = Session::decode(&bytes).map(|decoded| text_of(&decoded));
        assert_eq!(decoded, Ok(text_of(session)), "{}", sample.name);
    }
}

/// The table is worth something only if it has everything.
#[test]
fn the_samples_are_in_every_state() {
    let all: Vec<String> = samples().iter().map(|s| text_of(&s.tunnel.session)).collect();
    let phases = ["Open", "Grace", "Late", "Asked", "Parting", "Flush", "Over"];
    for phase in phases.map(|phase| format!("phase: {phase}")) {
        assert!(all.iter().any(|text| text.contains(&phase)), "no {phase}");
    }
    for state in ["Header", "Payload", "Closed", "Lost"].map(|state| format!("state: {state}")) {
        assert!(all.iter().any(|text| text.contains(&state)), "no {state}");
    }
    let values = ["tail: Open", "tail: Theirs", "tail: Ours", "proof: Some(", "is_drained: true"];
    for value in values.into_iter().chain(["in_message: true", "eager: true", "eager: false"]) {
        assert!(all.iter().any(|text| text.contains(value)), "no {value}");
    }
    let flags = all.iter().flat_map(|text| text.split("flags: ").skip(1)).map(|rest| {
        rest.split(',').next().and_then(|flags| flags.parse::<u16>().ok()).expect("flags")
    });
    let seen = flags.fold(0, |seen, flags| seen | flags);
    assert_eq!(seen, 0xfff, "flags that no sample has: {:#x}", 0xfff & !seen);
    let is_zero_everywhere = |field: &str| {
        let zero = format!(" {field}: 0,");
        all.iter()
            .all(|text| text.matches(&format!(" {field}: ")).count() == text.matches(&zero).count())
    };
    let fields =
        ["left", "frames", "digest", "have", "first", "asked", "moved", "received", "sent"];
    let more = ["pings", "foreign", "foreign_at", "acked", "ping_end", "held", "close_code"];
    for field in fields.into_iter().chain(more) {
        assert!(!is_zero_everywhere(field), "{field} is 0 in each sample");
    }
}

/// The samples as files: what a process of another build wrote is read as it was meant.
///
/// Where the format changes on purpose, `Session::FORMAT` does too, and `WRITE_SEEDS=1` writes them
/// anew; they are the seeds of the fuzz target as well.
#[test]
fn the_format_is_that_of_its_version() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/decode");
    for sample in samples() {
        let (path, bytes) = (seeds.join(sample.name), sample.tunnel.session.encode());
        if std::env::var_os("WRITE_SEEDS").is_some() {
            std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        }
        let seed = std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!(seed, bytes, "{}: the format has changed, and not its version", sample.name);
    }
}

#[test]
fn the_numbers_of_the_reasons_do_not_change() {
    let reasons = [
        "client",
        "destination",
        "drain",
        "max_age",
        "dead_client",
        "dead_destination",
        "idle_timeout",
        "client_send_timeout",
        "destination_send_timeout",
        "client_error",
        "destination_error",
    ];
    assert_eq!(Reason::ALL.map(Reason::as_str), reasons, "a change is a new version of the format");
}

fn named(name: &str) -> [u8; Session::ENCODED_LEN] {
    let all = samples();
    let sample = all.iter().find(|sample| sample.name == name);
    sample.unwrap_or_else(|| panic!("no sample {name}")).tunnel.session.encode()
}

#[test]
fn bytes_that_are_cut_or_go_on_are_refused() {
    let bytes = named("new");
    for len in 0..bytes.len() {
        let error = Session::decode(&bytes[..len]).map(|_| ()).expect_err("a part is no session");
        assert!(matches!(error, DecodeError::Truncated(_)), "{len} bytes: {error}");
    }
    let mut longer = bytes.to_vec();
    longer.extend(*b"...");
    assert_eq!(Session::decode(&longer).err(), Some(DecodeError::TooLong(3)));
    assert_eq!(Session::decode(&[]).unwrap_err().to_string(), "session ends within \"version\"");
    let error = Session::decode(&bytes[..Session::ENCODED_LEN - 1]).unwrap_err();
    assert_eq!(error.to_string(), "session ends within \"phase.eager\"");
}

#[test]
fn another_version_is_refused() {
    let mut bytes = named("new");
    bytes[0] += 1;
    let error = Session::decode(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::Version(Session::FORMAT + 1));
    assert_eq!(error.to_string(), "session has format version 2, it must be 1");
    // whatever is behind it is of that version, too
    assert_eq!(Session::decode(&[9]).err(), Some(DecodeError::Version(9)));
}

/// Where the fields of a side and of the tunnel are.
const CLIENT: usize = 1;
const DESTINATION: usize = CLIENT + SIDE;
const SIDE: usize = 102;
const TUNNEL: usize = DESTINATION + SIDE;

/// A sample, where in it which bytes are to stand, and the field that is refused then.
type Fault<'a> = (&'a str, usize, &'a [u8], Option<End>, &'a str);

/// A value that a field cannot have, or not beside the others of that sample.
#[test]
fn what_no_session_holds_is_refused_by_the_name_of_its_field() {
    let (client, destination) = (Some(Client), Some(Destination));
    let table: &[Fault] = &[
        ("new", CLIENT, &[1], client, "scanner.left"),
        ("new", CLIENT + 15, &[0x80], client, "scanner.frames"),
        ("new", CLIENT + 34, &[15], client, "scanner.have"),
        ("new", CLIENT + 34, &[255], client, "scanner.have"),
        ("in_headers", CLIENT + 34, &[14], client, "scanner.begun"),
        ("in_headers", DESTINATION + 34, &[2], destination, "scanner.begun"),
        ("new", DESTINATION + 36, &[2], destination, "scanner.in_message"),
        ("new", DESTINATION + 37, &[4], destination, "scanner.state"),
        ("in_data", CLIENT, &[0; 8], client, "scanner.left"),
        ("in_data", CLIENT + 7, &[0x80], client, "scanner.left"),
        ("in_data", CLIENT + 34, &[1], client, "scanner.have"),
        ("in_data", CLIENT + 36, &[1], client, "scanner.in_message"),
        ("in_control_frames", CLIENT, &[23], client, "scanner.left"),
        ("in_control_frames", CLIENT, &[0], client, "scanner.left"),
        ("in_control_frames", CLIENT, &[20], client, "scanner.have"),
        ("in_control_frames", DESTINATION + 35, &[0x8a], destination, "scanner.begun"),
        ("in_control_frames", DESTINATION + 21, &[0x96], destination, "scanner.begun"),
        ("half_closed", CLIENT + 34, &[2], client, "scanner.have"),
        ("half_closed", CLIENT + 37, &[0], client, "flags"),
        ("passthrough", CLIENT, &[2], client, "scanner.left"),
        ("new", DESTINATION + 69, &[0x80], destination, "received"),
        ("new", CLIENT + 77, &[0x80], client, "sent"),
        ("new", CLIENT + 81, &[0x80], client, "pings"),
        ("new", CLIENT + 98, &[1], client, "held"),
        ("pong_held_back", CLIENT + 98, &[8], client, "held"),
        ("pong_held_back", CLIENT + 78, &[0; 4], client, "held"),
        ("pong_held_back", TUNNEL + 7, &[0], client, "held"),
        ("new", CLIENT + 100, &[0x10], client, "flags"),
        ("new", CLIENT + 99, &[2], client, "flags"),
        ("new", CLIENT + 99, &[4], client, "flags"),
        ("new", CLIENT + 99, &[8], client, "flags"),
        ("new", CLIENT + 100, &[1], client, "flags"),
        ("new", CLIENT + 100, &[2], client, "flags"),
        ("new", CLIENT + 100, &[8], client, "flags"),
        ("deaf", DESTINATION + 99, &[1], destination, "flags"),
        ("new", CLIENT + 101, &[1], client, "tail"),
        ("new", CLIENT + 101, &[3], client, "tail"),
        ("new", CLIENT + 100, &[8, 2], client, "tail"),
        ("half_closed", DESTINATION + 101, &[0], destination, "tail"),
        ("new", TUNNEL + 24, &[12], None, "reason"),
        ("asked", TUNNEL + 24, &[0], None, "reason"),
        ("half_closed", TUNNEL + 24, &[0], None, "reason"),
        ("new", TUNNEL + 25, &[3], None, "proof"),
        ("new", TUNNEL + 25, &[1], None, "proof"),
        ("parting_of_the_dead", TUNNEL + 25, &[0], None, "proof"),
        ("new", TUNNEL + 26, &[2], None, "is_drained"),
        ("new", TUNNEL + 27, &[7], None, "phase"),
        ("new", TUNNEL + 27, &[255], None, "phase"),
        ("over", TUNNEL + 28, &[1], None, "phase.until"),
        ("grace", TUNNEL + 40, &[1], None, "phase.times"),
        ("new", TUNNEL + 44, &[1], None, "phase.eager"),
        ("new", TUNNEL + 44, &[2], None, "phase.eager"),
        (
            "parting_after_closes",
            TUNNEL + 27,
            &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            None,
            "phase",
        ),
        (
            "parting_after_closes",
            TUNNEL + 27,
            &[5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            None,
            "phase",
        ),
    ];
    for (name, at, value, end, field) in table {
        let mut bytes = named(name);
        bytes[*at..at + value.len()].copy_from_slice(value);
        let error = Session::decode(&bytes).err();
        let expected = DecodeError::Invalid(Field { end: *end, name: field });
        assert_eq!(error, Some(expected), "{name} with {value:02x?} at {at}");
    }
    let error = DecodeError::Invalid(Field { end: client, name: "scanner.left" });
    assert_eq!(error.to_string(), "session has invalid \"client.scanner.left\"");
}
