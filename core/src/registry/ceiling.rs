//! The operator's upper bound of a node's rights, and the rights in force because of it.
//!
//! A decision is two things, written in one step: an offer, which the node may confirm or ignore,
//! and the **ceiling**, which holds from that moment on, whatever the node does. In force is what
//! the confirmed grant and the ceiling both allow. Narrowing takes effect at once and for good;
//! widening adds nothing until the node has confirmed a grant that was made from the wider ceiling.

use super::grants::{Grant, State, current};
use super::sessions::Maker;
use crate::grant::scope::{Action, Address, Pattern, Scope, Scopes, ScopesBuf};
use crate::time::{Span, UnixTime};

/// The upper bound of a node's rights. It stays until the operator changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
    fn is_within(&self, other: &Self) -> bool {
        // A ceiling without an end ends later than any other.
        let ends_no_later =
            other.expires.is_none_or(|end| self.expires.is_some_and(|expires| expires <= end));
        ends_no_later && other.scopes.scopes().covers(&self.scopes.scopes())
    }
}

/// One part of carrying out a decision about a node's ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
    // An empty set has room for one scope.
    let _ = one.push(scope);
    one
}

/// The present rights of a node.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
mod tests;
