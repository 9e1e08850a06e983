//! Encodings of capability tokens that do not parse.

use super::*;

#[test]
fn overlong_numbers_do_not_parse_wherever_they_stand() {
    // Positions of: number of blocks, number of scopes, action, length of a pattern, begin, end.
    let root = root();
    let places = [0, 98, 99, 100, 111, 112];
    let good = token(std::slice::from_ref(&root));
    assert_eq!(&good[98..111], &[&[1, 1, 10], &b"/lights/**"[..]].concat()[..]);
    for at in places {
        let mut bytes = good[..at].to_vec();
        let length = 1 + good[at..].iter().take_while(|byte| **byte & 0x80 != 0).count();
        bytes.extend(&good[at..at + length]);
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push(0);
        bytes.extend(&good[at + length..]);
        // The root is signed again, so that only the number is wrong.
        let body = bytes[bytes.len().min(if at == 0 { 2 } else { 1 })..bytes.len() - 64].to_vec();
        let head = bytes[..if at == 0 { 2 } else { 1 }].to_vec();
        let bytes = [head, sign(body, &gateway().signing)].concat();
        // A number of blocks of more than one byte is more blocks than a chain has.
        let error = if at == 0 { MalformedToken::Depth } else { MalformedToken::Number };
        assert_eq!(Chain::from_bytes(&bytes).err(), Some(error), "at {at}");
    }
}

#[test]
fn values_that_are_none_do_not_parse_though_they_are_signed() {
    type Change = fn(&mut Draft);
    let wrong: [Change; 9] = [
        |child| child.channel = [0xff; 32],
        |child| child.signing = Some([0; 32]),
        |child| child.signing = Some([0xff; 32]),
        |child| child.scopes[0].0 = 3,
        |child| child.scopes[0].1 = "/a/../b".to_owned(),
        |child| child.scopes[0].1 = "/a*".to_owned(),
        |child| child.scopes = vec![(0, "/a".to_owned()); SCOPES + 1],
        |child| child.audience = Some(String::new()),
        |child| child.audience = Some("x".repeat(65)),
    ];
    for change in wrong {
        assert_eq!(Chain::from_bytes(&with_child(change)).err(), Some(MalformedToken::Value));
    }
    let body = draft(issuer(gateway()), node(0)).body();
    let option = [&body[..body.len() - 1], &[2]].concat();
    assert_eq!(
        Chain::from_bytes(&token(&[sign(option, &gateway().signing)])).err(),
        Some(MalformedToken::Value)
    );
    let not_utf8 = [&body[..101], &[0xff], &body[102..]].concat();
    assert_eq!(
        Chain::from_bytes(&token(&[sign(not_utf8, &gateway().signing)])).err(),
        Some(MalformedToken::Value)
    );
}

#[test]
fn a_text_of_another_version_or_with_other_characters_does_not_parse() {
    let shown = text(&chain_of(1, &["read:/a"]));
    let rest = shown.strip_prefix("hf1.").unwrap();
    let parse = |text: &str| Chain::parse(text, &mut { EMPTY }).map(|_| ()).err();
    for wrong in [
        rest.to_owned(),
        format!("hf2.{rest}"),
        format!("HF1.{rest}"),
        format!(" {shown}"),
        String::new(),
    ] {
        assert_eq!(parse(&wrong), Some(MalformedToken::Version), "{wrong}");
    }
    for wrong in [
        format!("{shown}="),
        format!("{shown}\n"),
        format!("hf1.+{}", &rest[1..]),
        format!("hf1.{}é", &rest[2..]),
    ] {
        assert_eq!(parse(&wrong), Some(MalformedToken::Base64), "{wrong}");
    }
}

#[test]
fn a_full_set_of_scopes_fits_and_what_is_too_long_is_neither_made_nor_read() {
    let line = format!("read:/{}", "x".repeat(57));
    let full = [line.as_str(); SCOPES];
    let bytes = chain_of(1, &full);
    let chain = Chain::from_bytes(&bytes).unwrap();
    assert!(chain.to_string().len() <= CAPABILITY_CHARS);
    let mut out = EMPTY;
    let longer = chain.attenuate(&node(0).signing, &node(1).holder(), &terms(&full), &mut out);
    assert_eq!(longer.err(), Some(CannotIssue::TooLong));
    let below = draft(*chain.leaf().id().as_bytes(), node(1));
    let below =
        Draft { scopes: vec![(0, line[5..].to_owned()); SCOPES], ..below }.signed(&node(0).signing);
    let forged = [&[2], &bytes[1..], &below].concat();
    assert_eq!(Chain::from_bytes(&forged).err(), Some(MalformedToken::TooLong));
    assert_eq!(Chain::parse(&text(&forged), &mut { EMPTY }).err(), Some(MalformedToken::TooLong));
}
