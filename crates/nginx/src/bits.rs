//! nginx's bit-fields. The accessors that nginx-sys has for them may be wrong (see
//! `build/layout.rs`), so these are used: `r.bits().count()`, `r.bits_mut().bits_mut().set_count(2)`.
//! `scripts/lint` refuses the others.

/// A structure of nginx with bit-fields.
///
/// # Safety
/// `Fields` has the same size and alignment, and its bit-fields are where nginx has them.
pub unsafe trait Bits: Sized {
    /// The same structure with accessors that are proven.
    type Fields;

    /// The bit-fields, to read.
    fn bits(&self) -> &Self::Fields {
        // SAFETY: the implementer's
        unsafe { &*(&raw const *self).cast() }
    }

    /// The bit-fields, to write.
    fn bits_mut(&mut self) -> &mut Self::Fields {
        // SAFETY: the implementer's
        unsafe { &mut *(&raw mut *self).cast() }
    }
}

macro_rules! has_bits {
    ($name:ident) => {
        const _: () = assert!(align_of::<$name>() == align_of::<ngx::ffi::$name>());

        // SAFETY: as just said, and as `proof` has it
        unsafe impl super::Bits for ngx::ffi::$name {
            type Fields = $name;
        }
    };
}

/// nginx's structures, written by the build script. The bit-fields of these are used, and nothing
/// else of them.
#[allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unnecessary_transmutes,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    unsafe_op_in_unsafe_fn
)]
mod fields {
    use ngx::ffi::*;

    include!(concat!(env!("OUT_DIR"), "/bits.rs"));
}

/// That all fields of nginx's structures are where the C compiler has them, written by the build
/// script: a build for an nginx that this does not hold for fails here.
#[allow(clippy::eq_op, clippy::identity_op, reason = "numbers on both sides")]
mod proof {
    use super::fields as bits;
    use core::mem::offset_of;
    use ngx::ffi;

    /// The size of the field that a function points to.
    const fn size_of_field<S, F>(_: fn(&S) -> *const F) -> usize {
        size_of::<F>()
    }

    include!(concat!(env!("OUT_DIR"), "/proof.rs"));
}
