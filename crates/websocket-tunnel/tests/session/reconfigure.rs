//! Other settings for tunnels that are open.

use super::harness::*;
use websocket_tunnel::{Drain, End, Event, Next, Reason, Sent, SessionSettings};

const HOUR: u64 = 3_600_000;

/// Pings and all else that acts by itself are off.
fn off() -> SessionSettings {
    SessionSettings { ping: 0, idle_timeout: 0, send_timeout: 0, close_timeout: 0, ..settings() }
}

fn aged(max_age: u64) -> SessionSettings {
    SessionSettings { max_age, max_age_jitter: 0, ..off() }
}

impl Tunnel {
    /// Goes to another process, where `settings` hold, and where they make something overdue, that
    /// comes within `spread`.
    fn change(&mut self, settings: SessionSettings, spread: u64) -> Next {
        self.settings = settings;
        self.hand_over(spread)
    }

    fn reason(&self) -> Option<Reason> {
        self.session.summary().reason
    }

    /// When something is due, from now on.
    fn due_in(&self) -> Option<u64> {
        self.session.deadline(&self.settings).map(|due| due.saturating_sub(self.now))
    }
}

/// How many of two hundred tunnels, which are `prepare`d alike and get `settings`, have something
/// overdue in each tenth of `spread`.
fn tenths(
    settings: &SessionSettings,
    spread: u64,
    most: u64,
    prepare: impl Fn(&mut Tunnel),
) -> [u32; 10] {
    let mut tenths = [0; 10];
    for number in 0..200 {
        let mut tunnel = Tunnel::new(off());
        prepare(&mut tunnel);
        tunnel.ends.skip_random(number);
        let _ = tunnel.change(settings.clone(), spread);
        let due = tunnel.due_in().expect("something is due");
        assert!(due <= most, "due in {due}");
        tenths[(due * 10 / (most + 1)) as usize] += 1;
        assert_eq!(tunnel.closed, None);
    }
    tenths
}

#[test]
fn max_age_counts_from_the_beginning() {
    // before, since, after, and in how long
    let table = [
        (HOUR, HOUR / 2, 2 * HOUR, Some(3 * HOUR / 2)),
        (2 * HOUR, HOUR / 2, HOUR, Some(HOUR / 2)),
        (HOUR, HOUR / 2, 0, None),
        (0, HOUR / 2, HOUR, Some(HOUR / 2)),
        (HOUR, HOUR / 2, HOUR, Some(HOUR / 2)),
    ];
    for (before, since, after, due) in table {
        let mut tunnel = Tunnel::new(aged(before));
        tunnel.wait(since);
        assert_eq!(tunnel.change(aged(after), 30_000), Next::Timer);
        assert_eq!(tunnel.due_in(), due, "{before} to {after} after {since}");
    }
}

#[test]
fn max_age_that_has_not_changed_keeps_its_random_part() {
    let settings = SessionSettings { max_age_jitter: 50, ..aged(HOUR) };
    let mut tunnel = Tunnel::new(settings.clone());
    let due = tunnel.due_in();
    for _ in 0..100 {
        let _ = tunnel.change(settings.clone(), 30_000);
    }
    assert_eq!(tunnel.due_in(), due);
    // one that has gets another: of the new one
    let _ = tunnel.change(SessionSettings { max_age_jitter: 50, ..aged(10 * HOUR) }, 30_000);
    assert!((5 * HOUR..=10 * HOUR).contains(&tunnel.due_in().expect("the age")));
}

