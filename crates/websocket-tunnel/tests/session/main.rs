//! One tunnel as a state machine, with fixed and random schedules.

mod death;
mod drain;
mod harness;
mod held_up;
mod last_words;
mod model;
mod pass;
mod pings;
mod random;
mod timeouts;
