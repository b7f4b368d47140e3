//! Counters of one direction in memory of the process, for tests, benchmarks and fuzzing.

use std::cell::Cell;
use websocket_tunnel::frame::{Count, Opcode};

#[derive(Debug, Default, PartialEq)]
pub struct Table {
    /// By opcode.
    pub frames: [Cell<u64>; 16],
    /// By opcode.
    pub bytes: [Cell<u64>; 16],
    pub messages: Cell<u64>,
}

fn add(cell: &Cell<u64>, more: u64) {
    cell.set(cell.get() + more);
}

impl Count for Table {
    #[inline]
    fn add(&self, opcode: Opcode, frames: u64, bytes: u64) {
        let row = usize::from(opcode.bits() & 0x0f);
        add(&self.frames[row], frames);
        add(&self.bytes[row], bytes);
    }

    #[inline]
    fn add_messages(&self, messages: u64) {
        add(&self.messages, messages);
    }
}
