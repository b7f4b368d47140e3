//! `elb_shutdown_timeout`: the end of ordinary requests that are still under way when their worker
//! leaves. `worker_shutdown_timeout` is no help: it closes WebSockets too, which have a drain of
//! their own.

use std::cell::Cell;
use std::ffi::c_int;
use std::mem::MaybeUninit;

use ngx::ffi::{
    close, eventfd, ngx_close_connection, ngx_connection_t, ngx_cycle, ngx_event_t,
    ngx_get_connection, ngx_process, EFD_CLOEXEC, NGX_LOG_ERR, NGX_LOG_WARN, NGX_PROCESS_WORKER,
};

use super::destination::MainConf;
use super::{listen, Elb};
use crate::glue::conf::{invalid, time_in_words, time_or_off, Conf, Error, Outcome};
use crate::glue::websocket::drain::{self, Leaving};
use crate::glue::websocket::is_tunnel;
use nginx::bits::Bits;
use nginx::event::ngx_add_timer;
use nginx::guard::guarded;
use nginx::process::now;

/// How long requests may go on, in milliseconds; 0 is for as long as they like.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When nginx stops.
    pub stop: u64,
    /// When a newer configuration has taken over.
    pub reload: u64,
}

/// The time after a reload unless the directive says otherwise.
const RELOAD: u64 = 60_000;

/// `elb_shutdown_timeout time | off [reload=time | reload=off];`
pub fn elb_shutdown_timeout(cf: &mut Conf, main: &mut MainConf) -> Outcome {
    if main.shutdown.is_some() {
        return Err(Error::DUPLICATE);
    }
    let args = cf.args()?;
    let stop = time_or_off(cf, args.first())?;
    let reload = match args.get(1) {
        None => RELOAD,
        Some(word) => {
            let value = word.strip_prefix("reload=").map(str::to_owned);
            let value =
                value.ok_or_else(|| invalid(cf, word, "\"reload=\" with a time or \"off\""))?;
            time_or_off(cf, Some(&value))?
        }
    };
    main.shutdown = Some(Times { stop, reload });
    Ok(())
}

thread_local! {
    /// Of the configuration of this worker.
    static TIMES: Cell<Option<Times>> = const { Cell::new(None) };
}

/// Sees to it that this worker notices when it begins to leave: nginx then calls the read handler of
/// each connection that is idle (`ngx_close_idle_connections`), so one is made, of a descriptor
/// that nobody writes to.
pub fn start(own: nginx::cycle::Cycle) {
    let cycle = own.as_ptr();
    // SAFETY: by contract; the connection is made and closed as nginx's own are
    unsafe {
        // a single process ends at once, and the helpers of a cache have no requests
        if ngx_process != NGX_PROCESS_WORKER as usize {
            return;
        }
        let Some(times) = own.main::<Elb>().and_then(|main| main.shutdown) else { return };
        TIMES.set(Some(times));
        let log = (*cycle).log;
        let fd = eventfd(0, EFD_CLOEXEC as c_int);
        let c = match fd {
            -1 => std::ptr::null_mut(),
            _ => ngx_get_connection(fd, log),
        };
        let Some(connection) = c.as_mut() else {
            ngx::ngx_log_error!(
                NGX_LOG_ERR,
                log,
                "no connection to notice a stop by: \"elb_shutdown_timeout\" has no effect"
            );
            if fd != -1 {
                close(fd);
            }
            return;
        };
        connection.bits_mut().set_idle(1);
        for event in [connection.read, connection.write] {
            (*event).log = log;
            (*event).handler = Some(on_leaving);
        }
    }
}

/// The worker begins to leave.
unsafe extern "C" fn on_leaving(ev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: nginx passes the event of the connection that `start` has made; a connection that
        // is left open as a worker ends would be an alert
        unsafe { ngx_close_connection((*ev).data.cast()) };
        set_timer(drain::begin());
    })
}

