//! What of nginx still works on a request whose upgrade could be a tunnel, and whether that is to
//! be believed.
//!
//! Such a request is left to nginx, without a word that an operator would hear: it is rare and
//! right. But if what is read of nginx is wrong, every request may look like one, and a feature is
//! off. So each flag is believed only where something else of the request bears it out.

/// What a request says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flags {
    /// References to it, itself included.
    pub count: u32,
    /// Its body is being read.
    pub reading_body: bool,
    /// Its body is being thrown away.
    pub discard_body: bool,
    /// It waits for a file.
    pub blocked: bool,
    /// Subrequests are about to run, or their output waits.
    pub subrequests: bool,
    /// A `post_action` is to follow it.
    pub post_action: bool,
    /// Its connection to the destination is there.
    pub destination: bool,
    /// It has a body.
    pub has_body: bool,
    /// Files are read in threads, or by the kernel.
    pub has_aio: bool,
    /// It has made subrequests that it does not wait for.
    pub has_background: bool,
}

/// Why a request cannot be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// In words.
    Known(&'static str),
    /// In words, which nothing else of the request bears out.
    Unexplained(&'static str),
}

impl Flags {
    /// What works on the request: a known cause where there is one.
    pub fn busy(&self) -> Option<Busy> {
        // whether it claims to, what bears it out, and what it is without that
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
            // a body that is read is referred to
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
            // one that is known is enough
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
