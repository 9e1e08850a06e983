//! Grants as frames of a channel.

use super::{Effect, IssuedCertificate, Offer};
use crate::limits::{
    CERTIFICATES_BYTES, CHAIN_BYTES, COMPACT_CERTIFICATE_BYTES, MESSAGE_BYTES, NATIVE_SCRATCH,
    PART_BYTES,
};
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::step::MAX_EFFECTS;
use crate::wire::native::pair::{ChainBytes, PairFromGateway, PairGrant};
use crate::wire::native::part::{Object, Part};
use crate::wire::native::signer::SignerKey;
use crate::wire::native::{Bounded, link};

/// The message type of a channel: pairing and links have separate messages for a grant.
#[derive(Clone, Copy)]
pub(super) enum Talk {
    Pair,
    Link,
}

/// Seals the parts of a certificate, and while pairing, ahead of a compact one, the key that verifies
/// it. Returns `None` if they do not fit the scratch or its limit.
pub(super) fn seal_certificate<'b>(
    channel: &mut Channel,
    issued: &IssuedCertificate<'_>,
    signer: Option<SignerKey>,
    talk: Talk,
    out: &mut OutgoingBuffer<'b>,
) -> Option<[Option<Effect<'b>>; CERTIFICATE_PARTS]> {
    let mut frames = [const { None }; CERTIFICATE_PARTS];
    let parts = Part::cut(issued.object, issued.bytes)?;
    let mut free = frames.iter_mut();
    if let (Object::CompactCertificate, Some(signer)) = (issued.object, signer) {
        // The key goes ahead, or the node could not verify the certificate that follows.
        let key = PairFromGateway::CertificateKey(signer);
        *free.next()? = Some(Effect::Send(channel.seal(&key, out)?));
    }
    for part in parts {
        *free.next()? = Some(Effect::Send(seal_part(channel, part, talk, out)?));
    }
    Some(frames)
}

/// A certificate's parts and one more effect are one step; a compact one is one part, and its key.
const CERTIFICATE_PARTS: usize = CERTIFICATES_BYTES.div_ceil(PART_BYTES);
const _: () = assert!(CERTIFICATE_PARTS < MAX_EFFECTS);
const _: () = assert!((CERTIFICATE_PARTS + 1) * MESSAGE_BYTES <= NATIVE_SCRATCH);

const _: () = assert!(COMPACT_CERTIFICATE_BYTES <= PART_BYTES && CERTIFICATE_PARTS >= 2);

fn seal_part<'b>(
    channel: &mut Channel,
    part: Part<'_>,
    talk: Talk,
    out: &mut OutgoingBuffer<'b>,
) -> Option<&'b [u8]> {
    match talk {
        Talk::Pair => channel.seal(&PairFromGateway::Part(part), out),
        Talk::Link => channel.seal(&link::FromGateway::Part(part), out),
    }
}

/// Seals the frames of a grant: its chain in parts if it is too long, then the grant. Returns `None`
/// if they do not fit the scratch or one step.
pub(super) fn seal_offer<'b>(
    channel: &mut Channel,
    offer: Offer<'_>,
    talk: Talk,
    certificates: bool,
    out: &mut OutgoingBuffer<'b>,
) -> Option<[Option<Effect<'b>>; OFFER_FRAMES]> {
    let Offer { id, node_id, room, token, chain, message } = offer;
    let mut frames = [const { None }; OFFER_FRAMES];
    let mut free = frames.iter_mut();
    let chain = match chain.map(|bytes| (bytes, Bounded::new(bytes))) {
        None => None,
        Some((_, Some(inline))) => Some(ChainBytes::Here(inline)),
        Some((bytes, None)) => {
            // The parts go before the grant that names them, so the node has the whole chain by
            // then.
            for part in Part::cut(Object::Chain, bytes)? {
                *free.next()? = Some(Effect::Send(seal_part(channel, part, talk, out)?));
            }
            Some(ChainBytes::InParts)
        }
    };
    let grant = PairGrant { id, node_id, room, token, chain, certificates, message };
    let frame = match talk {
        Talk::Pair => channel.seal(&PairFromGateway::Grant(grant), out),
        Talk::Link => channel.seal(&link::FromGateway::Grant(grant), out),
    };
    *free.next()? = Some(Effect::Send(frame?));
    Some(frames)
}

/// The frames of a grant: the longest chain is two parts, and the grant follows.
const OFFER_FRAMES: usize = CHAIN_BYTES.div_ceil(PART_BYTES) + 1;
const _: () = assert!(OFFER_FRAMES < MAX_EFFECTS);
