//! Text in nginx's notation, and nginx's strings.

use ngx::ffi::{ngx_parse_size, ngx_parse_time, ngx_pool_t, ngx_str_t};

/// A time in nginx's notation, in milliseconds; `None` where it is none.
pub fn time(text: &str) -> Option<u64> {
    let mut text = borrowed(text);
    // SAFETY: the text is only read
    u64::try_from(unsafe { ngx_parse_time(&raw mut text, 0) }).ok()
}

/// A size in nginx's notation, in bytes; `None` where it is none.
pub fn size(text: &str) -> Option<usize> {
    let mut text = borrowed(text);
    // SAFETY: the text is only read
    usize::try_from(unsafe { ngx_parse_size(&raw mut text) }).ok()
}

/// Milliseconds in nginx's notation.
pub fn time_in_words(milliseconds: u64) -> String {
    match milliseconds % 1_000 {
        0 => format!("{}s", milliseconds / 1_000),
        _ => format!("{milliseconds}ms"),
    }
}

/// A word as nginx's tokenizer reads it back (`ngx_conf_read_token`).
pub(crate) fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Text that somebody else keeps, for a function that only reads it.
pub(crate) fn borrowed(text: &str) -> ngx_str_t {
    ngx_str_t { len: text.len(), data: text.as_ptr().cast_mut() }
}

/// Text that is always there.
pub fn literal(text: &'static str) -> ngx_str_t {
    borrowed(text)
}

/// A string of nginx's as text.
pub fn owned(string: &ngx_str_t) -> String {
    String::from_utf8_lossy(string.as_bytes()).into_owned()
}

/// `text` in a pool, with a NUL behind it as nginx's own strings of a configuration have.
///
/// # Safety
/// The pool is valid; the result is used no longer than it lives.
pub unsafe fn string_in(pool: *mut ngx_pool_t, text: &str) -> Option<ngx_str_t> {
    // SAFETY: by contract
    let copy = unsafe { ngx_str_t::from_bytes(pool, &[text.as_bytes(), b"\0"].concat()) };
    copy.map(|copy| ngx_str_t { len: text.len(), ..copy })
}
