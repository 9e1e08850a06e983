//! A link: what is left to do once both sides are proven.
//!
//! ```text
//! node:      Proving ─first sealed message─▶ Attaching ─still paired─▶ Open
//! delegate:  AwaitChain ─Present─▶ Presenting ─────verified──────────▶ Open
//! ```
//! A node that the operator has decided about anew is offered a grant of it over its link, by
//! itself: when that is decided, and on each link from then on.

use super::pairing::{Talk, seal_offer};
use super::{Admitted, Around, Confirmation, Effect, Input, Known, Offer, Peer, State, close};
use crate::error::Refusal;
use crate::id::NodeId;
use crate::limits::Limits;
use crate::link::channel::{Broken, Channel, Outbox};
use crate::link::keepalive::{Due, Keepalive};
use crate::registry::ceiling::is_owed;
use crate::registry::grants::GrantId;
use crate::registry::lifecycle::Notice;
use crate::step::Step;
use crate::time::{Instant, Reason, UnixTime};
use crate::wire::close::Close;
use crate::wire::native::link::{Admission, Bye, FromGateway, FromNode, Policy, Renew};
use crate::wire::native::pair::Chain;
use crate::wire::path::{Action, Pattern};
use crate::wire::registration::Heartbeat;

#[derive(Debug)]
pub(super) struct Link {
    channel: Channel,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The handshake could be a replay's until the node's first message opens.
    Proving {
        node_id: NodeId,
        /// What it was told: that it may have its grant made anew, and no more.
        renews: bool,
        until: Instant,
    },
    Attaching(Attaching),
    AwaitChain {
        until: Instant,
    },
    Presenting,
    Open(Open),
}

#[derive(Debug)]
struct Open {
    peer: Peer,
    muted: bool,
    /// When what the peer may do ends, and the link with it.
    expires: Option<UnixTime>,
    /// What the node was given ran out: it may have it made anew, and no more.
    renews: bool,
    /// A grant is to be offered to it, as soon as no other answer is due.
    owed: bool,
    keepalive: Keepalive,
    due: Answer,
}

impl Open {
    fn in_force(&self, unix: UnixTime) -> bool {
        !self.muted && !self.renews && self.expires.is_none_or(|expires| unix < expires)
    }
}

/// Which effect's answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    None,
    Chain,
    Confirmation(GrantId),
    Grant,
    /// A grant that the node did not ask for.
    Owed,
}

impl Link {
    /// A node whose handshake is done and whose first message is due.
    pub(super) const fn proving(
        channel: Channel,
        node_id: NodeId,
        renews: bool,
        until: Instant,
    ) -> Self {
        Self { channel, stage: Stage::Proving { node_id, renews, until } }
    }

    /// A holder whose chain is due.
    pub(super) const fn delegates(channel: Channel, until: Instant) -> Self {
        Self { channel, stage: Stage::AwaitChain { until } }
    }

    pub(super) const fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) const fn peer(&self) -> Option<Peer> {
        match &self.stage {
            Stage::Open(open) => Some(open.peer),
            Stage::Proving { .. }
            | Stage::Attaching(_)
            | Stage::AwaitChain { .. }
            | Stage::Presenting => None,
        }
    }

    pub(super) const fn stalls(&self) -> bool {
        matches!(&self.stage, Stage::AwaitChain { .. })
    }

    pub(super) const fn receives(&self) -> bool {
        matches!(&self.stage, Stage::Open(Open { muted: false, renews: false, .. }))
    }

    pub(super) const fn awaits_answer(&self) -> bool {
        match &self.stage {
            Stage::Attaching(_) | Stage::Presenting => true,
            Stage::Open(open) => !matches!(open.due, Answer::None),
            Stage::Proving { .. } | Stage::AwaitChain { .. } => false,
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match &self.stage {
            Stage::Proving { .. } => "Proving",
            Stage::Attaching(_) => "Attaching",
            Stage::AwaitChain { .. } => "AwaitChain",
            Stage::Presenting => "Presenting",
            Stage::Open(open) => match open.due {
                Answer::None if open.renews => "Expired",
                Answer::None if open.muted => "Muted",
                Answer::None => "Linked",
                Answer::Chain => "PresentingMore",
                Answer::Confirmation(_) => "Confirming",
                Answer::Grant => "Renewing",
                Answer::Owed => "Offering",
            },
        }
    }

    pub(super) const fn deadline(&self) -> (Instant, Reason) {
        match &self.stage {
            Stage::Proving { until, .. } | Stage::AwaitChain { until } => {
                (*until, Reason::FirstMessage)
            }
            Stage::Attaching(_) | Stage::Presenting => {
                (Instant::from_millis(u64::MAX), Reason::Answer)
            }
            Stage::Open(open) => open.keepalive.deadline(),
        }
    }

    fn at(self, stage: Stage) -> State {
        State::Link(Self { stage, ..self })
    }
}

