//! An authenticated link.
//!
//! ```text
//! node:      Proving ─first sealed message─▶ Attaching ─still paired─▶ Open
//! delegate:  AwaitChain ─Present─▶ Presenting ─────verified──────────▶ Open
//! ```
//! A node whose ceiling the operator has changed is offered a grant of it over its link: at the
//! time of the decision, and on each link from then on until it confirms one.

mod attach;
mod ends;
mod frame;
mod reply;

use super::{Confirmation, Effect, Input, Peer, State, close};
use crate::id::NodeId;
use crate::limits::Limits;
use crate::link::channel::{Channel, ChannelBroken, OutgoingBuffer};
use crate::link::keepalive::{Due, Keepalive};
use crate::registry::grants::GrantId;
use crate::registry::lifecycle::Notice;
use crate::step::Step;
use crate::time::{Instant, Reason, UnixTime};
use crate::wire::close::Close;
use crate::wire::native::link::{Admission, Bye, FromGateway, Policy};
use crate::wire::path::Action;
use attach::{Attaching, on_attached, on_first};
use ends::LinkEnds;
use frame::on_frame;
use reply::{leave, offer_it, offering, say};

#[derive(Debug)]
pub(super) struct NativeLink {
    channel: Channel,
    stage: LinkStage,
}

#[derive(Debug)]
enum LinkStage {
    /// The handshake may be a replay until the node's first sealed message opens.
    Proving {
        node_id: NodeId,
        /// `true` if the node was told that it may only renew its grant.
        renews: bool,
        until: Instant,
    },
    Attaching(Attaching),
    AwaitChain {
        until: Instant,
    },
    Presenting,
    Open(OpenLink),
}

#[derive(Debug)]
struct OpenLink {
    peer: Peer,
    muted: bool,
    /// The end of the peer's rights, and of the link with them. A node whose grant has expired
    /// connects again, and learns then if it may renew.
    ends: Option<LinkEnds>,
    /// `true` if the node's grant has expired, and it may only renew it.
    renews: bool,
    /// `true` if a grant has to be offered to the node as soon as no other answer is due.
    owed: bool,
    keepalive: Keepalive,
    due: AwaitedAnswer,
}

impl OpenLink {
    fn in_force(&self, unix: UnixTime) -> bool {
        !self.muted && !self.renews && self.ends.is_none_or(|ends| !ends.is_over(unix))
    }
}

/// The effect whose answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AwaitedAnswer {
    None,
    Chain,
    Confirmation(GrantId),
    Grant,
    /// A grant that the node did not ask for.
    Owed,
}

impl NativeLink {
    /// Creates the link of a node whose handshake is done and whose first message is due.
    pub(super) const fn proving(
        channel: Channel,
        node_id: NodeId,
        renews: bool,
        until: Instant,
    ) -> Self {
        Self { channel, stage: LinkStage::Proving { node_id, renews, until } }
    }

    /// Creates the link of a delegate whose chain is due.
    pub(super) const fn delegates(channel: Channel, until: Instant) -> Self {
        Self { channel, stage: LinkStage::AwaitChain { until } }
    }

