use handfast_core::crypto::keys::OwnKeys;
use handfast_core::grant::capability::{BlockTerms, Chain, Holder};
use handfast_core::grant::scope::Scopes;
use handfast_core::limits::CAPABILITY_BYTES;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::native::link::{Admission, App, Bye, FromGateway, FromNode, Renew};
use handfast_core::wire::native::open::Intent;
use handfast_core::wire::native::pair::ChainBytes as Carried;
use handfast_core::wire::native::part::{Object, Part};
use handfast_core::wire::native::{Bounded, Payload};
use handfast_core::wire::path::{Action, Address, Pattern};
use handfast_core::{Span, UnixTime};
use handfast_host_tests::native::World;
use handfast_host_tests::native::gateway::GateIn;
use handfast_host_tests::native::raw::{Raw, keys};

use super::linked;

/// Returns the paired node's delegation to these keys, for `secs` seconds.
fn delegated(world: &World, to: &OwnKeys, secs: u64) -> Vec<u8> {
    let chain = Chain::from_bytes(world.nodes[0].chain.as_deref().unwrap()).unwrap();
    let (not_before, expires) =
        (chain.leaf().terms().not_before, UnixTime::from_secs(world.unix().as_secs() + secs));
    let scopes = Scopes::parse(["read:/lights/*", "write:/lights/1"]).unwrap();
    let mut room = [0; CAPABILITY_BYTES];
    let terms = BlockTerms { scopes, not_before, expires, audience: None };
    chain
        .attenuate(&world.nodes[0].keys.signing, &Holder::of(to), &terms, &mut room)
        .unwrap()
        .as_bytes()
        .to_vec()
}

fn presents(world: &mut World, raw: &mut Raw, chain: &[u8]) -> Option<Admission> {
    match Bounded::new(chain) {
        Some(here) => raw.says(world, &FromNode::Present { chain: Carried::Here(here) }),
        None => {
            for part in Part::cut(Object::Chain, chain).unwrap() {
                raw.says(world, &FromNode::Part(part));
            }
            raw.says(world, &FromNode::Present { chain: Carried::InParts });
        }
    }
    match FromGateway::parse(&raw.hears(world)?) {
        Ok(FromGateway::Admission(admission)) => Some(admission),
        other => panic!("{other:?}"),
    }
}

fn write<'b>(address: &'b str, bytes: &'b [u8]) -> FromNode<'b> {
    FromNode::App(App {
        action: Action::Write,
        address: Address::parse(address).unwrap(),
        bytes: Payload::new(bytes).unwrap(),
    })
}

fn delegate(world: &mut World, secs: u64) -> Raw {
    let chain = delegated(world, &keys(99), secs);
    let mut raw = Raw::introduces_itself(world, Intent::Delegate, &keys(99)).unwrap();
    assert_eq!(presents(world, &mut raw, &chain), Some(Admission::Welcome), "{}", world.story());
    raw
}

#[test]
fn a_delegate_may_what_its_chain_allows_and_not_what_its_delegator_may_beyond() {
    let mut world = linked();
    assert!(delegated(&world, &keys(99), 600).len() > 448 - 100);
    let mut raw = delegate(&mut world, 600);
    raw.says(&mut world, &write("/lights/1", &[1]));
    raw.says(&mut world, &write("/lights/2", &[2]));
    assert!(matches!(
        FromGateway::parse(&raw.hears(&mut world).unwrap()),
        Ok(FromGateway::NotAllowed { .. })
    ));
    for (pattern, allowed) in [("/lights/**", false), ("/lights/*", true), ("/**", false)] {
        raw.says(&mut world, &FromNode::Subscribe { pattern: Pattern::parse(pattern).unwrap() });
        assert_eq!(raw.hears(&mut world).is_none(), allowed, "{pattern}");
    }
    raw.says(&mut world, &FromNode::Renew(Renew::Chain));
    assert!(matches!(
        FromGateway::parse(&raw.hears(&mut world).unwrap()),
        Ok(FromGateway::NotRenewed)
    ));
    let seat = &world.gateways[0].seats[&raw.conn];
    assert_eq!((seat.apps.len(), seat.subscribed.as_slice()), (1, &["/lights/*".to_owned()][..]));
    assert!(world.is_linked(0), "its delegator's link is another");
}

