//! Counts of live WebSockets by key, in a table of fixed size that several processes share.
//!
//! An [`Entry`] says how often one process holds one key; what a key has is the sum of its entries.
//! So what a dead process has left behind is told from what is alive, and the table is full only
//! when it has no entry left: however many processes there are, that takes as many WebSockets.
//!
//! Entries are the truth. Chains, by which a key finds its entries, and the list of free ones are
//! derived from them, and made anew where a process has died in the midst of a change: the word
//! that makes an entry count is written last. The caller keeps others out while it works on the
//! table.

use std::hash::Hasher;
use std::iter::successors;
use std::sync::atomic::{AtomicU32, Ordering};

use zerocopy::FromBytes;

/// How often a refusal may have the processes looked at, in milliseconds: looking costs more than
/// all else of a handshake that is refused.
const PATIENCE: u64 = 1_000;

/// How many keys there is room for where each is held by one process.
pub const KEYS: usize = 65_536;

/// As many processes as nginx can have (`NGX_MAX_PROCESSES`).
pub const PROCESSES: usize = 1024;

/// The number of what lies in the memory: raise it with any change to the meaning or the order of
/// the parts of a [`Table`].
pub const VERSION: u32 = 3;

/// The memory of a table with room for [`KEYS`] and [`PROCESSES`], all-zero at first.
#[derive(FromBytes)]
#[repr(C)]
pub struct Memory {
    head: Head,
    processes: [Process; PROCESSES],
    chains: [Link; KEYS],
    next: [Link; KEYS],
    entries: [Entry; KEYS],
}

/// What there is once in a table.
#[derive(Debug, Default, FromBytes)]
#[repr(C)]
pub struct Head {
    /// When the processes were looked at last, in milliseconds.
    looked: u64,
    /// 0 while a process changes the table, and before the first one does.
    at_rest: AtomicU32,
    /// The first free entry.
    free: Link,
}

/// A process that counts. All-zero is a free place.
#[derive(Clone, Copy, Debug, Default, FromBytes, PartialEq, Eq)]
#[repr(C)]
pub struct Process {
    /// Its number.
    pub pid: u64,
    /// When it started, in any unit: numbers are given again, but not at the same time.
    pub started: u64,
}

/// How often a process holds a key. All-zero is a free one.
#[derive(Debug, Default, FromBytes)]
#[repr(C)]
pub struct Entry {
    key: u64,
    /// The place of the process.
    process: u32,
    /// 0 where the entry is free, whatever the rest says.
    count: AtomicU32,
}

/// The place of an entry and 1, or 0 for none.
pub type Link = u32;

/// A process's place in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u32);

/// Why a key cannot be held once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is held as often as it may be.
    Limit,
    /// The table has no room for it.
    Full,
}

/// The memory of a table, all-zero but for its head.
#[derive(Debug)]
pub struct Parts<'a> {
    /// What there is once.
    pub head: &'a mut Head,
    /// As many as there can be processes.
    pub processes: &'a mut [Process],
    /// The first entry of each chain; at least one.
    pub chains: &'a mut [Link],
    /// For each entry, the next one of its chain or of the free ones.
    pub next: &'a mut [Link],
    /// As many entries.
    pub entries: &'a mut [Entry],
}

/// A table that is being worked on; others stay out until it is dropped.
#[derive(Debug)]
pub struct Table<'a> {
    parts: Parts<'a>,
    seed: [u64; 2],
}

impl Memory {
    /// The parts of the table that lies there.
    pub fn parts(&mut self) -> Parts<'_> {
        let Self { head, processes, chains, next, entries } = self;
        Parts { head, processes, chains, next, entries }
    }
}

impl<'a> Table<'a> {
    /// Begins to work on a table. One that a process has left in the midst of a change, since it
    /// has died there, is set right first. Keys are hashed with `seed`, bits that nobody can guess and
    /// that are the same for all of a table's life: so nobody can choose two that are one here.
    pub fn open(parts: Parts<'a>, seed: [u64; 2]) -> Self {
        let was_busy = parts.head.at_rest.swap(0, Ordering::Acquire) == 0;
        let mut table = Self { parts, seed };
        if was_busy {
            table.rebuild(|_| false);
        }
        table
    }

    /// What stands for a key here.
    pub fn hash(&self, key: &[u8]) -> u64 {
        let [one, other] = self.seed;
        // what the standard library has in its place takes no key
        #[allow(deprecated)]
        let mut hasher = std::hash::SipHasher::new_with_keys(one, other);
        hasher.write(key);
        hasher.finish()
    }

    /// Gives a process a place; `None` where all are taken.
    pub fn enter(&mut self, process: Process) -> Option<Place> {
        let free = self.parts.processes.iter().position(|other| other.pid == 0)?;
        let place = u32::try_from(free).ok()?;
        *self.parts.processes.get_mut(free)? = process;
        Some(Place(place))
    }

    /// The process in `place` is gone, and what it holds with it.
    pub fn leave(&mut self, place: Place) {
        self.bury(|index, _| index == place.0 as usize);
    }

    /// The processes that have a place.
    pub fn processes(&self) -> Vec<Process> {
        self.parts.processes.iter().filter(|process| process.pid != 0).copied().collect()
    }

    /// Whether a refusal at `now` is a reason to look which processes live: not where another one
    /// was lately. The caller does so, without keeping others out meanwhile.
    pub fn is_time_to_look(&mut self, now: u64) -> bool {
        let is_time = now.saturating_sub(self.parts.head.looked) >= PATIENCE;
        if is_time {
            self.parts.head.looked = now;
        }
        is_time
    }

