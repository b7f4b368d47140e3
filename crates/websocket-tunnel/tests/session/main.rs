//! One tunnel as a state machine, driven by hand and at random.

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
