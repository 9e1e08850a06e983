//! Grants: renewed, bounded by the operator, run out.

use handfast_core::Span;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::grants::State;
use handfast_core::wire::path::Action;
use handfast_host_tests::native::World;
use handfast_host_tests::native::node::NodeIn;

use super::{assert_linked, grant_of, paired_by_pin, state_of};

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
fn what_the_operator_decides_anew_bounds_a_link_at_once_and_the_node_takes_it_by_itself() {
    let mut world = paired_by_pin();
    for pattern in ["/lights/*", "/lights/1"] {
        world.feed_node(0, NodeIn::Subscribe(pattern.into()));
    }
    world.run();
    let (conn, held) = (world.nodes[0].conn.unwrap(), world.nodes[0].memory);
    world.permit(0, "read:/lights/1\n");
    // The subscription ends at once, before any message to the node and back.
    assert_eq!(world.gateways[0].seats[&conn].subscribed, ["/lights/1"]);
    world.feed_node(0, NodeIn::App(Action::Write, "/lights/1".into(), vec![1]));
    world.run();
    assert!(world.gateways[0].seats[&conn].apps.is_empty());
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
    assert_eq!(
        world.gateways[0].seats[&conn].apps.last(),
        Some(&("/lights/1".to_owned(), vec![3]))
    );
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
    assert_eq!(world.gateways[0].seats[&conn].apps.len(), 1);
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
    assert_eq!(world.gateways[0].seats[&conn].apps.len(), 1, "{}", world.story());
    world.pass(Span::from_secs(2));
    assert!(!world.gateways[0].seats.contains_key(&conn), "{}", world.story());
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
