//! The operator's upper bound of a node's rights, and the rights in force because of it.
//!
//! A decision is two things, written in one step: an offer, which the node may confirm or ignore,
//! and the **ceiling**, which holds from that moment on, whatever the node does. In force is what
//! the confirmed grant and the ceiling both allow. Narrowing takes effect at once and for good;
//! widening adds nothing until the node has confirmed a grant that was made from the wider ceiling.

use super::grants::{Grant, GrantId, State, current};
use super::sessions::Maker;
use crate::grant::scope::{Action, Address, Pattern, Scope, Scopes, ScopesBuf};
use crate::time::{Span, UnixTime};

/// The upper bound of a node's rights. It stays until the operator changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// The scopes that the node may have at most.
    pub scopes: ScopesBuf,
    /// The end of all rights. No grant that is made from the ceiling ends later.
    pub expires: Option<UnixTime>,
    /// `true` if the operator named this node when they decided. A ceiling that came only of a PIN,
    /// a code or a rule is replaced when the node pairs anew; this one is not.
    pub named: bool,
    /// The maker of the ceiling. Once the maker has lost its rights, no grant is made from it.
    pub maker: Maker,
}

impl Ceiling {
    /// Returns `true` if the ceiling has ended.
    #[must_use]
    pub fn is_over(&self, now: UnixTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Returns `true` if the ceiling allows nothing that the other does not, and ends no later.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let ends_no_later =
            other.expires.is_none_or(|end| self.expires.is_some_and(|expires| expires <= end));
        ends_no_later && other.scopes.scopes().covers(&self.scopes.scopes())
    }
}

/// One part of carrying out a decision about a node's ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Apply the ceiling to the node and everything derived from it, and let its live connections
    /// check again. If this comes before the save, it holds even if the save fails, and the save is
    /// retried until it succeeds.
    Bound,
    /// Save the ceiling and the offer that is made from it. Later effects wait until both are
    /// durable.
    Save,
    /// Tell the node that a grant waits for it.
    Push,
}

/// Lists the effects of a decision about a node, in order. A decision that only takes rights away
/// is in force before it is stored. One that gives any right changes nothing before it is stored,
/// even if it takes others away.
///
/// `stored` is the stored ceiling, and `held` one that is in force and not stored yet. `current` is
/// the grant that bounds the node while nobody has decided anything.
#[must_use]
pub fn effects(
    after: &Ceiling,
    stored: Option<&Ceiling>,
    held: Option<&Ceiling>,
    current: Option<&Grant>,
) -> [Effect; 3] {
    let from_grant = current.map(|grant| Ceiling {
        scopes: grant.scopes.clone(),
        // The grant's end is not the operator's decision, and the grant would be renewed.
        expires: None,
        named: false,
        maker: grant.maker,
    });
    // Without a ceiling the grant itself is the bound that the decision is compared with.
    let before = stored.or(from_grant.as_ref());
    let narrows = before.is_some_and(|before| after.is_within(before) && !before.is_within(after));
    // A decision that is held but not stored may be narrower than this one, which then must not
    // lift it.
    if narrows && held.is_none_or(|held| after.is_within(held)) {
        [Effect::Bound, Effect::Save, Effect::Push]
    } else {
        [Effect::Save, Effect::Bound, Effect::Push]
    }
}

/// The maximum number of sets that bound one peer: its own node's, and those of the holders of its
/// chain.
pub const BOUNDS: usize = crate::limits::CAPABILITY_DEPTH;

/// The rights in force: the intersection of the scopes and every bound. The intersection is never
/// written as a pattern, so it is exact.
#[derive(Clone, Copy, Debug)]
pub struct InForce<'b> {
    /// The scopes of the grant or the chain.
    pub scopes: &'b ScopesBuf,
    /// The ceilings of the nodes that the grant or chain rests on.
    pub bounds: &'b [ScopesBuf],
}

impl<'b> InForce<'b> {
    /// Creates rights without a bound.
    #[must_use]
    pub const fn of(scopes: &'b ScopesBuf) -> Self {
        Self { scopes, bounds: &[] }
    }

