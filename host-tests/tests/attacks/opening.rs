use handfast_core::Span;
use handfast_core::wire::native::open::{ClearRefusal, FirstAnswer, Intent, Open};
use handfast_host_tests::native::World;
use handfast_host_tests::native::raw::{Raw, keys};
use handfast_host_tests::native::wires::Side;

use super::linked;

/// Returns the gateway's clear answer to these frames, if the connection has ended after it.
fn answer(frames: &[&[u8]]) -> Option<Vec<u8>> {
    let mut world = World::new(1, 31);
    let conn = world.connect(None);
    frames.iter().for_each(|frame| world.inject(conn, Side::Gateway, frame.to_vec()));
    world.run();
    assert!(!world.gateways[0].seats.contains_key(&conn), "{}", world.story());
    world.heard_over(conn)
}

#[test]
fn another_version_is_answered_with_ours_and_another_form_with_no() {
    for (open, ours) in [
        (&[2, 0][..], true),
        (&[0, 0], true),
        (&[255], true),
        (&[1], false),
        (&[1, 3], false),
        (&[1, 0, 0], false),
    ] {
        let said = answer(&[open]).expect("an answer");
        match FirstAnswer::parse(&said) {
            Ok(FirstAnswer::Clear(ClearRefusal::Unsupported { versions })) => {
                assert!(ours && versions.as_slice() == [1]);
            }
            Ok(FirstAnswer::Clear(ClearRefusal::Refused)) => assert!(!ours),
            other => panic!("{other:?}"),
        }
    }
    assert!(answer(&[&[]]).is_some());
}

#[test]
fn keys_of_low_order_and_keys_in_another_form_begin_no_handshake() {
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let mut beyond = minus_one;
    beyond[0] = 0xee;
    for key in [[0; 32], one, minus_one, beyond, [0xff; 32]] {
        for intent in [Intent::Pair, Intent::Link, Intent::Delegate] {
            let mut first = key.to_vec();
            if intent == Intent::Link {
                first.extend([7; 64]);
            }
            let said = answer(&[Open::new(intent).as_bytes(), &first]).expect("an answer");
            assert_eq!(
                FirstAnswer::parse(&said),
                Ok(FirstAnswer::Clear(ClearRefusal::Refused)),
                "{intent:?}"
            );
        }
    }
}

#[test]
fn an_intent_that_was_changed_on_the_way_fails_the_handshake() {
    for (meant, sent) in [(Intent::Pair, Intent::Delegate), (Intent::Delegate, Intent::Pair)] {
        let mut world = World::new(1, 32);
        world.on_the_way = None;
        let conn = world.connect(None);
        let mut room = [0; 1024];
        let entropy = handfast_core::Entropy::from_recorded([5; 32]);
        let open = Open::new(meant);
        let (initiator, first) = handfast_core::crypto::noise::xx::Initiator::start(
            open.prologue(),
            &entropy,
            &[],
            &mut room,
        )
        .unwrap();
        world.inject(conn, Side::Gateway, Open::new(sent).as_bytes().to_vec());
        world.inject(conn, Side::Gateway, first.to_vec());
        world.run();
        let mut second = world.heard_over(conn).unwrap();
        assert!(initiator.read_second(&mut second).is_err(), "{meant:?} as {sent:?}");
    }
}

#[test]
fn frames_of_any_size_and_of_nesting_end_the_connection_and_nothing_else() {
    let nested = b"[".repeat(60_000);
    let frames: [&[u8]; 6] = [b"[[[[[", &nested, &[0x80; 1_025], &[0x80; 1_024], &[0], &[]];
    for frame in frames {
        let _ = answer(&[frame]);
        for intent in [Intent::Pair, Intent::Link, Intent::Delegate] {
            if frame.len() < 32 || frame.len() > 1_024 {
                let _ = answer(&[Open::new(intent).as_bytes(), frame]);
            }
        }
        for intent in [Intent::Pair, Intent::Delegate] {
            let mut world = World::new(1, 33);
            let raw = Raw::introduces_itself(&mut world, intent, &keys(99)).unwrap();
            world.inject(raw.conn, Side::Gateway, frame.to_vec());
            world.run();
            assert!(world.gateways[0].seats.is_empty(), "{intent:?}, {}", frame.len());
        }
        let mut world = linked();
        world.inject(2, Side::Gateway, frame.to_vec());
        world.run();
        assert!(!world.gateways[0].seats.contains_key(&2) && world.gateways[0].live.is_empty());
        world.inject(2, Side::Client, frame.to_vec());
        world.pass(Span::from_secs(80));
        assert!(world.is_linked(0), "{}", world.story());
    }
}

#[test]
fn who_is_silent_loses_his_seat_in_every_state_before_he_is_let_in() {
    let mut world = World::new(1, 34);
    for frames in 0..3 {
        let conn = world.connect(None);
        let sent: [&[u8]; 2] = [Open::new(Intent::Pair).as_bytes(), &[9; 32]];
        sent.iter()
            .take(frames)
            .for_each(|frame| world.inject(conn, Side::Gateway, frame.to_vec()));
        world.pass(Span::from_secs(11));
        assert!(!world.gateways[0].seats.contains_key(&conn), "after {frames} frames");
    }
    let raw = Raw::introduces_itself(&mut world, Intent::Delegate, &keys(99)).unwrap();
    world.pass(Span::from_secs(11));
    assert!(!world.gateways[0].seats.contains_key(&raw.conn));
}
