//! A link over TLS, and the renewal of a certificate over any link.

use super::{NodeLink, greet_expired, pair_again};
use crate::crypto::noise::HandshakeHash;
use crate::flow::native::node::leaving::broken;
use crate::flow::native::node::{
    AfterClose, Effect, NativeMemory, NativeNodeEvent, Node, NodeIdentity, State,
};
use crate::link::channel::{Channel, ChannelBroken, OutgoingBuffer};
use crate::link::node::Heartbeats;
use crate::step::Effects;
use crate::time::Instant;
use crate::wire::native::Features;
use crate::wire::native::link::{
    Admission, Admitted, CertificateRenewal, FromGateway, FromNode, Hello, Identify, Renew,
};

/// Begins a link over a TLS connection: identifies the node, unless its certificate did, and
/// greets. The node counts as linked once the gateway has answered, because in TLS 1.3 the client's
/// handshake succeeds before the server has judged its certificate.
#[inline(never)]
pub(in crate::flow::native::node) fn call<'b>(
    node: &mut Node,
    now: Instant,
    exporter: HandshakeHash,
    certified: bool,
    own: &NodeIdentity<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
    // Only a paired node has a certificate, and a record at the gateway by which it is known.
    let NativeMemory::Paired(paired) = node.memory else {
        return node.close(None, AfterClose::Idle);
    };
    let mut channel = Channel::over_tls(paired.gateway, exporter);
    let identify =
        FromNode::Identify(Identify::sign(paired.node_id, &own.keys.signing, &channel.hash));
    let features = own.features();
    // Before the verdict the node cannot know whether its grant has expired.
    let hello = Hello { features, mark: paired.mark, holds: Some(paired.grant) };
    let identified = if certified { None } else { channel.seal(&identify, &mut out) };
    match channel.seal(&FromNode::Hello(hello), &mut out) {
        Some(hello) if certified || identified.is_some() => {
            let link = NodeLink {
                paired,
                channel,
                heartbeats: Heartbeats::start(now, node.timing.heartbeat_every),
                heard: now,
                renews: false,
                // The gateway tells its features with the verdict, so nothing optional goes before.
                features: Features::NONE,
                dispatches: own.dispatch,
            };
            let until = now.after(node.timing.answer_within);
            node.state = State::Greeting { link, until };
            Effects::flatten([identified.map(Effect::Send), Some(Effect::Send(hello))])
        }
        Some(_) | None => node.close(None, AfterClose::Retry),
    }
}

/// Reads the gateway's verdict, its first message over TLS.
#[inline(never)]
pub(in crate::flow::native::node) fn on_first<'b>(
    node: &mut Node,
    now: Instant,
    bytes: &'b mut [u8],
    out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
    let State::Greeting { mut link, .. } = core::mem::replace(&mut node.state, State::Idle) else {
        return Effects::none();
    };
    let text = match link.channel.open(bytes) {
        Ok(text) => text,
        Err(ChannelBroken) => return broken(node, None),
    };
    // The gateway may also close at once, which makes the node wait, and forget nothing.
    let Ok(FromGateway::Admitted(Admitted { admission, features })) = FromGateway::parse(text)
    else {
        return broken(node, None);
    };
    (link.heard, link.features) = (now, features);
    // A certificate's address is a known one, so there is none to keep.
    #[cfg(feature = "search")]
    let _ = node.proven();
    match admission {
        Admission::Welcome => {
            let linked = NativeNodeEvent::Linked(link.paired.node_id);
            node.enter(State::Linked(link), [Effect::Tell(linked)])
        }
        Admission::Expired => {
            link.renews = true;
            greet_expired(node, link, out)
        }
        Admission::NotPaired => pair_again(node),
    }
}

/// Asks for a new certificate, signed for this link. A gateway that issues none is not asked.
#[inline(never)]
pub(super) fn renew<'b>(
    link: &mut NodeLink,
    own: &NodeIdentity<'_>,
    out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
    if !link.features.contains(Features::CERTIFICATE) {
        return Effects::of([Effect::Tell(NativeNodeEvent::CertificateNotRenewed)]);
    }
    let csr = own.certificate.csr();
    let renewal = CertificateRenewal::sign(csr, &own.keys.signing, &link.channel.hash);
    link.say(&FromNode::Renew(Renew::Certificate(renewal)), out)
}
