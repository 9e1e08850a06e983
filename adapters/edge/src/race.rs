//! Waiting for the first of several things, without a dependency and without pinning by hand.

use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;

use handfast_core::time::{Instant, Span};

use crate::ports::Clock;

/// What came first.
pub(crate) enum Either<A, B> {
    /// The first argument's outcome.
    First(A),
    /// The second argument's outcome.
    Second(B),
}

/// Waits for whichever is ready first; if both are, for the first. It borrows the futures: moved
/// into it they would take their room twice.
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

/// What a wait ended with.
pub(crate) enum Woken<C, T> {
    Command(C),
    Deadline,
    Event(T),
}

/// Waits for a command, a time and an event, in this order if more than one is there. What did not
/// come first is dropped, so it must not have begun anything.
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

/// Does something, in time or not at all.
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

/// Makes a future where it is to stay: `pin!(in_place(|| …)).await`. Awaited as it is, a future is
/// made on the stack, with its full size, and then moved; and the frame of the function that polls
/// keeps that room for as long as it runs.
#[inline(never)]
pub(crate) fn in_place<F: Future>(make: impl FnOnce() -> F) -> F {
    make()
}
