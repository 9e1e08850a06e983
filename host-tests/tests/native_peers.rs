//! A node and a gateway of the native wire, both real, with no attacker in between.

use handfast_core::Span;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::grants::State;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::wire::path::Action;
use handfast_host_tests::native::World;
use handfast_host_tests::native::gateway::GateIn;
use handfast_host_tests::native::node::NodeIn;

fn paired_by_pin() -> World {
    let mut world = World::new(1, 7);
    world.open_window();
    world.pair_by_pin(0);
    world.run();
    let pin = world.pin_for(0).expect("a PIN is shown");
    world.type_pin(0, &pin);
    world.run();
    world
}

fn grant_of(world: &World, node: usize) -> handfast_core::registry::grants::GrantId {
    match world.nodes[node].memory {
        NativeMemory::Paired(paired) => paired.grant,
        other => panic!("{}{other:?}", world.story()),
    }
}

fn state_of(world: &World, grant: handfast_core::registry::grants::GrantId) -> State {
    world.store.grants.iter().find(|kept| kept.id == grant).expect("the registry has it").state
}

fn assert_linked(world: &World) {
    world.expect(world.is_linked(0), || format!("not linked but {}", world.nodes[0].state()));
    assert_eq!(state_of(world, grant_of(world, 0)), State::Active);
}

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
    world.gateway.message = Some("Welcome to the hall");
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
    let right = Fingerprint::of(world.gateway.keys.channel.public());
    world.pair_pinned(0, other);
    world.run();
    assert!(world.nodes[0].heard("OtherGateway") && world.store.records.is_empty());
    world.pair_pinned(0, right);
    world.pass(Span::from_secs(80));
    assert!(world.nodes[0].news.iter().any(|news| news.contains("Pinned")) && world.approve(0));
    world.run();
    assert_linked(&world);
}

#[test]
fn applications_reach_what_their_scopes_allow_and_hear_where_they_do_not() {
    let mut world = paired_by_pin();
    let conn = world.nodes[0].conn.unwrap();
    world.feed_node(0, NodeIn::App(Action::Write, "/lights/1".into(), vec![1]));
    world.feed_node(0, NodeIn::App(Action::Write, "/audio/1".into(), vec![2]));
    world.feed_node(0, NodeIn::Subscribe("/lights/*".into()));
    world.feed_node(0, NodeIn::Subscribe("/lights/**".into()));
    world.run();
    let seat = &world.gateway.seats[&conn];
    assert_eq!(
        (seat.apps.clone(), seat.subscribed.clone()),
        (vec![("/lights/1".into(), vec![1])], vec!["/lights/*".to_owned()])
    );
    let refused = world.nodes[0].news.iter().filter(|news| news.starts_with("NotAllowed"));
    assert_eq!(refused.count(), 2, "{:?}", world.nodes[0].news);
    world.feed_gateway(conn, GateIn::Deliver(Action::Write, "/lights/1".into(), vec![3]));
    world.run();
    assert_eq!(world.nodes[0].apps, [("/lights/1".to_owned(), vec![3])]);
}

#[test]
fn no_more_patterns_are_subscribed_to_than_there_may_be() {
    let mut world = paired_by_pin();
    let conn = world.nodes[0].conn.unwrap();
    for at in 0..20 {
        world.feed_node(0, NodeIn::Subscribe(format!("/lights/{at}")));
    }
    world.run();
    assert_eq!(world.gateway.seats[&conn].subscribed.len(), 16);
}

#[test]
fn a_muted_node_stays_linked_and_silent_until_it_is_unmuted() {
    let mut world = paired_by_pin();
    let (conn, node_id) = (world.nodes[0].conn.unwrap(), world.id_of(0).unwrap());
    assert!(world.decide(node_id, Decision::Mute));
    world.feed_node(0, NodeIn::App(Action::Write, "/lights/1".into(), vec![1]));
    world.feed_gateway(conn, GateIn::Deliver(Action::Write, "/lights/1".into(), vec![3]));
    world.run();
    assert!(world.nodes[0].heard("Muted") && world.is_linked(0));
    assert!(world.gateway.seats[&conn].apps.is_empty() && world.nodes[0].apps.is_empty());
    world.cut(conn);
    world.pass(Span::from_secs(10));
    assert!(
        world.is_linked(0)
            && world.nodes[0].news.iter().filter(|news| *news == "Muted").count() == 2
    );
    assert!(world.decide(node_id, Decision::Unmute));
    world.feed_node(0, NodeIn::App(Action::Write, "/lights/1".into(), vec![1]));
    world.run();
    let conn = world.nodes[0].conn.unwrap();
    assert!(world.nodes[0].heard("Unmuted") && world.gateway.seats[&conn].apps.len() == 1);
}

