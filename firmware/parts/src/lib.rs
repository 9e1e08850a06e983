//! Parts of boards over the traits of embedded-hal, embedded-io and embedded-storage. A board of
//! any chip passes the drivers of its HAL through these to the application's `Board`.
//!
//! ```text
//!  HAL's UART ──────▶ Typist (with a button) ──▶ Board::input
//!  HAL's UART ──────▶ Line ────────────────────▶ Board::line
//!  HAL's flash ─────▶ node_pages ──────────────▶ Board::flash
//!  HAL's generator ─▶ FilledBy or from_weak_bits ▶ Board::entropy
//!  HAL's timer ─────▶ Monotonic ───────────────▶ Board::clock
//!  HAL's output ────▶ Led ─────────────────────▶ Board::pin
//! ```
#![no_std]

mod button;
mod clock;
mod entropy;
mod flash;
mod led;
mod line;
mod network;
#[cfg(feature = "cortex-m")]
mod restart;

pub use button::Typist;
pub use clock::Monotonic;
pub use entropy::FilledBy;
#[cfg(feature = "weak-entropy")]
pub use entropy::{StuckSource, from_weak_bits};
#[cfg(feature = "cortex-m")]
pub use flash::linked_pages;
pub use flash::{NODE_PAGES, NodePages, SharedFlash, node_pages, share};
pub use led::Led;
pub use line::Line;
pub use network::{NoNetwork, NoStream};
#[cfg(feature = "cortex-m")]
pub use restart::restart;
