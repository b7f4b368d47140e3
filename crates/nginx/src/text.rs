//! Text in nginx's notation, and nginx's strings.

use ngx::ffi::{ngx_parse_size, ngx_parse_time, ngx_pool_t, ngx_str_t};

/// Parses a time in nginx's notation, such as `25s`. Returns milliseconds; `None` if it is invalid.
pub fn time(text: &str) -> Option<u64> {
    let mut text = borrowed(text);
    // SAFETY: nginx only reads the text
    u64::try_from(unsafe { ngx_parse_time(&raw mut text, 0) }).ok()
}

/// Parses a size in nginx's notation, such as `16k`. Returns bytes; `None` if it is invalid.
pub fn size(text: &str) -> Option<usize> {
    let mut text = borrowed(text);
    // SAFETY: nginx only reads the text
    usize::try_from(unsafe { ngx_parse_size(&raw mut text) }).ok()
}

/// Formats milliseconds in nginx's notation.
pub fn time_in_words(milliseconds: u64) -> String {
    match milliseconds % 1_000 {
        0 => format!("{}s", milliseconds / 1_000),
        _ => format!("{milliseconds}ms"),
    }
}

/// Quotes a word so that nginx's tokenizer reads it back unchanged (`ngx_conf_read_token`).
pub(crate) fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Borrowed text as a string of nginx, for a function that only reads it during the call.
pub(crate) fn borrowed(text: &str) -> ngx_str_t {
    ngx_str_t { len: text.len(), data: text.as_ptr().cast_mut() }
}

/// Static text as a string of nginx. nginx must not write to it.
pub fn literal(text: &'static str) -> ngx_str_t {
    borrowed(text)
}

/// A copy of a string of nginx; invalid UTF-8 is replaced. Trusts the pointer and the length, as
/// nginx does.
pub fn owned(string: &ngx_str_t) -> String {
    String::from_utf8_lossy(string.as_bytes()).into_owned()
}

/// A copy of `text` in a pool, followed by NUL like the strings that nginx reads from a
/// configuration; `None` if memory is exhausted.
///
/// # Safety
/// The pool is valid. The result is not used after it is destroyed.
pub unsafe fn string_in(pool: *mut ngx_pool_t, text: &str) -> Option<ngx_str_t> {
    // SAFETY: the caller guarantees a valid pool
    let copy = unsafe { ngx_str_t::from_bytes(pool, &[text.as_bytes(), b"\0"].concat()) };
    copy.map(|copy| ngx_str_t { len: text.len(), ..copy })
}
