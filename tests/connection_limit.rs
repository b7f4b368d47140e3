//! The table of counts by key, compared with a model that is a map.

use std::collections::HashMap;
use std::mem::forget;

use proptest::prelude::*;

use ngx_http_elb_websocket_module::connection_limit::{
    Entry, Head, Link, Parts, Place, Process, Refused, Table, KEYS, PROCESSES,
};

/// Memory for a table.
struct Memory {
    head: Head,
    seed: [u64; 2],
    processes: Vec<Process>,
    chains: Vec<Link>,
    next: Vec<Link>,
    entries: Vec<Entry>,
}

impl Memory {
    fn new(processes: usize, chains: usize, entries: usize) -> Self {
        Self {
            head: Head::default(),
            seed: [1, 2],
            processes: vec![Process::default(); processes],
            chains: vec![0; chains],
            next: vec![0; entries],
            entries: (0..entries).map(|_| Entry::default()).collect(),
        }
    }

    fn table(&mut self) -> Table<'_> {
        let Self { head, seed, processes, chains, next, entries } = self;
        Table::open(Parts { head, processes, chains, next, entries }, *seed)
    }

    /// The remains of a process that died during a change.
    fn break_off(&mut self, noise: u32) {
        forget(self.table());
        for (index, link) in (0..).zip(self.chains.iter_mut().chain(&mut self.next)) {
            *link = noise.wrapping_mul(index + 1) % 11;
        }
    }
}

fn process(pid: u64) -> Process {
    Process { pid, started: 7 * pid }
}

#[test]
fn a_key_is_held_up_to_its_limit_by_all_processes_together() {
    let mut memory = Memory::new(3, 4, 8);
    let mut table = memory.table();
    let places: Vec<_> = (1..=3).map(|pid| table.enter(process(pid)).unwrap()).collect();
    assert_eq!(table.enter(process(4)), None);
    assert_eq!(table.take(7, places[0], 2), Ok(()));
    assert_eq!(table.take(7, places[1], 2), Ok(()));
    assert_eq!(table.take(7, places[0], 2), Err(Refused::Limit));
    assert_eq!(table.take(7, places[2], 2), Err(Refused::Limit));
    assert_eq!(table.take(8, places[0], 2), Ok(()));
    table.give_back(7, places[1]);
    assert_eq!(table.take(7, places[0], 2), Ok(()));
    assert_eq!(table.take(9, places[0], 0), Err(Refused::Limit));
}

#[test]
fn a_dead_process_holds_nothing_and_one_with_its_number_is_another() {
    let mut memory = Memory::new(2, 4, 8);
    let mut table = memory.table();
    let [old, live] = [1, 2].map(|pid| table.enter(process(pid)).unwrap());
    for key in [7, 7, 8, 9] {
        assert_eq!(table.take(key, old, 2), Ok(()));
    }
    assert_eq!(table.take(9, live, 2), Ok(()));
    assert_eq!(table.take(7, live, 2), Err(Refused::Limit));
    let same_number = Process { pid: 1, started: 100 };
    assert!(!table.remove(&[same_number]), "nobody knows it");
    assert_eq!(table.processes(), [process(1), process(2)]);
    assert!(table.remove(&[process(1)]));
    let new = table.enter(same_number).unwrap();
    assert_eq!(table.processes(), [same_number, process(2)]);
    for _ in 0..2 {
        assert_eq!(table.take(7, new, 2), Ok(()));
    }
    assert_eq!(table.take(7, live, 2), Err(Refused::Limit));
    assert_eq!(table.take(9, new, 2), Ok(()));
    assert_eq!(table.take(9, new, 2), Err(Refused::Limit), "beside one of a live process");
    table.leave(live);
    assert_eq!(table.take(9, new, 2), Ok(()));
}

/// Independent of which process holds the keys: every entry of the table is used before one is
/// refused.
#[test]
fn there_is_room_for_as_many_keys_as_entries() {
    for processes in [1, 33, 130, PROCESSES] {
        let mut memory = Memory::new(processes, KEYS, KEYS);
        let mut table = memory.table();
        let places: Vec<_> =
            (1..=processes as u64).map(|pid| table.enter(process(pid)).unwrap()).collect();
        let hashes: Vec<_> =
            (0..=KEYS).map(|key| table.hash(format!("10.0.{key}").as_bytes())).collect();
        let holders = || places.iter().cycle();
        for (hash, place) in hashes[..KEYS].iter().zip(holders()) {
            assert_eq!(table.take(*hash, *place, 1), Ok(()), "of {processes} processes");
        }
        for (hash, place) in hashes.iter().zip(holders().skip(1)) {
            let expected = if *hash == hashes[KEYS] { Refused::Full } else { Refused::Limit };
            assert_eq!(table.take(*hash, *place, 1), Err(expected));
        }
        table.give_back(hashes[0], places[0]);
        assert_eq!(table.take(hashes[KEYS], places[0], 1), Ok(()));
    }
}

/// One key, many processes: exactly the limit.
#[test]
fn as_many_processes_as_there_are_may_hold_one_key() {
    let mut memory = Memory::new(1024, 1024, 1024);
    let mut table = memory.table();
    for pid in 1..=1024 {
        let place = table.enter(process(pid)).unwrap();
        assert_eq!(table.take(7, place, 1024), Ok(()), "{pid}");
        assert_eq!(table.take(7, place, pid), Err(Refused::Limit), "{pid}");
    }
}

