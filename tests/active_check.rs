//! Active checks, as tables.

use ngx_http_elb_websocket_module::active_check::{
    is_host, is_path, request, Availability, CheckSettings, Failure, ProbeAnswer, Reader, State,
    Statuses, MOST,
};

/// Feeds the results, `+` or `-`, to a new state; returns the state after each: `U`p or `D`own.
fn states(mut state: State, results: &str, settings: &CheckSettings) -> String {
    let step = |result| {
        state.record(result == '+', settings);
        match state.up() {
            Some(true) => 'U',
            Some(false) => 'D',
            None => '?',
        }
    };
    results.chars().map(step).collect()
}

#[test]
fn a_state_follows_rows_of_results() {
    let cases = [
        // rise, fall, results, states
        (2, 3, "+", "U"),
        (2, 3, "-", "D"),
        (2, 3, "+--+--+---", "UUUUUUUUUD"),
        (2, 3, "-+-+-++", "DDDDDDU"),
        (2, 3, "---+++---", "DDDDUUUUD"),
        (1, 1, "+-+-", "UDUD"),
        (1, 3, "-+--+---", "DUUUUUUD"),
        (3, 1, "+-++-+++", "UDDDDDDU"),
        (u32::MAX, u32::MAX, "+----", "UUUUU"),
    ];
    for (rise, fall, results, expected) in cases {
        let settings = CheckSettings { rise, fall, ..CheckSettings::default() };
        let found = states(State::default(), results, &settings);
        assert_eq!(found, expected, "rise={rise} fall={fall} {results}");
    }
}

#[test]
fn a_state_that_is_known_is_not_overturned_by_the_first_result() {
    let settings = CheckSettings { rise: 2, fall: 3, ..CheckSettings::default() };
    assert_eq!(State::default().up(), None);
    assert_eq!(states(State::known(true), "--+---", &settings), "UUUUUD");
    assert_eq!(states(State::known(false), "+-++", &settings), "DDDU");
}

#[test]
fn statuses() {
    let lists: &[(&str, &[u16], &[u16])] = &[
        ("200-399", &[200, 301, 399], &[199, 400, 503]),
        ("200,204", &[200, 204], &[201, 203, 205]),
        ("100-199,404,500-599", &[100, 199, 404, 500, 599], &[99, 200, 405, 600, 0]),
        ("200-200", &[200], &[201]),
    ];
    for (text, inside, outside) in lists {
        let statuses = Statuses::parse(text).expect(text);
        for status in *inside {
            assert!(statuses.contains(*status), "{status} in {text:?}");
        }
        for status in *outside {
            assert!(!statuses.contains(*status), "{status} not in {text:?}");
        }
    }
    let malformed = [
        "",
        "200,",
        ",200",
        "200-",
        "-200",
        "300-200",
        "200 204",
        "20",
        "0200",
        "+20",
        "099",
        "600",
        "200-600",
        "200-300-400",
        "2xx",
    ];
    for text in malformed {
        assert_eq!(Statuses::parse(text), None, "{text:?}");
    }
}

/// The result of an answer that arrives in parts, up to the first part that decides it.
fn answer(parts: &[&[u8]]) -> ProbeAnswer {
    let mut reader = Reader::default();
    let said = parts.iter().map(|part| reader.read(part));
    said.into_iter().find(|said| *said != ProbeAnswer::More).unwrap_or(ProbeAnswer::More)
}

#[test]
fn answers_cut_anywhere() {
    let cases = [
        ("HTTP/1.1 200 OK\r\n", ProbeAnswer::Status(200)),
        ("HTTP/1.0 503 Service Unavailable\r\n", ProbeAnswer::Status(503)),
        ("HTTP/1.1 204\r\n", ProbeAnswer::Status(204)),
        ("HTTP/1.1 204\n", ProbeAnswer::Status(204)),
        ("HTTP/1.1 2000 OK\r\n", ProbeAnswer::Malformed),
        ("HTTP/1.1 099 OK\r\n", ProbeAnswer::Malformed),
        ("HTTP/1.1 600 OK\r\n", ProbeAnswer::Malformed),
        ("HTTP/1.1 2x0 OK\r\n", ProbeAnswer::Malformed),
        ("HTTP/1.1  200 OK\r\n", ProbeAnswer::Malformed),
        ("HTTP/2 200\r\n ......", ProbeAnswer::Malformed),
        ("http/1.1 200 OK\r\n", ProbeAnswer::Malformed),
        ("SSH-2.0-OpenSSH_9.2", ProbeAnswer::Malformed),
        ("\x15\x03\x03\0\x02\x02\x28.......", ProbeAnswer::Malformed),
        ("\r\nHTTP/1.1 200 OK\r\n", ProbeAnswer::Malformed),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", ProbeAnswer::Status(200)),
        ("HTTP/1.1 102\n\nHTTP/1.1 204\n", ProbeAnswer::Status(204)),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nX:\r\n\r\n\
             HTTP/1.1 100\r\n\r\nHTTP/1.1 503 Busy\r\n",
            ProbeAnswer::Status(503),
        ),
        ("HTTP/1.1 103 HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\n", ProbeAnswer::More),
        ("HTTP/1.1 103 Early Hints\r\n\r\nSSH-2.0", ProbeAnswer::Malformed),
        ("HTTP/1.1 101 Switching Protocols\r\n", ProbeAnswer::Status(101)),
    ];
    for (text, expected) in cases {
        let bytes = text.as_bytes();
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(answer(&[first, second]), expected, "{text:?} cut at {cut}");
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(answer(&single), expected, "{text:?} byte by byte");
    }
    assert_eq!(answer(&[b""]), ProbeAnswer::More);
    assert_eq!(answer(&[b"HTTP/1.1 200"]), ProbeAnswer::More, "a fourth digit may follow");
}

