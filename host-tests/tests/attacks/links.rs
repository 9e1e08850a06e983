use handfast_core::Span;
use handfast_core::flow::native::gateway::PingAnswer;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::wire::native::Features;
use handfast_core::wire::native::link::{Admission, FromGateway, FromNode, Hello, Policy};
use handfast_core::wire::native::open::{ClearRefusal, Intent, Open, Versions};
use handfast_core::wire::native::pair::GrantId;
use handfast_core::wire::path::Action;
use handfast_core::wire::registration::Heartbeat;
use handfast_host_tests::native::World;
use handfast_host_tests::native::gateway::GateIn;
use handfast_host_tests::native::raw::{Raw, Says, hello, keys};
use handfast_host_tests::native::stranger::clear;
use handfast_host_tests::native::wires::Side;

use super::{frames, is_paired, linked};

const LINK: u32 = 2;

fn own_keys(world: &World) -> handfast_core::crypto::keys::OwnKeys {
    handfast_core::crypto::keys::OwnKeys::from_stored(&world.nodes[0].keys.to_stored())
}

#[test]
fn a_replayed_link_never_detaches_the_live_one() {
    let mut world = linked();
    let observed = world.gateways[0].seats[&LINK].observed;
    for count in 1..=frames(&world, LINK, Side::Gateway).len() {
        let replay = world.replay(LINK, count);
        world.run();
        assert!(
            world.is_linked(0) && world.gateways[0].live.values().all(|conn| *conn == LINK),
            "{}",
            world.story()
        );
        assert_eq!(world.gateways[0].seats[&LINK].observed, observed);
        world.pass(Span::from_secs(11));
        assert!(!world.gateways[0].seats.contains_key(&replay), "it does not keep its seat");
    }
    assert!(world.is_linked(0));
}

#[test]
fn a_replayed_link_of_an_absent_node_attaches_nothing() {
    let mut world = linked();
    world.node_off(0);
    world.run();
    let replay = world.replay(LINK, 10);
    world.run();
    assert!(world.gateways[0].live.is_empty());
    assert!(world.gateways[0].seats.get(&replay).is_none_or(|seat| seat.observed == 0));
}

#[test]
fn of_two_links_of_a_node_the_newer_wins_once_it_is_proven_and_not_before() {
    let mut world = linked();
    let own = own_keys(&world);
    let (mut raw, admission) = Raw::links(&mut world, &own).unwrap();
    assert_eq!(admission, Admission::Welcome);
    world.pass(Span::from_secs(2));
    assert!(world.is_linked(0), "only a handshake");
    world.wires.get_mut(&raw.conn).unwrap().node = Some(0);
    raw.says(&mut world, &hello());
    assert_eq!(world.gateways[0].live.values().next(), Some(&raw.conn));
    assert!(!world.gateways[0].seats.contains_key(&LINK));
}

#[test]
fn a_forged_refusal_in_clear_makes_a_node_forget_and_change_nothing() {
    let seven = Versions::new(&[7]).unwrap();
    for refusal in [ClearRefusal::Refused, ClearRefusal::Unsupported { versions: seven }] {
        for instead_of in 0..2 {
            let mut world = linked();
            let (before, forged) = (world.nodes[0].memory, clear(&refusal));
            world.cut(LINK);
            world.on_the_way = Some(Box::new(super::but(3, Side::Client, instead_of, move |_| {
                vec![forged.clone()]
            })));
            world.pass(Span::from_secs(3));
            assert!(
                world.nodes[0].memory == before && (instead_of == 1 || !world.is_linked(0)),
                "{}",
                world.story()
            );
            world.pass(Span::from_secs(80));
            assert!(world.is_linked(0) && world.nodes[0].memory == before, "{}", world.story());
            let opened = world
                .overheard
                .iter()
                .filter(|(_, to, bytes)| *to == Side::Gateway && bytes.len() == 2);
            assert!(
                opened.skip(1).all(|(.., bytes)| bytes == Open::new(Intent::Link).as_bytes()),
                "no other version, no other intent"
            );
        }
    }
}

#[test]
fn unpair_counts_only_when_it_is_sealed() {
    let mut world = linked();
    world.inject(LINK, Side::Client, FromGateway::Policy(Policy::Unpair).bytes());
    world.pass(Span::from_secs(80));
    assert!(is_paired(&world) && world.is_linked(0) && world.nodes[0].heard("Broken"));
}

#[test]
fn the_key_of_a_revoked_node_is_refused_like_that_of_a_stranger() {
    let mut world = linked();
    let node_id = world.id_of(0).unwrap();
    let own = own_keys(&world);
    world.node_off(0);
    assert!(world.decide(node_id, Decision::Unpair));
    for keys in [own, keys(99)] {
        let (mut raw, admission) = Raw::links(&mut world, &keys).unwrap();
        assert_eq!(admission, Admission::NotPaired);
        raw.says(&mut world, &hello());
        assert!(
            raw.hears(&mut world).is_none()
                && world.gateways[0].live.is_empty()
                && world.gateways[0].seats.is_empty()
        );
    }
    let (revoked, stranger) = (world.opened() - 1, world.opened());
    let lengths =
        |conn| -> Vec<usize> { frames(&world, conn, Side::Client).iter().map(Vec::len).collect() };
    assert_eq!(lengths(revoked), lengths(stranger));
}

