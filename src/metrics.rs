//! What an instance counts and holds, as plain values: one snapshot behind every format.

mod destination;

pub use destination::{Destination, Health};
