//! A provisioned node that is given another network, and nothing else.

use handfast_core::Span;
use handfast_core::flow::provisioning::contract::{Answer, Input};
use handfast_core::flow::provisioning::outcome::Outcome;
use handfast_core::flow::provisioning::status::{PublicState, Registration};

use super::{provisioned, waiting};

#[test]
fn a_provisioned_node_moves_to_another_network_and_keeps_its_pairing_and_k2() {
    let mut sim = waiting();
    assert_eq!(sim.change_network("IoT_Network", "right"), Answer::NotProvisioned);
    assert_eq!(sim.send_k2("jarvis-1a2b3c4d"), Answer::K2Stored);
    assert_eq!(sim.provision("HomeNetwork", "right"), Answer::Accepted);
    sim.settle();
    let (before, asked) = (sim.disk.clone(), sim.center.asked);
    assert_eq!(sim.change_network("IoT_Network", "right"), Answer::Accepted);
    assert!(!sim.operates, "it leaves its network for the time of the attempt");
    sim.settle();
    assert_eq!((sim.state(), sim.operates), ("Operating", true));
    assert_eq!(sim.radio.kept.as_deref(), Some("IoT_Network"));
    assert_eq!(sim.center.asked, asked, "no command center is asked");
    let (request, key) = sim.disk.in_force.clone().expect("provisioned");
    let (old, old_key) = before.in_force.expect("provisioned");
    assert_eq!((&*request.ssid, &request.node_id, key), ("IoT_Network", &old.node_id, old_key));
    assert!(before.k2.is_some() && sim.disk.k2 == before.k2);
    assert_eq!(sim.disk.network, None);
}

#[test]
fn the_old_network_stays_until_the_new_one_has_worked() {
    for (ssid, passphrase, captive, expected) in [
        ("IoT_Network", "wrong", false, Outcome::WrongPassword { certain: false }),
        ("Nowhere", "x", false, Outcome::NetworkNotFound),
        ("CoffeeShop_Free", "", true, Outcome::CaptiveNetwork),
    ] {
        let mut sim = provisioned();
        let before = sim.disk.in_force.clone();
        sim.radio.captive = captive;
        assert_eq!(sim.change_network(ssid, passphrase), Answer::Accepted);
        sim.settle();
        assert_eq!(sim.read(), (PublicState::Error, Some(expected)));
        assert!(sim.radio.access_point && sim.radio.profile.is_none());
        assert_eq!((&sim.disk.in_force, &sim.disk.network), (&before, &None));
        assert_eq!(sim.radio.kept.as_deref(), Some("HomeNetwork"));
        assert_eq!(sim.node().status().registration, Registration::Registered);
        sim.pass(Span::from_secs(1300));
        assert_eq!((sim.state(), sim.operates, sim.radio.joined), ("Operating", true, true));
    }
}

#[test]
fn a_power_cut_while_the_network_changes_leaves_the_old_or_the_new_one_with_the_same_pairing() {
    let change = |cut| {
        let mut sim = provisioned();
        sim.cut_at = cut;
        let _ = sim.change_network("IoT_Network", "right");
        sim.settle();
        sim
    };
    let (from, to) = (provisioned().effects, change(None).effects);
    for cut in from..to {
        let mut sim = change(Some(cut));
        sim.pass(Span::from_secs(1300));
        let (request, key) = sim.disk.in_force.clone().expect("still provisioned");
        assert!(matches!(&*request.ssid, "HomeNetwork" | "IoT_Network"), "cut at {cut}");
        assert_eq!(key, "key_of_prov_1", "cut at {cut}");
        assert_eq!((sim.state(), sim.disk.network.take()), ("Operating", None), "cut at {cut}");
    }
}

#[test]
fn the_network_is_changed_only_in_the_setup_window_and_not_beside_another_request() {
    let mut sim = provisioned();
    assert_eq!(sim.change_network("IoT_Network", "right"), Answer::Accepted);
    assert_eq!(sim.change_network("Nowhere", "x"), Answer::Busy);
    assert_eq!(sim.provision("HomeNetwork", "right"), Answer::Busy);
    sim.settle();
    sim.pass(Span::from_secs(601));
    assert_eq!(sim.change_network("HomeNetwork", "right"), Answer::WindowClosed);
    sim.feed(Input::Button);
    assert_eq!(sim.change_network("HomeNetwork", "right"), Answer::Accepted);
}
