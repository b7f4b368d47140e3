//! `elb_keepalive_min_timeout`: nginx's `keepalive_min_timeout`, if this nginx supports it.

use nginx::command::core_has;

use super::http_conf::MainConf;
use crate::module::environment::directive::{Conf, Outcome};

/// `elb_keepalive_min_timeout time;`
pub fn elb_keepalive_min_timeout(cf: &mut Conf, main: &mut MainConf) -> Outcome {
    let args = cf.args()?;
    if core_has("keepalive_min_timeout") {
        let words = ["keepalive_min_timeout"].into_iter();
        let words: Vec<_> = words.chain(args.iter().map(String::as_str)).collect();
        return cf.apply(&words, &[]);
    }
    if !std::mem::replace(&mut main.told_of_keepalive, true) {
        cf.notice(
            "\"elb_keepalive_min_timeout\" has no effect before nginx 1.27.4: a request that a \
             client sends on a keepalive connection during a reload or a stop can be lost",
        );
    }
    Ok(())
}
