//! `elb_header_buffers`: room for large headers, and a notice if it is too small.

use nginx::request::{Handler, Request, Status};

use super::{Elb, ServerConf};
use crate::module::environment::directive::{value, Conf, Error, Outcome};
use crate::settings::buffers::{client, HeaderBuffers, Seen, TooLarge};

/// `elb_header_buffers "number size" size;`
pub fn elb_header_buffers(cf: &mut Conf, own: &mut ServerConf) -> Outcome {
    if own.header_buffers.is_some() {
        return Err(Error::DUPLICATE);
    }
    let args = cf.args()?;
    let [request, response] = args.as_slice() else { return Err(Error::Logged) };
    let buffers = HeaderBuffers { request: value(cf, request)?, response: value(cf, response)? };
    own.header_buffers = Some(buffers);

    let HeaderBuffers { request, response } = buffers;
    let (number, size) = (request.number.to_string(), request.size.to_string());
    cf.apply(&["large_client_header_buffers", &number, &size], &[])?;
    let (number, size) = (response.body_buffers().to_string(), response.to_string());
    cf.apply(&["proxy_buffer_size", &size], &[])?;
    cf.apply(&["proxy_buffers", &number, &size], &[])
}

/// Reports a request that was refused because of the size of a header.
pub struct OnLog;

impl Handler for OnLog {
    fn handle(request: Request) -> Status {
        // most requests end here
        if [400, 414, 502].contains(&request.final_status()) {
            report(&request);
        }
        Status::OK
    }
}

fn report(request: &Request) {
    let buffers = request.server::<Elb>().and_then(|conf| conf.header_buffers);
    let upstream = request.upstream();
    let seen = Seen {
        status: request.final_status(),
        proxied: upstream.is_some(),
        unread: request.leaves_bytes_unread(),
        request_full: request.fills_header_buffer(),
        response_full: upstream.as_ref().is_some_and(|upstream| upstream.overflows_header_buffer()),
    };
    let (Some(buffers), Some(what)) = (buffers, TooLarge::of(&seen)) else { return };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let peer = upstream.and_then(|upstream| upstream.peer_name()).map(text).unwrap_or_default();
    // if the request was refused early, the PROXY protocol header has not been evaluated yet
    let named = request.named_by_proxy().map(|named| text(named.address));
    let client = client(&text(request.client()), named.as_deref());
    request.notice_of_connection(what.message(&buffers, &client, &peer));
}