#[test]
fn a_node_that_is_revoked_while_it_attaches_never_gets_in() {
    let mut world = linked();
    let node_id = world.id_of(0).unwrap();
    world.cut(LINK);
    let attaches =
        |world: &World| world.gateways[0].seats.values().any(|seat| seat.state() == "Attaching");
    assert!(world.run_until(attaches));
    assert!(world.decide(node_id, Decision::Unpair));
    world.run();
    assert!(!world.is_linked(0) && world.gateways[0].live.is_empty());
    world.pass(Span::from_secs(200));
    assert!(!world.is_linked(0));
}

#[test]
fn messages_that_break_off_go_on_or_are_unknown_and_a_second_hello_end_a_link() {
    let trailing = [&FromNode::Stored(GrantId::from_bytes([1; 16])).bytes()[..], &[0]].concat();
    // In order: bytes behind a message, a truncated heartbeat, an unknown message, an empty one,
    // and a link's beginning again.
    for said in [trailing, vec![0], vec![99], Vec::new(), hello().bytes()] {
        let mut world = linked();
        let own = own_keys(&world);
        let (mut raw, _) = Raw::links(&mut world, &own).unwrap();
        world.wires.get_mut(&raw.conn).unwrap().node = Some(0);
        raw.says(&mut world, &hello());
        raw.says(&mut world, &said);
        assert!(
            !world.gateways[0].seats.contains_key(&raw.conn) && world.gateways[0].live.is_empty(),
            "{said:?}"
        );
    }
}

#[test]
fn a_flood_of_handshakes_is_refused_in_clear_and_nobody_loses_what_he_has() {
    let mut world = linked();
    world.cut(LINK);
    world.gateways[0].failing = 1;
    world.pass(Span::from_secs(3));
    assert!(world.nodes[0].heard("TurnedAway") && is_paired(&world));
    world.pass(Span::from_secs(80));
    assert!(world.is_linked(0));
}

#[test]
fn a_ping_is_answered_with_its_number_and_sent_to_nobody_who_takes_none() {
    let mut world = linked();
    world.feed_gateway(LINK, GateIn::Ping(7));
    world.run();
    assert_eq!(world.gateways[0].seats[&LINK].ponged, [(7, PingAnswer::Came)]);
    let own = own_keys(&world);
    let (mut raw, _) = Raw::links(&mut world, &own).unwrap();
    world.wires.get_mut(&raw.conn).unwrap().node = Some(0);
    let features = Features::from_bits(!Features::PING.bits());
    raw.says(&mut world, &FromNode::Hello(Hello { features, mark: None, holds: None }));
    let before = frames(&world, raw.conn, Side::Client).len();
    world.feed_gateway(raw.conn, GateIn::Ping(8));
    world.run();
    assert_eq!(world.gateways[0].seats[&raw.conn].ponged, [(8, PingAnswer::NotTaken)]);
    assert_eq!(frames(&world, raw.conn, Side::Client).len(), before, "nothing was sent");
}

#[test]
fn a_message_of_the_application_is_not_sent_to_a_node_that_takes_none() {
    for (features, more) in [(Features::NONE, 0), (Features::APP, 1)] {
        let mut world = linked();
        let own = own_keys(&world);
        let (mut raw, _) = Raw::links(&mut world, &own).unwrap();
        world.wires.get_mut(&raw.conn).unwrap().node = Some(0);
        raw.says(&mut world, &FromNode::Hello(Hello { features, mark: None, holds: None }));
        let before = frames(&world, raw.conn, Side::Client).len();
        let app = GateIn::Deliver(Action::Write, "/lights/1".to_owned(), vec![1]);
        world.feed_gateway(raw.conn, app);
        world.run();
        assert_eq!(frames(&world, raw.conn, Side::Client).len(), before + more, "{features:?}");
    }
}

#[test]
fn a_first_message_of_a_link_other_than_hello_proves_nothing_and_ends_it() {
    let first = [
        FromNode::Stored(GrantId::from_bytes([1; 16])),
        FromNode::Heartbeat(Heartbeat::default()),
        FromNode::Pong { number: 1 },
    ];
    for first in first {
        let mut world = linked();
        let own = own_keys(&world);
        let (mut raw, _) = Raw::links(&mut world, &own).unwrap();
        world.wires.get_mut(&raw.conn).unwrap().node = Some(0);
        raw.says(&mut world, &first);
        assert!(!world.gateways[0].seats.contains_key(&raw.conn), "{first:?}");
        assert!(world.is_linked(0), "the older link stays");
    }
}