#[test]
fn an_unpaired_node_forgets_and_its_key_stays_out() {
    let mut world = paired_by_pin();
    let node_id = world.id_of(0).unwrap();
    assert!(world.decide(node_id, Decision::Unpair));
    world.run();
    assert!(
        world.nodes[0].heard("Unpaired")
            && world.nodes[0].memory == NativeMemory::Blank
            && world.nodes[0].chain.is_none()
    );
    world.pair_by_approval(0);
    world.run();
    assert!(world.nodes[0].heard("PairingRefused(Revoked)"));
}

#[test]
fn a_node_that_is_off_when_it_is_unpaired_never_links_again() {
    let mut world = paired_by_pin();
    let node_id = world.id_of(0).unwrap();
    world.node_off(0);
    assert!(world.decide(node_id, Decision::Unpair));
    world.pass(Span::from_secs(300));
    assert!(
        world.nodes[0].heard("PairAgain")
            && matches!(world.nodes[0].memory, NativeMemory::Paired(_))
    );
}

#[test]
fn a_renewed_grant_replaces_the_older_one_only_when_it_is_stored() {
    let mut world = paired_by_pin();
    let (old, chain) = (grant_of(&world, 0), world.nodes[0].chain.clone());
    world.pass(Span::from_secs(60));
    world.feed_node(0, NodeIn::Renew(true));
    world.run();
    let new = grant_of(&world, 0);
    assert_ne!(new, old);
    assert_eq!((state_of(&world, old), state_of(&world, new)), (State::Ended, State::Active));
    assert!(world.nodes[0].heard("Renewed") && world.nodes[0].chain != chain);
    world.feed_node(0, NodeIn::Renew(false));
    world.run();
    assert_eq!(world.nodes[0].bearers.len(), 1);
    assert_linked(&world);
}

#[test]
fn a_long_chain_goes_ahead_in_parts_when_pairing_and_when_renewing() {
    let mut world = World::new(1, 12);
    let long = |n: usize| format!("read:/{}/{n}/**\n", "a".repeat(90));
    world.store.scopes = ScopesBuf::parse(&(0..9).map(long).collect::<String>()).unwrap();
    world.open_window();
    world.pair_by_pin(0);
    world.run();
    let pin = world.pin_for(0).unwrap();
    world.type_pin(0, &pin);
    world.run();
    assert_linked(&world);
    let first = world.nodes[0].chain.clone().expect("a chain");
    assert!(first.len() > 1000, "{}", first.len());
    world.pass(Span::from_secs(60));
    world.feed_node(0, NodeIn::Renew(true));
    world.run();
    assert_linked(&world);
    assert!(
        world.nodes[0]
            .chain
            .as_ref()
            .is_some_and(|chain| chain.len() == first.len() && *chain != first)
    );
}

#[test]
fn a_node_without_scopes_has_a_grant_without_a_chain() {
    let mut world = World::new(1, 13);
    (world.store.scopes, world.store.grant_for) = (ScopesBuf::default(), None);
    world.pair_by_approval(0);
    world.run();
    assert!(world.approve(0));
    world.run();
    assert_linked(&world);
    assert_eq!(world.nodes[0].chain, None);
}

#[test]
fn the_newer_of_two_links_of_a_node_wins_and_the_older_hears_it() {
    let mut world = paired_by_pin();
    let older = world.nodes[0].conn.take().unwrap();
    let node = &mut world.nodes[0];
    node.machine = None;
    world.node_on(0);
    world.run();
    assert!(world.is_linked(0) && !world.gateway.seats.contains_key(&older), "{}", world.story());
}

#[test]
fn a_link_that_is_quiet_for_hours_stays_and_one_whose_peer_is_gone_ends() {
    let mut world = paired_by_pin();
    let conn = world.nodes[0].conn;
    world.pass(Span::from_secs(4 * 3600));
    assert!(world.is_linked(0) && world.nodes[0].conn == conn);
    world.on_the_way = Some(Box::new(move |passing| {
        if Some(passing.conn) == conn { Vec::new() } else { vec![passing.bytes.to_vec()] }
    }));
    world.pass(Span::from_secs(180));
    assert!(world.is_linked(0) && world.nodes[0].conn != conn, "{}", world.story());
}

#[test]
fn a_gateway_that_stops_in_order_is_met_again_soon_however_often_that_was() {
    let mut world = paired_by_pin();
    for _ in 0..12 {
        world.pass(Span::from_secs(100));
        assert!(world.is_linked(0), "{}", world.story());
        let conn = world.nodes[0].conn.unwrap();
        world.feed_gateway(conn, GateIn::Shutdown);
        world.pass(Span::from_secs(2));
        assert!(world.is_linked(0), "{}", world.story());
    }
}

