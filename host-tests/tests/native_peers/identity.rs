//! Certificates and names of both sides, and links over TLS.

use handfast_core::crypto::noise::HandshakeHash;
use handfast_core::wire::gateway_addresses::GatewayAddresses;
use handfast_core::wire::native::link::{
    CertificateRenewal, FromGateway, FromNode, Identify, Policy, Renew,
};
use handfast_host_tests::native::World;
use handfast_host_tests::native::node::NodeIn;
use handfast_host_tests::native::raw::keys;
use handfast_host_tests::native::wires::Side;

use super::assert_linked;

fn paired_with(csr: Option<Vec<u8>>) -> World {
    let mut world = World::new(1, 7);
    world.nodes[0].csr = csr;
    paired(world)
}

fn paired(mut world: World) -> World {
    (world.identity.issues, world.identity.marks) = (true, true);
    world.identity.name = Some("home");
    world.open_window();
    world.pair_by_pin(0);
    world.run();
    let pin = world.pin_for(0).expect("a PIN is shown");
    world.type_pin(0, &pin);
    world.run();
    world
}

#[test]
fn a_node_gets_its_certificate_ahead_of_its_grant_and_confirms_both() {
    let world = paired_with(Some(vec![0x30; 200]));
    assert_linked(&world);
    let [issued] = world.store.certificates.as_slice() else { panic!("{}", world.story()) };
    assert_eq!((issued.csr.as_deref(), issued.stored), (Some(&[0x30; 200][..]), true));
    assert_eq!(world.nodes[0].certificate.as_deref(), Some(&[1; 3000][..]));
}

#[test]
fn a_node_without_a_certificate_request_gets_the_compact_certificate() {
    // No certificate request has no bytes.
    let world = paired_with(Some(Vec::new()));
    assert_linked(&world);
    assert_eq!(world.nodes[0].certificate.as_deref(), Some(&[1; 200][..]));
    assert!(world.store.certificates[0].csr.is_none() && world.store.certificates[0].stored);
}

#[test]
fn a_node_that_keeps_no_certificate_confirms_its_grant_alone_and_asks_for_another_over_its_link() {
    let mut world = World::new(1, 7);
    world.nodes[0].csr = Some(Vec::new());
    world.nodes[0].refuses_certificates = true;
    let mut world = paired(world);
    assert_linked(&world);
    assert!(world.nodes[0].heard("CertificateNotRenewed"), "{:?}", world.nodes[0].news);
    assert!(world.nodes[0].certificate.is_none());
    assert!(world.store.certificates.iter().all(|issued| !issued.stored), "{}", world.story());
    world.nodes[0].refuses_certificates = false;
    world.feed_node(0, NodeIn::RenewCertificate);
    world.run();
    assert!(world.nodes[0].certificate.is_some());
    assert!(world.store.certificates.last().is_some_and(|issued| issued.stored));
}

#[test]
fn a_node_that_wants_no_certificate_gets_none() {
    let world = paired_with(None);
    assert_linked(&world);
    assert!(world.store.certificates.is_empty() && world.nodes[0].certificate.is_none());
}

#[test]
fn a_gateway_that_issues_none_pairs_the_node_without_a_certificate() {
    let mut world = World::new(1, 7);
    world.nodes[0].csr = Some(vec![0x30; 200]);
    world.pair_by_approval(0);
    world.run();
    assert!(world.approve(0));
    assert!(world.run_until(|world| world.is_linked(0)), "{}", world.story());
    assert_eq!(world.nodes[0].certificate, None);
    world.run();
    world.feed_node(0, NodeIn::RenewCertificate);
    world.run();
    assert!(world.nodes[0].heard("CertificateNotRenewed"));
}

#[test]
fn a_linked_node_renews_its_certificate_and_confirms_it_by_its_number() {
    let mut world = paired_with(Some(vec![0x30; 200]));
    world.feed_node(0, NodeIn::RenewCertificate);
    world.run();
    assert_eq!(world.nodes[0].certificate.as_deref(), Some(&[2; 3000][..]), "{}", world.story());
    assert!(world.store.certificates.iter().all(|certificate| certificate.stored));
    assert!(world.nodes[0].heard("CertificateRenewed"));
    assert_linked(&world);
}

#[test]
fn a_renewal_signed_for_another_channel_or_by_another_key_issues_nothing() {
    let mut world = over_tls(true);
    let conn = world.nodes[0].conn.unwrap();
    let exporter = world.exporters[&conn];
    let renewal = |world: &World, key: Option<u8>, hash: [u8; 32]| {
        let (own, stranger) = (&world.nodes[0].keys.signing, keys(77).signing);
        let key = if key.is_some() { &stranger } else { own };
        let renewal = CertificateRenewal::sign(None, key, &HandshakeHash::from_recorded(hash));
        let mut room = [0; 200];
        FromNode::Renew(Renew::Certificate(renewal)).write(&mut room).unwrap().to_vec()
    };
    for (key, hash, issued) in [(None, [8; 32], 1), (Some(77), exporter, 1), (None, exporter, 2)] {
        let frame = renewal(&world, key, hash);
        world.inject(conn, Side::Gateway, frame);
        world.run();
        assert_eq!(world.store.certificates.len(), issued, "{}", world.story());
    }
}

#[test]
fn a_node_is_told_the_gateways_name_when_it_is_paired_and_on_each_link() {
    let world = paired_with(None);
    let told = world.nodes[0].news.iter().filter(|news| news.contains("home"));
    assert_eq!(told.count(), 2, "{:?}", world.nodes[0].news);
}

