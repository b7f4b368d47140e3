//! Memory that the processes of nginx share.

use std::marker::PhantomData;
use std::ptr::{null_mut, NonNull};

use ngx::ffi::{
    ngx_int_t, ngx_shared_memory_add, ngx_shm_zone_t, ngx_shmtx_lock, ngx_shmtx_unlock,
    ngx_slab_calloc, ngx_slab_pool_t, NGX_ERROR, NGX_OK,
};
use zerocopy::FromBytes;

use crate::bits::Bits;
use crate::conf::{Conf, Error};
use crate::guard::guarded;
use crate::life::Life;
use crate::log::Log;
use crate::process::{role, unix_time, Role};

/// What a zone holds: any bytes are a value of it, whichever process has written them.
pub trait Shared: FromBytes + 'static {
    /// The directive that describes the zone, for messages.
    const DIRECTIVE: &'static str;

    /// To be raised with any change to the type or its meaning: a zone that another version of the
    /// module has left is refused.
    const VERSION: u32;

    /// A static of its own, by whose address nginx tells the zones of one use from others. The module
    /// would not do for that: two uses under one name would be one memory.
    fn tag() -> &'static Tag<Self>;
}

/// See [`Shared::tag`].
pub struct Tag<T: ?Sized>(#[allow(dead_code)] u8, PhantomData<fn() -> T>);

impl<T> Tag<T> {
    /// To be kept in a static.
    #[allow(clippy::new_without_default, reason = "a static is made of a constant")]
    pub const fn new() -> Self {
        Self(0, PhantomData)
    }
}

/// The beginning of what a zone holds.
#[repr(C)]
struct Header {
    layout: u64,
    /// When it was made, in seconds since 1970.
    made: u64,
    seed: [u64; 2],
    /// How many values follow.
    count: usize,
}

const fn layout<T: Shared>() -> u64 {
    (T::VERSION as u64) << 32 | size_of::<T>() as u64
}

/// A zone of values that all processes read and write through atomics.
pub struct Zone<T>(Inner<T>);

/// A zone of one value, which a process has to itself while it works on it.
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
    /// Adds a zone to the configuration, of as many values as there is room for, `MOST` at most.
    ///
    /// # Errors
    /// One of this name has another use or size, or there is no memory.
    pub fn add<const MOST: usize>(cf: &mut Conf, name: &str, size: usize) -> Result<Self, Error> {
        Inner::add::<MOST>(cf, name, size).map(Self)
    }

    /// Its values; `None` in a process that has no part in it, see [`role`]: a single process, whose
    /// reload frees the zone under what goes on, among them. A worker keeps its zones to its end.
    pub fn values(&self) -> Option<&'static [T]> {
        let (_, header) = self.0.memory()?;
        // SAFETY: `init` has made as many; any bytes are values, and they are only read, or written
        // through atomics
        unsafe {
            Some(std::slice::from_raw_parts(header.add(1).cast().as_ptr(), header.as_ref().count))
        }
    }

    /// Works under the zone's lock, see [`Exclusive::with`].
    pub fn locked<R>(&self, work: impl FnOnce(&'static [T]) -> R) -> Option<R> {
        let values = self.values()?;
        let _lock = Lock::of(self.0.memory()?.0);
        Some(work(values))
    }

    /// When it was made, in seconds since 1970.
    pub fn made(&self) -> Option<u64> {
        // SAFETY: `init` has made it, and nobody writes to it
        Some(unsafe { self.0.memory()?.1.as_ref() }.made)
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.0.name()
    }
}

impl<T: Shared> Exclusive<T> {
    /// Adds a zone to the configuration.
    ///
    /// # Errors
    /// As of [`Zone::add`].
    pub fn add(cf: &mut Conf, name: &str, size: usize) -> Result<Self, Error> {
        Inner::add::<1>(cf, name, size).map(Self)
    }

    /// Works on the value, with a seed that the zone has got as it was made, under the zone's lock,
    /// which nginx opens again should the process die, and a panic does too. `None` in a process that
    /// has no part in it, see [`Zone::values`]. `work` must not use the same zone: it would wait for itself.
    pub fn with<R>(&self, work: impl FnOnce(&mut T, [u64; 2]) -> R) -> Option<R> {
        let (pool, header) = self.0.memory()?;
        let _lock = Lock::of(pool);
        // SAFETY: `init` has made it, any bytes are a value, and nobody else works on it while it is
        // locked: this process neither, as the lock would have waited for itself
        let value = unsafe { &mut *header.add(1).cast::<T>().as_ptr() };
        // SAFETY: as above
        Some(work(value, unsafe { header.as_ref() }.seed))
    }
}