pub(super) fn step<'b>(
    mut link: Link,
    now: Instant,
    limits: &Limits,
    input: Input<'b>,
    scratch: &'b mut [u8],
) -> Step<State, Effect<'b>> {
    let out = Outbox::new(scratch);
    let stage = core::mem::replace(&mut link.stage, Stage::Presenting);
    match (stage, input) {
        (Stage::Attaching(_) | Stage::Open(_), Input::Closed) => {
            Step::with(State::Closed, [Effect::Detach])
        }
        (_, Input::Closed) => Step::quiet(State::Closed),
        (stage, Input::Shutdown) => {
            leave(link, &stage, None, Bye::ShuttingDown, Close::SHUTTING_DOWN, out)
        }
        (stage, Input::StoreFailed) => {
            leave(link, &stage, None, Bye::Internal, Close::INTERNAL, out)
        }
        // A delegate's place is a node's that needs it.
        (
            stage @ (Stage::Proving { .. }
            | Stage::AwaitChain { .. }
            | Stage::Presenting
            | Stage::Open(Open { peer: Peer::Delegate(_), .. })),
            Input::Evict,
        ) => leave(link, &stage, None, Bye::Busy, Close::AT_CAPACITY, out),
        (Stage::Proving { until, .. } | Stage::AwaitChain { until }, Input::Tick(_))
            if until <= now =>
        {
            close(Close::AUTHENTICATION_TIMEOUT)
        }

        (
            stage @ (Stage::Proving { .. } | Stage::AwaitChain { .. }),
            Input::Frame { bytes, .. },
        ) => {
            let Link { channel, .. } = link;
            let (channel, text) = match channel.open(bytes) {
                Ok(opened) => opened,
                Err(Broken) => return close(Close::PROTOCOL_VIOLATION),
            };
            on_first(Link { channel, stage: Stage::Presenting }, stage, text, out)
        }
        (Stage::Open(open), Input::Frame { bytes, around, .. }) => {
            let Link { channel, .. } = link;
            match channel.open(bytes) {
                Ok((channel, text)) => {
                    let answers = matches!(open.keepalive, Keepalive::Asked { .. });
                    let open = Open { keepalive: open.keepalive.heard(now, limits), ..open };
                    on_frame(
                        Link { channel, stage: Stage::Presenting },
                        open,
                        text,
                        &around,
                        answers,
                        out,
                    )
                }
                Err(Broken) => Step::with(
                    State::Closed,
                    [Effect::Detach, Effect::Close(Close::PROTOCOL_VIOLATION)],
                ),
            }
        }

        (Stage::Attaching(attaching), Input::Attached(known, unix)) => {
            on_attached(link, now, limits, attaching, known, unix, out)
        }
        (Stage::Presenting, Input::Presented(until)) => {
            let open = Open {
                peer: Peer::Delegate(link.channel.peer),
                muted: false,
                expires: until,
                renews: false,
                owed: false,
                keepalive: Keepalive::start(now, limits),
                due: Answer::None,
            };
            match until {
                Some(_) => say(link, open, &FromGateway::Admission(Admission::Welcome), out)
                    .first(Effect::Refund),
                None => leave(
                    link,
                    &Stage::Presenting,
                    Some(FromGateway::Admission(Admission::NotPaired)),
                    Bye::Done,
                    Close::AUTHENTICATION_FAILED,
                    out,
                ),
            }
        }

        (Stage::Attaching(attaching), Input::Push(Notice::Muted)) => {
            Step::quiet(link.at(Stage::Attaching(Attaching { muted: true, ..attaching })))
        }
        (Stage::Attaching(attaching), Input::Push(Notice::Unmuted)) => {
            Step::quiet(link.at(Stage::Attaching(Attaching { muted: false, ..attaching })))
        }
        (Stage::Attaching(attaching), Input::Push(Notice::Permissions)) => {
            Step::quiet(link.at(Stage::Attaching(Attaching { owed: true, ..attaching })))
        }
        (stage @ (Stage::Attaching(_) | Stage::Open(_)), Input::Push(notice)) => {
            on_push(link, stage, notice, out)
        }
        (Stage::Open(open), Input::Bounded { until, renews }) => {
            Step::quiet(link.at(Stage::Open(Open { expires: until, renews, ..open })))
        }
        (Stage::Open(open), Input::Unsubscribed(pattern)) => {
            say(link, open, &FromGateway::NotAllowed { action: Action::Read, pattern }, out)
        }

        (Stage::Open(open), Input::Tick(unix)) => on_tick(link, open, now, unix, limits, out),
        (Stage::Open(open), Input::Deliver(app, unix)) if open.in_force(unix) => {
            say(link, open, &FromGateway::App(app), out)
        }
        (Stage::Open(open @ Open { due: Answer::Chain, .. }), Input::Presented(until)) => {
            let (admission, expires) = match (until, open.peer) {
                // A node's link rests on its grant, too.
                (Some(until), Peer::Node(_)) => {
                    (Admission::Welcome, Some(open.expires.map_or(until, |ends| ends.min(until))))
                }
                (Some(until), Peer::Delegate(_)) => (Admission::Welcome, Some(until)),
                (None, _) => (Admission::NotPaired, open.expires),
            };
            offering(say(
                link,
                Open { expires, due: Answer::None, ..open },
                &FromGateway::Admission(admission),
                out,
            ))
        }
        (
            Stage::Open(open @ Open { due: Answer::Confirmation(grant), .. }),
            Input::Activated(outcome),
        ) => {
            let open = Open { due: Answer::None, ..open };
            match outcome {
                Ok(Confirmation::Active(expires)) => {
                    let open = Open { expires, renews: false, ..open };
                    offering(say(link, open, &FromGateway::Active(grant), out))
                }
                // The node holds a grant that counts no more, though another may. It learns so, and
                // renews.
                Ok(Confirmation::NotThere) => {
                    offering(say(link, open, &FromGateway::NotRenewed, out))
                }
                Err(_) => {
                    leave(link, &Stage::Open(open), None, Bye::Internal, Close::INTERNAL, out)
                }
            }
        }
        (Stage::Open(open @ Open { due: Answer::Grant, .. }), Input::Renewed(offer)) => {
            let open = Open { due: Answer::None, ..open };
            match offer {
                Some(offer) => offer_it(link, Open { owed: false, ..open }, offer, out),
                None => offering(say(link, open, &FromGateway::NotRenewed, out)),
            }
        }
        (Stage::Open(open @ Open { due: Answer::Owed, .. }), Input::Renewed(offer)) => {
            let open = Open { due: Answer::None, ..open };
            match offer {
                Some(offer) => offer_it(link, open, offer, out),
                // It did not ask, and comes to no harm: what is in force is.
                None => Step::quiet(link.at(Stage::Open(open))),
            }
        }

        (stage, _) => Step::quiet(link.at(stage)),
    }
}