    fn sets(self) -> impl Iterator<Item = &'b ScopesBuf> {
        core::iter::once(self.scopes).chain(self.bounds)
    }

    /// Returns `true` if the action is allowed at the address.
    #[must_use]
    pub fn allows(self, action: Action, address: &Address<'_>) -> bool {
        self.sets().all(|set| set.scopes().allows(action, address))
    }

    /// Returns `true` if everything that a subscription would deliver may be read: its pattern lies
    /// within a scope of each set.
    #[must_use]
    pub fn allows_subscription(self, pattern: &Pattern<'_>) -> bool {
        self.sets().all(|set| set.scopes().allows_subscription(pattern))
    }

    /// Returns the set that lies within all others, if one does. It is exactly what is in force.
    #[must_use]
    pub fn exactly(self) -> Option<&'b ScopesBuf> {
        self.sets().find(|one| self.sets().all(|other| other.scopes().covers(&one.scopes())))
    }

    /// Returns scopes that lie within what is in force, to compare with other sets. They are exact
    /// if one of the sets lies within the others, and never more than is in force.
    #[must_use]
    pub fn at_most(self) -> ScopesBuf {
        if let Some(exactly) = self.exactly() {
            return exactly.clone();
        }
        let mut within = Scopes::new();
        for set in self.sets() {
            for scope in set.scopes().as_slice() {
                let one = only(*scope);
                if !within.as_slice().contains(scope)
                    && self.sets().all(|other| other.scopes().covers(&one))
                {
                    // A scope that does not fit is left out, which only narrows the result.
                    let _ = within.push(*scope);
                }
            }
        }
        (&within).into()
    }
}

fn only(scope: Scope<'_>) -> Scopes<'_> {
    let mut one = Scopes::new();
    let _ = one.push(scope);
    one
}

/// The present rights of a node.
#[derive(Clone, Copy, Debug)]
pub enum Entitled<'b> {
    /// The rights in force, and their end if there is one.
    InForce(InForce<'b>, Option<UnixTime>),
    /// No right but to renew a grant that has expired.
    Renewal,
    /// No right at all.
    Nothing,
}

/// Computes the rights of a node that is paired by its keys. `grants` are the node's, in the order
/// in which they were made. `renewable_for` is the time after its end during which a grant may be
/// renewed; zero means never.
#[must_use]
pub fn entitled<'b>(
    grants: &'b [Grant],
    ceiling: Option<&'b Ceiling>,
    renewable_for: Span,
    now: UnixTime,
) -> Entitled<'b> {
    // Once the ceiling has ended, the node may not even renew.
    if ceiling.is_some_and(|ceiling| ceiling.is_over(now)) {
        return Entitled::Nothing;
    }
    if let Some(grant) = current(grants, now) {
        let bounds = ceiling.map_or(&[][..], |ceiling| core::slice::from_ref(&ceiling.scopes));
        let ends =
            grant.ends().into_iter().chain(ceiling.and_then(|ceiling| ceiling.expires)).min();
        return Entitled::InForce(InForce { scopes: &grant.scopes, bounds }, ends);
    }
    // Ended grants are left out: a revoked grant cannot be renewed.
    let ran_out =
        grants.iter().filter(|grant| grant.state != State::Ended).filter_map(Grant::ends).max();
    match ran_out {
        Some(ran_out) if now < ran_out.after(renewable_for) => Entitled::Renewal,
        Some(_) | None => Entitled::Nothing,
    }
}

/// Returns `true` if a node that links with this grant has not confirmed the operator's latest
/// decision. A grant is then offered to it on every link.
#[must_use]
pub fn is_owed(
    grants: &[Grant],
    ceiling: Option<&Ceiling>,
    holds: Option<GrantId>,
    now: UnixTime,
) -> bool {
    // The node's word about its grant comes first: it may have missed a newer offer.
    let held = holds.and_then(|id| grants.iter().find(|grant| grant.id == id && grant.counts(now)));
    let Some(current) = held.or_else(|| current(grants, now)) else { return false };
    let newer = grants
        .iter()
        .rev()
        .take_while(|grant| grant.id != current.id)
        .any(|grant| grant.counts(now));
    // The node's grant has ended, and the node does not know of the offer that replaced it.
    let unknown =
        holds.is_some_and(|id| id != current.id) && matches!(current.state, State::Offered { .. });
    newer || unknown || ceiling.is_some_and(|ceiling| ceiling.scopes != current.scopes)
}

/// The maximum number of grants that are made for one node within a day by renewing. Each is kept
/// for a year after its end.
const MOST_A_DAY: usize = 16;
const DAY: Span = Span::from_secs(24 * 3600);

/// The answer to a node that renews its grant, or is owed one.
#[derive(Clone, Copy, Debug)]
pub enum Renewal<'b> {
    /// The offer that waits for the node: an earlier answer was lost, or the operator has made it
    /// meanwhile.
    Again(&'b Grant),
    /// A new grant.
    Fresh {
        /// The node's newest grant.
        newest: &'b Grant,
        /// The scopes of the new grant.
        scopes: &'b ScopesBuf,
        /// The life of the new grant; `None` stands for the settings' default.
        lives: Option<Span>,
        /// The latest end of the new grant.
        ends_by: Option<UnixTime>,
        /// The maker whose rights the grant derives from.
        maker: Maker,
    },
    /// No grant, because too many were made within a day.
    TooOften,
    /// No grant at all.
    Nothing,
}

