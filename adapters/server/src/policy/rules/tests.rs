use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519;

use super::*;

fn scopes(text: &str) -> ScopesBuf {
    ScopesBuf::parse(text).unwrap()
}

fn request(name: &str, method: ProofMethod) -> PairingRequest<'_> {
    PairingRequest {
        foreign_page: false,
        name,
        room: "kitchen",
        profile: "{}",
        address: Some([10, 1, 2, 3].into()),
        fingerprint: Fingerprint::of(&x25519::PublicKey::parse(&[9; 32]).unwrap()),
        method,
        code_label: None,
        code_permissions: None,
        code_expires_in: None,
    }
}

async fn decided(settings: PairingSettings, request: PairingRequest<'_>) -> PairingDecision {
    Rules::new(&settings).decide(&request).await
}

fn rejecting(when: When) -> Rule {
    Rule { when, verdict: RuleVerdict::Reject { reason: Some("no".to_owned()) } }
}

#[tokio::test]
async fn without_rules_a_pin_is_enough_and_a_bare_key_waits_for_the_operator() {
    let permissions = PairingSettings::default().default_permissions;
    let expected =
        PairingDecision::Approve { permissions, expires_in: None, mode: Mode::Full, message: None };
    assert_eq!(
        decided(PairingSettings::default(), request("lamp", ProofMethod::Pin)).await,
        expected
    );
    assert_eq!(
        decided(PairingSettings::default(), request("lamp", ProofMethod::Approval)).await,
        PairingDecision::Ask
    );
    let manual = PairingSettings { approve: Approve::Manual, ..PairingSettings::default() };
    for method in [ProofMethod::Pin, ProofMethod::Code, ProofMethod::Approval] {
        assert_eq!(decided(manual.clone(), request("lamp", method)).await, PairingDecision::Ask);
    }
}

#[tokio::test]
async fn a_code_brings_its_own_permissions_even_if_those_are_none() {
    for own in ["read:/public/**\n", ""] {
        let own = scopes(own);
        let shown =
            PairingRequest { code_permissions: Some(&own), ..request("phone", ProofMethod::Code) };
        let PairingDecision::Approve { permissions, .. } =
            decided(PairingSettings::default(), shown).await
        else {
            panic!()
        };
        assert_eq!(permissions, own);
    }
}

#[tokio::test]
async fn the_first_rule_that_fits_decides_whatever_comes_later() {
    let terms = ApprovalTerms {
        permissions: Some(scopes("read:/a\n")),
        message: Some("Welcome!".to_owned()),
        ..ApprovalTerms::default()
    };
    let named = |glob: &str| When { name: Some(Glob::new(glob)), ..When::default() };
    let rules = vec![
        rejecting(named("*unauthorized*")),
        Rule { when: named("phone*"), verdict: RuleVerdict::Approve(terms.clone()) },
        Rule { when: When::default(), verdict: RuleVerdict::Ask(terms.clone()) },
    ];
    let settings = PairingSettings { rules, ..PairingSettings::default() };
    let of = |name: &'static str| decided(settings.clone(), request(name, ProofMethod::Pin));
    assert_eq!(
        of("phone, unauthorized").await,
        PairingDecision::Reject { reason: Some("no".to_owned()) }
    );
    let PairingDecision::Approve { permissions, message, .. } = of("phone 1").await else {
        panic!()
    };
    assert_eq!((Some(permissions), message), (terms.permissions.clone(), terms.message.clone()));
    assert_eq!(of("lamp").await, PairingDecision::Propose(terms.clone()));
}

#[tokio::test]
async fn every_condition_of_a_rule_has_to_hold() {
    let when = When {
        name: Some(Glob::new("lamp*")),
        method: Some(ProofMethod::Pin),
        address: Some("10.0.0.0/8".parse().unwrap()),
    };
    let settings = PairingSettings { rules: vec![rejecting(when)], ..PairingSettings::default() };
    let rejected = async |asked| {
        matches!(decided(settings.clone(), asked).await, PairingDecision::Reject { .. })
    };
    let lamp = request("lamp 1", ProofMethod::Pin);
    assert!(rejected(lamp).await);
    assert!(!rejected(PairingRequest { name: "phone", ..lamp }).await);
    assert!(!rejected(PairingRequest { method: ProofMethod::Code, ..lamp }).await);
    assert!(!rejected(PairingRequest { address: Some([192, 168, 0, 1].into()), ..lamp }).await);
    assert!(
        !rejected(PairingRequest { address: None, ..lamp }).await,
        "a serial line lies in no network"
    );
}

#[tokio::test]
async fn a_rule_with_a_network_approves_no_page_of_a_foreign_origin_and_rejects_one_as_any_other() {
    let network = When { address: Some("10.0.0.0/8".parse().unwrap()), ..When::default() };
    let approving = |when| Rule { when, verdict: RuleVerdict::Approve(ApprovalTerms::default()) };
    let node = request("lamp 1", ProofMethod::Approval);
    let page = PairingRequest { foreign_page: true, ..node };
    for (rule, asked, approved) in [
        (approving(network.clone()), node, true),
        (approving(network.clone()), page, false),
        // Whoever approves by name alone trusts names, wherever they come from.
        (approving(When::default()), page, true),
    ] {
        let settings = PairingSettings { rules: vec![rule], ..PairingSettings::default() };
        let decision = decided(settings, asked).await;
        assert_eq!(matches!(decision, PairingDecision::Approve { .. }), approved, "{asked:?}");
    }
    let settings =
        PairingSettings { rules: vec![rejecting(network)], ..PairingSettings::default() };
    assert!(matches!(decided(settings, page).await, PairingDecision::Reject { .. }));
}

#[test]
fn a_glob_is_the_whole_name_with_gaps() {
    let fits = |glob: &str, name: &str| Glob::new(glob).matches(name);
    for (glob, name) in [
        ("*", ""),
        ("*", "any"),
        ("a?c", "abc"),
        ("*unauthorized*", "an unauthorized one"),
        ("a*b*c", "a1b2b3c"),
        ("K?che*", "Küche 2"),
    ] {
        assert!(fits(glob, name), "{glob} {name}");
    }
    for (glob, name) in [
        ("", "a"),
        ("a", ""),
        ("?", ""),
        ("abc", "abcd"),
        ("a*b", "a1c"),
        ("Phone*", "phone"),
        ("?", "ab"),
        ("*a", "b"),
    ] {
        assert!(!fits(glob, name), "{glob} {name}");
    }
    assert!(
        !fits(&("a*".repeat(32) + "b"), &"a".repeat(64)),
        "and one of many stars takes no long time"
    );
}
