//! Counts of live WebSockets by key, in a table of fixed size that several processes share.
//!
//! Each process counts in slots of its own, so that what a dead one has left behind is told from
//! what is alive. The caller keeps others out while it works on the table.

/// Slots that a key may be in.
const BUCKET: usize = 64;

/// How often a process holds a key. All-zero is a free slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Slot {
    key: u64,
    process: u32,
    count: u32,
}

/// Why a key cannot be held once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is held as often as it may be.
    Limit,
    /// The table has no room for it.
    Full,
}

fn bucket(slots: &mut [Slot], key: u64) -> &mut [Slot] {
    let buckets = (slots.len() / BUCKET).max(1) as u64;
    let start = (key % buckets) as usize * BUCKET;
    let end = slots.len().min(start + BUCKET);
    slots.get_mut(start..end).unwrap_or_default()
}

/// Holds `key` once more for `process`, unless live processes hold it `limit` times together.
/// Whether one `is_alive` is asked only where that decides.
///
/// # Errors
/// The key may not be held, or there is no room.
pub fn take(
    slots: &mut [Slot],
    key: u64,
    process: u32,
    limit: u64,
    is_alive: impl Fn(u32) -> bool,
) -> Result<(), Refused> {
    let bucket = bucket(slots, key);
    let held = |bucket: &[Slot]| -> u64 {
        bucket.iter().filter(|slot| slot.key == key).map(|slot| u64::from(slot.count)).sum()
    };
    let place = |bucket: &[Slot]| {
        let own = |slot: &Slot| slot.count > 0 && slot.key == key && slot.process == process;
        let own = bucket.iter().position(own);
        own.or_else(|| bucket.iter().position(|slot| slot.count == 0))
    };
    if held(bucket) >= limit || place(bucket).is_none() {
        for slot in bucket.iter_mut().filter(|slot| slot.count > 0 && slot.process != process) {
            if !is_alive(slot.process) {
                slot.count = 0;
            }
        }
    }
    if held(bucket) >= limit {
        return Err(Refused::Limit);
    }
    let slot = place(bucket).and_then(|index| bucket.get_mut(index)).ok_or(Refused::Full)?;
    let count = slot.count + 1;
    *slot = Slot { key, process, count };
    Ok(())
}

/// Gives back what `take` has given to `process`.
pub fn give_back(slots: &mut [Slot], key: u64, process: u32) {
    let own = |slot: &&mut Slot| slot.count > 0 && slot.key == key && slot.process == process;
    if let Some(slot) = bucket(slots, key).iter_mut().find(own) {
        slot.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_live(_: u32) -> bool {
        true
    }

    #[test]
    fn a_key_is_held_up_to_its_limit_by_all_processes_together() {
        let mut slots = [Slot::default(); 2 * BUCKET];
        assert_eq!(take(&mut slots, 7, 1, 2, all_live), Ok(()));
        assert_eq!(take(&mut slots, 7, 2, 2, all_live), Ok(()));
        assert_eq!(take(&mut slots, 7, 1, 2, all_live), Err(Refused::Limit));
        assert_eq!(take(&mut slots, 7, 3, 2, all_live), Err(Refused::Limit));
        assert_eq!(take(&mut slots, 8, 1, 2, all_live), Ok(()));
        give_back(&mut slots, 7, 2);
        assert_eq!(take(&mut slots, 7, 1, 2, all_live), Ok(()));
        assert_eq!(take(&mut slots, 9, 1, 0, all_live), Err(Refused::Limit));
    }

    #[test]
    fn a_dead_process_holds_nothing() {
        let mut slots = [Slot::default(); BUCKET];
        for _ in 0..2 {
            assert_eq!(take(&mut slots, 7, 1, 2, all_live), Ok(()));
        }
        assert_eq!(take(&mut slots, 7, 2, 2, all_live), Err(Refused::Limit));
        let only_2 = |process| process == 2;
        for _ in 0..2 {
            assert_eq!(take(&mut slots, 7, 2, 2, only_2), Ok(()));
        }
        assert_eq!(take(&mut slots, 7, 2, 2, only_2), Err(Refused::Limit));
    }

    #[test]
    fn a_full_bucket_has_room_again() {
        let mut slots = [Slot::default(); 2 * BUCKET];
        // even keys share a bucket
        for key in 0..BUCKET as u64 {
            assert_eq!(take(&mut slots, 2 * key, 1, 1, all_live), Ok(()), "{key}");
        }
        assert_eq!(take(&mut slots, 200, 1, 1, all_live), Err(Refused::Full));
        assert_eq!(take(&mut slots, 201, 1, 1, all_live), Ok(()));
        give_back(&mut slots, 4, 1);
        assert_eq!(take(&mut slots, 200, 1, 1, all_live), Ok(()));
        assert_eq!(take(&mut slots, 6, 1, 2, all_live), Ok(()), "behind a slot that was free");
        assert_eq!(take(&mut slots, 202, 2, 1, |process| process != 1), Ok(()), "room of the dead");
    }

    #[test]
    fn a_small_table_and_an_unknown_key_do_no_harm() {
        let mut slots = [Slot::default(); 3];
        for key in 0..3 {
            assert_eq!(take(&mut slots, key, 1, 1, all_live), Ok(()));
        }
        assert_eq!(take(&mut slots, 3, 1, 1, all_live), Err(Refused::Full));
        give_back(&mut slots, 9, 1);
        assert_eq!(take(&mut [], 1, 1, 1, all_live), Err(Refused::Full));
    }
}