#[test]
fn an_age_that_is_passed_already_comes_at_random_once() {
    let tenths = tenths(&aged(HOUR), 30_000, 30_000, |tunnel| tunnel.wait(2 * HOUR));
    assert!(tenths.iter().all(|count| *count > 5), "{tenths:?}");

    // a hundred reloads, 30 ms apart, neither hasten it nor put it off
    let mut tunnel = Tunnel::new(aged(0));
    tunnel.wait(2 * HOUR);
    let _ = tunnel.change(aged(HOUR), 30_000);
    let due = tunnel.session.deadline(&tunnel.settings);
    while tunnel.reason().is_none() {
        let _ = tunnel.change(aged(HOUR), 30_000);
        assert_eq!(tunnel.session.deadline(&tunnel.settings), due);
        tunnel.wait(30);
    }
    assert!(due.is_some_and(|due| tunnel.now - due < 30));
    assert_eq!(tunnel.reason(), Some(Reason::MaxAge));
}

#[test]
fn grace_handshake_and_code_are_the_new_ones() {
    let mut tunnel = Tunnel::new(aged(HOUR));
    let new = SessionSettings { grace: 7_000, handshake: 9_000, close_code: 1012, ..aged(HOUR) };
    let _ = tunnel.change(new, 30_000);
    let _ = tunnel.from(Destination, &frame(Destination, 0x01, b"begin"));
    tunnel.take(Client);
    tunnel.wait(HOUR + 6_999);
    assert_eq!(tunnel.take(Client), b"");
    tunnel.wait(1);
    assert_eq!(tunnel.take(Client), close(Destination, 1012));
    tunnel.wait(8_999);
    assert_eq!(tunnel.closed, None);
    tunnel.wait(1);
    assert_eq!(tunnel.closed, Some(tunnel.now));
}

#[test]
fn a_drain_that_is_planned_stands() {
    let mut tunnel = Tunnel::new(aged(0));
    let at = tunnel.now + 5_000;
    let drain = Drain { at, grace: 1_000, handshake: 2_000, code: 1012 };
    let next = tunnel.session.begin_drain(&drain);
    let _ = tunnel.noted(next);
    let _ = tunnel.change(SessionSettings { grace: 0, handshake: 0, ..aged(HOUR) }, 30_000);
    tunnel.wait(5_000);
    assert_eq!(tunnel.take(Client), close(Destination, 1012));
    assert_eq!(tunnel.reason(), Some(Reason::Drain));
    let _ = tunnel.change(aged(HOUR), 30_000);
    tunnel.wait(1_999);
    assert_eq!(tunnel.closed, None, "it has the time for the answers that it was planned with");
    tunnel.wait(1);
    assert_eq!(tunnel.closed, Some(tunnel.now));
}

/// What is overdue, by which settings, and after what.
type Overdue<'a> = (&'a str, SessionSettings, &'a dyn Fn(&mut Tunnel));

#[test]
fn what_other_times_make_overdue_comes_at_random() {
    let pinging = SessionSettings {
        ping: 25_000,
        pong_timeout: HOUR,
        destination_pong_timeout: HOUR,
        ..off()
    };
    let rows: [Overdue; 5] = [
        ("idle", SessionSettings { idle_timeout: 60_000, ..off() }, &|t| t.wait(HOUR)),
        ("send", SessionSettings { send_timeout: 60_000, ..off() }, &|t| {
            t.block(Client);
            t.wait(HOUR);
        }),
        ("close", SessionSettings { close_timeout: 60_000, ..off() }, &|t| {
            let _ = t.from(Client, &close(Client, 1000));
            t.wait(HOUR);
        }),
        // the destination has its time still
        ("pong", SessionSettings { ping: HOUR, pong_timeout: 40_000, ..pinging.clone() }, &|t| {
            t.settings = pinging.clone();
            t.wait(HOUR / 2);
        }),
        ("ping", SessionSettings { ping: 50_000, ..off() }, &|t| {
            t.wait(HOUR);
            let _ = t.from(Destination, &text(Destination, "not silent"));
        }),
    ];
    for (name, settings, prepare) in rows {
        let tenths = tenths(&settings, 30_000, 30_000, prepare);
        assert!(tenths.iter().all(|count| *count > 2), "{name}: {tenths:?}");
    }
    // a time that is shorter than that is not made longer
    let idle = SessionSettings { idle_timeout: 5_000, ..off() };
    let tenths = tenths(&idle, 30_000, 5_000, |tunnel| tunnel.wait(HOUR));
    assert!(tenths.iter().all(|count| *count > 5), "{tenths:?}");
}

