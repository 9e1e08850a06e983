//! The life cycle of a node in the registry.
//!
//! ```text
//!   (asks) ──▶ Pending ──approve──▶ Paired ◀──unmute / set mode── Muted
//!                 │                  │  └──────────mute──────────▶ │
//!                 │ reject, bar      │ unpair                      │ unpair
//!                 ▼                  ▼                             ▼
//!              Revoked (final) ◀─────┴─────────────────────────────┘
//! ```
//!
//! A rejected request may be barred later. `Unapproved`, which only an import makes, moves like
//! `Pending` without an expiry.
//!
//! A token is issued in two steps: until its [delivery] is settled, the standing keeps the earlier
//! one inside, and [`settle`] keeps the new one or restores the earlier one.

use crate::error::Refusal;
use crate::grant::token::TokenHash;
use crate::registry::codes::NoGuess;
use crate::registry::delivery::{self, Before, NotSettled, Outcome, Settled, Ticket, Undelivered};
use crate::registry::record::{Cause, Credential, Mode, Standing};
use crate::time::UnixTime;

/// An operator's decision about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Decision {
    /// Approve the node, which will authenticate with this credential.
    Approve(Credential),
    /// Approve the node with a token that is being delivered to it.
    Issue(NewToken),
    /// Replace the node's token; the old one is void once the new one is delivered.
    Reissue(NewToken),
    /// Reject the node's request; it may ask again after a while.
    Reject,
    /// Reject the node's request permanently.
    Bar,
    /// Mute the node until it is unmuted.
    Mute,
    /// Unmute the node, in the mode it had.
    Unmute,
    /// Set the node's mode, and unmute it.
    SetMode(Mode),
    /// Revoke the node permanently.
    Unpair,
}

/// A token to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NewToken {
    /// The hash of the token.
    pub hash: TokenHash,
    /// The id and the deadline of its delivery.
    pub ticket: Ticket,
}

impl NewToken {
    const fn after(self, before: Before) -> Credential {
        Credential::Undelivered(Undelivered { token: self.hash, ticket: self.ticket, before })
    }

    /// Replaces the token of this credential; a token that was never delivered is dropped.
    fn instead_of(self, credential: &Credential) -> Result<Credential, Refusal> {
        match credential {
            Credential::Token(old) => Ok(self.after(Before::Token(old.clone()))),
            // The undelivered token is dropped: if this one is undone, too, the state before both
            // returns.
            Credential::Undelivered(Undelivered { before, .. }) => Ok(self.after(before.clone())),
            Credential::Keys => Err(Refusal::NoToken),
        }
    }
}

/// A message that a live connection of the node must receive at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Notice {
    /// The node is muted now.
    Muted,
    /// The node is unmuted. Only a link that stays open while its node is muted receives it.
    Unmuted,
    /// The node's credential is void.
    Unpaired,
    /// The same node authenticated on a newer connection.
    Replaced,
    /// The node's request was decided; the connection looks it up again.
    Decided,
    /// The node's permissions were decided anew, and a grant waits for it. The change is in force
    /// already.
    Permissions,
    /// The PIN that this connection waits for can no longer be guessed.
    PinEnded(NoGuess),
    /// Another link has shown a copy of the node's state: the node is in quarantine.
    Quarantined,
    /// The operator has released the node from its quarantine.
    Released,
    /// The operator has evicted the node, or its certificate is not valid any more: its link ends,
    /// and it may come back by its key.
    Evicted,
}

/// The outcome of a decision: one durable write, and then a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a change that is not saved did not happen"]
pub struct Change {
    /// The standing to save.
    pub standing: Standing,
    /// The notice for live connections once the standing is saved.
    pub notice: Option<Notice>,
}

/// One step of carrying out a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect<'c> {
    /// Keep the node out from now on and push this notice to its live connections. This holds
    /// whether or not the following save succeeds; a failed save is retried until it succeeds.
    EndLinks(Notice),
    /// Save this standing. Later effects wait until it is durable.
    Save(&'c Standing),
    /// Push this notice to the node's live connections.
    Push(Notice),
}

impl Change {
    /// Returns `true` if the change takes rights from the node. Such a change does not wait for the
    /// disk.
    #[must_use]
    pub const fn takes_away(&self) -> bool {
        match (&self.standing, self.notice) {
            (Standing::Revoked { .. }, _) | (Standing::Muted { .. }, Some(Notice::Muted)) => true,
            (
                Standing::Pending { .. }
                | Standing::Unapproved { .. }
                | Standing::Paired { .. }
                | Standing::Muted { .. },
                Some(
                    Notice::Muted
                    | Notice::Unmuted
                    | Notice::Unpaired
                    | Notice::Replaced
                    | Notice::Decided
                    | Notice::Permissions
                    | Notice::PinEnded(_)
                    | Notice::Quarantined
                    | Notice::Released
                    | Notice::Evicted,
                )
                | None,
            ) => false,
        }
    }

