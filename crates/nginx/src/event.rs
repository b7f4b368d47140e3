//! What nginx has as macros and inline functions around an event's bit-fields
//! (`src/event/ngx_event_timer.h`, `ngx_event_posted.h`), by `bits`. Those of nginx-sys use its own
//! accessors, and `scripts/lint` refuses them.

use std::ptr::null_mut;

use ngx::ffi::{
    ngx_current_msec, ngx_event_t, ngx_event_timer_rbtree, ngx_msec_t, ngx_queue_insert_before,
    ngx_queue_remove, ngx_queue_t, ngx_rbtree_delete, ngx_rbtree_insert, NGX_TIMER_LAZY_DELAY,
};

use super::bits::Bits;

/// Calls the handler of an event in `timer` milliseconds. A timer that is set already and fires
/// less than `NGX_TIMER_LAZY_DELAY` away from that stays as it is.
///
/// # Safety
/// `ev` stays where it is until the timer has fired or is deleted.
pub unsafe fn ngx_add_timer(ev: *mut ngx_event_t, timer: ngx_msec_t) {
    // SAFETY: by contract; a global of nginx
    unsafe {
        let key = ngx_current_msec.wrapping_add(timer);
        if (*ev).bits().timer_set() != 0 {
            if key.abs_diff((*ev).timer.key) < NGX_TIMER_LAZY_DELAY as ngx_msec_t {
                return;
            }
            ngx_del_timer(ev);
        }
        (*ev).timer.key = key;
        ngx_rbtree_insert(&raw mut ngx_event_timer_rbtree, &raw mut (*ev).timer);
        (*ev).bits_mut().set_timer_set(1);
    }
}

/// Deletes a timer.
///
/// # Safety
/// It is set.
pub unsafe fn ngx_del_timer(ev: *mut ngx_event_t) {
    // SAFETY: by contract; a global of nginx
    unsafe {
        ngx_rbtree_delete(&raw mut ngx_event_timer_rbtree, &raw mut (*ev).timer);
        (*ev).timer.left = null_mut();
        (*ev).timer.right = null_mut();
        (*ev).timer.parent = null_mut();
        (*ev).bits_mut().set_timer_set(0);
    }
}

/// Has the handler of an event called soon, once, from a queue of nginx.
///
/// # Safety
/// `ev` stays where it is until then or until it is taken back; `queue` is one of nginx's.
pub unsafe fn ngx_post_event(ev: *mut ngx_event_t, queue: *mut ngx_queue_t) {
    // SAFETY: by contract
    unsafe {
        if (*ev).bits().posted() == 0 {
            (*ev).bits_mut().set_posted(1);
            ngx_queue_insert_before(queue, &raw mut (*ev).queue);
        }
    }
}

/// Takes an event back from the queue that it was posted to.
///
/// # Safety
/// It is in one.
pub unsafe fn ngx_delete_posted_event(ev: *mut ngx_event_t) {
    // SAFETY: by contract
    unsafe {
        (*ev).bits_mut().set_posted(0);
        ngx_queue_remove(&raw mut (*ev).queue);
    }
}
