//! Links of paired nodes: applications, muting, the end of a link.

use handfast_core::Span;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::wire::path::Action;
use handfast_host_tests::native::gateway::GateIn;
use handfast_host_tests::native::node::NodeIn;

use super::paired_by_pin;

#[test]
fn applications_reach_what_their_scopes_allow_and_hear_where_they_do_not() {
    let mut world = paired_by_pin();
    let conn = world.nodes[0].conn.unwrap();
    world.feed_node(0, NodeIn::App(Action::Write, "/lights/1".into(), vec![1]));
    world.feed_node(0, NodeIn::App(Action::Write, "/audio/1".into(), vec![2]));
    world.feed_node(0, NodeIn::Subscribe("/lights/*".into()));
    world.feed_node(0, NodeIn::Subscribe("/lights/**".into()));
    world.run();
    let seat = &world.gateways[0].seats[&conn];
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
    assert_eq!(world.gateways[0].seats[&conn].subscribed.len(), 16);
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
    assert!(world.gateways[0].seats[&conn].apps.is_empty() && world.nodes[0].apps.is_empty());
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
    assert!(world.nodes[0].heard("Unmuted") && world.gateways[0].seats[&conn].apps.len() == 1);
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
fn the_newer_of_two_links_of_a_node_wins_and_the_older_hears_it() {
    let mut world = paired_by_pin();
    let older = world.nodes[0].conn.take().unwrap();
    let node = &mut world.nodes[0];
    node.machine = None;
    world.node_on(0);
    world.run();
    assert!(
        world.is_linked(0) && !world.gateways[0].seats.contains_key(&older),
        "{}",
        world.story()
    );
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
