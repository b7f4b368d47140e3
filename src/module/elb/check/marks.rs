//! The results of checks, stored in the peers of the block, where all workers see them.

use nginx::block::Block;
use nginx::peers::Address;

use crate::active_check::Availability;

/// The number of peers of a block in each state; `None` if its peers are unknown.
pub fn tally(block: &Block) -> Option<Availability> {
    let mut tally = Availability::default();
    let is_known = block.look(|peer| {
        let count = if peer.is_taken_out() {
            &mut tally.out
        } else if peer.is_marked() {
            &mut tally.dead
        } else {
            &mut tally.up
        };
        *count += 1;
    });
    is_known.then_some(tally)
}

/// The results of the checks of a block; `None` if its peers are unknown or its list stays locked.
pub fn all(block: &Block) -> Option<Vec<(Address, bool)>> {
    let mut found = Vec::new();
    let is_known = block.look_soon(|peer| {
        if !peer.is_taken_out() {
            found.push((peer.address(), !peer.is_marked()));
        }
    });
    is_known.then_some(found)
}

/// Marks all peers with these addresses. Returns whether that changes anything.
pub fn set(block: &Block, states: &[(Address, bool)]) -> bool {
    let mut changed = false;
    block.change(|peer| {
        if peer.is_taken_out() {
            return;
        }
        if let Some((_, up)) = states.iter().find(|(address, _)| address.is_of(&peer)) {
            changed |= peer.mark(*up);
        }
    });
    changed
}