    pub(super) const fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) const fn peer(&self) -> Option<Peer> {
        match &self.stage {
            LinkStage::Open(open) => Some(open.peer),
            LinkStage::Proving { .. }
            | LinkStage::Attaching(_)
            | LinkStage::AwaitChain { .. }
            | LinkStage::Presenting => None,
        }
    }

    pub(super) const fn stalls(&self) -> bool {
        matches!(&self.stage, LinkStage::AwaitChain { .. })
    }

    pub(super) const fn receives(&self) -> bool {
        matches!(&self.stage, LinkStage::Open(OpenLink { muted: false, renews: false, .. }))
    }

    pub(super) const fn awaits_answer(&self) -> bool {
        match &self.stage {
            LinkStage::Attaching(_) | LinkStage::Presenting => true,
            LinkStage::Open(open) => !matches!(open.due, AwaitedAnswer::None),
            LinkStage::Proving { .. } | LinkStage::AwaitChain { .. } => false,
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match &self.stage {
            LinkStage::Proving { .. } => "Proving",
            LinkStage::Attaching(_) => "Attaching",
            LinkStage::AwaitChain { .. } => "AwaitChain",
            LinkStage::Presenting => "Presenting",
            LinkStage::Open(open) => match open.due {
                AwaitedAnswer::None if open.renews => "Expired",
                AwaitedAnswer::None if open.muted => "Muted",
                AwaitedAnswer::None => "Linked",
                AwaitedAnswer::Chain => "PresentingMore",
                AwaitedAnswer::Confirmation(_) => "Confirming",
                AwaitedAnswer::Grant => "Renewing",
                AwaitedAnswer::Owed => "Offering",
            },
        }
    }

    pub(super) fn deadline(&self) -> (Instant, Reason) {
        match &self.stage {
            LinkStage::Proving { until, .. } | LinkStage::AwaitChain { until } => {
                (*until, Reason::FirstMessage)
            }
            LinkStage::Attaching(_) | LinkStage::Presenting => {
                // Only the adapter's answer is due, and that has no deadline.
                (Instant::from_millis(u64::MAX), Reason::Answer)
            }
            LinkStage::Open(open) => {
                let keepalive = open.keepalive.deadline();
                open.ends.map_or(keepalive, |ends| ends.or_before(keepalive))
            }
        }
    }

    fn at(self, stage: LinkStage) -> State {
        State::Link(Self { stage, ..self })
    }
}

