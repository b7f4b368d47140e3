//! Counts of live WebSockets by key, in a table of fixed size that several processes share.
//!
//! The caller keeps others out while it works on the table.

/// Slots that a key may be in: a cache line's worth or four.
const BUCKET: usize = 16;

/// One key and how often it is held. All-zero is a free slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Slot {
    key: u64,
    count: u64,
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

/// Holds `key` once more, unless it is held `limit` times.
///
/// # Errors
/// It may not be held, or there is no room.
pub fn take(slots: &mut [Slot], key: u64, limit: u64) -> Result<(), Refused> {
    let bucket = bucket(slots, key);
    let known = bucket.iter().position(|slot| slot.count > 0 && slot.key == key);
    let Some(index) = known.or_else(|| bucket.iter().position(|slot| slot.count == 0)) else {
        return Err(Refused::Full);
    };
    let slot = &mut bucket[index];
    if slot.count >= limit {
        return Err(Refused::Limit);
    }
    *slot = Slot { key, count: slot.count + 1 };
    Ok(())
}

/// Gives back what `take` has given.
pub fn give_back(slots: &mut [Slot], key: u64) {
    let known = bucket(slots, key).iter_mut().find(|slot| slot.count > 0 && slot.key == key);
    if let Some(slot) = known {
        slot.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_held_up_to_its_limit() {
        let mut slots = [Slot::default(); 64];
        assert_eq!(take(&mut slots, 7, 2), Ok(()));
        assert_eq!(take(&mut slots, 7, 2), Ok(()));
        assert_eq!(take(&mut slots, 7, 2), Err(Refused::Limit));
        assert_eq!(take(&mut slots, 8, 2), Ok(()));
        give_back(&mut slots, 7);
        assert_eq!(take(&mut slots, 7, 2), Ok(()));
        assert_eq!(take(&mut slots, 9, 0), Err(Refused::Limit));
    }

    #[test]
    fn a_full_bucket_has_room_again() {
        let mut slots = [Slot::default(); 2 * BUCKET];
        // even keys share a bucket
        for key in 0..BUCKET as u64 {
            assert_eq!(take(&mut slots, 2 * key, 1), Ok(()), "{key}");
        }
        assert_eq!(take(&mut slots, 100, 1), Err(Refused::Full));
        assert_eq!(take(&mut slots, 101, 1), Ok(()));
        give_back(&mut slots, 4);
        assert_eq!(take(&mut slots, 100, 1), Ok(()));
        assert_eq!(take(&mut slots, 6, 2), Ok(()), "behind a slot that was free");
    }

    #[test]
    fn a_small_table_and_an_unknown_key_do_no_harm() {
        let mut slots = [Slot::default(); 3];
        for key in 0..3 {
            assert_eq!(take(&mut slots, key, 1), Ok(()));
        }
        assert_eq!(take(&mut slots, 3, 1), Err(Refused::Full));
        give_back(&mut slots, 9);
        assert_eq!(take(&mut [], 1, 1), Err(Refused::Full));
    }
}
