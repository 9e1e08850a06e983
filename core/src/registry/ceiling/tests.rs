//! Tests of ceilings, and of renewals under them.

use super::*;
use crate::id::NodeId;
use crate::registry::grants::GrantId;
use crate::registry::renewal::{Fresh, Renewal, is_owed, renewal};

const NOW: UnixTime = UnixTime::from_secs(1_000_000);
const YEAR: Span = Span::from_secs(365 * 24 * 3600);

fn at(seconds: u64) -> UnixTime {
    NOW.after(Span::from_secs(seconds))
}

fn scopes(text: &str) -> ScopesBuf {
    ScopesBuf::parse(text).unwrap()
}

fn grant(id: u8, text: &str, state: State) -> Grant {
    Grant {
        id: GrantId::from_bytes([id; 16]),
        node_id: NodeId::from_bytes([1; 16]),
        capability: None,
        scopes: scopes(text),
        not_before: NOW,
        expires: Some(at(90 * 24 * 3600)),
        state,
        maker: Maker::Operator,
        moved: 0,
    }
}

fn ceiling(text: &str) -> Ceiling {
    Ceiling { scopes: scopes(text), expires: None, named: true, maker: Maker::Operator }
}

fn may(grants: &[Grant], ceiling: &Ceiling, now: UnixTime, address: &str) -> bool {
    match entitled(grants, Some(ceiling), YEAR, now) {
        Entitled::InForce(in_force, _) => {
            in_force.allows(Action::Write, &Address::parse(address).unwrap())
        }
        Entitled::Renewal | Entitled::Nothing => false,
    }
}

#[test]
fn a_narrower_ceiling_bites_at_once_and_long_after_its_offer_has_lapsed() {
    let offered = State::Offered { until: at(24 * 3600) };
    let grants = [grant(1, "write:/**\n", State::Active), grant(2, "write:/only/**\n", offered)];
    let narrow = ceiling("write:/only/**\n");
    for now in [NOW, at(25 * 3600), at(80 * 24 * 3600)] {
        assert!(may(&grants, &narrow, now, "/only/a"), "{now:?}");
        assert!(!may(&grants, &narrow, now, "/lights/a"), "{now:?}");
        assert!(is_owed(&grants, Some(&narrow), None, now));
    }
    let Renewal::Again(again) = renewal(&grants, Some(&narrow), YEAR, NOW) else {
        panic!("the offer waits")
    };
    assert_eq!(again.id, grants[1].id);
    let Renewal::Fresh(Fresh { scopes, .. }) = renewal(&grants, Some(&narrow), YEAR, at(25 * 3600))
    else {
        panic!("a new one")
    };
    assert_eq!(scopes.as_str(), "write:/only/**\n");
}

#[test]
fn a_wider_ceiling_adds_nothing_until_a_grant_made_from_it_is_confirmed() {
    let wide = ceiling("write:/**\n");
    let offered = State::Offered { until: at(24 * 3600) };
    let mut grants =
        [grant(1, "write:/only/**\n", State::Active), grant(2, "write:/**\n", offered)];
    assert!(!may(&grants, &wide, NOW, "/lights/a"));
    assert!(is_owed(&grants, Some(&wide), Some(grants[0].id), NOW));
    // It has stored the newer one, and comes to say so.
    assert!(!is_owed(&grants, Some(&wide), Some(grants[1].id), NOW));
    grants[0].state = State::Ended;
    grants[1].state = State::Active;
    assert!(may(&grants, &wide, NOW, "/lights/a"));
    assert!(!is_owed(&grants, Some(&wide), None, NOW));
}

#[test]
fn whoever_holds_what_has_ended_is_owed_the_offer_that_took_its_place() {
    let wide = ceiling("write:/**\n");
    let offered = State::Offered { until: at(24 * 3600) };
    let grants = [grant(1, "write:/**\n", State::Ended), grant(2, "write:/**\n", offered)];
    assert!(is_owed(&grants, Some(&wide), Some(grants[0].id), NOW));
    assert!(!is_owed(&grants, Some(&wide), Some(grants[1].id), NOW));
    assert!(!is_owed(&grants, Some(&wide), None, NOW), "it says nothing of what it holds");
}