pub(super) fn step<'b>(
    mut link: NativeLink,
    now: Instant,
    limits: &Limits,
    input: Input<'b>,
    scratch: &'b mut [u8],
) -> Step<State, Effect<'b>> {
    let out = OutgoingBuffer::new(scratch);
    // `Presenting` is only a placeholder: every arm below sets the next stage.
    let stage = core::mem::replace(&mut link.stage, LinkStage::Presenting);
    match (stage, input) {
        (LinkStage::Attaching(_) | LinkStage::Open(_), Input::Closed) => {
            Step::with(State::Closed, [Effect::Detach])
        }
        (_, Input::Closed) => Step::quiet(State::Closed),
        (stage, Input::Shutdown) => {
            leave(link, &stage, None, Bye::ShuttingDown, Close::SHUTTING_DOWN, out)
        }
        (stage, Input::StoreFailed) => {
            leave(link, &stage, None, Bye::Internal, Close::INTERNAL, out)
        }
        // A delegate gives its slot up to a node that needs one.
        (
            stage @ (LinkStage::Proving { .. }
            | LinkStage::AwaitChain { .. }
            | LinkStage::Presenting
            | LinkStage::Open(OpenLink { peer: Peer::Delegate(_), .. })),
            Input::Evict,
        ) => leave(link, &stage, None, Bye::Busy, Close::AT_CAPACITY, out),
        (LinkStage::Proving { until, .. } | LinkStage::AwaitChain { until }, Input::Tick(_))
            if until <= now =>
        {
            close(Close::AUTHENTICATION_TIMEOUT)
        }

        (
            stage @ (LinkStage::Proving { .. } | LinkStage::AwaitChain { .. }),
            Input::Frame { bytes, .. },
        ) => {
            let NativeLink { channel, .. } = link;
            let (channel, text) = match channel.open(bytes) {
                Ok(opened) => opened,
                Err(ChannelBroken) => return close(Close::PROTOCOL_VIOLATION),
            };
            on_first(NativeLink { channel, stage: LinkStage::Presenting }, stage, text, out)
        }
        (LinkStage::Open(open), Input::Frame { bytes, around, .. }) => {
            let NativeLink { channel, .. } = link;
            match channel.open(bytes) {
                Ok((channel, text)) => {
                    // This is noted before `heard` below clears the open ping.
                    let answers = matches!(open.keepalive, Keepalive::Asked { .. });
                    let open = OpenLink { keepalive: open.keepalive.heard(now, limits), ..open };
                    on_frame(
                        NativeLink { channel, stage: LinkStage::Presenting },
                        open,
                        text,
                        &around,
                        answers,
                        out,
                    )
                }
                Err(ChannelBroken) => Step::with(
                    State::Closed,
                    [Effect::Detach, Effect::Close(Close::PROTOCOL_VIOLATION)],
                ),
            }
        }

        (LinkStage::Attaching(attaching), Input::Attached(known, unix)) => {
            on_attached(link, now, limits, attaching, known, unix, out)
        }
        (LinkStage::Presenting, Input::Presented(until, unix)) => {
            let open = OpenLink {
                peer: Peer::Delegate(link.channel.peer),
                muted: false,
                ends: until.map(|until| LinkEnds::new(until, now, unix)),
                renews: false,
                owed: false,
                keepalive: Keepalive::start(now, limits),
                due: AwaitedAnswer::None,
            };
            match until {
                Some(_) => say(link, open, &FromGateway::Admission(Admission::Welcome), out)
                    // The chain is the delegate's proof, so only now its permit is given back.
                    .first(Effect::Refund),
                None => leave(
                    link,
                    &LinkStage::Presenting,
                    Some(FromGateway::Admission(Admission::NotPaired)),
                    Bye::Done,
                    Close::AUTHENTICATION_FAILED,
                    out,
                ),
            }
        }

        // The link opens only after the look-up, so notices that come before are kept for it.
        (LinkStage::Attaching(attaching), Input::Push(Notice::Muted)) => {
            Step::quiet(link.at(LinkStage::Attaching(Attaching { muted: true, ..attaching })))
        }
        (LinkStage::Attaching(attaching), Input::Push(Notice::Unmuted)) => {
            Step::quiet(link.at(LinkStage::Attaching(Attaching { muted: false, ..attaching })))
        }
        (LinkStage::Attaching(attaching), Input::Push(Notice::Permissions)) => {
            Step::quiet(link.at(LinkStage::Attaching(Attaching { owed: true, ..attaching })))
        }
        (stage @ (LinkStage::Attaching(_) | LinkStage::Open(_)), Input::Push(notice)) => {
            on_push(link, stage, notice, out)
        }
        (LinkStage::Open(open), Input::Bounded { until, renews, unix }) => {
            let ends = until.map(|until| LinkEnds::new(until, now, unix));
            Step::quiet(link.at(LinkStage::Open(OpenLink { ends, renews, ..open })))
        }
        (LinkStage::Open(open), Input::Unsubscribed(pattern)) => {
            say(link, open, &FromGateway::NotAllowed { action: Action::Read, pattern }, out)
        }

        (LinkStage::Open(open), Input::Tick(unix)) => on_tick(link, open, now, unix, limits, out),
        (LinkStage::Open(open), Input::Deliver(app, unix)) if open.in_force(unix) => {
            say(link, open, &FromGateway::App(app), out)
        }
        (
            LinkStage::Open(open @ OpenLink { due: AwaitedAnswer::Chain, .. }),
            Input::Presented(until, unix),
        ) => {
            let ends = |until| Some(LinkEnds::new(until, now, unix));
            let (admission, ends) = match (until, open.peer) {
                // A node's link also ends with its grant.
                (Some(until), Peer::Node(_)) => {
                    (Admission::Welcome, ends(open.ends.map_or(until, |ends| ends.at.min(until))))
                }
                // A delegate has no rights besides the chain.
                (Some(until), Peer::Delegate(_)) => (Admission::Welcome, ends(until)),
                // A chain that is not valid leaves the link's end as it was.
                (None, _) => (Admission::NotPaired, open.ends),
            };
            offering(say(
                link,
                OpenLink { ends, due: AwaitedAnswer::None, ..open },
                &FromGateway::Admission(admission),
                out,
            ))
        }
        (
            LinkStage::Open(open @ OpenLink { due: AwaitedAnswer::Confirmation(grant), .. }),
            Input::Activated(outcome, unix),
        ) => {
            let open = OpenLink { due: AwaitedAnswer::None, ..open };
            match outcome {
                Ok(Confirmation::Active(until)) => {
                    let ends = until.map(|until| LinkEnds::new(until, now, unix));
                    let open = OpenLink { ends, renews: false, ..open };
                    offering(say(link, open, &FromGateway::Active(grant), out))
                }
                // The node holds a grant that is over, though another may be in force. Telling it
                // so makes it renew.
                Ok(Confirmation::NotThere) => {
                    offering(say(link, open, &FromGateway::NotRenewed, out))
                }
                Err(_) => {
                    leave(link, &LinkStage::Open(open), None, Bye::Internal, Close::INTERNAL, out)
                }
            }
        }
        (
            LinkStage::Open(open @ OpenLink { due: AwaitedAnswer::Grant, .. }),
            Input::Renewed(offer),
        ) => {
            let open = OpenLink { due: AwaitedAnswer::None, ..open };
            match offer {
                Some(offer) => offer_it(link, OpenLink { owed: false, ..open }, offer, out),
                None => offering(say(link, open, &FromGateway::NotRenewed, out)),
            }
        }
        (
            LinkStage::Open(open @ OpenLink { due: AwaitedAnswer::Owed, .. }),
            Input::Renewed(offer),
        ) => {
            let open = OpenLink { due: AwaitedAnswer::None, ..open };
            match offer {
                Some(offer) => offer_it(link, open, offer, out),
                // The node asked for nothing, and its rights in force do not change.
                None => Step::quiet(link.at(LinkStage::Open(open))),
            }
        }

        (stage, _) => Step::quiet(link.at(stage)),
    }
}