#[test]
fn what_is_not_overdue_keeps_its_time() {
    let mut tunnel = Tunnel::new(off());
    tunnel.wait(10_000);
    let _ = tunnel.change(SessionSettings { idle_timeout: 60_000, ..off() }, 30_000);
    assert_eq!(tunnel.due_in(), Some(50_000));
}

#[test]
fn an_answer_to_a_ping_that_was_put_off_is_one() {
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(SessionSettings { pong_timeout: HOUR, ..settings() });
        tunnel.wait_hearing(30_000, end.peer());
        let token = token(end, &tunnel.take(end));
        let short = SessionSettings { pong_timeout: 1_000, ..settings() };
        let short = SessionSettings { destination_pong_timeout: 1_000, ..short };
        let _ = tunnel.change(short, 30_000);
        let _ = tunnel.from(end, &frame(end, 0x8a, &token));
        assert!(tunnel.ends.events.contains(&Event::Ponged(end)));
        tunnel.wait_hearing(20_000, end.peer());
        assert_eq!(tunnel.reason(), None, "{end}");
    }
}

#[test]
fn a_clock_that_is_a_little_behind_condemns_nobody() {
    for end in End::BOTH {
        let mut tunnel = Tunnel::new(settings());
        tunnel.wait_hearing(25_000, end.peer());
        let token = token(end, &tunnel.take(end));
        tunnel.now -= 5;
        let _ = tunnel.hand_over(0);
        let _ = tunnel.from(end, &frame(end, 0x8a, &token));
        tunnel.wait_hearing(20_000, end.peer());
        assert_eq!(tunnel.reason(), None, "{end}");
    }
    // who does not answer still is, also one that was heard of in the future
    let times = SessionSettings { ping: 3, pong_timeout: 10, ..off() };
    let mut tunnel = Tunnel::new(times);
    tunnel.wait(3);
    tunnel.now -= 5;
    let _ = tunnel.hand_over(0);
    tunnel.wait(10);
    assert_eq!(tunnel.reason(), Some(Reason::Dead(Client)));

    let mut tunnel = Tunnel::new(settings());
    tunnel.wait_hearing(25_000, Destination);
    tunnel.now -= 5;
    let _ = tunnel.hand_over(0);
    tunnel.wait_hearing(10_000, Destination);
    assert_eq!(tunnel.reason(), Some(Reason::Dead(Client)));
}

#[test]
fn a_ping_of_the_other_end_is_as_old_as_before() {
    // it waits for its Pong, so that ours stays away, also when our Ping was put off
    let mut tunnel = Tunnel::new(off());
    let _ = tunnel.from(Destination, &frame(Destination, 0x89, b"?"));
    tunnel.wait(HOUR);
    let patient = SessionSettings { ping: 25_000, pong_timeout: 10_000, ..off() };
    let _ = tunnel.change(patient, 25_000);
    tunnel.wait(25_000);
    assert!(!tunnel.ends.events.contains(&Event::Pinged(Client)), "{:?}", tunnel.ends.events);
}

#[test]
fn slow_ends_are_not_closed_in_a_burst() {
    // both ends take nothing, and the new settings allow less time than that took already
    let mut tunnel = Tunnel::new(off());
    tunnel.block(Client);
    tunnel.block(Destination);
    tunnel.wait(HOUR);
    let _ = tunnel.change(SessionSettings { send_timeout: 10_000, ..off() }, 30_000);
    assert_eq!(tunnel.sent(Client, Sent::Kept), Next::Keep);
    assert_eq!(tunnel.drained(Destination), Next::Timer);
    tunnel.wait(9_999);
    assert_eq!(tunnel.reason(), None);
    tunnel.wait(1);
    assert_eq!(tunnel.reason(), Some(Reason::SendTimeout(Client)));
}
