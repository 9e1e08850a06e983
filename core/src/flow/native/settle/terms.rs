//! The rights of a node that is paired, by its proof or by the operator.

use crate::error::Refusal;
use crate::grant::scope::{AskedScopesBuf, ScopesBuf};
use crate::registry::authority::{Authority, Maker, Until, Wider};
use crate::registry::ceiling::{Ceiling, paired_anew};
use crate::registry::lifecycle::{Change, Notice};
use crate::registry::record::{Credential, Mode, Standing};
use crate::time::{Span, UnixTime};

/// The terms on which a proof pairs a node.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ProofTerms<'t> {
    /// The scopes that the proof brings.
    pub scopes: &'t ScopesBuf,
    /// The permissions that the node asked for, which bound what the proof brings.
    pub asked: &'t AskedScopesBuf,
    /// The life that was named for the node's rights; `None` if nobody named one.
    pub lives: Option<Span>,
    /// The life of a grant without a named one; such a grant is renewed.
    pub usual: Span,
    /// The longest life of any grant.
    pub longest: Span,
    /// The mode of a node that was not paired before.
    pub mode: Mode,
}

/// The registry's state of a node that a proof has paired.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PairedState {
    /// The node's new standing.
    pub standing: Standing,
    /// The node's new ceiling, from which its grant is made.
    pub ceiling: Ceiling,
    /// The maker of the grant; the ceiling keeps its own if the operator has decided about the node.
    pub maker: Maker,
    /// The end of the grant.
    pub ends: UnixTime,
}

/// Decides what a node gets that its proof pairs, by the rights of the proof's maker. `standing`
/// and `before` are those of the node until now.
///
/// # Errors
/// [`Wider`] if the maker may not grant as much.
#[expect(clippy::result_large_err, reason = "there is no allocator to box the reason with")]
pub fn pair(
    standing: Option<&Standing>,
    before: Option<&Ceiling>,
    terms: &ProofTerms<'_>,
    authority: &Authority,
    now: UnixTime,
) -> Result<PairedState, Wider> {
    let credential = Credential::Keys;
    let standing = match standing {
        // The operator's decisions about the node stay: pairing again ends neither muting nor a
        // mode.
        Some(Standing::Muted { restore, .. }) => Standing::Muted { credential, restore: *restore },
        Some(Standing::Paired { mode, .. }) => Standing::Paired { credential, mode: *mode },
        Some(Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. })
        | None => Standing::Paired { credential, mode: terms.mode },
    };
    // A life that was named is bounded as well, so that no proof outlasts the longest one.
    let until = now.after(terms.lives.unwrap_or(terms.usual).min(terms.longest));
    let maker = authority.maker()?;
    let expires = terms.lives.map(|_| until);
    let scopes = terms.asked.bound(terms.scopes);
    let brings = Ceiling { scopes, expires, named: false, maker };
    let mut ceiling = paired_anew(before, brings, now);
    let until = ceiling.expires.map_or(until, |ends_by| ends_by.min(until));
    let ends = authority.mint(&ceiling.scopes.scopes(), Until::AtMost(until))?;
    // What a delegated right grants must end with it, so it always has an end.
    if authority.is_delegated() && !ceiling.named {
        ceiling.expires = Some(ends);
    }
    Ok(PairedState { standing, ceiling, maker, ends })
}

/// The terms of a decision about a node; `None` where they leave a choice to others.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NamedTerms<'t> {
    /// The scopes.
    pub scopes: Option<&'t ScopesBuf>,
    /// The life.
    pub lives: Option<Span>,
}

/// An operator's decision to pair a node with keys, or to change the rights of a paired one.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OperatorApproval<'t> {
    /// The operator's own terms.
    pub said: NamedTerms<'t>,
    /// The terms that the policy or the code proposed when the node asked.
    pub proposed: NamedTerms<'t>,
    /// The ceiling that the decision replaces; `None` for a node that is paired by it.
    pub before: Option<&'t Ceiling>,
    /// The permissions that the node asked for. They bound what it gets if the operator names none.
    pub asked: &'t AskedScopesBuf,
    /// `true` if an earlier end is lifted.
    pub endless: bool,
    /// `true` if the decision is about this node in particular, also without named scopes.
    pub named: bool,
    /// The scopes of a node for which nobody named any.
    pub usual_scopes: &'t ScopesBuf,
    /// The life of a grant for which nobody named one; such a grant is renewed.
    pub usual: Span,
}

/// Decides the ceiling that an operator's decision sets, and the end of the grant that is made
/// from it.
///
/// # Errors
/// [`Wider`] if the operator may not grant as much.
#[expect(clippy::result_large_err, reason = "there is no allocator to box the reason with")]
pub fn approve(
    approval: &OperatorApproval<'_>,
    authority: &Authority,
    now: UnixTime,
) -> Result<(Ceiling, UnixTime), Wider> {
    let OperatorApproval { said, proposed, before, asked, endless, named, usual_scopes, usual } =
        *approval;
    let kept = said.scopes.or(before.map(|ceiling| &ceiling.scopes));
    let scopes =
        kept.cloned().unwrap_or_else(|| asked.bound(proposed.scopes.unwrap_or(usual_scopes)));
    // An earlier end stays if it lies ahead and is not lifted.
    let kept = before
        .filter(|ceiling| !endless && !ceiling.is_over(now))
        .and_then(|ceiling| ceiling.expires);
    let usual = now.after(usual);
    // The proposal belongs to the request; a later change of the rights does not revive it.
    let proposed = proposed.lives.filter(|_| before.is_none());
    let (until, end) = match (said.lives, proposed) {
        (Some(said), _) => (Until::Exactly(now.after(said)), Some(now.after(said))),
        (None, Some(proposed)) => (Until::AtMost(now.after(proposed)), Some(now.after(proposed))),
        (None, None) => (Until::AtMost(kept.map_or(usual, |kept| kept.min(usual))), kept),
    };
    let ends = authority.mint(&scopes.scopes(), until)?;
    let maker = authority.maker()?;
    // What a delegated right grants must end with it, so it always has an end.
    let expires = if authority.is_delegated() { Some(ends) } else { end };
    let named = named || said.scopes.is_some();
    Ok((Ceiling { scopes, expires, named, maker }, ends))
}

/// Decides whether the rights of a node with this standing may be changed. The standing stays.
///
/// # Errors
/// [`Refusal::NotPaired`] or [`Refusal::Revoked`].
pub fn regrant(standing: &Standing) -> Result<Change, Refusal> {
    match standing {
        Standing::Paired { .. } | Standing::Muted { .. } => {
            // By the notice an open link offers the node its new grant at once.
            Ok(Change { standing: standing.clone(), notice: Some(Notice::Permissions) })
        }
        Standing::Pending { .. } | Standing::Unapproved { .. } => Err(Refusal::NotPaired),
        Standing::Revoked { .. } => Err(Refusal::Revoked),
    }
}
