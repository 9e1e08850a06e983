//! The same interface as the library's, for a build without the feature `metrics`: nothing is
//! counted and nothing is written.

use std::fmt;
use std::marker::PhantomData;

/// `true` if anything is counted.
pub(crate) const IS_COUNTED: bool = false;

/// A counter that stays where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter<N = u64>(PhantomData<N>);

impl<N> Default for Counter<N> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<N> Counter<N> {
    pub(super) fn inc(&self) {}

    pub(super) fn inc_by(&self, _: N) {}
}

impl Counter {
    /// Returns one: what is sampled by a counter's multiples is never sampled.
    pub(super) const fn get(&self) -> u64 {
        1
    }
}

/// A gauge without a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge<N = i64, A = ()>(PhantomData<(N, A)>);

impl<N, A> Default for Gauge<N, A> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<N, A> Gauge<N, A> {
    pub(super) fn set(&self, _: N) {}
}

/// A family without members: each one is made where it is asked for.
#[derive(Clone, Debug)]
pub(super) struct Family<L, M, C = fn() -> M> {
    make: C,
    kind: PhantomData<fn(L) -> M>,
}

impl<L, M: Default> Default for Family<L, M> {
    fn default() -> Self {
        Self { make: M::default, kind: PhantomData }
    }
}

impl<L, M, C: Fn() -> M> Family<L, M, C> {
    pub(super) const fn new_with_constructor(make: C) -> Self {
        Self { make, kind: PhantomData }
    }

    pub(super) fn get_or_create_owned(&self, _: &L) -> M {
        (self.make)()
    }

    pub(super) fn get_or_create(&self, labels: &L) -> M {
        self.get_or_create_owned(labels)
    }
}

/// A registry that keeps nothing.
#[derive(Debug, Default)]
pub(super) struct Registry;

impl Registry {
    pub(super) fn register<M>(&mut self, _: &str, _: &str, _: M) {}

    pub(super) fn register_with_unit<M>(&mut self, _: &str, _: &str, _: Unit, _: M) {}
}

/// The unit of a metric.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    /// Seconds.
    Seconds,
}

pub(super) fn encode_registry(_: &mut String, _: &Registry) -> fmt::Result {
    Ok(())
}

pub(super) fn encode_eof(_: &mut String) -> fmt::Result {
    Ok(())
}
