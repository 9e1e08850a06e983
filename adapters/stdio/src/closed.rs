//! Whether a program was started with standard output closed (`>&-`).
//!
//! Rust's runtime opens `/dev/null` in place of a closed standard stream before `main`, and then
//! all output succeeds and is lost. So it is looked at earlier: the loader runs the functions that
//! stand in `.init_array` before the runtime starts.

use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether standard output was closed when the program started; `false` where the system has no way
/// to tell.
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
