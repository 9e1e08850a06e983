//! The adapter's answers to what a pairing asked for, except those about guesses.

use super::super::offer::{Talk, seal_certificate, seal_offer};
use super::super::{Effect, Issue, IssuedCertificate, PairVerdict, Prepared, Proof, Turn, close};
use super::{CertificateState, HeldCode, Pairing, PairingStage, SETTLING, ours, refuse};
use crate::crypto::cpace;
use crate::error::Refusal;
use crate::limits::Limits;
use crate::link::channel::OutgoingBuffer;
use crate::step::Effects;
use crate::time::{Instant, Span};
use crate::wire::close::Close;
use crate::wire::native::pair::{self, PairFromGateway};

pub(super) fn on_prepared<'b>(
    pairing: &mut Pairing,
    now: Instant,
    limits: &Limits,
    method: pair::Method,
    prepared: Prepared<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    match (prepared, method) {
        (Prepared::Refused(refusal), _) => refuse(pairing, &refusal, out),
        (Prepared::Setup, pair::Method::Setup) => {
            pairing.until = now.after(limits.first_message);
            pairing.enter(PairingStage::AwaitSetup, [])
        }
        (Prepared::Pin { id, code, expires_in, attempts }, pair::Method::Pin) => {
            match pairing
                .channel
                .seal(&PairFromGateway::PinShown { expires_in, attempts }, &mut out)
            {
                Some(frame) => {
                    pairing.until = now.after(Span::from_secs(u64::from(expires_in)));
                    let held =
                        HeldCode { id: Some(id), code, method: cpace::CodeOrigin::Pin, wrong: 0 };
                    pairing.enter(PairingStage::AwaitYa { held }, [Effect::Send(frame)])
                }
                None => close(Close::INTERNAL),
            }
        }
        (Prepared::Code { id, code }, pair::Method::Code { .. }) => {
            // The node already has its code, so it gets no time to type one.
            pairing.until = now.after(limits.first_message);
            pairing.enter(
                PairingStage::AwaitYa {
                    held: HeldCode { id, code, method: cpace::CodeOrigin::Code, wrong: 0 },
                },
                [],
            )
        }
        (Prepared::Settle, pair::Method::Approval) => {
            pairing.enter(SETTLING, [Effect::Settle(Proof::Nothing)])
        }
        // The adapter's answer does not fit the method. A request that named a code must never be
        // settled without it.
        (Prepared::Pin { .. } | Prepared::Code { .. } | Prepared::Setup | Prepared::Settle, _) => {
            close(Close::INTERNAL)
        }
    }
}

pub(super) fn on_settled<'b>(
    pairing: &mut Pairing,
    now: Instant,
    limits: &Limits,
    verdict: PairVerdict<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    match verdict {
        PairVerdict::Refused(refusal) => refuse(pairing, &refusal, out),
        PairVerdict::Waits { expires_in } => {
            match pairing.channel.seal(&PairFromGateway::Waiting { expires_in }, &mut out) {
                Some(frame) => {
                    pairing.until = now.after(Span::from_secs(u64::from(expires_in)));
                    pairing.stage = PairingStage::Waiting;
                    let name = pairing.take_name();
                    Turn::Continue(Effects::flatten([Some(Effect::Send(frame)), name]))
                }
                None => close(Close::INTERNAL),
            }
        }
        PairVerdict::Offered(_) if matches!(pairing.certificate, CertificateState::Wanted(_)) => {
            pairing.enter(PairingStage::Issuing, [Effect::Issue(Issue::Asked)])
        }
        PairVerdict::Offered(offer) => {
            let grant = offer.id;
            pairing.until = now.after(limits.first_message);
            let certificates = match pairing.certificate {
                CertificateState::Sent(_) => true,
                CertificateState::None | CertificateState::Wanted(_) => false,
            };
            match seal_offer(&mut pairing.channel, offer, Talk::Pair, certificates, &mut out) {
                Some([first, second, third]) => {
                    pairing.stage = PairingStage::AwaitStored { grant };
                    let name = pairing.take_name();
                    Turn::Continue(Effects::flatten([first, second, third, name]))
                }
                None => close(Close::INTERNAL),
            }
        }
    }
}

/// Sends the certificate, if there is one, and settles once more: what was granted is offered again.
pub(super) fn on_issued<'b>(
    pairing: &mut Pairing,
    issued: Result<Option<IssuedCertificate<'_>>, Refusal>,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let settle = Effect::Settle(Proof::Nothing);
    match issued {
        Ok(Some(issued)) => {
            let signer = match pairing.certificate {
                CertificateState::Wanted(signer) => signer,
                CertificateState::None | CertificateState::Sent(_) => None,
            };
            match seal_certificate(&mut pairing.channel, &issued, signer, Talk::Pair, &mut out) {
                Some([first, second, third]) => {
                    pairing.certificate = CertificateState::Sent(issued.number);
                    pairing.stage = SETTLING;
                    Turn::Continue(Effects::flatten([first, second, third, Some(settle)]))
                }
                None => close(Close::INTERNAL),
            }
        }
        Ok(None) => {
            pairing.certificate = CertificateState::None;
            pairing.enter(SETTLING, [settle])
        }
        Err(refusal) => refuse(pairing, &ours(refusal), out),
    }
}