    /// Returns the effects in order. A change that takes rights is in force before it is stored,
    /// one that gives rights only afterwards.
    pub fn effects(&self) -> impl Iterator<Item = Effect<'_>> {
        let save = Some(Effect::Save(&self.standing));
        let [first, last] = match (self.notice, self.takes_away()) {
            (Some(notice), true) => [Some(Effect::EndLinks(notice)), save],
            (Some(notice), false) => [save, Some(Effect::Push(notice))],
            (None, _) => [save, None],
        };
        first.into_iter().chain(last)
    }
}

/// Returns the standing while a decision is in force but not yet stored. If the decision does not
/// apply to the stored standing, it is the stored one.
#[must_use]
pub fn in_force(stored: &Standing, held: &Decision) -> Standing {
    // An expired request counts as rejected, too, so the time plays no part.
    decide(stored, held.clone(), UnixTime::from_secs(0))
        .map_or_else(|_| stored.clone(), |change| change.standing)
}

/// The standing of a node that proves itself with a token once the session has ended that approved
/// it: it waits to be approved again. `None` where that changes nothing.
#[must_use]
pub fn unapproved(standing: &Standing) -> Option<Standing> {
    match standing {
        Standing::Paired { .. } | Standing::Muted { .. } => {
            standing.token().map(|token| Standing::Unapproved { token: token.clone() })
        }
        Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => None,
    }
}

/// Applies a decision. Deciding again what holds already is no error where nothing could be
/// misunderstood (muting a muted node); approving twice is one.
///
/// # Errors
/// [`Refusal`], if the decision does not apply in this standing.
pub fn decide(standing: &Standing, decision: Decision, now: UnixTime) -> Result<Change, Refusal> {
    use Decision::{Approve, Bar, Issue, Mute, Reissue, Reject, SetMode, Unmute, Unpair};
    use Standing::{Muted, Paired, Pending, Revoked, Unapproved};

    let change = |standing, notice| Ok(Change { standing, notice });
    // A token whose delivery has lapsed counts as undone, even before that is stored.
    match (&as_delivered(standing, now), decision) {
        // A rejection may be made final; every other decision about a revoked node is refused.
        (Revoked { cause: Cause::Rejected }, Bar) => {
            change(Revoked { cause: Cause::Barred }, Some(Notice::Decided))
        }
        (Revoked { .. }, _) => Err(Refusal::Revoked),
        // The clock plays no part: a rejected request stays rejected, even if it had expired and
        // the clock is set back.
        (Pending { .. } | Unapproved { .. }, Reject) => {
            change(Revoked { cause: Cause::Rejected }, Some(Notice::Decided))
        }
        (Pending { .. } | Unapproved { .. }, Bar) => {
            change(Revoked { cause: Cause::Barred }, Some(Notice::Decided))
        }
        (Pending { .. } | Unapproved { .. }, Unpair) => {
            change(Revoked { cause: Cause::Unpaired }, Some(Notice::Decided))
        }
        // Every other decision needs a request that has not expired.
        (Pending { expires }, _) if *expires <= now => Err(Refusal::Expired),

        (Pending { .. } | Unapproved { .. }, Approve(credential)) => {
            change(Paired { credential, mode: Mode::Full }, Some(Notice::Decided))
        }
        (Pending { expires }, Issue(new)) => {
            let credential = new.after(Before::Pending { expires: *expires });
            change(Paired { credential, mode: Mode::Full }, Some(Notice::Decided))
        }
        (Unapproved { token }, Issue(new)) => {
            let credential = new.after(Before::Unapproved { token: token.clone() });
            change(Paired { credential, mode: Mode::Full }, Some(Notice::Decided))
        }
        (Pending { .. } | Unapproved { .. }, Reissue(_) | Mute | Unmute | SetMode(_)) => {
            Err(Refusal::NotPaired)
        }

        // A rejected node may ask again, so a paired one has to be unpaired instead.
        (Paired { .. } | Muted { .. }, Approve(_) | Issue(_) | Reject | Bar) => {
            Err(Refusal::AlreadyPaired)
        }
        (Paired { .. } | Muted { .. }, Unpair) => {
            change(Revoked { cause: Cause::Unpaired }, Some(Notice::Unpaired))
        }
        // The live link continues with the old token until the new one is delivered.
        (Paired { credential, mode }, Reissue(new)) => {
            change(Paired { credential: new.instead_of(credential)?, mode: *mode }, None)
        }
        (Muted { credential, restore }, Reissue(new)) => {
            change(Muted { credential: new.instead_of(credential)?, restore: *restore }, None)
        }
        (Paired { credential, mode }, Mute) => {
            change(Muted { credential: credential.clone(), restore: *mode }, Some(Notice::Muted))
        }
        (Muted { credential, restore }, Unmute) => {
            change(Paired { credential: credential.clone(), mode: *restore }, Some(Notice::Unmuted))
        }
        (Paired { credential, .. }, SetMode(mode)) => {
            change(Paired { credential: credential.clone(), mode }, None)
        }
        // Setting a mode unmutes, because a muted node has none in force.
        (Muted { credential, .. }, SetMode(mode)) => {
            change(Paired { credential: credential.clone(), mode }, Some(Notice::Unmuted))
        }
        (same @ Paired { .. }, Unmute) => change(same.clone(), None),
        // The notice is repeated, because the first one may have been lost.
        (same @ Muted { .. }, Mute) => change(same.clone(), Some(Notice::Muted)),
    }
}

