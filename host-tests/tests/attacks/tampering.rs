use handfast_core::Span;
use handfast_host_tests::native::World;
use handfast_host_tests::native::wires::{ConnId, Side};

use super::{but, frames, is_paired, linked, pair_by_pin, pairing_by_pin};

/// Number of the frame with which the gateway has the proof it grants for (`Ta`), and of the one
/// with which the node has the grant.
const TA: usize = 5;
const GRANT: usize = 4;
const PAIRING: ConnId = 1;
const LINK: ConnId = 2;

fn sides() -> [(Side, usize); 2] {
    [(Side::Gateway, TA), (Side::Client, GRANT)]
}

/// Checks that the side that received a changed frame grants or keeps nothing.
fn assert_nothing_granted(world: &World, to: Side, what: &str) {
    match to {
        Side::Gateway => assert!(world.store.records.is_empty(), "{}{what}", world.story()),
        Side::Client => assert!(!is_paired(world), "{}{what}", world.story()),
    }
    assert!(world.store.grants.len() <= 1);
}

#[test]
fn a_pairing_with_any_byte_changed_grants_nothing() {
    let recorded = linked();
    let mut runs = 0;
    for (to, last) in sides() {
        for (number, frame) in frames(&recorded, PAIRING, to).iter().enumerate().take(last + 1) {
            for at in 0..frame.len() {
                let masks: &[u8] =
                    if frame.len() < 40 { &[1, 2, 4, 8, 16, 32, 64, 128] } else { &[1, 0x80] };
                for mask in masks {
                    let flip = move |bytes: &[u8]| {
                        let mut bytes = bytes.to_vec();
                        bytes[at] ^= mask;
                        vec![bytes]
                    };
                    let world = pairing_by_pin(but(PAIRING, to, number, flip));
                    let what = format!("frame {number} to {to:?}, byte {at}, mask {mask}");
                    assert_nothing_granted(&world, to, &what);
                    assert!(
                        !world.wires.contains_key(&PAIRING),
                        "{}{what}: goes on",
                        world.story()
                    );
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} pairings");
}

#[test]
fn a_pairing_with_any_message_dropped_or_cut_short_grants_nothing_and_ends() {
    let recorded = linked();
    for (to, last) in sides() {
        for (number, frame) in frames(&recorded, PAIRING, to).iter().enumerate().take(last + 1) {
            for length in [None, Some(0), Some(1), Some(frame.len() / 2), Some(frame.len() - 1)] {
                let cut = move |bytes: &[u8]| {
                    length.map(|length| bytes[..length].to_vec()).into_iter().collect()
                };
                let mut world = pairing_by_pin(but(PAIRING, to, number, cut));
                assert_nothing_granted(
                    &world,
                    to,
                    &format!("frame {number} to {to:?} of {length:?}"),
                );
                world.pass(Span::from_secs(301));
                assert!(
                    !world.wires.contains_key(&PAIRING),
                    "{}frame {number} to {to:?}: never ends",
                    world.story()
                );
            }
        }
    }
}

#[test]
fn a_repeated_message_ends_a_pairing_and_nothing_is_granted_or_counted_twice() {
    let recorded = linked();
    for (to, _) in sides() {
        for number in 0..frames(&recorded, PAIRING, to).len() {
            let twice = |bytes: &[u8]| vec![bytes.to_vec(), bytes.to_vec()];
            let world = pairing_by_pin(but(PAIRING, to, number, twice));
            assert!(world.store.grants.len() <= 1, "{}", world.story());
            assert_eq!(world.store.window.guesses, 0, "{}frame {number} to {to:?}", world.story());
            assert!(!world.wires.contains_key(&PAIRING));
        }
    }
}

#[test]
fn messages_in_another_order_end_a_pairing() {
    let recorded = linked();
    for (to, last) in sides() {
        for number in 0..last {
            // The frame is held back, and sent after the next one.
            let mut held = None;
            let world = pairing_by_pin(move |passing| {
                let here = passing.conn == PAIRING && passing.to == to;
                match passing.number {
                    at if here && at == number => {
                        held = Some(passing.bytes.to_vec());
                        Vec::new()
                    }
                    _ if here => {
                        [Some(passing.bytes.to_vec()), held.take()].into_iter().flatten().collect()
                    }
                    _ => vec![passing.bytes.to_vec()],
                }
            });
            assert_nothing_granted(&world, to, &format!("frame {number} to {to:?}"));
        }
    }
    assert_eq!(frames(&recorded, PAIRING, Side::Gateway).len(), TA + 2);
    assert_eq!(frames(&recorded, PAIRING, Side::Client).len(), GRANT + 2);
}

/// Pairs a node, makes its owner forget, and pairs it again: the second time with a message of the
/// first, and with its PIN spent.
#[test]
fn a_message_of_another_session_ends_a_pairing_be_it_the_sealed_grant_itself() {
    for (to, last) in sides() {
        for number in 0..=last {
            let mut world = linked();
            let recorded = frames(&world, PAIRING, to)[number].clone();
            world.feed_node(0, handfast_host_tests::native::node::NodeIn::Forget);
            world.run();
            let (again, same) = (3, std::rc::Rc::new(std::cell::Cell::new(false)));
            let told = same.clone();
            world.on_the_way = Some(Box::new(but(again, to, number, move |bytes| {
                told.set(bytes == recorded);
                vec![recorded.clone()]
            })));
            pair_by_pin(&mut world);
            if same.get() {
                continue;
            }
            match to {
                Side::Gateway => {
                    assert_eq!(world.store.grants.len(), 1, "{}frame {number}", world.story());
                }
                Side::Client => assert!(!is_paired(&world), "{}frame {number}", world.story()),
            }
            assert!(!world.wires.contains_key(&again));
        }
    }
}

#[test]
fn a_link_with_any_byte_changed_is_none_and_the_node_soon_has_another() {
    let recorded = linked();
    for (to, count) in [(Side::Gateway, 4), (Side::Client, 2)] {
        for (number, frame) in frames(&recorded, LINK, to).iter().enumerate().take(count) {
            for at in 0..frame.len() {
                let mut world = pairing_by_pin(but(LINK, to, number, move |bytes: &[u8]| {
                    let mut bytes = bytes.to_vec();
                    bytes[at] ^= 0x10;
                    vec![bytes]
                }));
                let what = format!("frame {number} to {to:?}, byte {at}");
                assert!(!world.is_linked(0) && is_paired(&world), "{}{what}", world.story());
                assert!(!world.wires.contains_key(&LINK), "{}{what}: goes on", world.story());
                world.pass(Span::from_secs(73));
                assert!(world.is_linked(0), "{}{what}: not again", world.story());
            }
        }
    }
}

#[test]
fn a_link_with_a_message_dropped_repeated_or_of_another_session_ends_and_the_node_soon_has_another()
{
    let recorded = linked();
    for (to, count) in [(Side::Gateway, 4), (Side::Client, 2)] {
        for number in 0..count {
            let theirs = frames(&recorded, LINK, to)[number].clone();
            for how in 0..3 {
                let theirs = theirs.clone();
                let mut world = linked();
                world.cut(LINK);
                let again = 3;
                world.on_the_way = Some(Box::new(but(again, to, number, move |bytes| match how {
                    0 => Vec::new(),
                    1 => vec![bytes.to_vec(), bytes.to_vec()],
                    _ => vec![theirs.clone()],
                })));
                world.pass(Span::from_secs(300));
                assert!(
                    world.is_linked(0) && is_paired(&world),
                    "{}frame {number} to {to:?}, {how}",
                    world.story()
                );
                let record = world.store.records.values().next().expect("it is paired");
                assert_eq!(world.gateways[0].live.len(), 1, "{} is live once", record.node_id);
            }
        }
    }
}
