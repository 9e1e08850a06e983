//! Detection of a standard output that was closed when the program started (`>&-`).
//!
//! Rust's runtime opens `/dev/null` in place of a closed standard stream before `main`; then all
//! output succeeds and is lost. The check therefore runs earlier: the loader calls the functions in
//! `.init_array` before the runtime starts.

use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Returns `true` if standard output was closed when the program started; `false` if the system
/// offers no way to tell.
pub(crate) fn stdout_was_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "only the section makes the loader call the function; it is an ordinary safe one"
)]
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = {
    extern "C" fn look() {
        let found = rustix::io::fcntl_getfd(rustix::stdio::stdout());
        CLOSED.store(matches!(found, Err(rustix::io::Errno::BADF)), Ordering::Relaxed);
    }
    look
};
