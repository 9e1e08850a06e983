//! Invitations, and codes as people type them.

use handfast_core::Entropy;
use handfast_core::crypto::code::{Alphabet, CODE_CHARS, Code, MINTED_CHARS, TYPED_BYTES};
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::limits::INVITE_BYTES;
use handfast_core::wire::gateway_address::GatewayAddress;
use handfast_core::wire::invite::{INVITE_SECRET_CHARS_MIN, Invite, NotAnInvite, TypedCode};
use handfast_core::wire::native::pair::Selector;
use handfast_host_tests::invite::any_text;
use handfast_host_tests::prng::Prng;

const KEY: &str = "AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO";
const CODE: &str = "K7QF-ABCDEFGHJKLMNPQR";

fn invite(addresses: &str, rest: &str) -> String {
    format!("handfast:1?{addresses}{rest}")
}

fn good() -> String {
    invite(
        "a=ws://192.168.1.10:8765&a=tcp://[2001:db8::1]:7331&a=wss://gateway.local:443",
        &format!("&k={KEY}&c={CODE}"),
    )
}

/// Returns an address so long that three of them do not fit into an invitation.
fn long_address(letter: &str) -> String {
    format!("ws://{}.{}:80", letter.repeat(63), letter.repeat(20))
}

fn minted(alphabet: Alphabet, length: usize, byte: u8) -> TypedCode {
    let code = Code::mint(alphabet, length, &Entropy::from_recorded([byte; 32])).unwrap();
    TypedCode { selector: Selector::mint(&Entropy::from_recorded([byte; 4])), code }
}

#[test]
fn an_invitation_tells_addresses_key_and_code() {
    let text = good();
    let invite = Invite::parse(&text).unwrap();
    let addresses: Vec<String> = invite.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(
        addresses,
        ["ws://192.168.1.10:8765", "tcp://[2001:db8::1]:7331", "wss://gateway.local:443"]
    );
    assert_eq!(invite.gateway().to_string(), KEY);
    assert_eq!(invite.selector().as_str(), "K7QF");
    assert_eq!(invite.code().expose(), b"ABCDEFGHJKLMNPQR");
    assert_eq!(invite.write(&mut [0; INVITE_BYTES]), Some(text.as_str()));
    assert_eq!(invite.into_code(), TypedCode::parse(CODE).unwrap());
}

#[test]
fn an_invitation_prints_nothing_of_its_secret() {
    let text = good();
    let shown = format!("{:?}", Invite::parse(&text).unwrap());
    assert!(shown.contains("redacted") && !shown.contains("ABCDEFGH"), "{shown}");
    let shown = format!("{:?}", TypedCode::parse(CODE).unwrap());
    assert!(shown.contains("redacted") && !shown.contains("ABCDEFGH"), "{shown}");
}

#[test]
fn case_means_nothing() {
    let text = good();
    let read = Invite::parse(&text).unwrap();
    let upper = text.to_ascii_uppercase();
    assert_eq!(read.write_for_qr(&mut [0; INVITE_BYTES]), Some(upper.as_str()));
    for other in [&upper, &text.to_ascii_lowercase()] {
        assert_eq!(Invite::parse(other).as_ref(), Ok(&read));
        assert_eq!(
            Invite::parse(other).unwrap().write(&mut [0; INVITE_BYTES]),
            Some(text.as_str())
        );
    }
}

