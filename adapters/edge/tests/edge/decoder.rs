//! The WebSocket decoder against RFC 6455: every split of the bytes, every rule.

use handfast_edge::websocket::{DecodedEvent, Decoder, Violation};

#[derive(Debug, PartialEq, Clone)]
enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, Vec<u8>),
    Violation(Violation),
}

/// Feeds the bytes in pieces and collects the events.
fn hear<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, room: usize) -> Vec<Heard> {
    let mut decoder = Decoder::new();
    let mut room = vec![0; room];
    let mut heard = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.feed(piece, &mut room) {
                Ok((used, event)) => {
                    piece = &piece[used..];
                    heard.push(match event {
                        None => break assert!(piece.is_empty()),
                        Some(DecodedEvent::Text(n)) => {
                            Heard::Text(String::from_utf8(room[..n].to_vec()).unwrap())
                        }
                        Some(DecodedEvent::Binary(n)) => Heard::Binary(room[..n].to_vec()),
                        Some(DecodedEvent::Ping) => Heard::Ping(decoder.control().to_vec()),
                        Some(DecodedEvent::Pong) => Heard::Pong(decoder.control().to_vec()),
                        Some(DecodedEvent::Close(code)) => {
                            Heard::Close(code, decoder.control().to_vec())
                        }
                    });
                }
                Err(violation) => {
                    heard.push(Heard::Violation(violation));
                    assert_eq!(
                        decoder.feed(b"more", &mut room),
                        Err(violation),
                        "a broken connection stays broken"
                    );
                    return heard;
                }
            }
        }
    }
    heard
}