#[derive(Debug)]
struct Attaching {
    node_id: NodeId,
    holds: Option<GrantId>,
    muted: bool,
    renews: bool,
    owed: bool,
}

/// The message that proves the node (or brings the delegate's chain). It is the first of its key,
/// so the handshake was no replay.
fn on_first<'b>(
    link: Link,
    stage: Stage,
    text: &'b [u8],
    out: Outbox<'b>,
) -> Step<State, Effect<'b>> {
    match (stage, FromNode::parse(text)) {
        (
            Stage::Proving { node_id, renews, .. },
            Ok(message @ (FromNode::Stored(_) | FromNode::Heartbeat(_))),
        ) => {
            let holds = if let FromNode::Stored(grant) = message { Some(grant) } else { None };
            let attaching = Attaching { node_id, holds, muted: false, renews, owed: false };
            Step::with(
                link.at(Stage::Attaching(attaching)),
                [Effect::Refund, Effect::Attach(node_id)],
            )
        }
        (stage @ Stage::AwaitChain { .. }, Ok(FromNode::Part(part))) => {
            Step::with(link.at(stage), [Effect::Part(part)])
        }
        (Stage::AwaitChain { .. }, Ok(FromNode::Present { chain })) => {
            Step::with(link.at(Stage::Presenting), [Effect::Present(inline(chain))])
        }
        (stage, Ok(_) | Err(_)) => {
            leave(link, &stage, None, Bye::Protocol, Close::PROTOCOL_VIOLATION, out)
        }
    }
}

