//! The ways in which a node gives up a connection.

use super::{AfterClose, Effect, NativeNodeEvent, Node, PairMethod, State};
use crate::budget::Backoff;
use crate::step::Effects;
use crate::wire::close::Close;
use crate::wire::native::open::ClearRefusal;

/// Handles a refusal in clear. Anyone may have sent it, so the node waits and changes nothing.
#[inline(never)]
pub(super) fn turned_away<'b>(
    node: &mut Node,
    wish: Option<PairMethod>,
    refusal: &ClearRefusal<'_>,
) -> Effects<Effect<'b>> {
    let news = match refusal {
        ClearRefusal::Refused => NativeNodeEvent::TurnedAway,
        ClearRefusal::Unsupported { .. } => NativeNodeEvent::OtherVersion,
    };
    // A quick retry helps neither against a full gateway nor against another version.
    node.backoff = Backoff::longest();
    leave(node, wish, AfterClose::Retry, news)
}

#[inline(never)]
pub(super) fn broken<'b>(node: &mut Node, wish: Option<PairMethod>) -> Effects<Effect<'b>> {
    leave(node, wish, AfterClose::Retry, NativeNodeEvent::Broken)
}

/// Tells the owner, and closes.
#[inline(never)]
pub(super) fn leave<'b>(
    node: &mut Node,
    wish: Option<PairMethod>,
    rest: AfterClose,
    news: NativeNodeEvent<'b>,
) -> Effects<Effect<'b>> {
    let state = State::Closing { wish, rest };
    node.enter(state, [Effect::Tell(news), Effect::Close(Close::GOODBYE)])
}
