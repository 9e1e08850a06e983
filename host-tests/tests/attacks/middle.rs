use handfast_core::flow::native::node::NativeMemory;
use handfast_core::wire::native::open::Intent;
use handfast_core::wire::native::pair::{
    Ask, GrantId, Method, PairFromGateway, PairFromNode, PairGrant, PairRefusal,
};
use handfast_core::{Label, NodeId, Span};
use handfast_host_tests::native::World;
use handfast_host_tests::native::raw::{Raw, Rogue, keys};
use handfast_host_tests::native::wires::Side;

use super::is_paired;

const NODES: u32 = 1;

fn grant() -> PairFromGateway<'static> {
    PairFromGateway::Grant(PairGrant {
        id: GrantId::from_bytes([1; 16]),
        node_id: NodeId::from_bytes([2; 16]),
        room: Label::parse("trap").unwrap(),
        token: None,
        chain: None,
        certificates: false,
        message: None,
    })
}

/// Returns a node that pairs with a rogue gateway, by PIN or by a scanned code.
fn with_a_rogue(by_pin: bool) -> (World, Rogue) {
    let mut world = World::new(1, 21);
    world.isolate();
    if by_pin {
        world.pair_by_pin(0);
    } else {
        world.pair_by_code(0, "K7QF", "847291");
    }
    world.run();
    let rogue = Rogue::answers(&mut world, NODES, &keys(99)).expect("the node introduces itself");
    (world, rogue)
}

/// Relays a node's messages unchanged; the signed one cannot be relayed, and is signed again.
fn relay(node: &mut Rogue, gateway: &mut Raw, world: &mut World) {
    world.on_the_way = Some(Box::new(|passing| {
        if passing.conn == NODES { Vec::new() } else { vec![passing.bytes.to_vec()] }
    }));
    for _ in 0..8 {
        if let Some(said) = node.hears(world) {
            match PairFromNode::parse(&said) {
                Ok(PairFromNode::Ask(ask)) => {
                    let asked =
                        ask.verify(&node.channel.hash).expect("the node signs for its channel");
                    let again = Ask::sign(
                        *asked.request(),
                        &keys(99).signing,
                        &gateway.channel.hash.clone(),
                    );
                    gateway.says(world, &PairFromNode::Ask(again));
                }
                _ => gateway.says(world, &said),
            }
        }
        if let Some(said) = gateway.hears(world) {
            node.says(world, &said);
        }
    }
}

#[test]
fn a_man_in_the_middle_who_relays_every_word_is_caught_by_the_code() {
    for by_pin in [false, true] {
        let (mut world, mut node) = with_a_rogue(by_pin);
        world.open_window();
        world.mint_code("K7QF", "847291");
        world.on_the_way = None;
        let mut gateway = Raw::introduces_itself(&mut world, Intent::Pair, &keys(99)).unwrap();
        relay(&mut node, &mut gateway, &mut world);
        if by_pin {
            // The PIN is shown for the rogue's key, which the owner does not know.
            let pin = world.display.last().expect("a PIN is shown").2.clone();
            world.type_pin(0, &pin);
            world.run();
            relay(&mut node, &mut gateway, &mut world);
        }
        assert!(
            world.store.records.is_empty() && world.nodes[0].memory == NativeMemory::Blank,
            "{}",
            world.story()
        );
        assert!(
            world.nodes[0].heard("WrongCode { attempts_left: 4 }"),
            "{:?}",
            world.nodes[0].news
        );
        assert_eq!(world.audit.wrong.values().sum::<u32>(), 1, "it was a guess, and counted");
    }
}

#[test]
fn who_knows_the_pin_gets_in_as_himself_and_never_as_the_node() {
    let mut world = World::new(2, 22);
    world.open_window();
    world.pair_by_pin(1);
    world.run();
    let pin = world.pin_for(1).unwrap();
    world.type_pin(1, &pin);
    world.run();
    let node = *world.nodes[0].keys.channel.public();
    assert!(world.is_linked(1) && world.store.by_key(&node).is_none());
    let shown = world.store.records.values().next().unwrap().keys.unwrap().channel;
    assert_eq!(shown, *world.nodes[1].keys.channel.public(), "the operator sees whose key it is");
}

