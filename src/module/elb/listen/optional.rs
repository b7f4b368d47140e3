//! `proxy_protocol=optional`: connections with or without a PROXY protocol header.

use nginx::first_bytes::{Addresses, FirstBytes, Verdict};

use super::super::{Elb, ServerConf};
use crate::module::environment::directive::{Conf, Outcome};
use crate::proxy_header::{beginning, Beginning};

impl FirstBytes for Elb {
    fn addresses(server: &ServerConf) -> &Addresses {
        &server.optional
    }

    fn judge(bytes: &[u8]) -> Verdict {
        match beginning(bytes) {
            Beginning::Plain => Verdict::Request,
            Beginning::Header => Verdict::ProxyHeader,
            Beginning::Incomplete => Verdict::Incomplete,
        }
    }
}

/// Refuses an address that one server has with the parameter and another without it.
pub fn check(cf: &mut Conf) -> Outcome {
    let Some((address, place)) = cf.mixed_first_bytes::<Elb>() else { return Ok(()) };
    Err(cf.error_at(
        &place,
        format_args!(
            "another server listens at \"{address}\" without \"proxy_protocol=optional\": \
             this parameter needs an address that no server has without it"
        ),
    ))
}