fn whole(bytes: &[u8]) -> Vec<Heard> {
    hear([bytes], 1 << 17)
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ ..=125 => out.push(short as u8),
        medium @ ..=0xffff => {
            out.push(126);
            out.extend((medium as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend(payload);
    out
}

fn everything() -> (Vec<u8>, Vec<Heard>) {
    let long = "ä".repeat(200);
    let frames = [
        frame(0x81, b"Hello"),
        frame(0x81, b""),
        frame(0x01, b"Hel"),
        frame(0x89, b"are you there"),
        frame(0x00, b""),
        frame(0x8a, b""),
        frame(0x80, "lö".as_bytes()),
        frame(0x82, &[0xff; 126]),
        frame(0x01, &long.as_bytes()[..201]),
        frame(0x80, &long.as_bytes()[201..]),
        frame(0x88, b"\x03\xf0Node is muted"),
        frame(0x81, b"too late"),
    ];
    let heard = vec![
        Heard::Text("Hello".into()),
        Heard::Text(String::new()),
        Heard::Ping(b"are you there".to_vec()),
        Heard::Pong(Vec::new()),
        Heard::Text("Hellö".into()),
        Heard::Binary(vec![0xff; 126]),
        Heard::Text(long),
        Heard::Close(Some(1008), b"\x03\xf0Node is muted".to_vec()),
    ];
    (frames.concat(), heard)
}

#[test]
fn the_examples_of_the_rfc_are_understood() {
    assert_eq!(whole(&[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]), [Heard::Text("Hello".into())]);
    assert_eq!(
        whole(&[0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f]),
        [Heard::Text("Hello".into())]
    );
    assert_eq!(
        whole(&[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]),
        [Heard::Ping(b"Hello".to_vec())]
    );
    assert_eq!(whole(&frame(0x82, &[7; 256])), [Heard::Binary(vec![7; 256])]);
    assert_eq!(whole(&frame(0x82, &[7; 65536])), [Heard::Binary(vec![7; 65536])]);
}

#[test]
fn one_byte_at_a_time_is_as_good_as_all_at_once() {
    let (bytes, heard) = everything();
    assert_eq!(whole(&bytes), heard);
    assert_eq!(hear(bytes.chunks(1), 1024), heard);
}

#[test]
fn every_split_in_two_gives_the_same() {
    let (bytes, heard) = everything();
    for at in 0..=bytes.len() {
        assert_eq!(hear([&bytes[..at], &bytes[at..]], 1024), heard, "{at}");
    }
}

#[test]
fn every_rule_that_a_server_breaks_is_named() {
    for (bytes, violation) in [
        (vec![0xc1, 0x00], Violation::ReservedBit),
        (vec![0xa1, 0x00], Violation::ReservedBit),
        (vec![0x91, 0x00], Violation::ReservedBit),
        (vec![0x83, 0x00], Violation::UnknownOpcode),
        (vec![0x8b, 0x00], Violation::UnknownOpcode),
        (vec![0x81, 0x85, 1, 2, 3, 4], Violation::Masked),
        (vec![0x09, 0x00], Violation::FragmentedControl),
        (vec![0x08, 0x00], Violation::FragmentedControl),
        (vec![0x89, 126], Violation::LongControl),
        (vec![0x88, 127], Violation::LongControl),
        (vec![0x81, 126, 0, 125], Violation::BadLength),
        (vec![0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Violation::BadLength),
        (vec![0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], Violation::BadLength),
        (vec![0x81, 127, 0x7f, 0, 0, 0, 0, 0, 0, 0], Violation::TooBig),
        (vec![0x80, 0x00], Violation::NothingToContinue),
        ([frame(0x81, b"x"), vec![0x80, 0x00]].concat(), Violation::NothingToContinue),
        ([frame(0x01, b"x"), vec![0x81, 0x00]].concat(), Violation::Interrupted),
        ([frame(0x01, b"x"), vec![0x02, 0x00]].concat(), Violation::Interrupted),
        (frame(0x88, b"\x03"), Violation::BadClose),
        (frame(0x88, b"\x03\xed"), Violation::BadClose),
        (frame(0x88, b"\x03\xe7"), Violation::BadClose),
        (frame(0x88, b"\x13\x88"), Violation::BadClose),
        (frame(0x88, b"\x03\xe8\xff"), Violation::NotText),
        (frame(0x81, b"\xed\xa0\x80"), Violation::NotText),
        (
            frame(0x81, "ä".split_at_checked(2).unwrap().0.as_bytes()[..1].as_ref()),
            Violation::NotText,
        ),
    ] {
        assert_eq!(whole(&bytes).last(), Some(&Heard::Violation(violation)), "{bytes:x?}");
        assert_eq!(
            hear(bytes.chunks(1), 1 << 17).last(),
            Some(&Heard::Violation(violation)),
            "{bytes:x?}"
        );
    }
}

#[test]
fn a_message_that_fits_exactly_is_taken_and_one_byte_more_is_too_big() {
    assert_eq!(hear([frame(0x82, &[1; 64]).as_slice()], 64), [Heard::Binary(vec![1; 64])]);
    assert_eq!(hear([frame(0x82, &[1; 65]).as_slice()], 64), [Heard::Violation(Violation::TooBig)]);
    let parts = [frame(0x02, &[1; 60]), frame(0x00, &[1; 4]), frame(0x80, &[1; 1])].concat();
    assert_eq!(hear([parts.as_slice()], 64), [Heard::Violation(Violation::TooBig)]);
    // A ping uses none of the message's room.
    let parts = [frame(0x02, &[1; 64]), frame(0x89, &[2; 125]), frame(0x80, &[])].concat();
    assert_eq!(
        hear([parts.as_slice()], 64),
        [Heard::Ping(vec![2; 125]), Heard::Binary(vec![1; 64])]
    );
}

#[test]
fn no_bytes_at_all_break_it() {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..40)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // Small values are likely, so that frames follow one another.
                if state & 3 == 0 { (state >> 8) as u8 } else { (state >> 8) as u8 & 0x8f }
            })
            .collect();
        let at_once = hear([bytes.as_slice()], 32);
        assert_eq!(hear(bytes.chunks(1), 32), at_once, "{bytes:x?}");
        assert_eq!(hear(bytes.chunks(7), 32), at_once, "{bytes:x?}");
    }
}
