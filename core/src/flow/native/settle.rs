//! Decides about requests to pair on the native wire: the next stage of a request ([`plan`]), its
//! outcome ([`settle`]), and the rights that the outcome brings ([`pair`], [`approve`]).
//!
//! ```text
//!           revoked ─▶ refused            paired, no code shown now ─▶ its grant again
//! request ─▶ plan ─▶ proof ─▶ settle ─┬─▶ refused
//!                               ▲     ├─▶ pair, or its grant again
//!                               │     ├─▶ the operator decides
//!                               └─────┴── the policy decides
//! ```
//! The gateway's adapter reads the registry, calls these functions and stores what they decide. If
//! the registry has changed before it could store, it reads and decides once more.

mod terms;

pub use terms::{NamedTerms, OperatorApproval, PairedState, ProofTerms, approve, pair, regrant};

use crate::error::Refusal;
use crate::registry::grants::{Grant, is_in_doubt, offer_again};
use crate::registry::record::{Cause, Standing};
use crate::registry::rejection::Rejection;
use crate::registry::sessions::NotRedeemed;
use crate::registry::trusted_time::Moment;
use crate::time::{Span, UnixTime};
use crate::wire::native::pair::{Method, Selector};

/// The next stage of a request to pair, by what is known of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Plan {
    /// Refuse it: this key was revoked, which is final.
    RefuseRevoked,
    /// Mint a PIN for this key and show it, if pairing is open.
    ShowPin,
    /// Find the code with this selector.
    FindCode(Selector),
    /// Wait for a setup code.
    AwaitSetup,
    /// Settle the request; no proof is needed.
    Settle,
}

/// Decides the next stage of a request. A paired node that comes with a code is paired anew.
#[must_use]
pub const fn plan(standing: Option<&Standing>, method: Method) -> Plan {
    match (standing, method) {
        // Nothing is looked up for a revoked key, so it spends no code and no guess.
        (Some(Standing::Revoked { cause: Cause::Barred | Cause::Unpaired }), _) => {
            Plan::RefuseRevoked
        }
        // A rejected node may ask again; settling decides when.
        (
            Some(
                Standing::Pending { .. }
                | Standing::Unapproved { .. }
                | Standing::Paired { .. }
                | Standing::Muted { .. }
                | Standing::Revoked { cause: Cause::Rejected },
            )
            | None,
            method,
        ) => match method {
            Method::Pin => Plan::ShowPin,
            Method::Code { selector } => Plan::FindCode(selector),
            Method::Setup => Plan::AwaitSetup,
            Method::Approval => Plan::Settle,
        },
    }
}

/// The proof of a request that is to be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Proven {
    /// The node's static key alone.
    Key,
    /// A PIN or a code, which was spent.
    Code,
    /// A setup code, which is spent in the step that pairs.
    Setup,
    /// A code of any kind whose maker has lost the right to grant since.
    Void,
}

/// A request that is to be settled, with what the registry knows of its key.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SettleRequest<'r> {
    /// The standing of the key's node; `None` if no node has the key.
    pub standing: Option<&'r Standing>,
    /// The last rejection of the key. It counts only while the standing is a rejection.
    pub rejection: Option<Rejection>,
    /// The method that the node asked by.
    pub method: Method,
    /// The proof of this request.
    pub proof: Proven,
}

/// The decision of the policy about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PolicyVerdict {
    /// The policy was not asked yet.
    NotAsked,
    /// The node is to be paired.
    Approves,
    /// The request is rejected.
    Rejects,
    /// The operator is to decide.
    Asks,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Settlement {
    /// Refuse the request.
    Refuse(Denial),
    /// Offer the node's earlier grant once more ([`offered_again`]): the answer or the node's copy
    /// was lost.
    OfferAgain,
    /// Ask the policy, and settle again with its decision.
    AskPolicy,
    /// Let the request wait for the operator's decision.
    AskOperator,
    /// Pair the node. A setup code is spent in the same step.
    Pair,
}

/// The reason for refusing a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Denial {
    /// The key was revoked, or its request was rejected for good.
    Revoked,
    /// The operator rejected the last request; the key may ask again after this time.
    Rejected(Span),
    /// The policy rejects the request; the registry records nothing.
    ByPolicy,
    /// The code, the request or the grant is not valid any more.
    Expired,
    /// Another node has spent the setup code.
    Spent,
    /// The decision depends on a clock in doubt, or there is no room; the node tries later.
    Later,
}

