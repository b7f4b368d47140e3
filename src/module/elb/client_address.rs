//! Determines the address of the client, together with the realip module, which replaces the
//! address of the connection.

use nginx::process::now;
use nginx::request::Request;

use crate::client_address::{Address, Named, Trust};
use crate::minutely::Minutely;

static IN_VAIN: Minutely = Minutely::new();

/// Determines the address of the client before the realip module runs. If a CDN names the client
/// (`real_ip_header X-Real-IP`, see `elb_trusted_proxies`), this replaces the client's own
/// `X-Real-IP`; the realip module reads that and uses it if the peer is trusted. Returns `None` if
/// memory is exhausted.
pub fn settle(request: &Request, trust: &Trust) -> Option<()> {
    let peer = request.peer();
    let proxy = request
        .named_by_proxy()
        .and_then(|named| Address::new(&String::from_utf8_lossy(named.address), named.port));
    if let (Some(peer), Some(proxy)) = (peer, &proxy) {
        if request.number() == 1 && trust.is_in_vain(peer, proxy) {
            report(request, proxy);
        }
    }
    let Some(header) = &trust.header else { return Some(()) };
    let values = |name: &str| request.headers(name.as_bytes()).collect();
    let client = peer.and_then(|peer| {
        let (forwarded, header) = (values("x-forwarded-for"), values(header.name()));
        trust.client(&Named { peer, proxy, forwarded, header })
    });
    request.set_x_real_ip(client.map(|client| client.to_string()).as_deref())
}

fn report(request: &Request, named: &Address) {
    if IN_VAIN.pass(now()).is_some() {
        let peer = String::from_utf8_lossy(request.client());
        request.notice_of_connection(format_args!(
            "a PROXY header that names client {} is not believed, as its peer {peer} is not in \
             environment variable \"TRUSTED_PROXIES\": add the network of the load balancer there, if \
             {peer} is one",
            named.ip
        ));
    }
}