#[test]
fn interim_answers_are_read_up_to_a_limit() {
    let hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let last = b"HTTP/1.1 200 OK\r\n";
    let fitting = (MOST - last.len()) / hint.len();
    let many = |hints: usize| [&hint.repeat(hints), last.as_slice()].concat();
    assert_eq!(answer(&[&many(fitting)]), ProbeAnswer::Status(200));
    assert_eq!(answer(&[&many(MOST / hint.len() + 1)]), ProbeAnswer::TooLong);
    assert_eq!(answer(&[&hint.repeat(MOST)]), ProbeAnswer::TooLong, "without an end");
    let endless = [b"HTTP/1.1 103 ".as_slice(), &vec![b'x'; 2 * MOST]];
    assert_eq!(answer(&endless), ProbeAnswer::TooLong, "one that has no end");
}

#[test]
fn the_request() {
    let cases = [
        ("app.test:45490", "app.test:45490"),
        ("[::1]:80", "[::1]:80"),
        ("unix:/tmp/socket", "localhost"),
        ("", "localhost"),
        ("a b\r\nX: y", "localhost"),
    ];
    for (server, host) in cases {
        let settings = CheckSettings { path: "/up?a=1".to_owned(), ..CheckSettings::default() };
        let request = request(&settings, server);
        assert!(request.starts_with("GET /up?a=1 HTTP/1.1\r\n"), "{request:?}");
        assert!(request.contains(&format!("\r\nHost: {host}\r\n")), "{request:?}");
        assert!(request.contains("\r\nConnection: close\r\n"), "{request:?}");
        assert!(request.ends_with("\r\n\r\n") && request.matches("\r\n\r\n").count() == 1);
    }
    let settings = |path: &str| CheckSettings {
        path: path.to_owned(),
        host: "app.example".to_owned(),
        ..CheckSettings::default()
    };
    let request_of = |path, server| request(&settings(path), server);
    for server in ["app.test:45490", "unix:/tmp/socket", ""] {
        let request = request_of("/", server);
        assert!(request.contains("\r\nHost: app.example\r\n"), "{server}: {request:?}");
    }
    assert_eq!(request_of("", "app.test:45490"), "", "a TCP connection");
    let hosts = [("app.example", true), ("app:80", true), ("[::1]:80", true), ("10.0.0.1", true)];
    let odd =
        [("", false), ("a b", false), ("a/b", false), ("a\r\nX: y", false), ("\u{e4}", false)];
    for (host, fits) in hosts.into_iter().chain(odd) {
        assert_eq!(is_host(host), fits, "{host:?}");
    }
    assert!(!is_host(&"a".repeat(256)));
    for (path, fits) in [("/", true), ("/a?b=%20", true), ("a", false), ("/a b", false)] {
        assert_eq!(is_path(path), fits, "{path:?}");
    }
    for path in ["", "/a#b", "/\r\nX: y", "/\u{e4}", "http://x/"] {
        assert!(!is_path(path), "{path:?}");
    }
}

#[test]
fn checks_are_spread() {
    for interval in [1, 2, 9, 100, 5_000, 86_400_000] {
        let settings = CheckSettings { interval, ..CheckSettings::default() };
        for random in [0, 1, 499, 12_345, u64::MAX / 2, u64::MAX] {
            let context = format!("interval {interval}, random {random}");
            assert!(settings.delay(0, random) < 500.min(interval).max(1), "{context}");
            let second = settings.delay(1, random);
            assert!((interval / 2..=interval).contains(&second), "{context}: {second}");
            for done in [2, 3, u64::MAX] {
                let next = settings.delay(done, random);
                let (low, high) = (interval - interval / 10, interval + interval / 5);
                assert!((low..=high).contains(&next), "{context}: {next}");
            }
        }
    }
    let settings = CheckSettings { interval: 1_000, ..CheckSettings::default() };
    let sum: u64 = (0..201).map(|random| settings.delay(2, random)).sum();
    assert_eq!(sum / 201, 1_000, "the mean is the interval");
}

#[test]
fn a_block_is_down_without_a_destination_that_is_up() {
    let cases = [
        // up, dead, out, down
        (1, 0, 0, false),
        (1, 9, 9, false),
        (0, 1, 0, true),
        (0, 1, 1, true),
        (0, 0, 1, false),
        (0, 0, 0, true),
    ];
    for (up, dead, out, expected) in cases {
        let tally = Availability { up, dead, out };
        assert_eq!(tally.is_down(), expected, "{tally:?}");
    }
}

#[test]
fn reasons() {
    let cases = [
        (Failure::Connect("Connection refused".into()), "connect: Connection refused"),
        (Failure::Connection("Connection reset by peer".into()), "Connection reset by peer"),
        (Failure::Closed, "closed without an answer"),
        (Failure::Malformed, "answered with something other than HTTP/1"),
        (Failure::TooLong, "answered with 64 kB of interim answers"),
        (Failure::Status(503), "status 503"),
        (Failure::Timeout(2_000), "timed out after 2s"),
        (Failure::Timeout(250), "timed out after 250ms"),
    ];
    for (failure, expected) in cases {
        assert_eq!(failure.to_string(), expected);
    }
}
