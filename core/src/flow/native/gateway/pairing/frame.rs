//! The node's messages while it is being paired.

use super::super::{Effect, FrameContext, NativeRequest, Proof, Turn, close};
use super::{CertificateState, HeldCode, Pairing, PairingStage, SETTLING, refuse};
use crate::crypto::cpace::{self, AwaitingTa, Element};
use crate::entropy::Entropy;
use crate::grant::setup_code::{NotValid, VERIFY_SCRATCH, verify_bound};
use crate::link::channel::{Channel, ChannelBroken, OutgoingBuffer};
use crate::step::Effects;
use crate::wire::close::Close;
use crate::wire::native::Features;
use crate::wire::native::pair::{AskDefect, PairFromGateway, PairFromNode, PairRefusal};
use crate::wire::native::signer::SignerKey;

pub(super) fn on_frame<'b>(
    pairing: &mut Pairing,
    stage: PairingStage,
    bytes: &'b mut [u8],
    entropy: &Entropy<32>,
    around: &FrameContext<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let text = match pairing.channel.open(bytes) {
        Ok(text) => text,
        Err(ChannelBroken) => return close(Close::PROTOCOL_VIOLATION),
    };
    match (stage, PairFromNode::parse(text)) {
        (PairingStage::AwaitAsk, Ok(PairFromNode::Ask(ask))) => {
            match ask.verify(&pairing.channel.hash) {
                Ok(asked) => {
                    let method = asked.request().method;
                    let key = pairing.channel.peer;
                    pairing.features = asked.request().features;
                    // The compact certificate takes no request besides the bit.
                    let wants = asked.request().csr.is_some()
                        || pairing.features.contains(Features::CERTIFICATE);
                    // A certificate is only made for a signing key that the node has proven.
                    if wants && asked.key().is_some() {
                        let signer = SignerKey::of_gateway(around.keys);
                        pairing.certificate = CertificateState::Wanted(signer);
                    }
                    pairing.enter(PairingStage::Preparing { method }, [Effect::Ask(key, asked)])
                }
                Err(AskDefect::Signature) => refuse(pairing, &PairRefusal::Protocol, out),
                Err(AskDefect::Unsigned) => refuse(pairing, &PairRefusal::Unsigned, out),
            }
        }
        (PairingStage::AwaitSetup, Ok(PairFromNode::SetupCode(token))) => {
            // The claims need room of their own, because they are lent to the effect.
            let Some(claims) = out.aside(VERIFY_SCRATCH) else { return close(Close::INTERNAL) };
            let own = around.keys.channel.public();
            match verify_bound(around.setup, own, token.expose(), claims) {
                // The step that spends the code judges its end.
                Ok(verified) if verified.claims().bound => {
                    pairing.enter(SETTLING, [Effect::Settle(Proof::Setup(verified))])
                }
                // A setup code that opens a session does not pair a node, whoever signed it.
                Ok(_) => refuse(pairing, &PairRefusal::WrongCode { attempts_left: 0 }, out),
                Err(
                    NotValid::Form
                    | NotValid::ClaimsEncoding
                    | NotValid::SignatureEncoding
                    | NotValid::Signature
                    | NotValid::Claims,
                ) => refuse(pairing, &PairRefusal::WrongCode { attempts_left: 0 }, out),
            }
        }
        (PairingStage::AwaitYa { held }, Ok(PairFromNode::Ya(element))) => {
            let answered = answer(&pairing.channel, &held, around, entropy, &element).and_then(
                |(cpace, yb)| {
                    Some((cpace, pairing.channel.seal(&PairFromGateway::Yb(yb), &mut out)?))
                },
            );
            match answered {
                Some((cpace, frame)) => {
                    pairing.enter(PairingStage::AwaitTa { held, cpace }, [Effect::Send(frame)])
                }
                // An element that CPace rejects is no guess, so none is counted.
                None => refuse(pairing, &PairRefusal::Protocol, out),
            }
        }
        (PairingStage::AwaitTa { held, cpace }, Ok(PairFromNode::Ta(tag))) => {
            // The guess is counted before its tag is looked at, so breaking off early saves none.
            let reserve = NativeRequest::Reserve(held.id).into();
            pairing.enter(PairingStage::Reserving { held, cpace, tag }, [reserve])
        }
        (PairingStage::AwaitStored { grant }, Ok(PairFromNode::Stored(stored)))
            if stored == grant =>
        {
            pairing.stage = PairingStage::Activating { grant };
            let certificate = match pairing.certificate {
                CertificateState::Sent(number) => {
                    Some(NativeRequest::CertificateStored(number).into())
                }
                CertificateState::None | CertificateState::Wanted(_) => None,
            };
            // A node that was paired is no failure of its source.
            let (refund, activate) =
                (NativeRequest::Refund.into(), NativeRequest::Activate(grant).into());
            Turn::Continue(Effects::flatten([Some(refund), certificate, Some(activate)]))
        }
        (
            PairingStage::AwaitAsk
            | PairingStage::AwaitSetup
            | PairingStage::AwaitYa { .. }
            | PairingStage::AwaitTa { .. }
            | PairingStage::Waiting
            | PairingStage::AwaitStored { .. }
            | PairingStage::Preparing { .. }
            | PairingStage::Reserving { .. }
            | PairingStage::Spending { .. }
            | PairingStage::Settling { .. }
            | PairingStage::Issuing
            | PairingStage::Activating { .. },
            Ok(_) | Err(_),
        ) => refuse(pairing, &PairRefusal::Protocol, out),
    }
}

fn answer(
    channel: &Channel,
    held: &HeldCode,
    around: &FrameContext<'_>,
    entropy: &Entropy<32>,
    element: &Element,
) -> Option<(AwaitingTa, Element)> {
    let own = around.keys.channel.public();
    let inputs = cpace::Inputs::new(&held.code, &channel.hash, &channel.peer, own, held.method);
    cpace::Responder::answer(&inputs, entropy, element).ok()
}
