//! The configurations of a module: how nginx has them made and merged.

use std::ffi::{c_char, c_void};
use std::ptr::null_mut;

use ngx::core::{Pool, NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::ngx_conf_t;
use ngx::http::Merge;

use crate::guard::guarded;

/// The `create_main_conf`, `create_srv_conf` or `create_loc_conf` of a module whose configuration
/// is a `T`. It is dropped with the configuration.
///
/// # Safety
/// Called by nginx with its `cf`.
pub unsafe extern "C" fn create<T: Default>(cf: *mut ngx_conf_t) -> *mut c_void {
    guarded(null_mut(), || {
        // SAFETY: cf->pool is the pool of the cycle that is being read
        unsafe { Pool::from_ngx_pool((*cf).pool) }.allocate(T::default()).cast()
    })
}

/// The `merge_srv_conf` or `merge_loc_conf` of a module whose configuration is a `T`.
///
/// # Safety
/// Called by nginx with what [`create`] of the same `T` has made.
pub unsafe extern "C" fn merge<T: Merge>(
    _: *mut ngx_conf_t,
    prev: *mut c_void,
    conf: *mut c_void,
) -> *mut c_char {
    guarded(NGX_CONF_ERROR, || {
        // SAFETY: by contract; they are two
        let (prev, conf) = unsafe { (prev.cast::<T>().as_ref(), conf.cast::<T>().as_mut()) };
        let (Some(prev), Some(conf)) = (prev, conf) else { return NGX_CONF_ERROR };
        conf.merge(prev).map_or(NGX_CONF_ERROR, |()| NGX_CONF_OK)
    })
}
