//! Counts of open WebSockets by key, in a table of fixed size that several processes share.
//!
//! An [`Entry`] is the count of one key in one process; the count of a key is the sum of its
//! entries. So the counts of a dead process can be found and removed, and the table is full only
//! when no entry is free: it always has room for as many WebSockets as entries, however many
//! processes there are.
//!
//! Only the entries are authoritative. The chains, through which a key finds its entries, and the
//! list of free entries are derived from them, and rebuilt after a process died during a change:
//! the word that makes an entry valid is written last. The caller locks the table while it works on
//! it.

use std::hash::Hasher;
use std::iter::successors;
use std::sync::atomic::{AtomicU32, Ordering};

use zerocopy::FromBytes;

/// How often a refusal may trigger a check which processes are alive, in milliseconds: the check
/// costs more than the rest of a refused handshake.
const PATIENCE: u64 = 1_000;

/// Number of keys that fit if each is held by one process.
pub const KEYS: usize = 65_536;

/// The maximum number of nginx processes (`NGX_MAX_PROCESSES`).
pub const PROCESSES: usize = 1024;

/// The version of the memory layout: increase it with any change to the meaning or the order of the
/// parts of a [`Table`].
pub const VERSION: u32 = 3;

/// Size of the memory of a table with room for [`KEYS`] and [`PROCESSES`], initially all zero.
#[derive(FromBytes)]
#[repr(C)]
pub struct Memory {
    head: Head,
    processes: [Process; PROCESSES],
    chains: [Link; KEYS],
    next: [Link; KEYS],
    entries: [Entry; KEYS],
}

/// The head of a table.
#[derive(Debug, Default, FromBytes)]
#[repr(C)]
pub struct Head {
    /// When the processes were last checked, in milliseconds.
    looked: u64,
    /// 0 while a process changes the table, and before the first process uses it.
    at_rest: AtomicU32,
    /// The first free entry.
    free: Link,
}

/// A process that counts. All-zero is a free place.
#[derive(Clone, Copy, Debug, Default, FromBytes, PartialEq, Eq)]
#[repr(C)]
pub struct Process {
    /// The process id.
    pub pid: u64,
    /// When it started, in any unit: process ids are reused, but not with the same start time.
    pub started: u64,
}

/// The count of a key in one process. All-zero is a free entry.
#[derive(Debug, Default, FromBytes)]
#[repr(C)]
pub struct Entry {
    key: u64,
    /// The place of the process.
    process: u32,
    /// The count; 0 if the entry is free, whatever the other fields hold.
    count: AtomicU32,
}

/// The index of an entry plus 1, or 0 for none.
pub type Link = u32;

/// The place of a process in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u32);

/// Why a key cannot be counted once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The key has reached its limit.
    Limit,
    /// The table is full.
    Full,
}

/// The memory of a table, all-zero except for its head.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The head.
    pub head: &'a mut Head,
    /// One for each possible process.
    pub processes: &'a mut [Process],
    /// The first entry of each chain; at least one chain.
    pub chains: &'a mut [Link],
    /// For each entry, the next entry of its chain or of the free list.
    pub next: &'a mut [Link],
    /// The entries.
    pub entries: &'a mut [Entry],
}

/// Exclusive access to a table, until it is dropped.
#[derive(Debug)]
pub struct Table<'a> {
    parts: Parts<'a>,
    seed: [u64; 2],
}

impl Memory {
    /// The parts of the table in this memory.
    pub fn parts(&mut self) -> Parts<'_> {
        let Self { head, processes, chains, next, entries } = self;
        Parts { head, processes, chains, next, entries }
    }
}

impl<'a> Table<'a> {
    /// Begins to work on a table. If a process died during a change, the table is repaired first.
    /// Keys are hashed with `seed`, secret random bits that stay the same for the life of a table,
    /// so that nobody can construct two keys with the same hash.
    pub fn open(parts: Parts<'a>, seed: [u64; 2]) -> Self {
        let was_busy = parts.head.at_rest.swap(0, Ordering::Acquire) == 0;
        let mut table = Self { parts, seed };
        if was_busy {
            table.rebuild(|_| false);
        }
        table
    }