#[test]
fn whatever_is_written_otherwise_is_refused_with_its_reason() {
    use NotAnInvite as No;
    let (a, k, c) = ("a=ws://pi:80", &format!("&k={KEY}"), &format!("&c={CODE}"));
    assert!(Invite::parse(&invite(a, &format!("{k}{c}"))).is_ok());
    let four = "a=ws://a:1&a=ws://b:1&a=ws://c:1&a=ws://d:1";
    let long = ["a", "b", "c"].map(|letter| format!("a={}", long_address(letter))).join("&");
    let table = [
        (No::Scheme, String::new()),
        (No::Scheme, "handfast".into()),
        (No::Scheme, format!(" {}", good())),
        (No::Scheme, good().replace("handfast", "https")),
        (No::Scheme, "WIFI:T:WPA;S:net;P:pass;;".into()),
        (No::Version, "handfast:".into()),
        (No::Version, good().replace(":1?", ":2?")),
        (No::Version, good().replace(":1?", ":01?")),
        (No::Version, good().replace(":1?", "://1?")),
        (No::Version, good().replace(":1?", ":2?x%20")),
        (No::Parameter, "handfast:1".into()),
        (No::Parameter, "handfast:1?".into()),
        (No::Parameter, format!("{}&", good())),
        (No::Parameter, good().replace('&', "&&")),
        (No::Parameter, format!("{}&x=1", good())),
        (No::Parameter, format!("{}&aa=ws://pi:1", good())),
        (No::Parameter, invite(a, &format!("{k}&{CODE}"))),
        (No::Character, format!("{}\n", good())),
        (No::Character, format!("{} ", good())),
        (No::Character, good().replace("gateway", "g%61teway")),
        (No::Character, good().replace("gateway", "me@gateway")),
        (No::Character, good().replace("gateway", "g\u{e4}teway")),
        (No::Character, good().replace("gateway", "gate\u{202e}way")),
        (No::Character, format!("{}#x", good())),
        (No::Character, good().replace("&c", "&?c")),
        (No::Order, invite(a, &format!("{c}{k}"))),
        (No::Order, invite(a, &format!("{k}{k}{c}"))),
        (No::Order, invite(a, &format!("{k}{c}{c}"))),
        (No::Order, invite(a, &format!("{k}&{a}{c}"))),
        (No::Order, invite(&k[1..], &format!("&{a}{c}"))),
        (No::Missing, invite(a, k)),
        (No::Missing, invite(a, "")),
        (No::Missing, invite(a, c)),
        (No::Missing, invite(&k[1..], c)),
        (No::Address, invite("a=", &format!("{k}{c}"))),
        (No::Address, invite("a=ws://pi:80/x", &format!("{k}{c}"))),
        (No::Address, invite("a=ws://pi", &format!("{k}{c}"))),
        (No::Address, invite("a==ws://pi:80", &format!("{k}{c}"))),
        (No::Address, invite("a=http://pi:80", &format!("{k}{c}"))),
        (No::TooManyAddresses, invite(four, &format!("{k}{c}"))),
        (No::RepeatedAddress, invite("a=ws://pi:80&a=WS://PI:80", &format!("{k}{c}"))),
        (No::Fingerprint, invite(a, &format!("&k={}{c}", KEY.replace('-', "")))),
        (No::Fingerprint, invite(a, &format!("{}{c}", &k[..k.len() - 1]))),
        (No::Fingerprint, invite(a, &format!("{}{c}", k.replace('2', "1")))),
        (No::Fingerprint, invite(a, &format!("&k={c}"))),
        (No::Code, invite(a, &format!("{k}&c="))),
        (No::Code, invite(a, &format!("{k}{}", c.replace("F-", "F")))),
        (No::Code, invite(a, &format!("{k}{}", c.replace("F-", "-")))),
        (No::Code, invite(a, &format!("{k}{}", c.replace("F-", "F--")))),
        (No::Code, invite(a, &format!("{k}{c}-"))),
        (No::Code, invite(a, &format!("{k}{}", c.replace("EFGH", "EF-GH")))),
        (No::Code, invite(a, &format!("{k}&c=K7QF-{}", "7".repeat(INVITE_SECRET_CHARS_MIN - 1)))),
        (No::Code, invite(a, &format!("{k}&c=K7QF-{}", "7".repeat(CODE_CHARS + 1)))),
        (No::TooLong, invite(&long, &format!("{k}{c}"))),
    ];
    for (reason, text) in table {
        assert_eq!(Invite::parse(&text).err(), Some(reason), "{text:?}");
        any_text(text.as_bytes());
    }
    for length in [INVITE_SECRET_CHARS_MIN, CODE_CHARS] {
        assert!(Invite::parse(&invite(a, &format!("{k}&c=K7QF-{}", "7".repeat(length)))).is_ok());
    }
}

#[test]
fn every_prefix_of_an_invitation_is_either_none_or_has_a_shorter_secret() {
    let text = good();
    for end in 0..text.len() {
        let read = Invite::parse(&text[..end]);
        assert_eq!(
            read.is_ok(),
            end >= text.len() - (16 - INVITE_SECRET_CHARS_MIN),
            "{}",
            &text[..end]
        );
    }
}