#[test]
fn a_rogue_gateway_gets_one_guess_for_each_code_that_is_typed_and_no_retry() {
    let (mut world, mut rogue) = with_a_rogue(false);
    let tags = |rogue: &mut Rogue, world: &World| {
        let mut tags = 0;
        while let Some(said) = rogue.hears(world) {
            tags += u32::from(matches!(PairFromNode::parse(&said), Ok(PairFromNode::Ta(_))));
        }
        tags
    };
    let yb = *curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED.as_bytes();
    rogue.says(&mut world, &PairFromGateway::Yb(yb));
    rogue.says(&mut world, &PairFromGateway::Refused(PairRefusal::WrongCode { attempts_left: 4 }));
    rogue.says(&mut world, &PairFromGateway::Yb(yb));
    assert_eq!(tags(&mut rogue, &world), 1);
    world.pass(Span::from_secs(3600));
    assert_eq!(tags(&mut rogue, &world), 0);
    assert_eq!((world.nodes[0].state(), world.wires.contains_key(&NODES)), ("Idle", false));
    assert!(world.overheard.iter().all(|(conn, ..)| *conn == NODES), "it calls nobody again");
}

#[test]
fn a_gateway_that_does_not_know_the_code_is_told_from_one_that_does() {
    for reflected in [true, false] {
        let (mut world, mut rogue) = with_a_rogue(false);
        let _ask = rogue.hears(&world);
        let said = rogue.hears(&world).unwrap();
        let Ok(PairFromNode::Ya(ya)) = PairFromNode::parse(&said) else { panic!("{said:?}") };
        if reflected {
            rogue.says(&mut world, &PairFromGateway::Yb(ya));
            assert!(
                world.nodes[0].heard("Broken") && rogue.hears(&world).is_none(),
                "not even a tag for its own element"
            );
            continue;
        }
        rogue.says(
            &mut world,
            &PairFromGateway::Yb(
                *curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED.as_bytes(),
            ),
        );
        let said = rogue.hears(&world).unwrap();
        let Ok(PairFromNode::Ta(ta)) = PairFromNode::parse(&said) else { panic!("{said:?}") };
        rogue.says(&mut world, &PairFromGateway::Tb(ta));
        assert!(world.nodes[0].heard("GatewayUnproven"));
        world.pass(Span::from_secs(3600));
        assert_eq!((world.nodes[0].memory, world.nodes[0].state()), (NativeMemory::Blank, "Idle"));
    }
}

#[test]
fn identity_and_invalid_elements_of_a_gateway_end_the_run_without_a_tag() {
    for bad in [[0; 32], [0xff; 32]] {
        let (mut world, mut rogue) = with_a_rogue(false);
        let (_ask, _ya) = (rogue.hears(&world), rogue.hears(&world));
        rogue.says(&mut world, &PairFromGateway::Yb(bad));
        assert!(rogue.hears(&world).is_none() && world.nodes[0].heard("Broken"));
    }
}

#[test]
fn a_node_that_asked_with_a_code_or_pin_keeps_nothing_before_the_gateway_is_proven() {
    let yb = *curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED.as_bytes();
    let before: [&[PairFromGateway<'_>]; 4] = [
        &[],
        &[PairFromGateway::PinShown { expires_in: 300, attempts: 5 }],
        &[PairFromGateway::Yb(yb)],
        &[
            PairFromGateway::Yb(yb),
            PairFromGateway::Refused(PairRefusal::WrongCode { attempts_left: 3 }),
        ],
    ];
    for (by_pin, said) in
        [false, true].into_iter().flat_map(|by_pin| before.map(|said| (by_pin, said)))
    {
        for word in [
            grant(),
            PairFromGateway::Waiting { expires_in: 60 },
            PairFromGateway::Active(GrantId::from_bytes([1; 16])),
        ] {
            let (mut world, mut rogue) = with_a_rogue(by_pin);
            said.iter().for_each(|word| rogue.says(&mut world, word));
            rogue.says(&mut world, &word);
            rogue.says(&mut world, &grant());
            assert_eq!(world.nodes[0].memory, NativeMemory::Blank, "{by_pin}, {word:?}");
        }
    }
}

/// Shows the trust on first use: without a code and without a pinned fingerprint a node trusts the
/// first gateway, and says so. A paired node does not.
#[test]
fn a_paired_node_goes_to_no_other_gateway() {
    let mut world = super::linked();
    world.isolate();
    world.cut(world.nodes[0].conn.unwrap());
    world.pass(Span::from_secs(2));
    let conn = world.nodes[0].conn.expect("it calls again");
    assert!(
        Rogue::answers(&mut world, conn, &keys(99)).is_none(),
        "it calls by IK, for the gateway's key alone"
    );
    world.inject(conn, Side::Client, vec![0; 49]);
    world.run();
    assert!(world.nodes[0].heard("Broken") && is_paired(&world));
    assert_eq!(Method::Approval.cpace(), None);
}
