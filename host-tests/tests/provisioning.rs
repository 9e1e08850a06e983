//! A node that is provisioned from a phone, in the simulator: what the phone reads, what fails and
//! how, and power cuts at every effect.

mod network;
mod radio;

use handfast_core::flow::provisioning::contract::{Answer, Input, ProvisioningSettings};
use handfast_core::flow::provisioning::outcome::Outcome;
use handfast_core::flow::provisioning::radio::{DeviceState, RadioReport, Reason};
use handfast_core::flow::provisioning::status::PublicState;
use handfast_core::{Entropy, Span, crypto::keys::OwnKeys};
use handfast_host_tests::prng::Prng;
use handfast_host_tests::provisioning::{
    Sim, any_body, any_exchanges, any_inputs, body, k2_body, network_body,
};

fn waiting() -> Sim {
    let mut sim = Sim::default();
    sim.settle();
    assert!(sim.radio.access_point);
    sim
}

fn provisioned() -> Sim {
    let mut sim = waiting();
    assert_eq!(sim.provision("HomeNetwork", "right"), Answer::Accepted);
    sim.settle();
    assert!(sim.operates && sim.radio.joined && sim.state() == "Operating");
    assert_eq!(sim.radio.kept.as_deref(), Some("HomeNetwork"));
    sim
}

/// Runs into a failure, and returns its outcome after checking that all is as it was before.
fn failure(sim: &mut Sim, ssid: &str, passphrase: &str) -> Outcome {
    assert_eq!(sim.provision(ssid, passphrase), Answer::Accepted);
    sim.settle();
    let (state, outcome) = sim.read();
    assert_eq!(state, PublicState::Error);
    assert!(sim.radio.access_point, "the access point is back");
    assert_eq!((&sim.radio.profile, &sim.disk.request), (&None, &None), "nothing is left");
    outcome.expect("a typed outcome")
}

#[test]
fn a_phone_reads_every_step_with_its_percentage_and_message() {
    use PublicState::{ApMode, Connecting, Provisioned, Registering};
    let told = provisioned().told;
    let told: Vec<_> =
        told.iter().map(|(state, at, words)| (*state, *at, words.as_str())).collect();
    assert_eq!(
        told,
        [
            (ApMode, 0, "Waiting for mobile app connection..."),
            (Connecting, 10, "Saving configuration..."),
            (Connecting, 20, "Saving credentials for HomeNetwork..."),
            (Connecting, 35, "Connecting to HomeNetwork..."),
            (Connecting, 50, "Connected to HomeNetwork"),
            (Registering, 70, "Registering with command center..."),
            (Registering, 90, "Finalizing..."),
            (Provisioned, 100, "Provisioning complete! You can now start the main Jarvis service."),
        ]
    );
}

#[test]
fn a_wrong_password_is_tried_twice_then_told_and_the_second_request_succeeds() {
    for (ssid, certain) in [("HomeNetwork", true), ("IoT_Network", false)] {
        let mut sim = waiting();
        assert_eq!(failure(&mut sim, ssid, "wrong"), Outcome::WrongPassword { certain });
        assert_eq!(sim.radio.joins, 2);
        assert_eq!(
            sim.told.last().map(|(state, at, _)| (*state, *at)),
            Some((PublicState::Error, 35))
        );
        assert_eq!(sim.provision(ssid, "right"), Answer::Accepted);
        sim.settle();
        assert_eq!((sim.state(), sim.operates), ("Operating", true));
    }
}

#[test]
fn every_failure_has_its_typed_outcome_and_the_access_point_comes_back() {
    let mut sim = waiting();
    assert_eq!(failure(&mut sim, "Nowhere", "x"), Outcome::NetworkNotFound);
    sim.radio.captive = true;
    assert_eq!(failure(&mut sim, "CoffeeShop_Free", ""), Outcome::CaptiveNetwork);
    sim.radio.captive = false;
    sim.center.hangs = true;
    assert_eq!(failure(&mut sim, "HomeNetwork", "right"), Outcome::GatewayUnreachable);
    sim.center.hangs = false;
    sim.center.failures = vec![401];
    assert_eq!(failure(&mut sim, "HomeNetwork", "right"), Outcome::GatewayRefused);
    assert_eq!(
        sim.error(),
        "Command center rejected registration (HTTP 401): Invalid or expired provisioning token"
    );
    sim.disk.full = true;
    assert_eq!(sim.provision("HomeNetwork", "right"), Answer::NotStored);
    sim.settle();
    assert_eq!(sim.read(), (PublicState::Error, Some(Outcome::CannotStore)));
    sim.disk.full = false;
    sim.person_completes();
}

