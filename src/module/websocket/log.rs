//! `websocket_log`: one entry at the end of each tunnel.

use nginx::complex_value::ComplexValue;
use nginx::open_file::{iso8601, OpenFile};
use nginx::request::Request;
use websocket_tunnel::Summary;

use crate::module::elb::log_query;
use crate::module::environment::directive::{Conf, Error};
use crate::tunnel_log::{line, Format, Head};

/// A log.
#[derive(Clone)]
pub struct Log {
    file: OpenFile,
    format: Format,
    /// The ID of a request.
    id: Option<ComplexValue>,
}

impl Log {
    /// Adds a log, which nginx opens along with its own.
    ///
    /// # Errors
    /// nginx refuses the ID, or memory is exhausted.
    pub fn open(
        cf: &mut Conf,
        path: &str,
        format: Format,
        id: Option<&str>,
    ) -> Result<Self, Error> {
        let id = id.map(|id| ComplexValue::new(cf, id)).transpose()?;
        Ok(Self { file: OpenFile::add(cf, path)?, format, id })
    }

    /// Writes the entry of a tunnel.
    pub fn write(&self, head: &Head, duration: u64, summary: &Summary) {
        let line = line(self.format, &iso8601(), head, duration, summary);
        // a failure, such as a full disk, cannot be reported for each entry
        let _ = self.file.write(line.as_bytes());
    }

    /// The start of the entry, from a request that is about to be freed.
    pub fn head(&self, request: &Request) -> Head {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let id = self.id.as_ref().and_then(|id| id.of(request)).map_or_else(String::new, text);
        let upstream = request.upstream();
        let destination = upstream.and_then(|upstream| upstream.peer_name());
        let destination = destination.map_or_else(String::new, text);
        let uri = match log_query::is_logged(request) {
            true => request.unparsed_uri(),
            false => request.path(),
        };
        Head::new(&text(request.client()), &text(uri), &destination, &id)
    }
}
