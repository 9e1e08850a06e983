//! The exports of the module: two buffers, and a function that takes a call from the one and leaves
//! the answer in the other.
//!
//! A WebAssembly module is used by one thread, so its one [`Instance`] is a static. A program that
//! needs several nodes makes several instances of the module, each with a memory of its own.
#![allow(
    unsafe_code,
    reason = "exported names, and static memory that the host of the module writes and reads"
)]

use core::cell::UnsafeCell;

use crate::instance::{INPUT_BYTES, Instance, OUTPUT_BYTES};

/// Memory that the module and its host use in turns.
struct Shared<T>(UnsafeCell<T>);

// SAFETY: the module is built without the feature for shared memory, so one thread alone runs it.
unsafe impl<T> Sync for Shared<T> {}

static INSTANCE: Shared<Instance> = Shared(UnsafeCell::new(Instance::new()));
static INPUT: Shared<[u8; INPUT_BYTES]> = Shared(UnsafeCell::new([0; INPUT_BYTES]));
static OUTPUT: Shared<[u8; OUTPUT_BYTES]> = Shared(UnsafeCell::new([0; OUTPUT_BYTES]));

/// Returns the address of the buffer for calls, which has [`INPUT_BYTES`].
#[unsafe(no_mangle)]
pub(crate) extern "C" fn handfast_input() -> *mut u8 {
    INPUT.0.get().cast()
}

/// Returns the size of the buffer for calls.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn handfast_input_bytes() -> usize {
    INPUT_BYTES
}

/// Returns the address of the answer to the last call.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn handfast_output() -> *const u8 {
    OUTPUT.0.get().cast()
}

/// Carries out the call in the first `length` bytes of the buffer for calls, and wipes it. Returns
/// the length of the answer, 0 if the call is none.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn handfast_call(length: usize, now_millis: f64, unix_secs: f64) -> usize {
    // SAFETY: only one thread runs the module, nothing here calls out of it, and the host touches
    // the buffers only between two calls. So these are the only references.
    let (instance, input, output) =
        unsafe { (&mut *INSTANCE.0.get(), &mut *INPUT.0.get(), &mut *OUTPUT.0.get()) };
    instance.call_in_place(input, length, now_millis, unix_secs, output)
}

/// A panic ends the call as a trap, which the host sees as an exception. No call of this crate
/// panics; the checks of its dependencies may not all be removed by the compiler.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