#[test]
fn only_what_takes_away_and_gives_nothing_is_in_force_before_it_is_stored() {
    let wide = ceiling("read:/**\nwrite:/a/**\n");
    let narrow = ceiling("read:/only\n");
    let other = ceiling("read:/other\n");
    let until = |seconds| Ceiling { expires: Some(at(seconds)), ..wide.clone() };
    let first = |after: &Ceiling,
                 stored: Option<&Ceiling>,
                 held: Option<&Ceiling>,
                 current: Option<&Grant>| {
        let order = effects(after, stored, held, current);
        assert!(
            order.contains(&Effect::Save)
                && order.contains(&Effect::Bound)
                && order[2] == Effect::Push,
            "{order:?}"
        );
        order[0]
    };
    let granted = grant(1, "read:/**\n", State::Active);
    for (after, stored, expected) in [
        (&narrow, Some(&wide), Effect::Bound),
        (&ceiling(""), Some(&narrow), Effect::Bound),
        (&until(9), Some(&wide), Effect::Bound),
        (&until(9), Some(&until(10)), Effect::Bound),
        // The same again takes nothing away; more, longer, and something else beside give.
        (&wide, Some(&wide), Effect::Save),
        (&wide, Some(&narrow), Effect::Save),
        (&until(10), Some(&until(9)), Effect::Save),
        (&wide, Some(&until(9)), Effect::Save),
        (&narrow, Some(&Ceiling { expires: Some(at(9)), ..wide.clone() }), Effect::Save),
        (&other, Some(&narrow), Effect::Save),
        // Where nobody has decided anything yet, the grant is what there is to lose.
        (&narrow, None, Effect::Bound),
        (&ceiling("write:/a/**\n"), None, Effect::Save),
    ] {
        assert_eq!(first(after, stored, None, Some(&granted)), expected, "{after:?} {stored:?}");
    }
    assert_eq!(first(&narrow, None, None, None), Effect::Save, "there is nothing to take away");
    // Once more, less, and what was taken away by a decision that is not stored yet.
    assert_eq!(first(&narrow, Some(&wide), Some(&narrow), None), Effect::Bound);
    assert_eq!(first(&ceiling(""), Some(&wide), Some(&narrow), None), Effect::Bound);
    assert_eq!(first(&other, Some(&wide), Some(&narrow), None), Effect::Save);
}

#[test]
fn what_two_sets_allow_is_exactly_what_both_allow() {
    let (first, second) = (scopes("write:/a/*\nread:/b/**\n"), scopes("write:/*/x\nread:/b/c\n"));
    let in_force = InForce { scopes: &first, bounds: core::slice::from_ref(&second) };
    let address = |text| Address::parse(text).unwrap();
    assert!(in_force.allows(Action::Write, &address("/a/x")));
    assert!(
        !in_force.allows(Action::Write, &address("/a/y"))
            && !in_force.allows(Action::Write, &address("/b/x"))
    );
    assert!(in_force.allows_subscription(&Pattern::parse("/a/x").unwrap()));
    assert!(in_force.allows_subscription(&Pattern::parse("/b/c").unwrap()));
    assert!(!in_force.allows_subscription(&Pattern::parse("/a/*").unwrap()));
    assert!(in_force.exactly().is_none());
    // Less than all of it, and nothing that is not.
    assert_eq!(in_force.at_most().as_str(), "read:/b/c\n");
    let narrow = scopes("read:/b/c\n");
    let nested = InForce { scopes: &first, bounds: core::slice::from_ref(&narrow) };
    assert_eq!(nested.exactly(), Some(&narrow));
}

#[test]
fn a_grant_that_ran_out_is_renewed_within_its_time_and_what_was_revoked_never() {
    let wide = ceiling("write:/**\n");
    let late = at(91 * 24 * 3600);
    let active = [grant(1, "write:/**\n", State::Active)];
    assert!(matches!(entitled(&active, Some(&wide), YEAR, late), Entitled::Renewal));
    assert!(matches!(renewal(&active, Some(&wide), YEAR, late), Renewal::Fresh(_)));
    assert!(matches!(entitled(&active, Some(&wide), Span::from_secs(0), late), Entitled::Nothing));
    assert!(matches!(entitled(&active, Some(&wide), YEAR, at(456 * 24 * 3600)), Entitled::Nothing));
    let ended = [grant(1, "write:/**\n", State::Ended)];
    assert!(matches!(entitled(&ended, Some(&wide), YEAR, late), Entitled::Nothing));
    let over = Ceiling { expires: Some(at(5)), ..wide };
    assert!(matches!(entitled(&active, Some(&over), YEAR, at(5)), Entitled::Nothing));
    assert!(matches!(renewal(&active, Some(&over), YEAR, at(5)), Renewal::Nothing));
}

#[test]
fn the_end_that_the_operator_named_bounds_the_grant_and_every_renewal() {
    let until = at(3600);
    let short = Ceiling { expires: Some(until), ..ceiling("write:/**\n") };
    let held = [grant(1, "write:/**\n", State::Active)];
    let Entitled::InForce(_, ends) = entitled(&held, Some(&short), YEAR, NOW) else {
        panic!("in force")
    };
    assert_eq!(ends, Some(until));
    let Renewal::Fresh(Fresh { ends_by, .. }) = renewal(&held, Some(&short), YEAR, NOW) else {
        panic!("a grant from it")
    };
    assert_eq!(ends_by, Some(until));
    let confirmed = [Grant { expires: Some(until), ..held[0].clone() }];
    assert!(matches!(renewal(&confirmed, Some(&short), YEAR, at(2400)), Renewal::Nothing));
}

#[test]
fn pairing_anew_changes_only_what_nobody_decided_about_the_node_itself() {
    let brings = Ceiling {
        scopes: scopes("write:/**\n"),
        expires: Some(at(9)),
        named: false,
        maker: Maker::Operator,
    };
    let named = ceiling("read:/only\n");
    assert_eq!(paired_anew(Some(&named), brings.clone(), NOW), named);
    let over = Ceiling { expires: Some(NOW), ..named.clone() };
    assert_eq!(
        paired_anew(Some(&over), brings.clone(), NOW),
        Ceiling { expires: Some(at(9)), ..named.clone() }
    );
    assert_eq!(paired_anew(Some(&Ceiling { named: false, ..named }), brings.clone(), NOW), brings);
    assert_eq!(paired_anew(None, brings.clone(), NOW), brings);
}