const fn inline(chain: Chain<'_>) -> Option<&[u8]> {
    match chain {
        Chain::Here(bytes) => Some(bytes.as_bytes()),
        Chain::InParts => None,
    }
}

/// What counts is what the registry says after pushes began to reach this connection.
fn on_attached<'b>(
    mut link: Link,
    now: Instant,
    limits: &Limits,
    attaching: Attaching,
    known: Result<Option<Known<'_>>, Refusal>,
    unix: UnixTime,
    mut out: Outbox<'b>,
) -> Step<State, Effect<'b>> {
    let Attaching { node_id, holds, muted, renews: told, owed } = attaching;
    let nowhere = Stage::Attaching(attaching);
    let (known, Admitted { until: expires, renews, .. }) = match known {
        Ok(known) => match known.and_then(|known| Some((known, known.admitted(unix, limits)?))) {
            // One that was welcomed and may do nothing any more comes again, and hears why.
            Some((_, Admitted { renews: true, .. })) if !told => {
                return leave(link, &nowhere, None, Bye::Done, Close::AUTHENTICATION_FAILED, out);
            }
            Some(found) => found,
            None => {
                return leave(link, &nowhere, None, Bye::Done, Close::AUTHENTICATION_FAILED, out);
            }
        },
        Err(Refusal::AtCapacity) => {
            return leave(link, &nowhere, None, Bye::Busy, Close::AT_CAPACITY, out);
        }
        Err(_) => return leave(link, &nowhere, None, Bye::Internal, Close::INTERNAL, out),
    };
    let muted = muted || known.is_muted();
    let mut step = Step::quiet(());
    if muted {
        match link.channel.seal(&FromGateway::Policy(Policy::Mute), &mut out) {
            Some(frame) => step = step.then(Effect::Send(frame)),
            None => return leave(link, &nowhere, None, Bye::Internal, Close::INTERNAL, out),
        }
    }
    step = step.then(Effect::Observe(Heartbeat::default()));
    let due = match holds {
        Some(grant) => {
            step = step.then(Effect::Activate(grant));
            Answer::Confirmation(grant)
        }
        None => Answer::None,
    };
    let owed = owed || is_owed(known.grants, known.ceiling, holds, unix);
    let keepalive = Keepalive::start(now, limits);
    let open = Open { peer: Peer::Node(node_id), muted, expires, renews, owed, keepalive, due };
    offering(step.wrap(|()| link.at(Stage::Open(open)), |effect| effect))
}

