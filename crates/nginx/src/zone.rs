//! Shared memory zones.

use std::marker::PhantomData;
use std::ptr::{null_mut, NonNull};

use ngx::core::SlabPool;
use ngx::ffi::{
    ngx_int_t, ngx_shared_memory_add, ngx_shm_zone_t, ngx_slab_calloc, ngx_slab_pool_t, NGX_ERROR,
    NGX_OK,
};
use zerocopy::FromBytes;

use crate::bits::Bits;
use crate::conf::{Conf, Error};
use crate::guard::guarded;
use crate::life::Life;
use crate::log::Log;
use crate::process::{role, unix_time, Role};

/// The type of the values in a zone. Any bytes are a valid value (`FromBytes`), whichever process
/// has written them.
///
/// The alignment must not exceed that of `u64`. [`Zone`] needs a `Sync` type, which is changed
/// through atomics only.
pub trait Shared: FromBytes + 'static {
    /// The directive that describes the zone, for messages.
    const DIRECTIVE: &'static str;

    /// The version of the layout and meaning of the type. Increase it with any change: after a
    /// binary upgrade, a zone with values of another version is refused.
    const VERSION: u32;

    /// A static whose address identifies the use of a zone to nginx. Each use needs its own: if two
    /// uses had the same tag, zones of the same name would be one.
    fn tag() -> &'static Tag<Self>;
}

/// See [`Shared::tag`].
///
/// Its first byte is for a [`Zone`] and its second for an [`Exclusive`], so that no zone is both.
pub struct Tag<T: ?Sized>([u8; 2], PhantomData<fn() -> T>);

impl<T> Tag<T> {
    /// A tag, for a static.
    #[allow(clippy::new_without_default, reason = "a static is made of a constant")]
    pub const fn new() -> Self {
        Self([0; 2], PhantomData)
    }
}

/// The header of the contents of a zone.
#[repr(C)]
struct ZoneHeader {
    layout: u64,
    /// When the zone was created, in seconds since 1970.
    made: u64,
    seed: [u64; 2],
    /// The number of values after the header.
    count: usize,
}

const fn layout<T: Shared>() -> u64 {
    (T::VERSION as u64) << 32 | size_of::<T>() as u64
}

/// A zone of values that all processes read and write through atomics. It may be kept: it has no
/// values after its configuration is freed.
pub struct Zone<T>(Inner<T>);

/// A zone of one value, which one process at a time uses, under a lock. It may be kept, like
/// [`Zone`].
pub struct Exclusive<T>(Inner<T>);

struct Inner<T> {
    zone: NonNull<ngx_shm_zone_t>,
    life: Life,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Inner<T> {
    fn clone(&self) -> Self {
        Self { zone: self.zone, life: self.life.clone(), of: PhantomData }
    }
}

impl<T> Clone for Zone<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Clone for Exclusive<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Shared + Sync> Zone<T> {
    /// Adds a zone to the configuration. It holds as many values as fit in `size` bytes, at most
    /// `MOST`. To be called while the configuration is read.
    ///
    /// # Errors
    /// A zone of this name has another use or size, or memory is exhausted.
    pub fn add<const MOST: usize>(cf: &mut Conf, name: &str, size: usize) -> Result<Self, Error> {
        Inner::add::<MOST>(cf, name, size, 0).map(Self)
    }

    /// The values. `None` unless this process is a worker ([`role`]) and the configuration is
    /// alive: other processes do not use zones, and in a single process a reload frees the zone
    /// while connections still use it. A worker keeps its zones mapped until it exits.
    pub fn values(&self) -> Option<&'static [T]> {
        let (_, header) = self.0.memory()?;
        // SAFETY: `init` has made `count` values; any bytes are valid values, and they are changed
        // through atomics only
        unsafe {
            Some(std::slice::from_raw_parts(header.add(1).cast().as_ptr(), header.as_ref().count))
        }
    }

    /// Calls `work` with the values under the lock of the zone. `work` must not lock the same zone:
    /// that would deadlock. `None` as for [`Zone::values`].
    pub fn locked<R>(&self, work: impl FnOnce(&'static [T]) -> R) -> Option<R> {
        let values = self.values()?;
        let (pool, _) = self.0.memory()?;
        let _lock = pool.lock();
        Some(work(values))
    }

    /// When the zone was created, in seconds since 1970. `None` as for [`Zone::values`].
    pub fn made(&self) -> Option<u64> {
        // SAFETY: `init` has made the header, and nobody writes to it afterwards
        Some(unsafe { self.0.memory()?.1.as_ref() }.made)
    }

    /// The name of the zone; empty after its configuration is freed.
    pub fn name(&self) -> String {
        self.0.name()
    }
}

impl<T: Shared> Exclusive<T> {
    /// Adds a zone to the configuration. To be called while the configuration is read.
    ///
    /// # Errors
    /// As for [`Zone::add`].
    pub fn add(cf: &mut Conf, name: &str, size: usize) -> Result<Self, Error> {
        Inner::add::<1>(cf, name, size, 1).map(Self)
    }