#[test]
fn what_is_made_of_its_parts_is_read_as_the_same() {
    let all = [
        GatewayAddress::parse("ws://192.168.1.10:8765").unwrap(),
        GatewayAddress::parse("wss://Gateway.local:443").unwrap(),
        GatewayAddress::parse("tcp://[fd00::1]:7331").unwrap(),
    ];
    let key = Fingerprint::parse(KEY).unwrap();
    for addresses in [&all[..1], &all[..2], &all[..]] {
        for length in INVITE_SECRET_CHARS_MIN..=MINTED_CHARS {
            let made =
                Invite::new(addresses, key, minted(Alphabet::Unambiguous, length, 0x5a)).unwrap();
            let mut out = [0; INVITE_BYTES];
            assert_eq!(Invite::parse(made.write(&mut out).unwrap()).as_ref(), Ok(&made));
        }
    }
}

#[test]
fn nothing_is_made_that_would_not_be_read() {
    let address = |text| GatewayAddress::parse(text).unwrap();
    let key = Fingerprint::parse(KEY).unwrap();
    let secret = || minted(Alphabet::Unambiguous, 16, 1);
    let new = |addresses: &[GatewayAddress<'_>], code| Invite::new(addresses, key, code).err();
    let pi = address("ws://pi:80");
    let many = [pi, address("ws://b:1"), address("ws://c:1"), address("ws://d:1")];
    assert_eq!(new(&[], secret()), Some(NotAnInvite::Missing));
    assert_eq!(new(&many, secret()), Some(NotAnInvite::TooManyAddresses));
    assert_eq!(new(&[pi, address("ws://PI:80")], secret()), Some(NotAnInvite::RepeatedAddress));
    assert_eq!(new(&[pi], minted(Alphabet::Digits, 12, 1)), Some(NotAnInvite::Code));
    let nobodys = Code::nobodys(&Entropy::from_recorded([0xff; 32]));
    assert_eq!(new(&[pi], TypedCode { code: nobodys, ..secret() }), Some(NotAnInvite::Code));
    let hosts = ["a", "b", "c"].map(long_address);
    assert_eq!(
        new(&hosts.each_ref().map(|host| address(host)), secret()),
        Some(NotAnInvite::TooLong)
    );
    assert_eq!(new(&hosts.each_ref().map(|host| address(host))[..2], secret()), None);
}

#[test]
fn a_code_is_typed_with_spaces_and_dashes_anywhere_and_in_any_case() {
    for typed in [
        "K7QF-847291",
        "k7qf847291",
        " K 7 Q F 8 4 7 2 9 1 ",
        "K7-QF84-72-91",
        "K7QF\t847291",
        "K7QF-847\r\n291",
        "--k7qf--847291--",
    ] {
        let TypedCode { selector, code } = TypedCode::parse(typed).unwrap();
        assert_eq!((selector.as_str(), code.expose()), ("K7QF", &b"847291"[..]), "{typed}");
    }
}

#[test]
fn what_is_too_short_too_long_or_has_another_character_is_no_typed_code() {
    let long = format!("K7QF-{}", "7".repeat(CODE_CHARS + 1));
    let padded = format!("K7QF-847291{}", " ".repeat(TYPED_BYTES));
    let umlaut = "K7Q\u{c4}-847291";
    for typed in [
        "",
        "K7Q",
        "K7QF",
        "K7QF-",
        "K7QF-84729",
        "K7QF_847291",
        "K7QF-84729\u{661}",
        umlaut,
        &long,
        &padded,
    ] {
        assert!(TypedCode::parse(typed).is_err(), "{typed}");
        any_text(typed.as_bytes());
    }
    assert!(TypedCode::parse(&format!("K7QF-{}", "7".repeat(CODE_CHARS))).is_ok());
}

#[test]
fn minted_selectors_read_back_and_every_character_is_as_likely() {
    let mut seen = [0; 128];
    for byte in 0..=255 {
        let selector =
            Selector::mint(&Entropy::from_recorded([byte, byte.wrapping_add(1), byte ^ 0x55, 0]));
        assert_eq!(Selector::parse(selector.as_str()), Some(selector));
        seen[usize::from(selector.as_str().as_bytes()[0])] += 1;
    }
    assert_eq!(seen.iter().filter(|count| **count == 8).count(), 32);
    assert_eq!(seen.iter().sum::<i32>(), 256);
}

#[test]
fn an_invitation_with_any_byte_changed_has_one_writing_still() {
    let good = good();
    let mut prng = Prng::new(5);
    for _ in 0..100_000 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..=prng.below(3) {
            let at = usize::try_from(prng.below(bytes.len() as u64)).unwrap();
            match prng.below(3) {
                0 => {
                    bytes[at] = b"handfst:1?akcWS=&./-[]%@ 0AZ\xc3\n"
                        [usize::try_from(prng.below(30)).unwrap()];
                }
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        any_text(&bytes);
    }
}
