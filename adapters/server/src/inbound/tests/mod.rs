//! The gate over real stores, and whoever tries to get past it.

mod attacks;
mod decisions;
mod failures;
mod operator;
mod replies;
mod world;
