//! Texts that a person scans or pastes, taken apart.

use handfast_core::limits::SETUP_PAYLOAD_CHARS;
use handfast_core::wire::invite::Invite;
use handfast_core::wire::path::{Address, Pattern};
use handfast_core::wire::phone_link::{self, LinkProof};
use handfast_core::wire::setup::Payload;
use zeroize::Zeroizing;

use crate::reply::{Kind, Reply, number, with_fingerprint};

/// Tells the parts of an invitation, alone or in a link: its addresses, one a line, the gateway's
/// fingerprint, the code, and the proof of it that shows what it grants.
pub(crate) fn invite(text: &str, reply: &mut Reply<'_>) {
    let invite = match Invite::parse(phone_link::payload(text)) {
        Ok(invite) => invite,
        Err(why) => return reply.refuse("invite", why.as_str()),
    };
    let mut addresses = heapless::String::<{ handfast_core::limits::INVITE_BYTES }>::new();
    for address in invite.addresses() {
        // An invitation is longer than its addresses.
        let _ = core::fmt::write(&mut addresses, format_args!("{address}\n"));
    }
    let mut code = Zeroizing::new([0; 4 + handfast_core::crypto::code::CODE_CHARS]);
    let selector = invite.selector();
    let pieces = selector.as_str().bytes().chain(invite.code().expose().iter().copied());
    let mut length = 0usize;
    for (place, byte) in code.iter_mut().zip(pieces) {
        *place = byte;
        length = length.saturating_add(1);
    }
    // Codes are ASCII.
    let gateway = *invite.gateway();
    let typed = invite.into_code();
    let proof = LinkProof::of(&typed).text();
    let proof = core::str::from_utf8(&proof).unwrap_or("");
    let code = code.get(..length).and_then(|code| core::str::from_utf8(code).ok()).unwrap_or("");
    reply.object(Kind::Event, |object| {
        let object = object.text("event", "invite").text("addresses", &addresses);
        with_fingerprint(object, "gateway", &gateway)
            .text("code", code)
            .text("selector", selector.as_str())
            .text("proof", proof)
    });
}

/// Tells the parts of a setup code: its URL, token and end, and the gateway's fingerprint if the
/// code can be bound to a node's key.
pub(crate) fn setup(text: &str, reply: &mut Reply<'_>) {
    let mut scratch = Zeroizing::new([0; 2 * SETUP_PAYLOAD_CHARS]);
    let Some(payload) = Payload::decode(phone_link::payload(text), &mut *scratch) else {
        return reply.refuse("setup_code", "");
    };
    reply.object(Kind::Event, |object| {
        let object = object
            .text("event", "setup")
            .text("url", payload.url)
            .text("token", payload.bootstrap_token);
        let object = number(object, "expires_at", payload.expires_at.as_secs());
        match &payload.fingerprint {
            Some(fingerprint) => with_fingerprint(object, "gateway", fingerprint),
            None => object,
        }
    });
}

/// Tells whether a pattern matches an address.
pub(crate) fn matches(pattern: &str, address: &str, reply: &mut Reply<'_>) {
    match (Pattern::parse(pattern), Address::parse(address)) {
        (Ok(pattern), Ok(address)) => {
            reply.event(if pattern.matches(&address) { "matches" } else { "differs" });
        }
        (Err(why), _) => reply.refuse("pattern", why.as_str()),
        (Ok(_), Err(why)) => reply.refuse("address", why.as_str()),
    }
}
