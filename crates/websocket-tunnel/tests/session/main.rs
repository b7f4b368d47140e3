//! One tunnel as a state machine, with fixed and random schedules.

mod death;
mod drain;
mod encoding;
mod handover;
mod harness;
mod held_up;
mod last_words;
mod model;
mod mutations;
mod pass;
mod pings;
mod random;
mod reconfigure;
mod samples;
mod stranger;
mod timeouts;
