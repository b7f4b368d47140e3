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

/// An upstream block. It may be kept: after its configuration is freed, the methods behave as if
/// the block had no name, no `zone` and no peers.
#[derive(Clone)]
pub struct Block {
    block: NonNull<ngx_http_upstream_srv_conf_t>,
    life: Life,
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        // the memory of a freed configuration may have been reused by another one
        self.block == other.block && self.life.is(&other.life)
    }
}

impl Block {
    /// Whether this nginx supports `server ... resolve`, which resolves names again at run time.
    pub const RESOLVES: bool = compat::RESOLVES;

    /// nginx's structure; `None` after its configuration is freed.
    pub(crate) fn as_ptr(&self) -> Option<NonNull<ngx_http_upstream_srv_conf_t>> {
        self.life.goes_on().then_some(self.block)
    }

    fn raw(&self) -> Option<&ngx_http_upstream_srv_conf_t> {
        // SAFETY: `as_ptr` has checked that the configuration is alive; no reference is held across
        // a call into nginx
        Some(unsafe { self.as_ptr()?.as_ref() })
    }

    /// The name of the block, empty after its configuration is freed.
    pub fn name(&self) -> String {
        self.raw().map(|block| owned(&block.host)).unwrap_or_default()
    }

    /// Whether nginx's own balancers initialize its peers: the function that does so, or delegates
    /// it, is in the nginx binary. A later directive of the block can change this, so the answer is
    /// final only in `init_main` and after it.
    pub fn is_balanced_by_core(&self) -> bool {
        self.raw().is_some_and(is_balanced_by_core)
    }

    /// Whether it has a `zone`.
    pub fn has_zone(&self) -> bool {
        self.raw().is_some_and(|block| !block.shm_zone.is_null())
    }

    /// Whether its balancer supports `server ... backup`.
    pub fn takes_backup(&self) -> bool {
        self.raw().is_some_and(|block| block.flags & NGX_HTTP_UPSTREAM_BACKUP as usize != 0)
    }

    /// Whether it has its own `resolver`.
    pub fn has_resolver(&self) -> bool {
        self.raw().is_some_and(compat::has_resolver)
    }

    /// Whether it has its own `resolver_timeout`.
    pub fn has_resolver_timeout(&self) -> bool {
        self.raw().is_some_and(compat::has_resolver_timeout)
    }
}

impl Conf<'_> {
    /// The upstream block that the directive is in.
    ///
    /// # Errors
    /// The directive is not in an upstream block, or memory is exhausted.
    pub fn upstream_block(&self) -> Result<Block, Error> {
        let ctx = self.http_ctx();
        // SAFETY: `http_ctx` returns a context of http; `srv_conf` is null or has a slot for each
        // HTTP module. The slot of the upstream module is null outside an upstream block
        let block = ctx.and_then(|ctx| unsafe {
            let slots = NonNull::new(ctx.as_ref().srv_conf)?;
            NonNull::new(*slots.as_ptr().add(ngx_http_upstream_module.ctx_index))
        });
        let block = block.ok_or_else(|| Error::Message("no upstream block".to_owned()))?;
        Ok(Block { block: block.cast(), life: self.life()? })
    }

    /// Removes the `zone` of a block, so that nginx does not copy its peers there. To be called in
    /// `postconfiguration`, before nginx initializes the zones. Does nothing for a block of another
    /// configuration.
    pub fn take_back_zone(&mut self, block: &Block) {
        let is_of_this = block.life.is_of(self.cycle().as_ptr());
        if let Some(block) = block.as_ptr().filter(|_| is_of_this) {
            // SAFETY: a block of the configuration being read, which is alive; no reference to it
            // is held
            unsafe { (*block.as_ptr()).shm_zone = null_mut() };
        }
    }

    /// Whether `resolver` is set in `http` by the directives read so far. Without one, nginx's
    /// merge puts a resolver without nameservers there (`ngx_http_core_merge_loc_conf`), which does
    /// not count.
    pub fn http_has_resolver(&self) -> bool {
        // SAFETY: nginx sets the module indices before it reads a configuration and allocates a
        // slot for each module. Each pointer is null or what the module with that index has stored
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

/// Whether a function is in the same object as nginx's own balancers.
fn is_in_nginx(function: *const c_void) -> bool {
    let cores = ngx_http_upstream_init_round_robin as *const c_void;
    matches!((base_of(function), base_of(cores)), (Some(own), Some(core)) if own == core)
}

/// The load address of the object that contains a function.
fn base_of(function: *const c_void) -> Option<*mut c_void> {
    let mut info = MaybeUninit::<Dl_info>::zeroed();
    // SAFETY: dladdr accepts any address and initializes `info` if it does not return 0
    unsafe { (dladdr(function, info.as_mut_ptr()) != 0).then(|| info.assume_init().dli_fbase) }
}