/// Decides about a renewal. The new grant is made from the ceiling, with the lifetime of the newest
/// one.
#[must_use]
pub fn renewal<'b>(
    grants: &'b [Grant],
    ceiling: Option<&'b Ceiling>,
    renewable_for: Span,
    now: UnixTime,
) -> Renewal<'b> {
    match entitled(grants, ceiling, renewable_for, now) {
        Entitled::InForce(..) | Entitled::Renewal => {}
        Entitled::Nothing => return Renewal::Nothing,
    }
    // An expired grant still tells how long the operator trusts the node, even unconfirmed.
    let Some(newest) = grants.iter().rev().find(|grant| grant.state != State::Ended) else {
        return Renewal::Nothing;
    };
    let scopes = ceiling.map_or(&newest.scopes, |ceiling| &ceiling.scopes);
    let current = current(grants, now);
    let waits = matches!(newest.state, State::Offered { .. })
        && newest.counts(now)
        && is_fresh(newest, now);
    // The same offer again: the first answer may have been lost.
    if waits && newest.scopes == *scopes && current.is_some_and(|current| current.id != newest.id) {
        return Renewal::Again(newest);
    }
    let ends_by = ceiling.and_then(|ceiling| ceiling.expires);
    // A new grant would allow no more and end no later.
    if ends_by.is_some()
        && current.is_some_and(|held| {
            held.state == State::Active && held.scopes == *scopes && held.expires == ends_by
        })
    {
        return Renewal::Nothing;
    }
    if grants.iter().filter(|grant| now < grant.not_before.after(DAY)).count() >= MOST_A_DAY {
        return Renewal::TooOften;
    }
    let maker = ceiling.map_or(newest.maker, |ceiling| ceiling.maker);
    Renewal::Fresh { newest, scopes, lives: lifetime(newest), ends_by, maker }
}

/// Returns `true` if at least half of the offer's life is left; an older one is made anew.
fn is_fresh(grant: &Grant, now: UnixTime) -> bool {
    let left = grant.expires.map(|expires| expires.as_secs().saturating_sub(now.as_secs()));
    left.zip(lifetime(grant))
        .is_none_or(|(left, whole)| left >= whole.as_secs().checked_div(2).unwrap_or(0))
}

fn lifetime(grant: &Grant) -> Option<Span> {
    grant.expires.map(|expires| {
        Span::from_secs(expires.as_secs().saturating_sub(grant.not_before.as_secs()))
    })
}

/// Returns the ceiling of a node that pairs anew and would get `brings` by it. If the operator has
/// decided about the node itself, its scopes stay, and its end unless that is over.
#[must_use]
pub fn paired_anew(before: Option<&Ceiling>, brings: Ceiling, now: UnixTime) -> Ceiling {
    match before {
        Some(decided) if decided.named => {
            // An end that has come is replaced by the one that the new pairing brings.
            let expires = if decided.is_over(now) { brings.expires } else { decided.expires };
            Ceiling { expires, ..decided.clone() }
        }
        Some(_) | None => brings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

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
        let grants =
            [grant(1, "write:/**\n", State::Active), grant(2, "write:/only/**\n", offered)];
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
        let Renewal::Fresh { scopes, .. } = renewal(&grants, Some(&narrow), YEAR, at(25 * 3600))
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
            assert_eq!(
                first(after, stored, None, Some(&granted)),
                expected,
                "{after:?} {stored:?}"
            );
        }
        assert_eq!(first(&narrow, None, None, None), Effect::Save, "there is nothing to take away");
        // Once more, less, and what was taken away by a decision that is not stored yet.
        assert_eq!(first(&narrow, Some(&wide), Some(&narrow), None), Effect::Bound);
        assert_eq!(first(&ceiling(""), Some(&wide), Some(&narrow), None), Effect::Bound);
        assert_eq!(first(&other, Some(&wide), Some(&narrow), None), Effect::Save);
    }

    #[test]
    fn what_two_sets_allow_is_exactly_what_both_allow() {
        let (first, second) =
            (scopes("write:/a/*\nread:/b/**\n"), scopes("write:/*/x\nread:/b/c\n"));
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
        assert!(matches!(renewal(&active, Some(&wide), YEAR, late), Renewal::Fresh { .. }));
        assert!(matches!(
            entitled(&active, Some(&wide), Span::from_secs(0), late),
            Entitled::Nothing
        ));
        assert!(matches!(
            entitled(&active, Some(&wide), YEAR, at(456 * 24 * 3600)),
            Entitled::Nothing
        ));
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
        let Renewal::Fresh { ends_by, .. } = renewal(&held, Some(&short), YEAR, NOW) else {
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
        assert_eq!(
            paired_anew(Some(&Ceiling { named: false, ..named }), brings.clone(), NOW),
            brings
        );
        assert_eq!(paired_anew(None, brings.clone(), NOW), brings);
    }
}
