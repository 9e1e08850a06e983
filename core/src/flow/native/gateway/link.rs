//! An authenticated link.
//!
//! ```text
//! node:      Proving ─Hello, sealed─▶ Attaching ─────still paired─────▶ Open
//! delegate:  AwaitChain ─Present─▶ Presenting ─────verified──────────▶ Open
//! ```
//! A node whose ceiling the operator has changed is offered a grant of it over its link: at the
//! time of the decision, and on each link from then on until it confirms one.

mod attach;
mod ends;
mod frame;
mod known_gateway;
mod notice;
mod open;
mod reply;
mod told_addresses;

use super::{
    Confirmation, Effect, Input, NativeRequest, Peer, PingAnswer, State, Turn, close, end, stay,
};
use crate::crypto::x25519::PublicKey;
use crate::id::NodeId;
use crate::limits::Limits;
use crate::link::channel::{Channel, ChannelBroken, OutgoingBuffer};
use crate::link::keepalive::{Due, Keepalive};
use crate::registry::lifecycle::Notice;
use crate::step::Effects;
use crate::time::{DeadlineReason, Instant, UnixTime};
use crate::wire::close::Close;
use crate::wire::native::Features;
use crate::wire::native::link::{Admission, Bye, FromGateway, Hello};
use crate::wire::path::Action;
use attach::{Attaching, on_attached, on_first};
use ends::LinkEnds;
use frame::on_frame;
use known_gateway::KnownGateway;
use notice::on_push;
use open::{AwaitedAnswer, OpenLink};
use reply::{issue, leave, offer_it, say, say_and_offer};
use told_addresses::ToldAddresses;

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct NativeLink {
    channel: Channel,
    gateway: KnownGateway,
    stage: LinkStage,
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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

impl NativeLink {
    /// Creates the link of a node whose handshake is done and whose first message is due.
    pub(super) const fn proving(
        channel: Channel,
        called: Option<PublicKey>,
        node_id: NodeId,
        renews: bool,
        until: Instant,
    ) -> Self {
        let gateway = match called {
            Some(key) => KnownGateway::Proven { key, is_reported: false },
            None => KnownGateway::Otherwise,
        };
        Self { channel, gateway, stage: LinkStage::Proving { node_id, renews, until } }
    }

    /// Creates the link of a node that TLS and its first message have proven.
    pub(super) const fn proven(channel: Channel, node_id: NodeId, hello: &Hello) -> Self {
        let attaching = Attaching::new(node_id, true, hello);
        let gateway = KnownGateway::Otherwise;
        Self { channel, gateway, stage: LinkStage::Attaching(attaching) }
    }

    /// Creates the link of a delegate whose chain is due.
    pub(super) const fn delegates(channel: Channel, until: Instant) -> Self {
        let gateway = KnownGateway::Otherwise;
        Self { channel, gateway, stage: LinkStage::AwaitChain { until } }
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
        matches!(
            &self.stage,
            LinkStage::Open(OpenLink { muted: false, quarantined: false, renews: false, .. })
        )
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
                AwaitedAnswer::None if open.quarantined => "Quarantined",
                AwaitedAnswer::None if open.renews => "Expired",
                AwaitedAnswer::None if open.muted => "Muted",
                AwaitedAnswer::None => "Linked",
                AwaitedAnswer::Chain => "PresentingMore",
                AwaitedAnswer::Confirmation(_) => "Confirming",
                AwaitedAnswer::Grant => "Renewing",
                AwaitedAnswer::Certificate => "Issuing",
                AwaitedAnswer::Owed => "Offering",
            },
        }
    }

    pub(super) fn deadline(&self) -> (Instant, DeadlineReason) {
        match &self.stage {
            LinkStage::Proving { until, .. } | LinkStage::AwaitChain { until } => {
                (*until, DeadlineReason::FirstMessage)
            }
            LinkStage::Attaching(_) | LinkStage::Presenting => {
                // Only the adapter's answer is due, and that has no deadline.
                (Instant::from_millis(u64::MAX), DeadlineReason::Answer)
            }
            LinkStage::Open(open) => {
                let keepalive = open.keepalive.deadline();
                open.ends.map_or(keepalive, |ends| ends.or_before(keepalive))
            }
        }
    }
}

