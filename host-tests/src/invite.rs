//! Properties of invitations, their addresses, and typed codes: each has one form, apart from case.

use core::net::SocketAddr;

use handfast_core::crypto::code::TYPED_BYTES;
use handfast_core::limits::{GATEWAY_ADDRESS_BYTES, INVITE_ADDRESSES, INVITE_BYTES};
use handfast_core::wire::gateway_address::{GatewayAddress, Host};
use handfast_core::wire::invite::{Invite, TypedCode};

/// Checks any text as an invitation, as an address and as a typed code. A text that parses is
/// written as the same text apart from case, and then parses the same. In any case it parses the
/// same, or is refused for the same reason.
///
/// # Panics
/// If one of these does not hold.
pub fn any_text(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    any_invite(text);
    any_address(text);
    any_code(text);
}

fn any_invite(text: &str) {
    let read = Invite::parse(text);
    assert_eq!(Invite::parse(&text.to_ascii_uppercase()), read);
    assert_eq!(Invite::parse(&text.to_ascii_lowercase()), read);
    let Ok(invite) = read else { return };
    let (mut out, mut dense) = ([0; INVITE_BYTES], [0; INVITE_BYTES]);
    let written = invite.write(&mut out).expect("what was read can be written");
    assert!(written.eq_ignore_ascii_case(text), "{written} {text}");
    assert_eq!(invite.write_for_qr(&mut dense), Some(text.to_ascii_uppercase().as_str()));
    assert_eq!(Invite::parse(written).as_ref(), Ok(&invite));
    assert!((1..=INVITE_ADDRESSES).contains(&invite.addresses().len()));
    assert!(
        text.bytes().all(|byte| byte.is_ascii_graphic() && !b"%@#\\".contains(&byte)),
        "{text}"
    );
    for length in [0, text.len() - 1] {
        assert_eq!(invite.write(&mut out[..length]), None);
    }
    let addresses: Vec<_> = invite.addresses().iter().map(ToString::to_string).collect();
    addresses.iter().for_each(|address| any_address(address));
    let gateway = *invite.gateway();
    let addresses: Vec<_> =
        addresses.iter().filter_map(|address| GatewayAddress::parse(address)).collect();
    let made =
        Invite::new(&addresses, gateway, invite.into_code()).expect("its parts make it again");
    assert_eq!(made.write(&mut out).map(str::to_ascii_lowercase), Some(text.to_ascii_lowercase()));
}

fn any_address(text: &str) {
    let Some(address) = GatewayAddress::parse(text) else { return };
    assert!(address.to_string().eq_ignore_ascii_case(text), "{address} {text}");
    assert!(text.len() <= GATEWAY_ADDRESS_BYTES && address.port() != 0);
    // The standard library decides independently where the host ends and what is an IP address.
    let (_, rest) = text.split_once("://").expect("an address has a carrier");
    let socket = rest.parse::<SocketAddr>().ok();
    let ours = match address.host() {
        Host::V4(ip) => Some(SocketAddr::from((ip, address.port()))),
        Host::V6(ip) => Some(SocketAddr::from((ip, address.port()))),
        Host::Name(_) => None,
    };
    assert_eq!(ours, socket, "{text}");
}

fn any_code(text: &str) {
    let characters: String =
        text.chars().filter(|character| *character != '-' && !character.is_whitespace()).collect();
    let fine = text.len() <= TYPED_BYTES
        && (10..=68).contains(&characters.len())
        && characters.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let read = TypedCode::parse(text);
    assert_eq!(read.is_ok(), fine, "{text:?}");
    let Ok(read) = read else { return };
    let (selector, secret) =
        (read.selector.as_str(), core::str::from_utf8(read.code.expose()).expect("it is ASCII"));
    assert_eq!(format!("{selector}{secret}"), characters.to_ascii_uppercase());
    assert_eq!(TypedCode::parse(&format!("{selector}-{secret}")).as_ref(), Ok(&read));
}