fn on_push<'b>(
    link: NativeLink,
    stage: LinkStage,
    notice: Notice,
    out: OutgoingBuffer<'b>,
) -> Step<State, Effect<'b>> {
    // A delegate has no entry in the registry, so it cannot be unpaired.
    let delegate = matches!(&stage, LinkStage::Open(OpenLink { peer: Peer::Delegate(_), .. }));
    match (notice, stage) {
        (Notice::Unpaired, stage) => {
            let word = match delegate {
                true => FromGateway::Admission(Admission::NotPaired),
                false => FromGateway::Policy(Policy::Unpair),
            };
            leave(link, &stage, Some(word), Bye::Done, Close::AUTHENTICATION_FAILED, out)
        }
        (Notice::Replaced, stage) => leave(link, &stage, None, Bye::Replaced, Close::REPLACED, out),
        (Notice::Muted, LinkStage::Open(open)) => {
            say(link, OpenLink { muted: true, ..open }, &FromGateway::Policy(Policy::Mute), out)
        }
        (Notice::Unmuted, LinkStage::Open(open)) => {
            say(link, OpenLink { muted: false, ..open }, &FromGateway::Policy(Policy::Unmute), out)
        }
        (Notice::Permissions, LinkStage::Open(open)) => {
            offering(Step::quiet(link.at(LinkStage::Open(OpenLink { owed: true, ..open }))))
        }
        (Notice::Muted | Notice::Unmuted | Notice::Decided | Notice::Permissions, stage) => {
            Step::quiet(link.at(stage))
        }
    }
}

fn on_tick<'b>(
    link: NativeLink,
    open: OpenLink,
    now: Instant,
    unix: UnixTime,
    limits: &Limits,
    out: OutgoingBuffer<'b>,
) -> Step<State, Effect<'b>> {
    if open.ends.is_some_and(|ends| ends.is_over(unix)) {
        return leave(
            link,
            &LinkStage::Open(open),
            None,
            Bye::Done,
            Close::AUTHENTICATION_FAILED,
            out,
        );
    }
    // The wall clock may have been set since, so the wake-up for the end is computed anew.
    let open = OpenLink { ends: open.ends.map(|ends| ends.seen(now, unix)), ..open };
    match open.keepalive.tick(now, limits) {
        (_, Due::Nothing) => Step::quiet(link.at(LinkStage::Open(open))),
        (keepalive, Due::Ping) => say(
            link,
            OpenLink { keepalive, ..open },
            &FromGateway::Heartbeat { time: Some(unix) },
            out,
        ),
        (_, Due::Lost) => {
            leave(link, &LinkStage::Open(open), None, Bye::Done, Close::PING_TIMEOUT, out)
        }
    }
}
