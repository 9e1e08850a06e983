//! Radios that are blocked, or start no access point.

use handfast_core::Span;
use handfast_core::flow::provisioning::contract::{
    AccessPoint, AccessPointPolicy, Answer, Input, NoAccessPoint, ProvisioningSettings,
};
use handfast_core::flow::provisioning::outcome::Outcome;
use handfast_core::flow::provisioning::status::PublicState;
use handfast_core::wire::provisioning::Country;
use handfast_host_tests::provisioning::Sim;

use super::{failure, waiting};

#[test]
fn an_access_point_that_does_not_start_is_tried_again_and_says_why() {
    let mut sim = Sim::default();
    sim.radio.refusals = vec![NoAccessPoint::Refused, NoAccessPoint::Blocked];
    sim.pass(Span::from_secs(1));
    assert_eq!(sim.read(), (PublicState::ApMode, Some(Outcome::CountryMissing)));
    sim.pass(Span::from_secs(10));
    assert_eq!(sim.read(), (PublicState::ApMode, Some(Outcome::RadioBusy)));
    sim.pass(Span::from_secs(10));
    assert_eq!((sim.read(), sim.radio.access_point), ((PublicState::ApMode, None), true));
}

#[test]
fn an_open_access_point_takes_the_place_of_a_protected_one_that_fails_twice_and_says_so() {
    let mut sim = Sim::default();
    sim.radio.starts_none = (true, false);
    sim.pass(Span::from_secs(1));
    assert_eq!(sim.read(), (PublicState::ApMode, Some(Outcome::RadioBusy)));
    sim.pass(Span::from_secs(10));
    assert!(!sim.radio.access_point && !sim.node().status().open_instead);
    sim.pass(Span::from_secs(10));
    assert_eq!(sim.radio.protection, Some(AccessPoint::Open));
    assert!(sim.radio.access_point && sim.node().status().open_instead);
    // It comes back as it was, at once.
    assert_eq!(failure(&mut sim, "Nowhere", "x"), Outcome::NetworkNotFound);
    assert!(sim.node().status().open_instead);
    sim.person_completes();
    assert!(!sim.node().status().open_instead, "there is none any more");
    // A start may find another driver.
    sim.radio.starts_none = (false, false);
    sim.cut_power();
    sim.feed(Input::Button);
    sim.settle();
    sim.feed(Input::Button);
    sim.pass(Span::from_secs(1));
    assert_eq!(sim.radio.protection, Some(AccessPoint::Protected));
}

#[test]
fn a_radio_that_is_busy_blocked_or_failed_by_chance_gets_no_open_access_point() {
    let mut sim = Sim::default();
    sim.radio.refusals = [NoAccessPoint::Refused, NoAccessPoint::Blocked].repeat(4);
    sim.radio.refusals.push(NoAccessPoint::NotStarted);
    sim.pass(Span::from_secs(120));
    assert_eq!(
        (sim.radio.access_point, sim.radio.protection),
        (true, Some(AccessPoint::Protected))
    );
    // Where an open one does not start, either, a protected one is tried again.
    let mut sim = Sim::default();
    sim.radio.starts_none = (true, true);
    sim.pass(Span::from_secs(25));
    sim.radio.starts_none = (false, true);
    sim.pass(Span::from_secs(10));
    assert_eq!(sim.radio.protection, Some(AccessPoint::Protected));
}

#[test]
fn an_owner_who_wants_no_open_access_point_gets_none_and_the_plain_mode_has_no_other() {
    for (access_points, expected) in
        [(AccessPointPolicy::Protected, None), (AccessPointPolicy::Open, Some(AccessPoint::Open))]
    {
        let settings = ProvisioningSettings { access_points, ..ProvisioningSettings::default() };
        let mut sim = Sim::new(settings);
        sim.radio.starts_none = (true, false);
        sim.pass(Span::from_secs(300));
        assert_eq!(sim.radio.protection, expected);
        assert!(!sim.node().status().open_instead);
    }
}

#[test]
fn a_blocked_radio_wants_its_country_which_holds_from_then_on_and_at_every_start() {
    let mut sim = Sim::default();
    sim.radio.blocks = true;
    sim.cut_power();
    sim.pass(Span::from_secs(1));
    assert_eq!(sim.read(), (PublicState::ApMode, Some(Outcome::CountryMissing)));
    // Without a country the request is in vain, and says so.
    assert_eq!(sim.provision("HomeNetwork", "right"), Answer::Accepted);
    sim.pass(Span::from_secs(5));
    assert_eq!(sim.read(), (PublicState::Error, Some(Outcome::CountryMissing)));
    // The country holds although the password is wrong: the access point comes back now.
    assert_eq!(sim.provision_in("de", "HomeNetwork", "wrong"), Answer::Accepted);
    sim.settle();
    assert_eq!(sim.read().1, Some(Outcome::WrongPassword { certain: true }));
    assert!(sim.radio.access_point);
    assert_eq!(sim.provision("HomeNetwork", "right"), Answer::Accepted);
    sim.settle();
    assert_eq!(sim.state(), "Operating");
    sim.cut_power();
    sim.settle();
    assert_eq!((sim.state(), sim.radio.country), ("Operating", Country::parse("DE")));
    // A factory reset forgets it.
    assert_eq!(sim.ask(Input::FactoryReset), Answer::Erased);
    assert_eq!(sim.disk.country, None);
    sim.cut_power();
    sim.pass(Span::from_secs(1));
    assert_eq!(sim.read().1, Some(Outcome::CountryMissing));
}

#[test]
fn a_radio_that_stays_blocked_with_its_country_wants_no_other_one() {
    let mut sim = waiting();
    assert_eq!(sim.provision_in("DE", "HomeNetwork", "wrong"), Answer::Accepted);
    sim.settle();
    sim.radio.blocked = true;
    assert_eq!(sim.provision("HomeNetwork", "right"), Answer::Accepted);
    sim.pass(Span::from_secs(5));
    assert_eq!(sim.read(), (PublicState::Error, Some(Outcome::RadioBusy)));
}
