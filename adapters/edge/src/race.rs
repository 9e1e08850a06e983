//! Waiting for the first of several things, without a dependency and without pinning by hand.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;

/// What came first.
pub(crate) enum Either<A, B> {
    /// The first argument's outcome.
    First(A),
    /// The second argument's outcome.
    Second(B),
}

/// Waits for whichever is ready first; if both are, for the first. It borrows the futures: moved into it they would take their room twice.
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

/// Makes a future where it is to stay: `pin!(in_place(|| …)).await`. Awaited as it is, a future is made on the stack, with its full size, and then
/// moved; and the frame of the function that polls keeps that room for as long as it runs.
#[inline(never)]
pub(crate) fn in_place<F: Future>(make: impl FnOnce() -> F) -> F {
    make()
}