/// Has a grant made for the node that one is owed, once no other answer is due.
fn offering(mut step: Step<State, Effect<'_>>) -> Step<State, Effect<'_>> {
    if let State::Link(Link {
        stage: Stage::Open(open @ Open { owed: true, due: Answer::None, peer: Peer::Node(_), .. }),
        ..
    }) = &mut step.next
    {
        (open.owed, open.due) = (false, Answer::Owed);
        return step.then(Effect::Renew(Renew::Chain));
    }
    step
}

/// Sends what was made for the node.
fn offer_it<'b>(
    mut link: Link,
    open: Open,
    offer: Offer<'_>,
    mut out: Outbox<'b>,
) -> Step<State, Effect<'b>> {
    match seal_offer(&mut link.channel, offer, Talk::Link, &mut out) {
        Some(step) => step.wrap(|()| link.at(Stage::Open(open)), |effect| effect),
        None => leave(link, &Stage::Open(open), None, Bye::Internal, Close::INTERNAL, out),
    }
}

fn on_frame<'b>(
    link: Link,
    open: Open,
    text: &'b [u8],
    around: &Around<'_>,
    answers: bool,
    out: Outbox<'b>,
) -> Step<State, Effect<'b>> {
    let wants = |action: Action, pattern: Pattern<'b>| FromGateway::NotAllowed { action, pattern };
    let in_force = open.in_force(around.now);
    match FromNode::parse(text) {
        Ok(FromNode::Heartbeat(heartbeat)) => {
            // An empty one is the answer to ours, and every minute or so a sign of life that is
            // kept.
            let kept = !answers || heartbeat != Heartbeat::default();
            let step = Step::quiet(link.at(Stage::Open(open)));
            if kept { step.then(Effect::Observe(heartbeat)) } else { step }
        }
        Ok(FromNode::App(app)) => {
            if in_force
                && around.in_force.is_some_and(|rights| rights.allows(app.action, &app.address))
            {
                Step::with(link.at(Stage::Open(open)), [Effect::App(app)])
            } else {
                say(link, open, &wants(app.action, app.address.into()), out)
            }
        }
        Ok(FromNode::Subscribe { pattern }) => {
            let room = around.subscriptions_left > 0;
            if room
                && in_force
                && around.in_force.is_some_and(|rights| rights.allows_subscription(&pattern))
            {
                Step::with(link.at(Stage::Open(open)), [Effect::Subscribe(pattern)])
            } else {
                say(link, open, &wants(Action::Read, pattern), out)
            }
        }
        Ok(FromNode::Part(part)) => Step::with(link.at(Stage::Open(open)), [Effect::Part(part)]),
        // Whoever has to renew shows nothing else meanwhile.
        Ok(FromNode::Present { .. }) if open.renews => {
            say(link, open, &FromGateway::Admission(Admission::NotPaired), out)
        }
        Ok(FromNode::Present { chain }) => {
            let present = Effect::Present(inline(chain));
            Step::with(link.at(Stage::Open(Open { due: Answer::Chain, ..open })), [present])
        }
        Ok(FromNode::Renew(Renew::Token)) if open.renews => {
            say(link, open, &FromGateway::NotRenewed, out)
        }
        Ok(FromNode::Renew(renew @ (Renew::Token | Renew::Chain))) => match open.peer {
            Peer::Node(_) => Step::with(
                link.at(Stage::Open(Open { due: Answer::Grant, ..open })),
                [Effect::Renew(renew)],
            ),
            // A delegate's chain is its delegator's to give; a bearer for what it holds is ours.
            Peer::Delegate(_) if renew == Renew::Token => Step::with(
                link.at(Stage::Open(Open { due: Answer::Grant, ..open })),
                [Effect::Renew(renew)],
            ),
            Peer::Delegate(_) => say(link, open, &FromGateway::NotRenewed, out),
        },
        // No certificates are issued over this wire yet.
        Ok(FromNode::Renew(Renew::Certificate { .. })) => {
            say(link, open, &FromGateway::NotRenewed, out)
        }
        Ok(FromNode::Stored(grant)) => {
            let activate = Effect::Activate(grant);
            Step::with(
                link.at(Stage::Open(Open { due: Answer::Confirmation(grant), ..open })),
                [activate],
            )
        }
        // What a node can do is heard, and nobody dispatches to it yet.
        Ok(FromNode::Announce(_) | FromNode::DispatchResult(_)) => {
            Step::quiet(link.at(Stage::Open(open)))
        }
        Ok(FromNode::Bye(_)) => {
            Step::with(State::Closed, [Effect::Detach, Effect::Close(Close::GOODBYE)])
        }
        Err(_) => {
            leave(link, &Stage::Open(open), None, Bye::Protocol, Close::PROTOCOL_VIOLATION, out)
        }
    }
}

