//! Waiting for the first of several things, without a dependency and without pinning by hand.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

/// What came first.
pub(crate) enum Either<A, B> {
    /// The first argument's outcome.
    First(A),
    /// The second argument's outcome.
    Second(B),
}

/// Waits for whichever is ready first; if both are, for the first. The other future is dropped.
pub(crate) async fn race<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    let mut first = pin!(first);
    let mut second = pin!(second);
    poll_fn(|context| {
        if let Poll::Ready(outcome) = first.as_mut().poll(context) {
            return Poll::Ready(Either::First(outcome));
        }
        second.as_mut().poll(context).map(Either::Second)
    })
    .await
}