/// Settles the delivery of a node's token.
///
/// # Errors
/// [`NotSettled::Unknown`] if this standing has no delivery with this id, and the errors of
/// [`delivery::settle`].
pub fn settle(
    standing: &Standing,
    id: delivery::DeliveryId,
    outcome: Outcome,
    now: UnixTime,
) -> Result<(Settled, Change), NotSettled> {
    // A delivery that a newer one has replaced must not settle the newer one.
    let undelivered = standing
        .undelivered()
        .filter(|undelivered| undelivered.ticket.id == id)
        .ok_or(NotSettled::Unknown)?;
    let settled = delivery::settle(undelivered.ticket.until, outcome, now)?;
    let change = match settled {
        Settled::Delivered => {
            let with = Credential::Token(undelivered.token.clone());
            match (standing, &undelivered.before) {
                // A live link was opened with the old token.
                (Standing::Paired { mode, .. }, Before::Token(_)) => Change {
                    standing: Standing::Paired { credential: with, mode: *mode },
                    notice: Some(Notice::Unpaired),
                },
                // Without an older token there was no link that would have to end.
                (
                    Standing::Paired { mode, .. },
                    Before::Pending { .. } | Before::Unapproved { .. },
                ) => Change {
                    standing: Standing::Paired { credential: with, mode: *mode },
                    notice: None,
                },
                // A muted node with a token has no link that would have to end.
                (Standing::Muted { restore, .. }, _) => Change {
                    standing: Standing::Muted { credential: with, restore: *restore },
                    notice: None,
                },
                (
                    Standing::Pending { .. }
                    | Standing::Unapproved { .. }
                    | Standing::Revoked { .. },
                    _,
                ) => {
                    return Err(NotSettled::Unknown);
                }
            }
        }
        Settled::Undone => Change { standing: undone(standing, undelivered), notice: None },
    };
    Ok((settled, change))
}

/// Returns the effective standing: one whose token was not delivered in time counts as the earlier
/// one, even before that is stored.
#[must_use]
pub fn as_delivered(standing: &Standing, now: UnixTime) -> Standing {
    match standing.undelivered() {
        Some(undelivered) if undelivered.ticket.until <= now => undone(standing, undelivered),
        Some(_) | None => standing.clone(),
    }
}

fn undone(standing: &Standing, undelivered: &Undelivered) -> Standing {
    match (&undelivered.before, standing) {
        (Before::Pending { expires }, _) => Standing::Pending { expires: *expires },
        (Before::Unapproved { token }, _) => Standing::Unapproved { token: token.clone() },
        (Before::Token(token), Standing::Paired { mode, .. }) => {
            Standing::Paired { credential: Credential::Token(token.clone()), mode: *mode }
        }
        (Before::Token(token), Standing::Muted { restore, .. }) => {
            Standing::Muted { credential: Credential::Token(token.clone()), restore: *restore }
        }
        (
            Before::Token(_),
            same @ (Standing::Pending { .. }
            | Standing::Unapproved { .. }
            | Standing::Revoked { .. }),
        ) => same.clone(),
    }
}

#[cfg(test)]
mod tests;
