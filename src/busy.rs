//! Which part of nginx still works on a request whose upgrade could become a tunnel, and whether
//! that indication is credible.
//!
//! nginx keeps such a request, and nothing is logged for the operator: it is rare and normal. But
//! if this module misreads nginx's structures, every request may look like one, and the tunnel
//! would be off unnoticed. So each flag is believed only if another property of the request
//! confirms it.

/// What is known of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flags {
    /// References to the request, its own included.
    pub count: u32,
    /// Its body is being read.
    pub reading_body: bool,
    /// Its body is being discarded.
    pub discard_body: bool,
    /// It waits for a file.
    pub blocked: bool,
    /// Subrequests are about to run, or their output is pending.
    pub subrequests: bool,
    /// A `post_action` is to follow.
    pub post_action: bool,
    /// It has a connection to the upstream.
    pub destination: bool,
    /// It has a body.
    pub has_body: bool,
    /// Files are read in threads, or asynchronously by the kernel.
    pub has_aio: bool,
    /// It has made background subrequests.
    pub has_background: bool,
}

/// Why a request cannot be freed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// The cause, in words.
    Known(&'static str),
    /// The cause, in words; nothing else of the request confirms it.
    Unexplained(&'static str),
}

impl Flags {
    /// What works on the request: a confirmed cause if there is one.
    pub fn busy(&self) -> Option<Busy> {
        // the flag, what confirms it, the cause, and the cause when unconfirmed
        let claims = [
            (
                self.reading_body,
                self.has_body,
                "its body is being read",
                "its body is being read, and it has none",
            ),
            (
                self.discard_body,
                self.has_body,
                "its body is being discarded",
                "its body is being discarded, and it has none",
            ),
            (
                self.blocked,
                self.has_aio,
                "it waits for a file",
                "it waits for a file, and \"aio\" is off",
            ),
            (self.subrequests, true, SUBREQUEST, SUBREQUEST),
            (self.post_action, true, POST_ACTION, POST_ACTION),
            (!self.destination, true, "its destination is gone", "its destination is gone"),
            (self.count != 1, self.has_background, SUBREQUEST, "something unknown refers to it"),
        ];
        let claims = claims.iter().filter(|(holds, ..)| *holds);
        let known = claims.clone().find(|(_, borne_out, ..)| *borne_out);
        let unexplained = claims.clone().map(|(.., words)| Busy::Unexplained(words)).next();
        known.map(|(.., words, _)| Busy::Known(words)).or(unexplained)
    }
}

const SUBREQUEST: &str = "a subrequest is under way";
const POST_ACTION: &str = "a post_action is to follow it";

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Flags = Flags {
        count: 1,
        reading_body: false,
        discard_body: false,
        blocked: false,
        subrequests: false,
        post_action: false,
        destination: true,
        has_body: false,
        has_aio: false,
        has_background: false,
    };

    #[test]
    fn what_works_on_a_request_is_named_and_known_or_not() {
        use Busy::{Known, Unexplained};
        let body = Flags { has_body: true, ..IDLE };
        let cases = [
            (IDLE, None),
            (Flags { has_body: true, has_aio: true, has_background: true, ..IDLE }, None),
            (Flags { reading_body: true, ..body }, Some(Known("its body is being read"))),
            // reading a body holds a reference
            (Flags { reading_body: true, count: 2, ..body }, Some(Known("its body is being read"))),
            (Flags { discard_body: true, ..body }, Some(Known("its body is being discarded"))),
            (Flags { blocked: true, has_aio: true, ..IDLE }, Some(Known("it waits for a file"))),
            (Flags { subrequests: true, ..IDLE }, Some(Known("a subrequest is under way"))),
            (
                Flags { count: 2, has_background: true, ..IDLE },
                Some(Known("a subrequest is under way")),
            ),
            (Flags { post_action: true, ..IDLE }, Some(Known("a post_action is to follow it"))),
            (Flags { destination: false, ..IDLE }, Some(Known("its destination is gone"))),
            (
                Flags { reading_body: true, ..IDLE },
                Some(Unexplained("its body is being read, and it has none")),
            ),
            (
                Flags { discard_body: true, ..IDLE },
                Some(Unexplained("its body is being discarded, and it has none")),
            ),
            (
                Flags { blocked: true, ..IDLE },
                Some(Unexplained("it waits for a file, and \"aio\" is off")),
            ),
            (Flags { count: 2, ..IDLE }, Some(Unexplained("something unknown refers to it"))),
            (Flags { count: 0, ..body }, Some(Unexplained("something unknown refers to it"))),
            // one confirmed cause is enough
            (
                Flags { discard_body: true, subrequests: true, ..IDLE },
                Some(Known("a subrequest is under way")),
            ),
        ];
        for (flags, busy) in cases {
            assert_eq!(flags.busy(), busy, "{flags:?}");
        }
    }
}