fn on_push<'b>(
    link: Link,
    stage: Stage,
    notice: Notice,
    out: Outbox<'b>,
) -> Step<State, Effect<'b>> {
    let delegate = matches!(&stage, Stage::Open(Open { peer: Peer::Delegate(_), .. }));
    match (notice, stage) {
        (Notice::Unpaired, stage) => {
            let word = match delegate {
                true => FromGateway::Admission(Admission::NotPaired),
                false => FromGateway::Policy(Policy::Unpair),
            };
            leave(link, &stage, Some(word), Bye::Done, Close::AUTHENTICATION_FAILED, out)
        }
        (Notice::Replaced, stage) => leave(link, &stage, None, Bye::Replaced, Close::REPLACED, out),
        (Notice::Muted, Stage::Open(open)) => {
            say(link, Open { muted: true, ..open }, &FromGateway::Policy(Policy::Mute), out)
        }
        (Notice::Unmuted, Stage::Open(open)) => {
            say(link, Open { muted: false, ..open }, &FromGateway::Policy(Policy::Unmute), out)
        }
        (Notice::Permissions, Stage::Open(open)) => {
            offering(Step::quiet(link.at(Stage::Open(Open { owed: true, ..open }))))
        }
        (Notice::Muted | Notice::Unmuted | Notice::Decided | Notice::Permissions, stage) => {
            Step::quiet(link.at(stage))
        }
    }
}

fn on_tick<'b>(
    link: Link,
    open: Open,
    now: Instant,
    unix: UnixTime,
    limits: &Limits,
    out: Outbox<'b>,
) -> Step<State, Effect<'b>> {
    if open.expires.is_some_and(|expires| expires <= unix) {
        return leave(link, &Stage::Open(open), None, Bye::Done, Close::AUTHENTICATION_FAILED, out);
    }
    match open.keepalive.tick(now, limits) {
        (_, Due::Nothing) => Step::quiet(link.at(Stage::Open(open))),
        (keepalive, Due::Ping) => {
            say(link, Open { keepalive, ..open }, &FromGateway::Heartbeat { time: Some(unix) }, out)
        }
        (_, Due::Lost) => {
            leave(link, &Stage::Open(open), None, Bye::Done, Close::PING_TIMEOUT, out)
        }
    }
}

/// Says one thing and stays open.
fn say<'b>(
    mut link: Link,
    open: Open,
    message: &FromGateway<'_>,
    mut out: Outbox<'b>,
) -> Step<State, Effect<'b>> {
    match link.channel.seal(message, &mut out) {
        Some(frame) => Step::with(link.at(Stage::Open(open)), [Effect::Send(frame)]),
        None => Step::with(State::Closed, [Effect::Detach, Effect::Close(Close::INTERNAL)]),
    }
}

/// Ends the link from our side: out of the table, a last word if there is one, goodbye, the close.
fn leave<'b>(
    mut link: Link,
    stage: &Stage,
    word: Option<FromGateway<'_>>,
    bye: Bye,
    reason: Close,
    mut out: Outbox<'b>,
) -> Step<State, Effect<'b>> {
    let mut step = Step::quiet(State::Closed);
    if matches!(stage, Stage::Attaching(_) | Stage::Open(_)) {
        step = step.then(Effect::Detach);
    }
    for message in word.into_iter().chain([FromGateway::Bye(bye)]) {
        if let Some(frame) = link.channel.seal(&message, &mut out) {
            step = step.then(Effect::Send(frame));
        }
    }
    step.then(Effect::Close(reason))
}