    /// Calls `work` with the value and the random seed of the zone, under its lock. `work` must not
    /// use the same zone: that would deadlock. The lock is released if `work` panics, and by nginx
    /// if the process dies. `None` as for [`Zone::values`].
    pub fn with<R>(&self, work: impl FnOnce(&mut T, [u64; 2]) -> R) -> Option<R> {
        let (pool, header) = self.0.memory()?;
        let _lock = pool.lock();
        // SAFETY: `init` has made the value, and any bytes are valid. The lock guarantees exclusive
        // access between processes, and within this one, where a second call would deadlock
        let value = unsafe { &mut *header.add(1).cast::<T>().as_ptr() };
        // SAFETY: `init` has made the header, and nobody writes to it afterwards
        Some(work(value, unsafe { header.as_ref() }.seed))
    }
}

impl<T: Shared> Inner<T> {
    /// `byte` of the tag tells the two kinds of zones apart.
    fn add<const MOST: usize>(
        cf: &mut Conf,
        name: &str,
        size: usize,
        byte: usize,
    ) -> Result<Self, Error> {
        const { assert!(align_of::<T>() <= align_of::<ZoneHeader>()) };
        let (mut name, life) = (cf.string(name)?, cf.life()?);
        let tag = (&raw const T::tag().0[byte]).cast_mut().cast();
        // SAFETY: the name is in the pool of the configuration; nginx only compares the tag
        let zone = unsafe { ngx_shared_memory_add(cf.as_ptr(), &raw mut name, size, tag) };
        let zone = NonNull::new(zone).ok_or(Error::Logged)?;
        // SAFETY: a zone with this tag, so of this type; nginx calls `init` once the configuration
        // is read
        unsafe { (*zone.as_ptr()).init = Some(init::<T, MOST>) };
        Ok(Self { zone, life, of: PhantomData })
    }

    /// The allocator and the header of the zone; `None` as for [`Zone::values`].
    fn memory(&self) -> Option<(SlabPool, NonNull<ZoneHeader>)> {
        if !self.life.goes_on() || !matches!(role(), Role::Worker(_)) {
            return None;
        }
        // SAFETY: the life has been checked; a worker keeps all zones of its configuration mapped,
        // and `init` has made the header
        unsafe {
            let pool = SlabPool::from_shm_zone(self.zone.as_ref())?;
            let header = NonNull::new(pool.as_ref().data.cast())?;
            Some((pool, header))
        }
    }

    fn name(&self) -> String {
        match self.life.goes_on() {
            // SAFETY: the life has been checked
            true => crate::text::owned(unsafe { &self.zone.as_ref().shm.name }),
            false => String::new(),
        }
    }
}

/// Initializes a new zone; checks the header of one that exists from before a reload.
unsafe extern "C" fn init<T: Shared, const MOST: usize>(
    zone: *mut ngx_shm_zone_t,
    _: *mut std::ffi::c_void,
) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: nginx passes the zone with its memory mapped and its allocator initialized
        let (shm, pool) = unsafe { (&(*zone).shm, (*zone).shm.addr.cast::<ngx_slab_pool_t>()) };
        // SAFETY: nginx sets the log of the zone
        let log = unsafe { Log::from_ptr(shm.log) };
        // SAFETY: null, or the header that an earlier call has made for the same tag
        match unsafe { (*pool).data.cast::<ZoneHeader>().as_ref() } {
            Some(header) if header.layout == layout::<T>() => return NGX_OK as _,
            Some(_) => {
                log.write(
                    crate::log::Level::Emerg,
                    format_args!(
                        "zone \"{}\" of \"{}\" was made by another version of the module: restart \
                         nginx, or give the zone another name",
                        shm.name,
                        T::DIRECTIVE
                    ),
                );
                return NGX_ERROR as _;
            }
            None => {}
        }
        let mut seed = [0; 16];
        if let Err(error) = getrandom::fill(&mut seed) {
            log.write(
                crate::log::Level::Emerg,
                format_args!("cannot get random bytes for zone \"{}\": {error}", shm.name),
            );
            return NGX_ERROR as _;
        }
        let seed = u128::from_ne_bytes(seed);
        // SAFETY: a new zone of `size` bytes
        let header = unsafe { make::<T>(pool, shm.size, MOST) };
        // SAFETY: null or zeroed memory, which is a valid header
        let Some(header) = (unsafe { header.as_mut() }) else { return NGX_ERROR as _ };
        header.layout = layout::<T>();
        header.made = unix_time();
        header.seed = [seed as u64, (seed >> 64) as u64];
        // SAFETY: the allocator is mapped, and no other process uses a zone during `init`
        unsafe { (*pool).data = (&raw mut *header).cast() };
        NGX_OK as _
    })
}

/// Allocates zeroed memory for a header and as many values as fit, at most `most`; null if not even
/// one fits.
///
/// # Safety
/// `pool` is the allocator of a zone of `size` bytes.
unsafe fn make<T: Shared>(pool: *mut ngx_slab_pool_t, size: usize, most: usize) -> *mut ZoneHeader {
    let room = size.saturating_sub(size_of::<ngx_slab_pool_t>()) / size_of::<T>();
    // SAFETY: the caller guarantees the allocator
    unsafe {
        if most > 1 {
            // the first attempts may fail as expected
            (*pool).bits_mut().set_log_nomem(0);
        }
        for count in (1..=most.min(room)).rev() {
            let header = ngx_slab_calloc(pool, size_of::<ZoneHeader>() + count * size_of::<T>());
            if let Some(header) = header.cast::<ZoneHeader>().as_mut() {
                header.count = count;
                return header;
            }
        }
    }
    null_mut()
}