    /// Takes back what dead processes hold; whether one of them had a place.
    pub fn remove(&mut self, dead: &[Process]) -> bool {
        self.bury(|_, process| dead.contains(process))
    }

    /// Holds `key` once more for the process in `place`, unless it is held `limit` times by all
    /// together.
    ///
    /// # Errors
    /// The key may not be held, or there is no room.
    pub fn take(&mut self, key: u64, place: Place, limit: u64) -> Result<(), Refused> {
        let held: u64 = self.of_key(key).map(|(_, entry)| u64::from(entry.count())).sum();
        if held >= limit {
            return Err(Refused::Limit);
        }
        let own = self.of_key(key).find(|(_, entry)| entry.process == place.0);
        match own {
            Some((_, own)) => own.set(own.count().checked_add(1).ok_or(Refused::Full)?),
            None => self.insert(key, place).ok_or(Refused::Full)?,
        }
        Ok(())
    }

    /// Gives back what `take` has given to the process in `place`.
    pub fn give_back(&mut self, key: u64, place: Place) {
        let own = self.of_key(key).find(|(_, entry)| entry.process == place.0);
        let Some((index, own)) = own else { return };
        own.set(own.count().saturating_sub(1));
        if own.count() == 0 {
            self.unlink(key, index);
        }
    }

    /// The entries of a key and where they are.
    fn of_key(&self, key: u64) -> impl Iterator<Item = (usize, &Entry)> {
        let entries =
            self.chain(key).filter_map(|index| Some((index, self.parts.entries.get(index)?)));
        entries.filter(move |(_, entry)| entry.key == key)
    }

    /// The entries of the chain that a key is in. A chain has no more than there are.
    fn chain(&self, key: u64) -> impl Iterator<Item = usize> + '_ {
        let first = self.parts.chains.get(self.chain_of(key)).copied().unwrap_or(0);
        let next = |link: &Link| self.parts.next.get(index(*link)?).copied();
        successors(Some(first), next).map_while(index).take(self.parts.entries.len())
    }

    fn chain_of(&self, key: u64) -> usize {
        (key % (self.parts.chains.len() as u64).max(1)) as usize
    }

    /// Has a free entry count one for a key and a process; `None` where there is none.
    fn insert(&mut self, key: u64, place: Place) -> Option<()> {
        let link = self.parts.head.free;
        let index = index(link)?;
        let chain = self.chain_of(key);
        let (chain, next) = (self.parts.chains.get_mut(chain)?, self.parts.next.get_mut(index)?);
        let entry = self.parts.entries.get_mut(index)?;
        self.parts.head.free = std::mem::replace(next, std::mem::replace(chain, link));
        (entry.key, entry.process) = (key, place.0);
        entry.set(1);
        Some(())
    }

    /// Moves an entry of a key from its chain to the free ones.
    fn unlink(&mut self, key: u64, entry: usize) {
        let chain = self.chain_of(key);
        let before = self.chain(key).take_while(|index| *index != entry).last();
        let Parts { head, chains, next, .. } = &mut self.parts;
        let Some(own) = next.get_mut(entry) else { return };
        let behind = std::mem::replace(own, head.free);
        let link = match before {
            Some(before) => next.get_mut(before),
            None => chains.get_mut(chain),
        };
        if let Some(link) = link {
            head.free = std::mem::replace(link, behind);
        }
    }

    /// Takes back what dead processes hold, and their places; whether there was one.
    fn bury(&mut self, is_dead: impl Fn(usize, &Process) -> bool) -> bool {
        let places = self.parts.processes.iter().enumerate();
        let dead: Vec<_> =
            places.map(|(index, process)| process.pid != 0 && is_dead(index, process)).collect();
        if !dead.contains(&true) {
            return false;
        }
        self.rebuild(|place| dead.get(place).copied().unwrap_or(true));
        for (process, _) in self.parts.processes.iter_mut().zip(&dead).filter(|(_, dead)| **dead) {
            *process = Process::default();
        }
        true
    }

    /// Derives chains and free entries from the entries, less those of places that are dead.
    fn rebuild(&mut self, is_dead: impl Fn(usize) -> bool) {
        let Parts { head, processes, chains, next, entries } = &mut self.parts;
        chains.fill(0);
        head.free = 0;
        let count = (chains.len() as u64).max(1);
        for (link, (entry, next)) in (1..).zip(entries.iter().zip(next.iter_mut())) {
            let place = entry.process as usize;
            let holds = entry.count() > 0
                && processes.get(place).is_some_and(|process| process.pid != 0)
                && !is_dead(place);
            let list = match chains.get_mut((entry.key % count) as usize) {
                Some(chain) if holds => chain,
                _ => {
                    entry.set(0);
                    &mut head.free
                }
            };
            *next = std::mem::replace(list, link);
        }
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        // what a panic has left is set right as what a death has
        if !std::thread::panicking() {
            self.parts.head.at_rest.store(1, Ordering::Release);
        }
    }
}

impl Entry {
    fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Sets the count, after all that was written before.
    fn set(&self, count: u32) {
        self.count.store(count, Ordering::Release);
    }
}

/// Where a link leads.
fn index(link: Link) -> Option<usize> {
    (link as usize).checked_sub(1)
}