/// Links a paired node over TLS.
fn over_tls(certified: bool) -> World {
    turned_to_tls(paired_with(Some(vec![0x30; 200])), certified)
}

fn turned_to_tls(mut world: World, certified: bool) -> World {
    world.nodes[0].tls = Some(certified);
    world.cut(world.nodes[0].conn.unwrap());
    world.run();
    assert!(world.run_until(|world| world.is_linked(0)), "{}", world.story());
    world.run();
    world
}

#[test]
fn a_node_links_over_tls_by_its_certificate_or_its_signature_and_does_all_that_it_does_over_noise()
{
    for certified in [true, false] {
        let mut world = over_tls(certified);
        assert_linked(&world);
        let conn = world.nodes[0].conn.unwrap();
        let id = world.dispatch(0);
        world.feed_node(0, NodeIn::RenewCertificate);
        world.feed_node(
            0,
            NodeIn::App(handfast_core::wire::path::Action::Write, "/lights/1".into(), vec![1]),
        );
        world.run();
        assert_eq!(world.nodes[0].ran, [id]);
        assert_eq!(world.gateways[0].seats[&conn].apps.len(), 1);
        assert_eq!(world.store.certificates.len(), 2, "{}", world.story());
        assert!(world.store.certificates.iter().all(|certificate| certificate.stored));
    }
}

#[test]
fn a_node_whose_grant_has_expired_learns_it_over_tls_and_renews_it() {
    let mut world = paired_with(Some(vec![0x30; 200]));
    world.nodes[0].tls = Some(true);
    world.cut(world.nodes[0].conn.unwrap());
    world.run();
    world.now += 31 * 86_400_000;
    assert!(world.run_until(|world| world.is_linked(0)), "{}", world.story());
    assert!(world.nodes[0].heard("Expired") && world.nodes[0].heard("Renewed"));
}

#[test]
fn what_was_recorded_on_one_tls_connection_proves_nobody_on_another() {
    let mut world = over_tls(false);
    let conn = world.nodes[0].conn.unwrap();
    let (identify, greets) =
        (world.sent_by_client(conn, 0).unwrap(), world.sent_by_client(conn, 1).unwrap());
    world.nodes[0].tls = None;
    let stranger = world.stranger_over_tls();
    world.inject(stranger, Side::Gateway, identify);
    world.inject(stranger, Side::Gateway, greets);
    world.run();
    assert!(world.is_linked(0), "its own link stays: {}", world.story());
    assert_eq!(world.nodes[0].conn, Some(conn));
}

#[test]
fn an_identity_signed_by_another_key_opens_nothing_and_an_unknown_node_is_answered_alike() {
    let mut world = over_tls(false);
    let node_id = world.id_of(0).unwrap();
    let mut answers = Vec::new();
    for claimed in [node_id, handfast_core::NodeId::from_bytes([9; 16])] {
        let stranger = world.stranger_over_tls();
        let forged =
            Identify::sign(claimed, &keys(77).signing, &HandshakeHash::from_recorded([3; 32]));
        let mut room = [0; 200];
        let forged = FromNode::Identify(forged).write(&mut room).unwrap().to_vec();
        world.inject(stranger, Side::Gateway, forged);
        world.run();
        assert!(!world.gateways[0].seats.contains_key(&stranger), "it is closed");
        answers.push(world.heard_over(stranger));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].is_some());
}

#[test]
fn a_node_takes_no_addresses_over_tls_whoever_has_the_authority() {
    for certified in [true, false] {
        let mut world = paired_with(Some(vec![0x30; 200]));
        world.node_off(0);
        world.nodes[0].keeps_addresses = true;
        world.node_on(0);
        assert!(world.run_until(|world| world.is_linked(0)), "{}", world.story());
        world.run();
        let mut world = turned_to_tls(world, certified);
        let list = GatewayAddresses::parse("tcp://10.6.6.6:666").unwrap();
        let claim = FromGateway::Policy(Policy::GatewayAddress(list));
        let claim = claim.write(&mut [0; 200]).unwrap().to_vec();
        let conn = world.nodes[0].conn.unwrap();
        assert!(world.is_linked(0), "{}", world.story());
        world.inject(conn, Side::Client, claim);
        world.run();
        assert_eq!(world.nodes[0].addresses, None, "{}", world.story());
        assert!(world.is_linked(0), "{}", world.story());
        // The gateway does not try.
        world.move_nodes("tcp://10.0.0.2:7331");
        world.pass(handfast_core::Span::from_secs(300));
        assert_eq!(world.nodes[0].addresses, None, "{}", world.story());
        assert_eq!(world.nodes[0].conn, Some(conn));
    }
}

#[test]
fn a_node_takes_no_key_of_the_gateway_over_tls_whoever_has_the_authority() {
    for certified in [true, false] {
        let mut world = over_tls(certified);
        let before = world.nodes[0].memory;
        let news = FromGateway::Policy(Policy::GatewayKey(*keys(66).channel.public()));
        let news = news.write(&mut [0; 200]).unwrap().to_vec();
        let conn = world.nodes[0].conn.unwrap();
        world.inject(conn, Side::Client, news);
        world.run();
        assert_eq!(world.nodes[0].memory, before, "{}", world.story());
        assert!(world.is_linked(0));
        // The gateway does not try.
        world.rotate_gateway_key();
        world.pass(handfast_core::Span::from_secs(300));
        assert_eq!(world.nodes[0].memory, before, "{}", world.story());
        assert_eq!(world.nodes[0].conn, Some(conn));
    }
}