#[test]
fn what_the_operator_decides_anew_bounds_a_link_at_once_and_the_node_takes_it_by_itself() {
    let mut world = paired_by_pin();
    for pattern in ["/lights/*", "/lights/1"] {
        world.feed_node(0, NodeIn::Subscribe(pattern.into()));
    }
    world.run();
    let (conn, held) = (world.nodes[0].conn.unwrap(), world.nodes[0].memory);
    world.permit(0, "read:/lights/1\n");
    // The subscription ends at once, before any message to the node and back.
    assert_eq!(world.gateway.seats[&conn].subscribed, ["/lights/1"]);
    world.feed_node(0, NodeIn::App(Action::Write, "/lights/1".into(), vec![1]));
    world.run();
    assert!(world.gateway.seats[&conn].apps.is_empty());
    let told = world.nodes[0].news.iter().filter(|news| news.starts_with("NotAllowed"));
    assert_eq!(
        told.count(),
        2,
        "of its subscription, and of what it sent: {:?}",
        world.nodes[0].news
    );
    assert!(world.is_linked(0) && world.nodes[0].heard("Renewed") && world.nodes[0].memory != held);

    // The wider grant is in force only once it is confirmed.
    world.permit(0, "write:/lights/1\n");
    world.feed_node(0, NodeIn::App(Action::Write, "/lights/1".into(), vec![2]));
    world.run();
    world.feed_node(0, NodeIn::App(Action::Write, "/lights/1".into(), vec![3]));
    world.run();
    assert_eq!(world.gateway.seats[&conn].apps.last(), Some(&("/lights/1".to_owned(), vec![3])));
}

#[test]
fn a_node_whose_grant_ran_out_has_it_made_anew_by_itself() {
    let mut world = paired_by_pin();
    let node_id = world.id_of(0).unwrap();
    let unix = world.unix();
    for grant in world.store.grants.iter_mut().filter(|grant| grant.node_id == node_id) {
        grant.expires = Some(unix);
    }
    world.cut(world.nodes[0].conn.unwrap());
    world.pass(Span::from_secs(60));
    assert!(
        world.is_linked(0) && world.nodes[0].heard("Expired") && world.nodes[0].heard("Renewed"),
        "{}",
        world.story()
    );
    let conn = world.nodes[0].conn.unwrap();
    world.feed_node(0, NodeIn::App(Action::Write, "/lights/1".into(), vec![1]));
    world.run();
    assert_eq!(world.gateway.seats[&conn].apps.len(), 1);
}

#[test]
fn a_link_ends_within_the_second_in_which_its_grant_does_and_what_the_node_does_is_judged_by_that_second()
 {
    let mut world = World::new(1, 7);
    // Between two pings.
    world.store.grant_for = Some(Span::from_secs(611));
    world.open_window();
    world.pair_by_pin(0);
    world.run();
    let pin = world.pin_for(0).unwrap();
    world.type_pin(0, &pin);
    world.run();
    assert_linked(&world);
    let held = grant_of(&world, 0);
    let ends = world.store.grants.iter().find(|grant| grant.id == held).unwrap().expires.unwrap();
    let conn = world.nodes[0].conn.unwrap();
    world.pass(Span::from_secs(ends.as_secs() - world.unix().as_secs() - 1));
    world.feed_node(0, NodeIn::App(Action::Write, "/lights/1".into(), vec![1]));
    world.run();
    assert_eq!(world.gateway.seats[&conn].apps.len(), 1, "{}", world.story());
    world.pass(Span::from_secs(2));
    assert!(!world.gateway.seats.contains_key(&conn), "{}", world.story());
    world.pass(Span::from_secs(60));
    assert!(
        world.nodes[0].heard("Expired") && world.nodes[0].heard("Renewed"),
        "{}",
        world.story()
    );
    assert_linked(&world);
}

#[test]
fn where_grants_are_not_renewed_once_they_ran_out_the_node_says_that_it_must_be_paired_again() {
    let mut world = World::new(1, 14);
    world.limits.renew_after_expiry = Span::from_secs(0);
    world.store.grant_for = Some(Span::from_secs(600));
    world.open_window();
    world.pair_by_pin(0);
    world.run();
    let pin = world.pin_for(0).unwrap();
    world.type_pin(0, &pin);
    world.pass(Span::from_secs(500));
    assert!(world.is_linked(0));
    world.pass(Span::from_secs(200));
    assert!(!world.is_linked(0) && world.nodes[0].heard("PairAgain"));
    world.pair_by_pin(0);
    world.run();
    let pin = world.pin_for(0).unwrap();
    world.type_pin(0, &pin);
    world.run();
    assert_linked(&world);
}