/// Decides the outcome of a request.
#[must_use]
pub fn settle(request: &SettleRequest<'_>, policy: PolicyVerdict, now: UnixTime) -> Settlement {
    let SettleRequest { standing, rejection, method, proof } = *request;
    match (standing, proof) {
        (Some(Standing::Revoked { cause: Cause::Barred | Cause::Unpaired }), _) => {
            Settlement::Refuse(Denial::Revoked)
        }
        (
            Some(
                Standing::Pending { .. }
                | Standing::Unapproved { .. }
                | Standing::Paired { .. }
                | Standing::Muted { .. }
                | Standing::Revoked { cause: Cause::Rejected },
            )
            | None,
            Proven::Void,
        ) => Settlement::Refuse(Denial::Expired),
        // Making a setup code was the operator's approval, also of a rejected node.
        (
            Some(
                Standing::Pending { .. }
                | Standing::Unapproved { .. }
                | Standing::Paired { .. }
                | Standing::Muted { .. }
                | Standing::Revoked { cause: Cause::Rejected },
            )
            | None,
            Proven::Setup,
        ) => Settlement::Pair,
        // The key shows that this is the same node, which has lost the answer or its memory.
        (Some(Standing::Paired { .. } | Standing::Muted { .. }), Proven::Key) => {
            Settlement::OfferAgain
        }
        // A rejected node may ask again later, but a code that it has shown is spent by now.
        (Some(Standing::Revoked { cause: Cause::Rejected }), Proven::Key) => {
            match rejection.map_or(Ok(()), |rejection| rejection.admits(now)) {
                Err(refusal) => Settlement::Refuse(turned_down(refusal)),
                Ok(()) if shows_code(method) => Settlement::Refuse(Denial::Expired),
                Ok(()) => by_policy(policy, Settlement::AskOperator),
            }
        }
        // The node has shown its code before and waits for the operator.
        (Some(Standing::Pending { .. } | Standing::Unapproved { .. }), Proven::Key)
            if shows_code(method) =>
        {
            Settlement::AskOperator
        }
        // The node has shown its code before, and its entry is gone.
        (None, Proven::Key) if shows_code(method) => Settlement::Refuse(Denial::Expired),
        // The operator has approved this key before, and can renew a grant that has expired.
        (Some(Standing::Paired { .. } | Standing::Muted { .. }), Proven::Code) => {
            by_policy(policy, Settlement::OfferAgain)
        }
        (
            Some(
                Standing::Pending { .. }
                | Standing::Unapproved { .. }
                | Standing::Revoked { cause: Cause::Rejected },
            )
            | None,
            Proven::Code,
        )
        | (Some(Standing::Pending { .. } | Standing::Unapproved { .. }) | None, Proven::Key) => {
            by_policy(policy, Settlement::AskOperator)
        }
    }
}

const fn by_policy(policy: PolicyVerdict, asks: Settlement) -> Settlement {
    match policy {
        PolicyVerdict::NotAsked => Settlement::AskPolicy,
        PolicyVerdict::Approves => Settlement::Pair,
        PolicyVerdict::Rejects => Settlement::Refuse(Denial::ByPolicy),
        PolicyVerdict::Asks => asks,
    }
}

/// Returns `true` if a request by this method shows a code that is spent before it is settled.
const fn shows_code(method: Method) -> bool {
    match method {
        Method::Pin | Method::Code { .. } => true,
        Method::Approval | Method::Setup => false,
    }
}

const fn turned_down(refusal: Refusal) -> Denial {
    match refusal {
        Refusal::Rejected { wait } => Denial::Rejected(wait),
        Refusal::InvalidCredentials
        | Refusal::NotApproved
        | Refusal::Muted
        | Refusal::AlreadyPaired
        | Refusal::Revoked
        | Refusal::NotPaired
        | Refusal::NoToken
        | Refusal::Expired
        | Refusal::Barred
        | Refusal::TooManyPending
        | Refusal::RateLimited
        | Refusal::AtCapacity
        | Refusal::ClockInDoubt
        | Refusal::StoreFailed => Denial::Revoked,
    }
}

/// Returns the reason why a request could not be entered among those that wait for the operator;
/// `None` if the key's node was paired or revoked meanwhile, and the request is settled again.
#[must_use]
pub const fn not_entered(refusal: Refusal) -> Option<Denial> {
    match refusal {
        Refusal::AlreadyPaired | Refusal::Revoked => None,
        Refusal::Rejected { .. } | Refusal::Barred => Some(turned_down(refusal)),
        Refusal::InvalidCredentials
        | Refusal::NotApproved
        | Refusal::Muted
        | Refusal::NotPaired
        | Refusal::NoToken
        | Refusal::Expired
        | Refusal::TooManyPending
        | Refusal::RateLimited
        | Refusal::AtCapacity
        | Refusal::ClockInDoubt
        | Refusal::StoreFailed => Some(Denial::Later),
    }
}

/// Decides the outcome of a request whose setup code could not be redeemed. `standing` is read
/// after that: a node that presents its code again, because the answer was lost, is paired by then.
#[must_use]
pub const fn not_redeemed(standing: Option<&Standing>, reason: NotRedeemed) -> Settlement {
    match (reason, standing) {
        (NotRedeemed::AlreadyUsed, Some(Standing::Paired { .. } | Standing::Muted { .. })) => {
            Settlement::OfferAgain
        }
        (
            NotRedeemed::AlreadyUsed,
            Some(Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. })
            | None,
        ) => Settlement::Refuse(Denial::Spent),
        (NotRedeemed::Expired, _) => Settlement::Refuse(Denial::Expired),
        (NotRedeemed::ClockInDoubt, _) => Settlement::Refuse(Denial::Later),
    }
}

/// Returns the grant for a paired node that asks once more: its newest one that is in force.
///
/// # Errors
/// [`Denial::Expired`] if none is in force, and [`Denial::Later`] while the clock is in doubt.
pub fn offered_again<'g>(grants: &'g [Grant], moment: &Moment) -> Result<&'g Grant, Denial> {
    if is_in_doubt(grants, moment) {
        return Err(Denial::Later);
    }
    offer_again(grants, moment.now).ok_or(Denial::Expired)
}
