//! The locations of a configuration that is being read.

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
    /// There is no memory.
    pub fn prefixes(&mut self) -> Result<Vec<Vec<Prefix>>, Error> {
        let life = self.life()?;
        // SAFETY: what nginx passed
        let cf = unsafe { &*self.as_ptr() };
        let Some(core) = NgxHttpCoreModule::main_conf(cf) else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        // SAFETY: the array of servers, each with its context; nothing is merged yet. The queue,
        // where there is one, is a ring of locations, with the name of each and the file, which ends
        // in NUL
        unsafe {
            for server in core.servers.as_slice::<*mut ngx_http_core_srv_conf_t>() {
                let mut found = Vec::new();
                let loc_conf = (*(**server).ctx).loc_conf;
                let core = *loc_conf.add(NgxHttpCoreModule::module().ctx_index);
                let queue = (*core.cast::<ngx_http_core_loc_conf_t>()).locations;
                let mut link = queue.as_ref().map_or(queue, |queue| queue.next);
                while link != queue {
                    let location = &*link.cast::<ngx_http_location_queue_t>();
                    link = (*link).next;
                    if location.inclusive.is_null() {
                        continue;
                    }
                    found.push(Prefix {
                        id: LocationId(location.inclusive),
                        name: (*location.name).as_bytes().to_vec(),
                        place: Place::of_file(life.clone(), location.file_name, location.line),
                    });
                }
                all.push(found);
            }
        }
        Ok(all)
    }
}