/// nginx stops while this worker is leaving because of a reload.
pub fn hurry() {
    set_timer(Leaving::Stopping);
}

/// Sets the timer, unless it fires early enough as it is.
fn set_timer(why: Leaving) {
    static mut EVENT: MaybeUninit<ngx_event_t> = MaybeUninit::zeroed();
    let Some(times) = TIMES.get() else { return };
    let time = match why {
        Leaving::Stopping => times.stop,
        Leaving::Superseded => times.reload,
    };
    if time == 0 {
        return;
    }
    // SAFETY: all-zero is a valid event; it is set up here alone, by the only thread, and stays
    unsafe {
        let event = (&raw mut EVENT).cast::<ngx_event_t>();
        if (*event).bits().timer_set() != 0 && (*event).timer.key as u64 <= now() + time {
            return;
        }
        (*event).handler = Some(on_time);
        // nginx's debug log looks for a connection there
        (*event).data = ngx_cycle.cast();
        (*event).log = (*ngx_cycle).log;
        // a worker without requests does not stay for it
        (*event).bits_mut().set_cancelable(1);
        ngx_add_timer(event, time as usize);
    }
}

unsafe extern "C" fn on_time(ev: *mut ngx_event_t) {
    guarded((), || {
        // SAFETY: nginx passes the event of `set_timer`, from its loop, where no request is at work
        let ended = unsafe { end_requests() };
        let (why, time) = match (drain::why(), TIMES.get()) {
            (Leaving::Superseded, Some(times)) => ("a reload", times.reload),
            (_, times) => ("the stop", times.map_or(0, |times| times.stop)),
        };
        let what = match ended {
            0 => return,
            1 => "connection closed that was",
            _ => "connections closed that were",
        };
        ngx::ngx_log_error!(
            NGX_LOG_WARN,
            // SAFETY: as above
            unsafe { (*ev).log },
            "{ended} {what} still in use {} after {why}: raise \"elb_shutdown_timeout\" if their \
             requests need longer",
            time_in_words(time)
        );
    })
}

/// Ends what clients still have of this worker but WebSockets, as `ngx_shutdown_timer_handler` does;
/// what a request has open to a destination goes with it. How many connections that was.
///
/// # Safety
/// No request is at work.
unsafe fn end_requests() -> usize {
    let mut ended = 0;
    // SAFETY: by contract; the array of connections of this worker. What runs may free
    // connections, so nothing is kept over it.
    unsafe {
        let (connections, count) = ((*ngx_cycle).connections, (*ngx_cycle).connection_n);
        for index in 0..count {
            let c = connections.add(index);
            if (*c).fd == -1 || !is_of_client(c) || is_tunnel(c) {
                continue;
            }
            let Some(handler) = (*c).read.as_ref().and_then(|read| read.handler) else { continue };
            let number = (*c).number;
            ended += 1;
            (*c).bits_mut().set_close(1);
            (*c).bits_mut().set_error(1);
            handler((*c).read);
            // a request of which the header is not whole yet heeds its timer alone
            // (`ngx_http_process_request_line`)
            let read = (*c).read;
            if (*c).fd != -1 && (*c).number == number && (*read).bits().timer_set() != 0 {
                ngx_add_timer(read, 0);
            }
        }
    }
    ended
}

/// Whether nginx has accepted a connection for http, not for stream or mail.
///
/// # Safety
/// An open connection of nginx.
unsafe fn is_of_client(c: *const ngx_connection_t) -> bool {
    // SAFETY: by contract; null, or the listening socket that it came from
    let listening = unsafe { (*c).listening.as_ref() };
    // SAFETY: an open connection has a read event; that of a listening socket itself accepts
    let accepts = unsafe { (*c).read.as_ref().is_none_or(|read| read.bits().accept() != 0) };
    !accepts && listening.is_some_and(|listening| listen::optional::is_http(listening.handler))
}
