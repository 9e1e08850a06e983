//! How a node is paired, and how it is refused.

use handfast_core::Span;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::registry::lifecycle::Decision;
use handfast_host_tests::native::World;

use super::assert_linked;

#[test]
fn after_one_wrong_pin_the_right_one_pairs_the_node_and_it_links() {
    let mut world = World::new(1, 1);
    world.open_window();
    world.pair_by_pin(0);
    world.run();
    assert!(
        world.nodes[0].heard("TypeThePin { expires_in: 300, attempts: 5 }"),
        "{}",
        world.story()
    );
    world.type_wrong_pin(0);
    world.run();
    assert!(world.nodes[0].heard("WrongCode { attempts_left: 4 }"), "{}", world.story());
    assert_eq!(world.store.records.len(), 0);
    let pin = world.pin_for(0).unwrap();
    world.type_pin(0, &pin);
    world.run();
    assert!(world.nodes[0].heard("CodeConfirmed") && world.nodes[0].heard("Granted"));
    assert_linked(&world);
    assert_eq!(world.store.window.guesses, 1, "the wrong one counts, the right one is given back");
    assert!(
        world.store.codes.values().all(|kept| kept.secret.is_none()),
        "what is spent is erased"
    );
    assert!(world.nodes[0].chain.is_some());
}

#[test]
fn five_wrong_pins_lock_the_pin_and_leave_nothing_behind() {
    let mut world = World::new(1, 2);
    world.open_window();
    world.pair_by_pin(0);
    world.run();
    for _ in 0..5 {
        world.type_wrong_pin(0);
        world.run();
    }
    assert!(world.nodes[0].heard("PairingRefused(Locked)"), "{}", world.story());
    assert_eq!(
        (world.nodes[0].memory, world.store.records.len(), world.store.window.guesses),
        (NativeMemory::Blank, 0, 5)
    );
}

#[test]
fn a_code_minted_beforehand_pairs_without_an_open_window() {
    let mut world = World::new(2, 3);
    world.mint_code("K7QF", "847291");
    world.pair_by_code(0, "k7qf", "847-291");
    world.run();
    assert_linked(&world);
    world.pair_by_code(1, "K7QF", "847291");
    world.run();
    assert!(
        world.nodes[1].heard("WrongCode { attempts_left: 4 }"),
        "spent: {:?}",
        world.nodes[1].news
    );
    assert_eq!(world.nodes[1].memory, NativeMemory::Blank);
}

#[test]
fn a_wrong_code_leaves_its_owner_the_time_to_type_another() {
    let mut world = World::new(1, 4);
    world.mint_code("K7QF", "847291");
    world.pair_by_code(0, "K7QF", "847292");
    world.pass(Span::from_secs(30));
    assert!(world.nodes[0].heard("WrongCode { attempts_left: 4 }"), "{}", world.story());
    world.type_pin(0, "847291");
    world.run();
    assert_linked(&world);
}

#[test]
fn an_unknown_selector_fails_like_a_wrong_code() {
    let mut world = World::new(2, 4);
    world.mint_code("K7QF", "847291");
    world.pair_by_code(0, "K7QF", "111111");
    world.pair_by_code(1, "AAAA", "111111");
    world.run();
    let lengths = |world: &World, conn| -> Vec<usize> {
        world
            .overheard
            .iter()
            .filter(|(of, ..)| *of == conn)
            .map(|(.., bytes)| bytes.len())
            .collect()
    };
    assert_eq!(lengths(&world, 1), lengths(&world, 2));
    assert_eq!(world.nodes[0].news[1..], world.nodes[1].news[1..]);
}

#[test]
fn an_approved_node_is_granted_while_it_waits() {
    let mut world = World::new(1, 5);
    world.identity.message = Some("Welcome to the hall");
    world.pair_by_approval(0);
    world.run();
    assert!(
        world.nodes[0].heard("WaitsForApproval") && world.nodes[0].news[0].contains("FirstUse")
    );
    assert!(matches!(world.nodes[0].memory, NativeMemory::Asked { .. }));
    assert!(world.approve(0));
    world.run();
    assert_linked(&world);
    assert!(world.nodes[0].news.iter().any(|news| news.contains("Welcome to the hall")));
}

#[test]
fn a_node_that_was_off_when_it_was_approved_finds_its_grant() {
    let mut world = World::new(1, 6);
    world.pair_by_approval(0);
    world.run();
    world.node_off(0);
    world.run();
    assert!(world.approve(0));
    world.pass(Span::from_secs(60));
    assert_linked(&world);
    assert!(
        world.nodes[0].news.iter().any(|news| news.contains("Pinned")),
        "it trusts whom it asked first"
    );
}

#[test]
fn a_decision_that_overtakes_the_answer_to_the_request_is_not_lost() {
    let mut world = World::new(1, 6);
    world.pair_by_approval(0);
    while world.id_of(0).is_none() {
        assert!(world.happen());
    }
    assert!(world.approve(0), "while the node's answer is on its way");
    world.run();
    assert_linked(&world);
}

#[test]
fn a_rejected_node_hears_it_and_asks_again_later() {
    let mut world = World::new(1, 8);
    world.pair_by_approval(0);
    world.run();
    let node_id = world.id_of(0).unwrap();
    assert!(world.decide(node_id, Decision::Reject));
    world.run();
    assert!(world.nodes[0].heard("PairingRefused(Denied"), "{}", world.story());
    world.pair_by_approval(0);
    world.run();
    assert!(!world.approve(0), "it is too soon");
    world.pass(Span::from_secs(61));
    world.pair_by_approval(0);
    world.run();
    assert!(world.approve(0), "{}", world.story());
    world.run();
    assert_linked(&world);
}

#[test]
fn a_node_that_is_rejected_for_good_hears_it_and_never_comes_in_again() {
    let mut world = World::new(1, 8);
    world.pair_by_approval(0);
    world.run();
    let node_id = world.id_of(0).unwrap();
    assert!(world.decide(node_id, Decision::Bar));
    world.run();
    assert!(world.nodes[0].heard("PairingRefused(Revoked)"), "{}", world.story());
    world.open_window();
    world.pair_by_pin(0);
    world.run();
    assert_eq!(world.pin_for(0), None);
}

#[test]
fn only_the_gateway_whose_fingerprint_was_given_will_do() {
    let mut world = World::new(2, 9);
    let other = Fingerprint::of(world.nodes[1].keys.channel.public());
    let right = Fingerprint::of(world.identity.keys.channel.public());
    world.pair_pinned(0, other);
    world.run();
    assert!(world.nodes[0].heard("OtherGateway") && world.store.records.is_empty());
    world.pair_pinned(0, right);
    world.pass(Span::from_secs(80));
    assert!(world.nodes[0].news.iter().any(|news| news.contains("Pinned")) && world.approve(0));
    world.run();
    assert_linked(&world);
}