#[test]
fn an_expired_token_ends_a_live_connection_and_allows_nothing_until_then() {
    let mut world = linked();
    let mut raw = delegate(&mut world, 15);
    world.pass(Span::from_secs(13));
    raw.says(&mut world, &write("/lights/1", &[1]));
    assert_eq!(world.gateways[0].seats[&raw.conn].apps.len(), 1, "until then it may");
    world.pass(Span::from_secs(3));
    assert!(matches!(
        FromGateway::parse(&raw.hears(&mut world).unwrap()),
        Ok(FromGateway::Bye(Bye::Done))
    ));
    assert!(!world.gateways[0].seats.contains_key(&raw.conn), "before its next ping is due");
}

#[test]
fn a_revoked_token_ends_a_live_connection_at_once() {
    let mut world = linked();
    let mut raw = delegate(&mut world, 600);
    world.feed_gateway(raw.conn, GateIn::Push(Notice::Unpaired));
    world.run();
    assert!(matches!(
        FromGateway::parse(&raw.hears(&mut world).unwrap()),
        Ok(FromGateway::Admission(Admission::NotPaired))
    ));
    assert!(matches!(
        FromGateway::parse(&raw.hears(&mut world).unwrap()),
        Ok(FromGateway::Bye(Bye::Done))
    ));
    assert!(!world.gateways[0].seats.contains_key(&raw.conn));
}

#[test]
fn a_stolen_a_changed_an_expired_and_no_chain_open_nothing() {
    let mut world = linked();
    let right = delegated(&world, &keys(99), 600);
    let late = delegated(&world, &keys(99), 1);
    world.pass(Span::from_secs(2));
    let mut changed = right.clone();
    changed[200] ^= 4;
    let stolen = world.nodes[0].chain.clone().unwrap();
    for chain in [stolen, changed, late, right[..right.len() - 1].to_vec(), vec![1]] {
        let mut raw = Raw::introduces_itself(&mut world, Intent::Delegate, &keys(99)).unwrap();
        assert_eq!(presents(&mut world, &mut raw, &chain), Some(Admission::NotPaired));
        assert!(!world.gateways[0].seats.contains_key(&raw.conn));
    }
    let mut raw = Raw::introduces_itself(&mut world, Intent::Delegate, &keys(99)).unwrap();
    raw.says(&mut world, &FromNode::Present { chain: Carried::InParts });
    assert!(!world.gateways[0].seats.contains_key(&raw.conn), "without the parts");
    let mut raw = Raw::introduces_itself(&mut world, Intent::Delegate, &keys(99)).unwrap();
    raw.says(&mut world, &write("/lights/1", &[1]));
    assert!(!world.gateways[0].seats.contains_key(&raw.conn), "and nothing goes before it");
}

#[test]
fn a_nodes_link_ends_with_its_grant_whatever_chain_it_presents_beside() {
    let mut world = World::new(1, 41);
    world.store.grant_for = Some(Span::from_secs(600));
    world.open_window();
    super::pair_by_pin(&mut world);
    let mut longer = super::World::new(1, 41);
    longer.open_window();
    super::pair_by_pin(&mut longer);
    assert!(world.is_linked(0) && longer.is_linked(0));
    let chain = longer.nodes[0].chain.clone().unwrap();
    // The gateway knows the longer grant, too.
    let grant = longer.store.grants[0].clone();
    world.store.grants.insert(
        0,
        handfast_core::registry::grants::Grant { node_id: world.id_of(0).unwrap(), ..grant },
    );
    let own = OwnKeys::from_stored(&world.nodes[0].keys.to_stored());
    world.node_off(0);
    world.nodes[0].on_at = None;
    let (mut raw, _) = Raw::links(&mut world, &own).unwrap();
    world.wires.get_mut(&raw.conn).unwrap().node = Some(0);
    let beat = FromNode::Heartbeat(handfast_core::wire::registration::Heartbeat::default());
    raw.says(&mut world, &handfast_host_tests::native::raw::hello());
    raw.says(
        &mut world,
        &FromNode::Present { chain: Carried::Here(Bounded::new(&chain).unwrap()) },
    );
    for _ in 0..39 {
        world.pass(Span::from_secs(15));
        raw.says(&mut world, &beat);
    }
    assert_eq!(world.gateways[0].seats[&raw.conn].state(), "Linked");
    world.pass(Span::from_secs(25));
    assert!(!world.gateways[0].seats.contains_key(&raw.conn), "{}", world.story());
}
