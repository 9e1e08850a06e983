//! The handshakes below the machines under arbitrary messages.

use handfast_core::Entropy;
use handfast_core::crypto::cpace;
use handfast_core::crypto::noise::{Prologue, ik, xx};
use handfast_core::limits::MESSAGE_BYTES;

use super::{Bytes, cpace_inputs};
use crate::native::raw::keys;

/// Checks arbitrary bytes as each handshake message: they are refused, or are the peer's own.
///
/// # Panics
/// If a handshake completes with anything but the peer's own messages.
pub fn noise_messages(data: &[u8]) {
    let mut bytes = Bytes(data);
    let kind = bytes.byte().unwrap_or(0);
    let (a, b) = (keys(1), keys(2));
    let prologue = || Prologue::from_recorded(b"fuzz");
    let entropy = |byte| Entropy::from_recorded([byte; 32]);
    let (mut room, mut other) = ([0; MESSAGE_BYTES], [0; MESSAGE_BYTES]);
    let mut message = bytes.0.to_vec();
    match kind % 5 {
        0 => drop(xx::Responder::read_first(prologue(), &mut message)),
        1 => {
            let (initiator, _) =
                xx::Initiator::start(prologue(), &entropy(1), &[], &mut room).expect("it fits");
            assert!(initiator.read_second(&mut message).is_err(), "forged");
        }
        2 => {
            let (_, first) =
                xx::Initiator::start(prologue(), &entropy(1), &[], &mut room).expect("it fits");
            let (responder, _) = xx::Responder::read_first(prologue(), &mut first.to_vec())
                .map(|(r, _)| (r, ()))
                .expect("ours");
            let (answered, _) =
                responder.write_second(&b.channel, &entropy(2), &[], &mut other).expect("it fits");
            assert!(answered.read_third(&mut message).is_err(), "forged");
        }
        3 => drop(ik::Responder::read_first(prologue(), &b.channel, &mut message)),
        _ => {
            let started = ik::Initiator::start(
                prologue(),
                &a.channel,
                b.channel.public(),
                &entropy(1),
                &[],
                &mut room,
            );
            let (initiator, _) = started.expect("it fits");
            assert!(initiator.read_second(&a.channel, &mut message).is_err(), "forged");
        }
    }
}

/// Checks arbitrary bytes as elements and tags: no run is confirmed.
///
/// # Panics
/// If a run is confirmed.
pub fn cpace_messages(data: &[u8]) {
    let mut bytes = [0; 96];
    for (place, byte) in bytes.iter_mut().zip(data) {
        *place = *byte;
    }
    let (element, tag) = bytes.split_first_chunk::<32>().expect("32 bytes");
    let tag: &cpace::Tag = tag.first_chunk().expect("64 bytes");
    cpace_inputs(b"847291", |inputs| {
        let (initiator, ours) =
            cpace::Initiator::start(inputs, &Entropy::from_recorded([5; 32])).expect("an element");
        if let Ok((awaiting, ta)) = initiator.confirm(element) {
            assert!(awaiting.verify(tag).is_err() && ours != *element && ta != *tag, "confirmed");
        }
        if let Ok((awaiting, yb)) =
            cpace::Responder::answer(inputs, &Entropy::from_recorded([6; 32]), element)
        {
            assert!(yb != *element && awaiting.verify(tag).is_err(), "confirmed");
        }
    });
}