impl<T: Shared> Inner<T> {
    fn add<const MOST: usize>(cf: &mut Conf, name: &str, size: usize) -> Result<Self, Error> {
        const { assert!(align_of::<T>() <= align_of::<Header>()) };
        let (mut name, life) = (cf.string(name)?, cf.life()?);
        let tag = (&raw const *T::tag()).cast_mut().cast();
        // SAFETY: the name is in the configuration's memory; nginx compares the tag alone
        let zone = unsafe { ngx_shared_memory_add(cf.as_ptr(), &raw mut name, size, tag) };
        let zone = NonNull::new(zone).ok_or(Error::Logged)?;
        // SAFETY: a zone of this use
        unsafe { (*zone.as_ptr()).init = Some(init::<T, MOST>) };
        Ok(Self { zone, life, of: PhantomData })
    }

    /// The zone's allocator and header, where this process has a part in it.
    fn memory(&self) -> Option<(NonNull<ngx_slab_pool_t>, NonNull<Header>)> {
        if !self.life.goes_on() || !matches!(role(), Role::Worker(_)) {
            return None;
        }
        // SAFETY: its configuration is there; a worker keeps all zones mapped, which `init` has seen
        unsafe {
            let pool = NonNull::new(self.zone.as_ref().shm.addr.cast::<ngx_slab_pool_t>())?;
            Some((pool, NonNull::new(pool.as_ref().data.cast())?))
        }
    }

    fn name(&self) -> String {
        match self.life.goes_on() {
            // SAFETY: its configuration is there
            true => crate::text::owned(unsafe { &self.zone.as_ref().shm.name }),
            false => String::new(),
        }
    }
}

/// A zone that is locked, until it is dropped.
struct Lock(NonNull<ngx_slab_pool_t>);

impl Lock {
    fn of(pool: NonNull<ngx_slab_pool_t>) -> Self {
        // SAFETY: `Inner::memory` has found it mapped
        unsafe { ngx_shmtx_lock(&raw mut (*pool.as_ptr()).mutex) };
        Self(pool)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // SAFETY: as above, and locked there
        unsafe { ngx_shmtx_unlock(&raw mut (*self.0.as_ptr()).mutex) };
    }
}

/// Makes the values; after a reload they are there already.
unsafe extern "C" fn init<T: Shared, const MOST: usize>(
    zone: *mut ngx_shm_zone_t,
    _: *mut std::ffi::c_void,
) -> ngx_int_t {
    guarded(NGX_ERROR as _, || {
        // SAFETY: nginx passes the zone with its memory mapped and its allocator ready
        let (shm, pool) = unsafe { (&(*zone).shm, (*zone).shm.addr.cast::<ngx_slab_pool_t>()) };
        // SAFETY: the log of the zone
        let log = unsafe { Log::from_ptr(shm.log) };
        // SAFETY: null, or what has been made for this use
        match unsafe { (*pool).data.cast::<Header>().as_ref() } {
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
        // SAFETY: new, of that size
        let header = unsafe { make::<T>(pool, shm.size, MOST) };
        // SAFETY: null or zeroed memory
        let Some(header) = (unsafe { header.as_mut() }) else { return NGX_ERROR as _ };
        header.layout = layout::<T>();
        header.made = unix_time();
        header.seed = [seed as u64, (seed >> 64) as u64];
        // SAFETY: as above
        unsafe { (*pool).data = (&raw mut *header).cast() };
        NGX_OK as _
    })
}

/// Zeroed memory for a header and as many values as there is room for; null where that is none.
///
/// # Safety
/// `pool` is a new zone of `size` bytes.
unsafe fn make<T: Shared>(pool: *mut ngx_slab_pool_t, size: usize, most: usize) -> *mut Header {
    let room = size.saturating_sub(size_of::<ngx_slab_pool_t>()) / size_of::<T>();
    // SAFETY: by contract
    unsafe {
        if most > 1 {
            // less is tried than there can be, so a failure is none
            (*pool).bits_mut().set_log_nomem(0);
        }
        for count in (1..=most.min(room)).rev() {
            let header = ngx_slab_calloc(pool, size_of::<Header>() + count * size_of::<T>());
            if let Some(header) = header.cast::<Header>().as_mut() {
                header.count = count;
                return header;
            }
        }
    }
    null_mut()
}