#[test]
fn a_command_center_that_does_not_answer_is_asked_five_times_and_one_that_recovers_is_enough() {
    for status in [0, 500, 503] {
        let mut sim = waiting();
        sim.center.failures = vec![status; 5];
        assert_eq!(failure(&mut sim, "HomeNetwork", "right"), Outcome::GatewayUnreachable);
        assert_eq!(sim.center.asked, 5);
        sim.center.failures = vec![status; 4];
        assert_eq!(sim.provision("HomeNetwork", "right"), Answer::Accepted);
        sim.settle();
        assert_eq!((sim.state(), sim.center.asked), ("Operating", 10));
    }
}

#[test]
fn a_gateway_with_another_key_than_the_expected_one_is_refused() {
    let key = |byte| *OwnKeys::generate(&Entropy::from_recorded([byte; 64])).channel.public();
    let settings =
        ProvisioningSettings { gateway_key: Some(key(1)), ..ProvisioningSettings::default() };
    let named = |byte| {
        let text: String = handfast_core::crypto::base64url::encode_32(key(byte).as_bytes())
            .into_iter()
            .map(char::from)
            .collect();
        format!(r#","gateway_key":"{text}","gateway_address":"ws://10.0.0.2:8765""#)
    };
    let mut sim = Sim::new(settings);
    sim.settle();
    for more in [String::new(), named(2)] {
        sim.center.more = more;
        assert_eq!(failure(&mut sim, "HomeNetwork", "right"), Outcome::GatewayKeyMismatch);
    }
    sim.center.more = named(1);
    sim.person_completes();
}

#[test]
fn after_a_power_cut_at_any_effect_the_node_is_provisioned_in_the_end_and_keeps_k1() {
    let whole = provisioned().effects;
    for cut in 0..whole {
        let mut sim = Sim::default();
        sim.cut_at = Some(cut);
        sim.settle();
        let _ = sim.provision("HomeNetwork", "right");
        sim.person_completes();
        assert_eq!(sim.disk.k1, 42, "cut at {cut}");
    }
}

#[test]
fn a_power_cut_while_a_provisioned_node_gets_new_settings_leaves_the_old_or_the_new_in_force() {
    let first = provisioned().disk.in_force.clone();
    let again = |cut| {
        let mut sim = provisioned();
        sim.cut_at = cut;
        let _ = sim.provision("IoT_Network", "right");
        sim.settle();
        sim
    };
    let (from, to) = (provisioned().effects, again(None).effects);
    for cut in from..to {
        let mut sim = again(Some(cut));
        // Where the command center has agreed and the answer was lost, its token is spent: the node
        // tells the failure first, and returns to its network after that.
        sim.pass(Span::from_secs(1300));
        let now = sim.disk.in_force.clone().expect("still provisioned");
        let (request, answer) = &now;
        assert!(
            Some(&now) == first.as_ref()
                || (request.ssid == "IoT_Network" && answer == "key_of_prov_2")
        );
        assert_eq!((sim.state(), sim.operates), ("Operating", true), "cut at {cut}");
    }
    let (request, answer) = again(None).disk.in_force.expect("provisioned");
    assert_eq!(
        (&*request.ssid, &*answer),
        ("IoT_Network", "key_of_prov_2"),
        "the key is the new one"
    );
}

#[test]
fn failed_new_settings_leave_a_provisioned_node_with_its_old_ones_and_it_returns_to_them() {
    let mut sim = provisioned();
    let before = sim.disk.in_force.clone();
    assert_eq!(
        failure(&mut sim, "IoT_Network", "wrong"),
        Outcome::WrongPassword { certain: false }
    );
    assert_eq!((&sim.disk.in_force, sim.operates), (&before, false));
    sim.pass(Span::from_secs(700));
    assert_eq!((sim.state(), sim.operates, sim.radio.joined), ("Operating", true, true));
}

#[test]
fn a_second_request_while_one_is_under_way_is_busy() {
    let mut sim = waiting();
    assert_eq!(sim.provision("HomeNetwork", "right"), Answer::Accepted);
    let mut asked = 0;
    while !matches!(sim.state(), "Provisioned" | "Operating") {
        assert_eq!(sim.provision("Nowhere", "x"), Answer::Busy, "{}", sim.state());
        assert_eq!(sim.send_k2("jarvis-1a2b3c4d"), Answer::Busy);
        asked += 1;
        assert!(sim.advance(handfast_core::Instant::from_millis(60_000)));
    }
    assert!(
        asked > 8 && sim.disk.in_force.is_some_and(|(request, _)| request.ssid == "HomeNetwork")
    );
}

#[test]
fn a_factory_reset_stops_a_run_without_an_error_and_leaves_nothing_but_k1() {
    for steps in 0..14 {
        let mut sim = waiting();
        let _ = sim.send_k2("jarvis-1a2b3c4d");
        let _ = sim.provision("HomeNetwork", "right");
        for _ in 0..steps {
            let _ = sim.advance(handfast_core::Instant::from_millis(60_000));
        }
        let answer = sim.ask(Input::FactoryReset);
        if answer == Answer::Busy {
            // The storage is at work; the adapter asks again once it has answered.
            continue;
        }
        assert_eq!(answer, Answer::Erased, "{}", sim.state());
        sim.settle();
        assert_eq!(sim.read(), (PublicState::ApMode, None));
        assert!(!sim.told.iter().any(|(state, ..)| *state == PublicState::Error));
        assert_eq!((sim.disk.k1, sim.disk.k2.take(), sim.disk.in_force.take()), (42, None, None));
        assert!(sim.radio.access_point && !sim.operates);
        assert_eq!((sim.radio.profile.take(), sim.radio.kept.take()), (None, None));
        sim.person_completes();
    }
}

#[test]
fn k2_is_kept_for_the_node_id_that_it_was_sent_for_and_for_no_other() {
    for (node_id, kept) in [("jarvis-1a2b3c4d", true), ("jarvis-ffffffff", false)] {
        let mut sim = waiting();
        assert_eq!(sim.send_k2(node_id), Answer::K2Stored);
        sim.person_completes();
        assert_eq!(sim.disk.k2.is_some(), kept, "{node_id}");
    }
}

#[test]
fn a_provisioned_node_takes_k2_only_after_its_button() {
    let mut sim = provisioned();
    assert_eq!(sim.send_k2("jarvis-1a2b3c4d"), Answer::AlreadyProvisioned);
    sim.feed(Input::Button);
    sim.settle();
    assert_eq!(sim.send_k2("jarvis-1a2b3c4d"), Answer::K2Stored);
    assert!(sim.radio.access_point);
}

#[test]
fn the_setup_window_closes_after_ten_minutes_and_a_button_or_a_power_cycle_opens_it() {
    let mut sim = waiting();
    sim.pass(Span::from_secs(601));
    let refused = |sim: &mut Sim| {
        assert_eq!(sim.provision("HomeNetwork", "right"), Answer::WindowClosed);
        assert_eq!(sim.send_k2("jarvis-1a2b3c4d"), Answer::WindowClosed);
        assert_eq!(sim.ask(Input::FactoryReset), Answer::WindowClosed);
    };
    refused(&mut sim);
    sim.feed(Input::Button);
    assert_eq!(sim.send_k2("jarvis-1a2b3c4d"), Answer::K2Stored);
    sim.pass(Span::from_secs(601));
    refused(&mut sim);
    sim.cut_power();
    sim.settle();
    assert_eq!(sim.provision("HomeNetwork", "right"), Answer::Accepted);
}

#[test]
fn a_provisioned_node_without_its_network_joins_for_two_minutes_then_waits_for_ten() {
    let mut sim = provisioned();
    sim.radio.out_of_reach = true;
    sim.radio.joined = false;
    let lost = DeviceState::Disconnected;
    sim.feed(Input::Radio(RadioReport::Changed { state: lost, reason: Reason::Other(0) }));
    for _ in 0..3 {
        assert_eq!(sim.state(), "Rejoining");
        sim.pass(Span::from_secs(119));
        assert_eq!((sim.state(), sim.radio.access_point), ("Rejoining", false));
        sim.pass(Span::from_secs(2));
        assert_eq!((sim.state(), sim.radio.access_point), ("ApMode", true));
        sim.pass(Span::from_secs(598));
        assert_eq!(sim.state(), "ApMode");
        sim.pass(Span::from_secs(1));
    }
    sim.radio.out_of_reach = false;
    sim.pass(Span::from_secs(30));
    assert_eq!((sim.state(), sim.operates), ("Operating", true));
}

#[test]
fn a_failure_stays_until_a_phone_has_read_it() {
    let mut sim = waiting();
    assert_eq!(sim.provision("Nowhere", "x"), Answer::Accepted);
    sim.settle();
    sim.pass(Span::from_secs(300));
    assert_eq!(sim.read(), (PublicState::Error, Some(Outcome::NetworkNotFound)));
    sim.pass(Span::from_secs(29));
    assert_eq!(sim.read().0, PublicState::Error);
    sim.pass(Span::from_secs(2));
    assert_eq!(sim.read(), (PublicState::ApMode, None));
}

/// Seeds that make progress in each target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "provisioning_body" => vec![
            body("HomeNetwork", "correct horse", "prov_1").into_bytes(),
            k2_body("n").into_bytes(),
            br#"{"node_id":"n","node_key":"a.b","gateway_key":null,"gateway_address":null}"#
                .to_vec(),
            br#"{"detail":"Node already registered"}"#.to_vec(),
            network_body("IoT_Network", "correct horse").into_bytes(),
            br#"{"wifi_ssid":"a","wifi_password":"","wifi_country":"de"}"#.to_vec(),
        ],
        // The owner proves and calls; then others guess, and the messages come again and changed.
        "sealed_exchanges" => vec![
            [&[0, 0][..], &[2, 0].repeat(4), &[4, 0, 2, 0, 4, 3, 2, 0]].concat(),
            [&[0, 1][..], &[2, 1].repeat(4), &[0, 0], &[2, 0].repeat(4), &[4, 6, 5, 0]].concat(),
            [&[0, 0, 0, 2][..], &[2, 0, 2, 2].repeat(4), &[9, 30, 4, 3, 2, 0, 6, 5, 6, 4]].concat(),
            vec![7, 1, 7, 0, 0, 0, 2, 0, 8, 0, 9, 250, 0, 0, 2, 0],
        ],
        _ => vec![
            vec![2, 0, 0, 0, 14, 9],
            vec![0, 4, 14, 20, 5, 0, 0, 0, 14, 20],
            vec![0, 0, 7, 5, 14, 20, 4, 0, 3, 0],
            vec![0, 1, 14, 20, 10, 1, 12, 0, 14, 250, 6, 0],
            vec![0, 0, 14, 20, 2, 0, 15, 0, 7, 4, 14, 20, 15, 4, 6, 0],
        ],
    }
}

