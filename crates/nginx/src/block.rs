//! Upstream blocks (`src/http/ngx_http_upstream.h`).

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::{null_mut, NonNull};

use ngx::ffi::{
    dladdr, ngx_http_conf_ctx_t, ngx_http_core_loc_conf_t, ngx_http_core_module, ngx_http_module,
    ngx_http_upstream_init_round_robin, ngx_http_upstream_module, ngx_http_upstream_srv_conf_t,
    Dl_info, NGX_HTTP_UPSTREAM_BACKUP,
};

use crate::compat;
use crate::conf::{Conf, Error};
use crate::life::Life;
use crate::text::owned;

/// An upstream block. Once its configuration is gone it has nothing: no name, no `zone`, no peers.
#[derive(Clone)]
pub struct Block {
    block: NonNull<ngx_http_upstream_srv_conf_t>,
    life: Life,
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        // where a configuration is gone, its memory may be that of another one
        self.block == other.block && self.life.is(&other.life)
    }
}

impl Block {
    /// Whether this nginx can look up a `server` of a block again while it runs (`resolve`).
    pub const RESOLVES: bool = compat::RESOLVES;

    /// nginx's own structure.
    pub(crate) fn as_ptr(&self) -> Option<NonNull<ngx_http_upstream_srv_conf_t>> {
        self.life.goes_on().then_some(self.block)
    }

    fn raw(&self) -> Option<&ngx_http_upstream_srv_conf_t> {
        // SAFETY: its configuration is there; nobody holds a reference to it over a call
        Some(unsafe { self.as_ptr()?.as_ref() })
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.raw().map(|block| owned(&block.host)).unwrap_or_default()
    }

    /// Whether the function that makes its peers, or has another one do so, is nginx's own. That may
    /// change as long as directives of the block are read.
    pub fn is_balanced_by_core(&self) -> bool {
        self.raw().is_some_and(is_balanced_by_core)
    }

    /// Whether it has a `zone`.
    pub fn has_zone(&self) -> bool {
        self.raw().is_some_and(|block| !block.shm_zone.is_null())
    }

    /// Whether its balancer takes a `server` with `backup`.
    pub fn takes_backup(&self) -> bool {
        self.raw().is_some_and(|block| block.flags & NGX_HTTP_UPSTREAM_BACKUP as usize != 0)
    }

    /// Whether it has a `resolver` of its own.
    pub fn has_resolver(&self) -> bool {
        self.raw().is_some_and(compat::has_resolver)
    }

    /// Whether it has a `resolver_timeout` of its own.
    pub fn has_resolver_timeout(&self) -> bool {
        self.raw().is_some_and(compat::has_resolver_timeout)
    }
}

impl Conf<'_> {
    /// The upstream block that is being read.
    ///
    /// # Errors
    /// This is not in one, or there is no memory.
    pub fn upstream_block(&self) -> Result<Block, Error> {
        let ctx = self.http_ctx();
        // SAFETY: a context of http; the slot is null everywhere but in an upstream block
        let block = ctx.and_then(|ctx| unsafe {
            let slots = NonNull::new(ctx.as_ref().srv_conf)?;
            NonNull::new(*slots.as_ptr().add(ngx_http_upstream_module.ctx_index))
        });
        let block = block.ok_or_else(|| Error::Message("no upstream block".to_owned()))?;
        Ok(Block { block: block.cast(), life: self.life()? })
    }

    /// Takes the `zone` of a block away from it, so that core copies no peers there. For
    /// `postconfiguration`.
    pub fn take_back_zone(&mut self, block: &Block) {
        let is_of_this = block.life.is_of(self.cycle().as_ptr());
        if let Some(block) = block.as_ptr().filter(|_| is_of_this) {
            // SAFETY: a block of this configuration; no reference to it is held
            unsafe { (*block.as_ptr()).shm_zone = null_mut() };
        }
    }

    /// Whether `resolver` stands in `http`, as far as that is read. Where it does not, core's merge
    /// leaves a resolver without nameservers there (`ngx_http_core_merge_loc_conf`).
    pub fn http_has_resolver(&self) -> bool {
        // SAFETY: nginx writes the indices before it reads a configuration, in which it has a slot
        // for each module; null, or the context of http, with a slot for each of its modules, null,
        // or a resolver
        let resolver = unsafe {
            let http = self.cycle().slot(ngx_http_module.index);
            http.and_then(|http| http.cast::<ngx_http_conf_ctx_t>().as_ref())
                .and_then(|http| NonNull::new(http.loc_conf))
                .map(|slots| *slots.as_ptr().add(ngx_http_core_module.ctx_index))
                .and_then(|core| core.cast::<ngx_http_core_loc_conf_t>().as_ref())
                .and_then(|core| core.resolver.as_ref())
        };
        resolver.is_some_and(|resolver| resolver.connections.nelts > 0)
    }
}

/// See [`Block::is_balanced_by_core`].
pub(crate) fn is_balanced_by_core(block: &ngx_http_upstream_srv_conf_t) -> bool {
    block.peer.init_upstream.is_none_or(|init| is_in_nginx(init as *const c_void))
}

/// Whether a function lies in the object that core's balancers are in.
fn is_in_nginx(function: *const c_void) -> bool {
    let cores = ngx_http_upstream_init_round_robin as *const c_void;
    matches!((base_of(function), base_of(cores)), (Some(own), Some(core)) if own == core)
}

/// Where the object with this function is loaded.
fn base_of(function: *const c_void) -> Option<*mut c_void> {
    let mut info = MaybeUninit::<Dl_info>::zeroed();
    // SAFETY: dladdr takes any address and fills info if it returns other than 0
    unsafe { (dladdr(function, info.as_mut_ptr()) != 0).then(|| info.assume_init().dli_fbase) }
}
