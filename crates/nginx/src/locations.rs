//! The locations of a configuration that is being read.

use std::ffi::c_void;
use std::ptr::from_ref;

use ngx::ffi::{
    ngx_http_core_loc_conf_t, ngx_http_core_srv_conf_t, ngx_http_location_queue_t,
    NGX_HTTP_LOC_CONF,
};
use ngx::http::{HttpModule, HttpModuleLocationConf, HttpModuleMainConf, NgxHttpCoreModule};

use crate::conf::{Conf, Error, Place};

/// Which location; it is compared and not followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LocationId(*const ngx_http_core_loc_conf_t);

/// A location that has the beginning of a path as its name.
pub struct Prefix {
    /// Which one.
    pub id: LocationId,
    /// That beginning.
    pub name: Vec<u8>,
    /// Where it stands.
    pub place: Place,
}

impl Conf<'_> {
    /// The location that this is in, if it is in one itself.
    pub fn this_location(&mut self) -> Option<LocationId> {
        // SAFETY: what nginx passed
        let cf = unsafe { &*self.as_ptr() };
        if self.http_ctx().is_none() || cf.cmd_type != NGX_HTTP_LOC_CONF as usize {
            return None;
        }
        NgxHttpCoreModule::location_conf(cf).map(|core| LocationId(from_ref(core)))
    }

    /// The locations of each server that have the beginning of a path as their name, in the order of
    /// the file. For `init_main`: all locations are still in the queues of their servers then.
    ///
    /// # Errors
    /// This is not `init_main`, or there is no memory.
    pub fn prefixes(&mut self) -> Result<Vec<Vec<Prefix>>, Error> {
        let life = self.life()?;
        self.unmerged_http()?;
        // SAFETY: what nginx passed
        let core = NgxHttpCoreModule::main_conf(unsafe { &*self.as_ptr() }).ok_or(Error::Logged)?;
        // SAFETY: the array of servers
        let servers = unsafe { core.servers.as_slice::<*mut ngx_http_core_srv_conf_t>() };
        let prefixes_of = |server: &*mut ngx_http_core_srv_conf_t| {
            // SAFETY: a server with its context, unmerged
            let locations = unsafe { locations_in((*(**server).ctx).loc_conf) };
            let prefixes = locations.filter(|location| !location.inclusive.is_null());
            let prefix = |location: &ngx_http_location_queue_t| Prefix {
                id: LocationId(location.inclusive),
                // SAFETY: each has a name
                name: unsafe { &*location.name }.as_bytes().to_vec(),
                // SAFETY: the name of a file, which ends in NUL
                place: unsafe { Place::of_file(life.clone(), location.file_name, location.line) },
            };
            prefixes.map(prefix).collect()
        };
        Ok(servers.iter().map(prefixes_of).collect())
    }
}

/// The locations right in a server or location.
///
/// # Safety
/// `loc_conf` is what it has of each module, and lives as long as the result is used; nothing is
/// merged yet.
pub(crate) unsafe fn locations_in<'a>(
    loc_conf: *const *mut c_void,
) -> impl Iterator<Item = &'a ngx_http_location_queue_t> {
    let index = NgxHttpCoreModule::module().ctx_index;
    // SAFETY: by contract what core has of it; null, or the head of a queue, which is a ring
    let (head, first) = unsafe {
        let head = (*(*loc_conf.add(index)).cast::<ngx_http_core_loc_conf_t>()).locations;
        (head, head.as_ref().map_or(head, |head| head.next))
    };
    let mut link = first;
    std::iter::from_fn(move || {
        (link != head).then(|| {
            // SAFETY: each link but the head is the first field of a location's entry
            let location = unsafe { &*link.cast::<ngx_http_location_queue_t>() };
            link = location.queue.next;
            location
        })
    })
}
