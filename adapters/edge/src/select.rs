//! Selection of the first of several futures, without a dependency and without manual pinning.

use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;

use handfast_core::{Instant, Span};

use crate::ports::Clock;

/// The outcome that came first.
pub(crate) enum Either<A, B> {
    /// The first argument's outcome.
    First(A),
    /// The second argument's outcome.
    Second(B),
}

/// Waits for the future that is ready first; if both are, for `first`. The futures are borrowed:
/// moving them in would store them twice.
pub(crate) fn race<'f, A: Future, B: Future>(
    mut first: Pin<&'f mut A>,
    mut second: Pin<&'f mut B>,
) -> impl Future<Output = Either<A::Output, B::Output>> {
    poll_fn(move |context| {
        if let Poll::Ready(outcome) = first.as_mut().poll(context) {
            return Poll::Ready(Either::First(outcome));
        }
        second.as_mut().poll(context).map(Either::Second)
    })
}

/// The event that ended a wait.
pub(crate) enum Woken<C, T> {
    Command(C),
    Deadline,
    Event(T),
}

/// Waits for a command, a time or an event; if several are ready, in this order. The other futures
/// are dropped, so they must be safe to cancel.
pub(crate) async fn wait<C: Future, E: Future>(
    command: Pin<&mut C>,
    clock: &impl Clock,
    until: Option<Instant>,
    event: Pin<&mut E>,
) -> Woken<C::Output, E::Output> {
    let deadline = pin!(async {
        match until {
            Some(at) => clock.sleep_until(at).await,
            None => pending().await,
        }
    });
    match race(command, pin!(race(deadline, event))).await {
        Either::First(command) => Woken::Command(command),
        Either::Second(Either::First(())) => Woken::Deadline,
        Either::Second(Either::Second(event)) => Woken::Event(event),
    }
}

/// Runs a future with a time limit. `None` if the limit passed first.
pub(crate) async fn within<F: Future>(
    clock: &impl Clock,
    span: Span,
    doing: Pin<&mut F>,
) -> Option<F::Output> {
    match race(doing, pin!(clock.sleep_until(clock.now().after(span)))).await {
        Either::First(outcome) => Some(outcome),
        Either::Second(()) => None,
    }
}

/// Constructs a future in its final place: `pin!(in_place(|| …)).await`. Awaited directly, a future
/// is built on the stack in its full size and then moved; the polling function's frame keeps that
/// space for as long as it runs.
#[inline(never)]
pub(crate) fn in_place<F: Future>(make: impl FnOnce() -> F) -> F {
    make()
}
