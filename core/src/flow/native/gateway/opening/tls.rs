//! The opening of a connection over TLS: the node's first message, and the look-up of its node.

use super::super::link::NativeLink;
use super::super::{Effect, KnownPeer, LinkPermission, NativeRequest, State, Turn, close, end};
use super::{Opening, TlsFirst};
use crate::crypto::noise::HandshakeHash;
use crate::id::NodeId;
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::step::Effects;
use crate::time::Instant;
use crate::wire::close::Close;
use crate::wire::native::Features;
use crate::wire::native::link::{Admission, Admitted, FromGateway, FromNode};

/// Reads the first message: `Hello` if a certificate names the node, else `Identify`.
pub(super) fn on_first<'b>(
    opening: &mut Opening,
    node: Option<NodeId>,
    exporter: HandshakeHash,
    until: Instant,
    bytes: &[u8],
) -> Turn<'b> {
    let (node_id, first) = match (node, FromNode::parse(bytes)) {
        (Some(node_id), Ok(FromNode::Hello(hello))) => (node_id, TlsFirst::Hello(node_id, hello)),
        (None, Ok(FromNode::Identify(identify))) => {
            (identify.node_id, TlsFirst::Identify(identify))
        }
        // A certificate alone names its node, so `Identify` beside one is refused.
        (Some(_) | None, Ok(_) | Err(_)) => return close(Close::PROTOCOL_VIOLATION),
    };
    opening.enter(
        Opening::FindingTls { first, exporter, until },
        [NativeRequest::FindNode(node_id).into()],
    )
}

/// Makes a link of what the registry knows of the node. A wrong signature is answered like an
/// unknown node.
pub(super) fn on_found<'b>(
    first: TlsFirst,
    exporter: HandshakeHash,
    known: Option<(KnownPeer<'_>, LinkPermission)>,
    features: Features,
    until: Instant,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let found = known.and_then(|(known, admitted)| {
        let key = known.record.keys.as_ref()?.channel;
        match &first {
            // TLS has verified the key, and the handshake has looked up the certificate.
            TlsFirst::Hello(..) => {}
            TlsFirst::Identify(identify) => identify.verify(known.signing()?, &exporter).ok()?,
        }
        Some((Channel::over_tls(key, exporter), admitted))
    });
    match (found, first) {
        (Some((channel, _)), TlsFirst::Hello(node_id, hello)) => {
            let link = NativeLink::proven(channel, node_id, &hello);
            // The certificate is the proof, so the permit goes back at once.
            let attach = NativeRequest::Attach(node_id, hello.mark).into();
            Turn::Break((State::Link(link), Effects::of([NativeRequest::Refund.into(), attach])))
        }
        // The link tells whether the node may only renew, so it counts as told.
        (Some((channel, LinkPermission { node_id, .. })), TlsFirst::Identify(_)) => {
            let link = NativeLink::proving(channel, None, node_id, true, until);
            // The permit goes back with `Hello`, as on every other link.
            Turn::Break((State::Link(link), Effects::none()))
        }
        (None, TlsFirst::Hello(..) | TlsFirst::Identify(_)) => {
            let refusal = Admitted { admission: Admission::NotPaired, features };
            let refusal = FromGateway::Admitted(refusal);
            let said = out.put(|place| Some(((), refusal.write(place).ok()?.len())));
            match said {
                Some(((), message)) => {
                    end([Effect::Send(message), Effect::Close(Close::AUTHENTICATION_FAILED)])
                }
                None => close(Close::INTERNAL),
            }
        }
    }
}
