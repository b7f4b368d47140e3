//! The locations of a configuration while it is read.

use std::ffi::c_void;
use std::ptr::from_ref;

use ngx::ffi::{
    ngx_http_core_loc_conf_t, ngx_http_core_srv_conf_t, ngx_http_location_queue_t,
    NGX_HTTP_LOC_CONF,
};
use ngx::http::{HttpModule, HttpModuleLocationConf, HttpModuleMainConf, NgxHttpCoreModule};

use crate::conf::{Conf, Error, Place};

/// The identity of a location. It is compared and never dereferenced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LocationId(*const ngx_http_core_loc_conf_t);

/// A prefix location: its name is the start of a path.
pub struct Prefix {
    /// Its identity.
    pub id: LocationId,
    /// Its name.
    pub name: Vec<u8>,
    /// Its position in the file.
    pub place: Place,
}

impl Conf<'_> {
    /// The innermost location that the current directive is in; `None` if it is not directly in
    /// one.
    pub fn this_location(&mut self) -> Option<LocationId> {
        // SAFETY: nginx passes a valid configuration
        let cf = unsafe { &*self.as_ptr() };
        if self.http_ctx().is_none() || cf.cmd_type != NGX_HTTP_LOC_CONF as usize {
            return None;
        }
        NgxHttpCoreModule::location_conf(cf).map(|core| LocationId(from_ref(core)))
    }

    /// The prefix locations of each server, in the order of the file. To be called in `init_main`,
    /// when the queues of the servers still have all locations. Nested locations are not included.
    ///
    /// # Errors
    /// This is not `init_main`, or memory is exhausted.
    pub fn prefixes(&mut self) -> Result<Vec<Vec<Prefix>>, Error> {
        let life = self.life()?;
        self.unmerged_http()?;
        // SAFETY: nginx passes a valid configuration
        let core = NgxHttpCoreModule::main_conf(unsafe { &*self.as_ptr() }).ok_or(Error::Logged)?;
        // SAFETY: the array of servers
        let servers = unsafe { core.servers.as_slice::<*mut ngx_http_core_srv_conf_t>() };
        let prefixes_of = |server: &*mut ngx_http_core_srv_conf_t| {
            // SAFETY: a server with its context, of which nothing is merged yet
            let locations = unsafe { locations_in((*(**server).ctx).loc_conf) };
            let prefixes = locations.filter(|location| !location.inclusive.is_null());
            let prefix = |location: &ngx_http_location_queue_t| Prefix {
                id: LocationId(location.inclusive),
                // SAFETY: every location has a name
                name: unsafe { &*location.name }.as_bytes().to_vec(),
                // SAFETY: nginx stores the NUL-terminated name of the file in the configuration
                place: unsafe { Place::of_file(life.clone(), location.file_name, location.line) },
            };
            prefixes.map(prefix).collect()
        };
        Ok(servers.iter().map(prefixes_of).collect())
    }
}

/// The locations directly in a server or location.
///
/// # Safety
/// `loc_conf` has a slot for each HTTP module and lives as long as the result is used; nothing is
/// merged yet.
pub(crate) unsafe fn locations_in<'a>(
    loc_conf: *const *mut c_void,
) -> impl Iterator<Item = &'a ngx_http_location_queue_t> {
    let index = NgxHttpCoreModule::module().ctx_index;
    // SAFETY: by contract the slot holds the configuration of the core module; `locations` is null
    // or the head of a circular queue
    let (head, first) = unsafe {
        let head = (*(*loc_conf.add(index)).cast::<ngx_http_core_loc_conf_t>()).locations;
        (head, head.as_ref().map_or(head, |head| head.next))
    };
    let mut link = first;
    std::iter::from_fn(move || {
        (link != head).then(|| {
            // SAFETY: each link of the queue, except the head, is the first field of an entry
            let location = unsafe { &*link.cast::<ngx_http_location_queue_t>() };
            link = location.queue.next;
            location
        })
    })
}
