//! Renewals of grants: what a node is owed, and what it gets when it asks.

use super::authority::{Authority, Until, Wider};
use super::ceiling::{Ceiling, Entitled, entitled};
use super::grants::{Grant, GrantId, State, current};
use super::sessions::Maker;
use crate::grant::scope::ScopesBuf;
use crate::time::{Span, UnixTime};

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
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Renewal<'b> {
    /// The offer that waits for the node: an earlier answer was lost, or the operator has made it
    /// meanwhile.
    Again(&'b Grant),
    /// A new grant, if the rights of its maker allow it.
    Fresh(Fresh<'b>),
    /// No grant, because too many were made within a day.
    TooOften,
    /// No grant at all.
    Nothing,
}

/// A grant that is to be made by renewing.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Fresh<'b> {
    /// The node's newest grant.
    pub newest: &'b Grant,
    /// The scopes of the new grant.
    pub scopes: &'b ScopesBuf,
    /// The life of the new grant; `None` stands for the settings' default.
    pub lives: Option<Span>,
    /// The latest end of the new grant.
    pub ends_by: Option<UnixTime>,
    /// The maker whose rights the grant derives from.
    pub maker: Maker,
}

/// The decision about a [fresh](Fresh) grant by the rights of its maker.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Renewed<'b> {
    /// Make the grant; it ends at this time.
    Make(UnixTime),
    /// Offer the node its newest grant again: a new one would allow the same and end no later.
    Again(&'b Grant),
    /// The node has its newest grant already, and a new one would allow the same and end no later.
    Nothing,
}

impl<'b> Fresh<'b> {
    /// Decides about the grant by the rights of its maker. `usual` is the settings' life of a
    /// grant.
    ///
    /// # Errors
    /// [`Wider`] if the maker may not grant as much any more.
    #[expect(clippy::result_large_err, reason = "there is no allocator to box the reason with")]
    pub fn under(
        &self,
        authority: &Authority,
        usual: Span,
        now: UnixTime,
    ) -> Result<Renewed<'b>, Wider> {
        let newest = self.newest;
        // A life of nothing would make a grant that ends before it begins.
        let until = now.after(self.lives.unwrap_or(usual).max(Span::from_secs(1)));
        // The ceiling's end bounds the grant as well.
        let until = self.ends_by.map_or(until, |ends_by| ends_by.min(until));
        let ends = authority.mint(&self.scopes.scopes(), Until::AtMost(until))?;
        // A grant of a delegated right ends with it, and renewing cannot prolong that.
        let is_same = authority.is_delegated()
            && newest.scopes == *self.scopes
            && newest.counts(now)
            && newest.expires.is_some_and(|expires| ends <= expires);
        Ok(match (is_same, newest.state) {
            (false, _) => Renewed::Make(ends),
            (true, State::Offered { .. }) => Renewed::Again(newest),
            (true, State::Active | State::Ended) => Renewed::Nothing,
        })
    }
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
    // The last decision bounds the grant, not the one by which the node was paired.
    let maker = ceiling.map_or(newest.maker, |ceiling| ceiling.maker);
    Renewal::Fresh(Fresh { newest, scopes, lives: lifetime(newest), ends_by, maker })
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
