//! nginx's macros and inline functions for events (`src/event/ngx_event_timer.h`,
//! `ngx_event_posted.h`), with the verified bit-field accessors. Those of nginx-sys use its
//! unverified accessors, and `scripts/lint` refuses them.

use std::ptr::null_mut;

use ngx::ffi::{
    ngx_current_msec, ngx_event_t, ngx_event_timer_rbtree, ngx_msec_t, ngx_queue_insert_before,
    ngx_queue_remove, ngx_queue_t, ngx_rbtree_delete, ngx_rbtree_insert, NGX_TIMER_LAZY_DELAY,
};

use super::bits::Bits;

/// Sets the timer of an event to expire in `timer` milliseconds. If it is set already to a time
/// less than `NGX_TIMER_LAZY_DELAY` from that, it is not changed.
///
/// # Safety
/// `ev` is valid and stays at its address until the timer has expired or is deleted. Called on
/// nginx's thread.
pub unsafe fn ngx_add_timer(ev: *mut ngx_event_t, timer: ngx_msec_t) {
    // SAFETY: the caller guarantees the event; only nginx's thread uses the timer tree
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

/// Deletes the timer of an event.
///
/// # Safety
/// `ev` is valid and its timer is set. Called on nginx's thread.
pub unsafe fn ngx_del_timer(ev: *mut ngx_event_t) {
    // SAFETY: the caller guarantees that it is in the timer tree, which only nginx's thread uses
    unsafe {
        ngx_rbtree_delete(&raw mut ngx_event_timer_rbtree, &raw mut (*ev).timer);
        (*ev).timer.left = null_mut();
        (*ev).timer.right = null_mut();
        (*ev).timer.parent = null_mut();
        (*ev).bits_mut().set_timer_set(0);
    }
}

/// Adds an event to one of nginx's queues of posted events, unless it is in one. nginx calls its
/// handler once.
///
/// # Safety
/// `ev` is valid and stays at its address until its handler is called or it is removed from the
/// queue; `queue` is a queue of posted events of nginx.
pub unsafe fn ngx_post_event(ev: *mut ngx_event_t, queue: *mut ngx_queue_t) {
    // SAFETY: the caller guarantees both pointers
    unsafe {
        if (*ev).bits().posted() == 0 {
            (*ev).bits_mut().set_posted(1);
            ngx_queue_insert_before(queue, &raw mut (*ev).queue);
        }
    }
}

/// Removes an event from the queue that it was posted to.
///
/// # Safety
/// `ev` is valid and in a queue of posted events.
pub unsafe fn ngx_delete_posted_event(ev: *mut ngx_event_t) {
    // SAFETY: the caller guarantees that it is in a queue
    unsafe {
        (*ev).bits_mut().set_posted(0);
        ngx_queue_remove(&raw mut (*ev).queue);
    }
}
