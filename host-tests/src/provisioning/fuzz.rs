//! The properties of the fuzz targets of provisioning.

use handfast_core::Span;
use handfast_core::flow::provisioning::contract::{Input, NoAccessPoint};
use handfast_core::flow::provisioning::radio::{DeviceState, RadioReport, Reason, Security, Seen};
use handfast_core::wire::invite::Invite;
use handfast_core::wire::provisioning::{
    BodyDefect, K2Request, NetworkRequest, ProvisionRequest, RegisterAnswer, Target, refusal_detail,
};

use super::Sim;

/// Checks the readers of bodies: whatever comes, they agree with serde_json whether it is an object
/// and which fields are there; what they take keeps its bounds; and what they show holds no secret.
///
/// # Panics
/// If one of these does not hold.
pub fn any_body(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (mut a, mut b, mut c) = (vec![0; text.len()], vec![0; text.len()], vec![0; text.len()]);
    match ProvisionRequest::read(text, &mut a) {
        Ok(request) => {
            assert!(matches!(request.ssid.as_str().len(), 1..=32));
            assert!(request.passphrase.expose().len() <= 64);
            assert!(!request.node_id.contains([':', ' ']) && !request.node_id.is_empty());
            let Target::CommandCenter { url, household_id, .. } = request.target else {
                panic!("the dialect knows no invitation")
            };
            let shown = format!("{request:?}");
            let secret = request.passphrase.expose();
            let elsewhere = [
                request.ssid.as_str(),
                request.room.as_str(),
                url,
                household_id,
                request.node_id,
                request.config_service.unwrap_or_default(),
                "ProvisionRequest { ssid: passphrase: SecretText(redacted), Some(None) String Label",
                "target CommandCenter { url household_id token } node_id config_service room",
            ];
            let chance = secret.len() < 8 || elsewhere.iter().any(|other| other.contains(secret));
            assert!(chance || !shown.contains(secret), "{shown}");
        }
        Err(BodyDefect::Fields(fields)) => assert!(fields.iter().next().is_some()),
        Err(BodyDefect::NotAnObject | BodyDefect::NotJson) => {}
    }
    let mut e = vec![0; text.len()];
    if let Ok(request) = ProvisionRequest::read_sealed(text, &mut e)
        && let Target::Gateway(invitation) = request.target
    {
        assert!(Invite::parse(invitation.expose()).is_ok());
    }
    let mut f = vec![0; text.len()];
    if let Ok(request) = NetworkRequest::read(text, &mut f) {
        assert!(matches!(request.ssid.as_str().len(), 1..=32));
        assert!(request.passphrase.expose().len() <= 64);
    }
    if let Ok(request) = K2Request::read(text, &mut b) {
        assert!(!request.node_id.is_empty() && !request.kid.is_empty());
    }
    if let Ok(answer) = RegisterAnswer::read(text, &mut c) {
        assert!(answer.node_key.expose().bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let mut d = vec![0; text.len()];
    assert!(refusal_detail(text, &mut d).is_none_or(|label| !label.as_str().trim().is_empty()));
}

/// Plays arbitrary events around a node: requests, cuts, radios that fail. It never operates
/// without being provisioned, never joins beside its access point, never loses K1; and a patient
/// person always completes it.
///
/// # Panics
/// If one of these does not hold.
pub fn any_inputs(data: &[u8]) {
    let mut sim = Sim::default();
    for pair in data.chunks(2).take(200) {
        let (what, how) = (pair[0], pair.get(1).copied().unwrap_or(0));
        match what % 17 {
            0 | 1 => {
                let ssid = ["HomeNetwork", "IoT_Network", "Nowhere", "CoffeeShop_Free"];
                let passphrase = if how & 4 == 0 { "right" } else { "wrong" };
                let _ = sim.provision(ssid[usize::from(how) % 4], passphrase);
            }
            2 => drop(sim.send_k2(if how & 1 == 0 { "jarvis-1a2b3c4d" } else { "other" })),
            3 => drop(sim.ask(Input::FactoryReset)),
            4 => sim.feed(Input::Button),
            5 => drop(sim.read()),
            6 => sim.cut_power(),
            7 => sim.cut_at = Some(sim.effects + usize::from(how % 8)),
            8 => sim.center.failures = vec![[0, 500, 401, 404][usize::from(how) % 4]; 6],
            9 => sim.radio.captive = how & 1 == 1,
            10 => sim.radio.out_of_reach = how & 1 == 1,
            11 if how & 1 == 0 => sim.radio.refusals.push(NoAccessPoint::Refused),
            11 => sim.radio.starts_none = (how & 2 != 0, how & 4 != 0),
            12 => sim.feed(Input::Radio(match how % 4 {
                0 => RadioReport::Refused,
                1 => RadioReport::Blocked,
                2 => RadioReport::Scanned(Some(Seen { security: Security::Wpa3, signal: -60 })),
                // Only the simulated radio itself says that a network is joined.
                _ => RadioReport::Changed {
                    state: DeviceState::from_number(u32::from(how % 100)),
                    reason: Reason::from_number(u32::from(how) / 4),
                },
            })),
            13 => sim.disk.full = how & 1 == 1,
            15 => {
                let ssid = ["IoT_Network", "HomeNetwork", "Nowhere", "Neighbor_5G"];
                let passphrase = if how & 4 == 0 { "right" } else { "wrong" };
                let before = sim.disk.clone();
                let _ = sim.change_network(ssid[usize::from(how) % 4], passphrase);
                // Only the network changes, at once or later.
                let kept = |disk: &super::Disk| {
                    let of = disk.in_force.clone();
                    (of.map(|(request, key)| (request.node_id, key)), disk.k2.clone())
                };
                assert_eq!(kept(&sim.disk), kept(&before), "the pairing or K2 is gone");
            }
            14 => sim.pass(Span::from_secs(u64::from(how) * 5)),
            _ => drop(sim.advance(handfast_core::Instant::from_millis(u64::MAX))),
        }
        assert_eq!(sim.disk.k1, 42, "K1 is gone");
    }
    sim.disk.full = false;
    (sim.radio.captive, sim.radio.out_of_reach) = (false, false);
    sim.radio.starts_none.1 = false;
    sim.center.failures.clear();
    sim.person_completes();
}
