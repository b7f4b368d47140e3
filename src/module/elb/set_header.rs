//! `elb_proxy_set_header`: upstream request headers in addition to those of `proxy_set_header`.

use nginx::complex_value::ComplexValue;
use nginx::proxy_headers::{ProxyHeaders, Sent};

use super::{Elb, LocationConf};
use crate::module::environment::directive::{invalid, Conf, Error, Outcome};
use crate::set_header::{is_name, Headers};

/// `elb_proxy_set_header name value;`
pub fn elb_proxy_set_header(cf: &mut Conf, own: &mut LocationConf) -> Outcome {
    let args = cf.args()?;
    let [name, value] = args.as_slice() else { return Err(Error::Logged) };
    if !is_name(name) {
        return Err(invalid(cf, name, "the name of a header, then its value"));
    }
    // nginx compiles all header values of a location together, later; an error would name the end
    // of http
    ComplexValue::new(cf, value)?;
    if !own.headers.set(name, value) {
        return Err(Error::Message(format!(
            "\"{name}\" in \"elb_proxy_set_header\" directive is duplicate"
        )));
    }
    cf.needs_proxy_headers()?;
    cf.main::<Elb>()?.has_headers = true;
    Ok(())
}

impl ProxyHeaders for Elb {
    type Headers = Headers;

    fn inherit(outer: &Headers, own: &LocationConf, depth: usize) -> Headers {
        outer.inherited_by(&own.headers, depth)
    }

    fn are_set(own: &LocationConf) -> bool {
        !own.headers.is_empty()
    }

    fn beside<'h>(headers: &'h Headers, theirs: &[&[u8]], depth: usize) -> Sent<'h> {
        let (own, theirs) = headers.beside(theirs, depth);
        let own = own.into_iter().map(|header| (header.name.as_str(), header.value.as_str()));
        Sent { own: own.collect(), theirs }
    }
}