#[test]
fn a_seed_decides_what_is_one_chain() {
    let mut one = Memory::new(1, 1, 1);
    let mut other = Memory::new(1, 1, 1);
    other.seed = [1, 3];
    let (one, other) = (one.table(), other.table());
    assert_eq!(one.hash(b"2001:db8::1"), one.hash(b"2001:db8::1"));
    assert_ne!(one.hash(b"2001:db8::1"), other.hash(b"2001:db8::1"));
    assert_ne!(one.hash(b"2001:db8::1"), one.hash(b"2001:db8::2"));
}

#[test]
fn refusals_look_at_the_processes_now_and_then() {
    let mut memory = Memory::new(1, 1, 1);
    let mut table = memory.table();
    let asked = [5_000, 5_000, 5_999, 6_000, 5_500, 6_999, 7_000];
    let looked = asked.map(|now| table.is_time_to_look(now));
    assert_eq!(looked, [true, false, false, true, false, false, true]);
}

#[test]
fn no_memory_does_no_harm() {
    for (chains, entries) in [(0, 0), (1, 0), (0, 1)] {
        let mut memory = Memory::new(1, chains, entries);
        let mut table = memory.table();
        let place = table.enter(process(1)).unwrap();
        assert_eq!(table.take(1, place, 1), Err(Refused::Full), "{chains} {entries}");
        table.give_back(1, place);
    }
    assert_eq!(Memory::new(0, 1, 1).table().enter(process(1)), None);
}

/// An operation on a table.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A process takes a key of a limit.
    Take(usize, u64, u64),
    /// A process releases a key, which it may or may not hold.
    Give(usize, u64),
    /// A process ends in an orderly way.
    Leave(usize),
    /// A process dies; another process gets its number.
    Die(usize),
    /// A process dies while it changes the table.
    BreakOff(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let process = 0..4_usize;
    let key = 0..6_u64;
    prop_oneof![
        8 => (process.clone(), key.clone(), 1..5_u64).prop_map(|(p, k, l)| Step::Take(p, k, l)),
        6 => (process.clone(), key).prop_map(|(p, k)| Step::Give(p, k)),
        1 => process.clone().prop_map(Step::Leave),
        1 => process.prop_map(Step::Die),
        1 => any::<u32>().prop_map(Step::BreakOff),
    ]
}

/// The processes of a test, each with its place if it has one.
struct Processes {
    all: Vec<(Process, Option<Place>)>,
    /// When the last process started.
    clock: u64,
}

impl Processes {
    fn place(&mut self, index: usize, table: &mut Table) -> Place {
        let (process, place) = &mut self.all[index];
        *place.get_or_insert_with(|| table.enter(*process).expect("a place for each process"))
    }

    /// Another process with the same number.
    fn replace(&mut self, index: usize) -> (Process, Option<Place>) {
        self.clock += 1;
        let pid = self.all[index].0.pid;
        let new = Process { pid, started: self.clock };
        std::mem::replace(&mut self.all[index], (new, None))
    }
}

proptest! {
    #[test]
    fn it_counts_as_a_map_does(steps in prop::collection::vec(step(), 1..120)) {
        const ENTRIES: usize = 9;
        let mut memory = Memory::new(4, 3, ENTRIES);
        let mut model: HashMap<(usize, u64), u64> = HashMap::new();
        let all = (1..=4).map(|pid| (process(pid), None)).collect();
        let mut processes = Processes { all, clock: 100 };
        for step in steps {
            match step {
                Step::Take(index, key, limit) => {
                    let mut table = memory.table();
                    let place = processes.place(index, &mut table);
                    let held: u64 = (0..4).filter_map(|other| model.get(&(other, key))).sum();
                    let has_room = model.contains_key(&(index, key)) || model.len() < ENTRIES;
                    let expected = match (held < limit, has_room) {
                        (false, _) => Err(Refused::Limit),
                        (true, false) => Err(Refused::Full),
                        (true, true) => Ok(()),
                    };
                    prop_assert_eq!(table.take(key, place, limit), expected, "{:?}", step);
                    if expected.is_ok() {
                        *model.entry((index, key)).or_default() += 1;
                    }
                }
                Step::Give(index, key) => {
                    let mut table = memory.table();
                    let place = processes.place(index, &mut table);
                    table.give_back(key, place);
                    if let Some(count) = model.get_mut(&(index, key)) {
                        *count -= 1;
                    }
                    model.retain(|_, count| *count > 0);
                }
                Step::Leave(index) => {
                    if let (_, Some(place)) = processes.replace(index) {
                        memory.table().leave(place);
                    }
                    model.retain(|(holder, _), _| *holder != index);
                }
                Step::Die(index) => {
                    let (dead, place) = processes.replace(index);
                    prop_assert_eq!(memory.table().remove(&[dead]), place.is_some());
                    model.retain(|(holder, _), _| *holder != index);
                }
                Step::BreakOff(noise) => memory.break_off(noise),
            }
        }
    }
}