impl LinkStage {
    /// Returns `true` if the connection may be in the table of live ones.
    const fn is_attached(&self) -> bool {
        match self {
            Self::Attaching(_) | Self::Open(_) => true,
            Self::Proving { .. } | Self::AwaitChain { .. } | Self::Presenting => false,
        }
    }
}

pub(super) fn step<'b>(
    link: &mut NativeLink,
    now: Instant,
    limits: &Limits,
    features: Features,
    input: Input<'b>,
    scratch: &'b mut [u8],
) -> Turn<'b> {
    let mut out = OutgoingBuffer::new(scratch);
    let attached = link.stage.is_attached();
    let NativeLink { channel, gateway, stage } = link;
    match (&mut *stage, input) {
        (_, Input::Closed) => {
            let detach = attached.then_some(NativeRequest::Detach.into());
            Turn::Break((State::Closed, Effects::flatten([detach])))
        }
        (_, Input::Shutdown) => {
            leave(channel, attached, None, Bye::ShuttingDown, Close::SHUTTING_DOWN, out)
        }
        (_, Input::StoreFailed) => {
            leave(channel, attached, None, Bye::Internal, Close::INTERNAL, out)
        }
        // A delegate gives its slot up to a node that needs one.
        (
            LinkStage::Proving { .. }
            | LinkStage::AwaitChain { .. }
            | LinkStage::Presenting
            | LinkStage::Open(OpenLink { peer: Peer::Delegate(_), .. }),
            Input::Evict,
        ) => leave(channel, attached, None, Bye::Busy, Close::AT_CAPACITY, out),
        (LinkStage::Proving { until, .. } | LinkStage::AwaitChain { until }, Input::Tick(_))
            if *until <= now =>
        {
            close(Close::AUTHENTICATION_TIMEOUT)
        }

        (LinkStage::Proving { .. } | LinkStage::AwaitChain { .. }, Input::Frame { bytes, .. }) => {
            match channel.open(bytes) {
                Ok(text) => on_first(channel, stage, text, out),
                Err(ChannelBroken) => close(Close::PROTOCOL_VIOLATION),
            }
        }
        (LinkStage::Open(open), Input::Frame { bytes, around, .. }) => match channel.open(bytes) {
            Ok(text) => {
                // This is noted before `heard` below clears the open ping.
                let answers = matches!(open.keepalive, Keepalive::Asked { .. });
                open.keepalive = open.keepalive.heard(now, limits);
                on_frame(channel, open, gateway, text, &around, answers, out)
            }
            Err(ChannelBroken) => {
                // A channel that broke seals nothing more, so no `Bye` is sent.
                end([NativeRequest::Detach.into(), Effect::Close(Close::PROTOCOL_VIOLATION)])
            }
        },

        (LinkStage::Attaching(_), Input::Attached(known, unix)) => {
            on_attached(link, now, limits, known, unix, features, out)
        }
        (LinkStage::Presenting, Input::Presented(Some(until), unix)) => {
            *stage = LinkStage::Open(OpenLink {
                peer: Peer::Delegate(channel.peer),
                features: Features::DELEGATE,
                muted: false,
                quarantined: false,
                signing: None,
                mark: None,
                name_due: false,
                addresses: ToldAddresses::NEVER,
                key_due: false,
                ends: Some(LinkEnds::new(until, now, unix)),
                renews: false,
                owed: false,
                keepalive: Keepalive::start(now, limits),
                due: AwaitedAnswer::None,
            });
            // The chain is the delegate's proof, so only now its permit is given back.
            match channel.seal(&FromGateway::Admission(Admission::Welcome), &mut out) {
                Some(frame) => {
                    let linked = NativeRequest::Linked(Peer::Delegate(channel.peer)).into();
                    stay([NativeRequest::Refund.into(), linked, Effect::Send(frame)])
                }
                None => end([
                    NativeRequest::Refund.into(),
                    NativeRequest::Detach.into(),
                    Effect::Close(Close::INTERNAL),
                ]),
            }
        }
        (LinkStage::Presenting, Input::Presented(None, _)) => {
            let word = Some(FromGateway::Admission(Admission::NotPaired));
            leave(channel, attached, word, Bye::Done, Close::AUTHENTICATION_FAILED, out)
        }

        // The link opens only after the look-up, so notices that come before are kept for it.
        (LinkStage::Attaching(attaching), Input::Push(Notice::Muted)) => {
            attaching.muted = true;
            stay([])
        }
        (LinkStage::Attaching(attaching), Input::Push(Notice::Unmuted)) => {
            attaching.muted = false;
            stay([])
        }
        (LinkStage::Attaching(attaching), Input::Push(Notice::Quarantined)) => {
            attaching.quarantined = true;
            stay([])
        }
        (LinkStage::Attaching(attaching), Input::Push(Notice::Released)) => {
            attaching.quarantined = false;
            stay([])
        }
        (LinkStage::Attaching(attaching), Input::Push(Notice::Permissions)) => {
            attaching.owed = true;
            stay([])
        }
        (LinkStage::Attaching(_) | LinkStage::Open(_), Input::Push(notice)) => {
            on_push(channel, stage, notice, out)
        }
        (LinkStage::Open(open), Input::Bounded { until, renews, unix }) => {
            // The look-up read what is in force now, so its end may also be a later one.
            open.ends = until.map(|until| LinkEnds::new(until, now, unix));
            open.renews = renews;
            stay([])
        }
        (LinkStage::Open(_), Input::Unsubscribed(pattern)) => {
            let word = FromGateway::NotAllowed { action: Action::Read, pattern };
            say(channel, &word, out)
        }

        (LinkStage::Open(open), Input::Tick(unix)) => {
            on_tick(channel, open, now, unix, limits, out)
        }
        // A peer that has not set the bit may not know the message, and would break off.
        (LinkStage::Open(open), Input::Deliver(app, unix))
            if open.in_force(unix) && open.features.contains(Features::APP) =>
        {
            say(channel, &FromGateway::App(app), out)
        }
        (LinkStage::Open(open), Input::Dispatch(dispatch, unix)) => {
            // A task whose time is over is never delivered.
            let may =
                open.in_force(unix) && open.takes(Features::DISPATCH) && dispatch.remaining_ms > 0;
            match may.then(|| channel.seal(&FromGateway::Dispatch(dispatch), &mut out)).flatten() {
                Some(frame) => stay([Effect::Send(frame)]),
                // The gateway has to be told, because no answer of the node will come.
                None => stay([NativeRequest::NotDispatched(dispatch.id).into()]),
            }
        }
        (LinkStage::Open(open), Input::Cancel(id)) if open.takes(Features::DISPATCH) => {
            say(channel, &FromGateway::Cancel { id }, out)
        }
        // The memory of a copied node says nothing.
        (LinkStage::Open(open), Input::Query(id, number))
            if open.takes(Features::DISPATCH) && !open.quarantined =>
        {
            say(channel, &FromGateway::Query { id, number }, out)
        }
        (LinkStage::Open(open), Input::Name(name)) if open.takes(Features::NAME) => {
            say(channel, &FromGateway::Name(name), out)
        }
        (LinkStage::Open(open), Input::Addresses(list)) => {
            let told = open.tell_addresses(channel, gateway, list, &mut out);
            Turn::Continue(Effects::flatten(told))
        }
        (LinkStage::Open(open), Input::Ping(number)) => {
            if open.features.contains(Features::PING) {
                say(channel, &FromGateway::Ping { number }, out)
            } else {
                stay([NativeRequest::Ponged(number, PingAnswer::NotTaken).into()])
            }
        }
        (
            LinkStage::Open(open @ OpenLink { due: AwaitedAnswer::Chain, .. }),
            Input::Presented(until, unix),
        ) => {
            open.due = AwaitedAnswer::None;
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
            open.ends = ends;
            say_and_offer(channel, open, &FromGateway::Admission(admission), out)
        }
        (LinkStage::Open(open), Input::Activated(outcome, unix)) => match open.due {
            AwaitedAnswer::Confirmation(grant) => {
                open.due = AwaitedAnswer::None;
                match outcome {
                    Ok(Confirmation::Active(until)) => {
                        // The confirmed grant has an end of its own, which replaces that of the
                        // older one.
                        open.ends = until.map(|until| LinkEnds::new(until, now, unix));
                        open.renews = false;
                        say_and_offer(channel, open, &FromGateway::Active(grant), out)
                    }
                    // The node holds a grant that is over, though another may be in force. Telling
                    // it so makes it renew.
                    Ok(Confirmation::NotThere) => {
                        say_and_offer(channel, open, &FromGateway::NotRenewed, out)
                    }
                    // A confirmation that is not durable must not be answered as one.
                    Err(_) => leave(channel, attached, None, Bye::Internal, Close::INTERNAL, out),
                }
            }
            AwaitedAnswer::None
            | AwaitedAnswer::Chain
            | AwaitedAnswer::Grant
            | AwaitedAnswer::Certificate
            | AwaitedAnswer::Owed => stay([]),
        },
        (
            LinkStage::Open(open @ OpenLink { due: AwaitedAnswer::Certificate, .. }),
            Input::Issued(issued),
        ) => {
            open.due = AwaitedAnswer::None;
            match issued {
                Ok(Some(issued)) => issue(channel, &issued, out),
                Ok(None) | Err(_) => say_and_offer(channel, open, &FromGateway::NotIssued, out),
            }
        }
        (LinkStage::Open(open), Input::Renewed(offer)) => match (open.due, offer) {
            (AwaitedAnswer::Grant, Some(offer)) => {
                (open.due, open.owed) = (AwaitedAnswer::None, false);
                offer_it(channel, offer, out)
            }
            (AwaitedAnswer::Grant, None) => {
                open.due = AwaitedAnswer::None;
                say_and_offer(channel, open, &FromGateway::NotRenewed, out)
            }
            (AwaitedAnswer::Owed, Some(offer)) => {
                open.due = AwaitedAnswer::None;
                offer_it(channel, offer, out)
            }
            // The node asked for nothing, and its rights in force do not change.
            (AwaitedAnswer::Owed, None) => {
                open.due = AwaitedAnswer::None;
                stay([])
            }
            (
                AwaitedAnswer::None
                | AwaitedAnswer::Chain
                | AwaitedAnswer::Certificate
                | AwaitedAnswer::Confirmation(_),
                Some(_) | None,
            ) => stay([]),
        },

        // Late answers and notices that do not concern a link change nothing.
        (
            LinkStage::Proving { .. }
            | LinkStage::Attaching(_)
            | LinkStage::AwaitChain { .. }
            | LinkStage::Presenting
            | LinkStage::Open(_),
            Input::Frame { .. }
            | Input::Repeated
            | Input::Found(..)
            | Input::Entered(_)
            | Input::Attached(..)
            | Input::Prepared(_)
            | Input::Reserved(_)
            | Input::Spent(_)
            | Input::Settled(_)
            | Input::Activated(..)
            | Input::Presented(..)
            | Input::Renewed(_)
            | Input::Issued(_)
            | Input::Name(_)
            | Input::Addresses(_)
            | Input::Dispatch(..)
            | Input::Cancel(_)
            | Input::Query(..)
            | Input::Bounded { .. }
            | Input::Unsubscribed(_)
            | Input::Deliver(..)
            | Input::Ping(_)
            | Input::Push(_)
            | Input::Tick(_)
            | Input::Evict,
        ) => stay([]),
    }
}

fn on_tick<'b>(
    channel: &mut Channel,
    open: &mut OpenLink,
    now: Instant,
    unix: UnixTime,
    limits: &Limits,
    out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    // The end of the rights comes first: a ping would keep the link open.
    if open.ends.is_some_and(|ends| ends.is_over(unix)) {
        return leave(channel, true, None, Bye::Done, Close::AUTHENTICATION_FAILED, out);
    }
    // The wall clock may have been set since, so the wake-up for the end is computed anew.
    open.ends = open.ends.map(|ends| ends.seen(now, unix));
    let (keepalive, due) = open.keepalive.tick(now, limits);
    open.keepalive = keepalive;
    match due {
        Due::Nothing => stay([]),
        Due::Ping => {
            // Some devices have no clock, and know the time from this alone.
            say_and_offer(channel, open, &FromGateway::Heartbeat { time: Some(unix) }, out)
        }
        Due::Lost => leave(channel, true, None, Bye::Done, Close::PING_TIMEOUT, out),
    }
}
