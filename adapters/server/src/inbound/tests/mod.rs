//! The gate over real stores, and attempts to bypass it.

mod attacks;
mod decisions;
mod failures;
mod operator;
mod replies;
mod world;