    /// The hash that represents a key.
    pub fn hash(&self, key: &[u8]) -> u64 {
        let [one, other] = self.seed;
        // the standard library's replacement takes no key
        #[allow(deprecated)]
        let mut hasher = std::hash::SipHasher::new_with_keys(one, other);
        hasher.write(key);
        hasher.finish()
    }

    /// Assigns a place to a process; `None` if all are taken.
    pub fn enter(&mut self, process: Process) -> Option<Place> {
        let free = self.parts.processes.iter().position(|other| other.pid == 0)?;
        let place = u32::try_from(free).ok()?;
        *self.parts.processes.get_mut(free)? = process;
        Some(Place(place))
    }

    /// The process in `place` has ended: its counts are removed.
    pub fn leave(&mut self, place: Place) {
        self.bury(|index, _| index == place.0 as usize);
    }

    /// The processes that have a place.
    pub fn processes(&self) -> Vec<Process> {
        self.parts.processes.iter().filter(|process| process.pid != 0).copied().collect()
    }

    /// Whether a refusal at `now` should trigger a check which processes are alive: not if the last
    /// check was recent. The caller performs the check without the lock.
    pub fn is_time_to_look(&mut self, now: u64) -> bool {
        let is_time = now.saturating_sub(self.parts.head.looked) >= PATIENCE;
        if is_time {
            self.parts.head.looked = now;
        }
        is_time
    }

    /// Removes the counts of dead processes; returns whether one of them had a place.
    pub fn remove(&mut self, dead: &[Process]) -> bool {
        self.bury(|_, process| dead.contains(process))
    }

    /// Counts `key` once more for the process in `place`, unless the sum over all processes has
    /// reached `limit`.
    ///
    /// # Errors
    /// The limit is reached, or the table is full.
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

    /// Releases what `take` has counted for the process in `place`.
    pub fn give_back(&mut self, key: u64, place: Place) {
        let own = self.of_key(key).find(|(_, entry)| entry.process == place.0);
        let Some((index, own)) = own else { return };
        own.set(own.count().saturating_sub(1));
        if own.count() == 0 {
            self.unlink(key, index);
        }
    }

    /// The entries of a key, with their indices.
    fn of_key(&self, key: u64) -> impl Iterator<Item = (usize, &Entry)> {
        let entries =
            self.chain(key).filter_map(|index| Some((index, self.parts.entries.get(index)?)));
        entries.filter(move |(_, entry)| entry.key == key)
    }

    /// The entries of the chain of a key. The length is bounded by the number of entries.
    fn chain(&self, key: u64) -> impl Iterator<Item = usize> + '_ {
        let first = self.parts.chains.get(self.chain_of(key)).copied().unwrap_or(0);
        let next = |link: &Link| self.parts.next.get(index(*link)?).copied();
        successors(Some(first), next).map_while(index).take(self.parts.entries.len())
    }

    fn chain_of(&self, key: u64) -> usize {
        (key % (self.parts.chains.len() as u64).max(1)) as usize
    }

    /// Uses a free entry for the first count of a key in a process; `None` if no entry is free.
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

    /// Moves an entry of a key from its chain to the free list.
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

    /// Removes the counts of dead processes, and their places; returns whether there was one.
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

    /// Rebuilds chains and free list from the entries, without those of dead places.
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
        // after a panic, the table is repaired as after a death
        if !std::thread::panicking() {
            self.parts.head.at_rest.store(1, Ordering::Release);
        }
    }
}

impl Entry {
    fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Sets the count, after all earlier writes.
    fn set(&self, count: u32) {
        self.count.store(count, Ordering::Release);
    }
}

/// The index that a link refers to.
fn index(link: Link) -> Option<usize> {
    (link as usize).checked_sub(1)
}