#[test]
fn every_seed_of_the_provisioning_fuzz_targets_corpus_holds() {
    type Property = fn(&[u8]);
    let targets: [(&str, Property); 3] = [
        ("provisioning_body", any_body),
        ("provisioning_script", any_inputs),
        ("sealed_exchanges", any_exchanges),
    ];
    for (target, property) in targets {
        crate::setup_codes::corpus(target, &seeds(target), property);
    }
}

#[test]
fn a_node_is_provisioned_in_the_end_whatever_happens_before() {
    let mut prng = Prng::new(71);
    for _ in 0..3_000 {
        let length = prng.below(120);
        let bytes: Vec<u8> = (0..length).map(|_| prng.draw().to_le_bytes()[0]).collect();
        any_inputs(&bytes);
    }
}

#[test]
fn a_node_carries_out_only_what_the_phone_with_the_proof_has_called_whoever_is_between_them() {
    let mut prng = Prng::new(73);
    for _ in 0..60 {
        let length = prng.below(200);
        let bytes: Vec<u8> = (0..length).map(|_| prng.draw().to_le_bytes()[0]).collect();
        any_exchanges(&bytes);
    }
}

#[test]
fn bodies_near_a_right_one_are_read_or_refused_without_harm() {
    let mut prng = Prng::new(72);
    for _ in 0..20_000 {
        let mut bytes = prng_seed(&mut prng);
        for _ in 0..=prng.below(3) {
            let at = prng.below(bytes.len() as u64) as usize;
            match prng.below(3) {
                0 => bytes[at] = prng.draw().to_le_bytes()[0] & 0x7f,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, prng.pick(b"\"\\{}[]:,=_-9n")),
            }
        }
        any_body(&bytes);
    }
}

fn prng_seed(prng: &mut Prng) -> Vec<u8> {
    let seeds = seeds("provisioning_body");
    seeds[prng.below(seeds.len() as u64) as usize].clone()
}
