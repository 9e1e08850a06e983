//! The life of a node in the registry.
//!
//! ```text
//!   (asks) ──▶ Pending ──approve──▶ Paired ◀──unmute / set mode── Muted
//!                 │                  │  └──────────mute──────────▶ │
//!                 │ reject           │ unpair                      │ unpair
//!                 ▼                  ▼                             ▼
//!              Revoked (final) ◀─────┴─────────────────────────────┘
//! ```
//!
//! `Unapproved`, which only an import makes, moves like `Pending` without an expiry.

use crate::error::Refusal;
use crate::grant::token::TokenHash;
use crate::registry::record::{Cause, Credential, Mode, Standing};
use crate::time::UnixTime;

/// What an operator decides about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let it in; it will prove itself with this.
    Approve(Credential),
    /// Give it another token; the old one dies.
    Reissue(TokenHash),
    /// Turn its request down.
    Reject,
    /// Keep it out for a while.
    Mute,
    /// Let it in again, in the mode it had.
    Unmute,
    /// Let it in, in this mode.
    SetMode(Mode),
    /// Put it out for good.
    Unpair,
}

/// What a live connection of the node has to hear at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Notice {
    /// It is muted now.
    Muted,
    /// It may speak again. Only a link that stays open while its node is muted hears it.
    Unmuted,
    /// Its credential no longer counts.
    Unpaired,
    /// The same node authenticated on a newer connection.
    Replaced,
    /// What it waits for was decided: look again.
    Decided,
}

/// The outcome of a decision: one durable write, and then what to push.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a change that is not saved did not happen"]
pub struct Change {
    /// The standing to save.
    pub standing: Standing,
    /// What to tell live connections after it is saved.
    pub notice: Option<Notice>,
}

/// Applies a decision. Deciding again what holds already is no error where nothing could be misunderstood (muting a muted node); approving twice is one.
///
/// # Errors
/// Why the decision cannot be taken in this standing.
pub fn decide(standing: &Standing, decision: Decision, now: UnixTime) -> Result<Change, Refusal> {
    use Decision::{Approve, Mute, Reissue, Reject, SetMode, Unmute, Unpair};
    use Standing::{Muted, Paired, Pending, Revoked, Unapproved};

    let change = |standing, notice| Ok(Change { standing, notice });
    match (standing, decision) {
        (Revoked { .. }, _) => Err(Refusal::Revoked),
        (Pending { expires }, _) if *expires <= now => Err(Refusal::Expired),

        (Pending { .. } | Unapproved { .. }, Approve(credential)) => {
            change(Paired { credential, mode: Mode::Full }, Some(Notice::Decided))
        }
        (Pending { .. } | Unapproved { .. }, Reject) => change(Revoked { cause: Cause::Rejected }, Some(Notice::Decided)),
        (Pending { .. } | Unapproved { .. }, Unpair) => change(Revoked { cause: Cause::Unpaired }, Some(Notice::Decided)),
        (Pending { .. } | Unapproved { .. }, Reissue(_) | Mute | Unmute | SetMode(_)) => Err(Refusal::NotPaired),

        (Paired { .. } | Muted { .. }, Approve(_) | Reject) => Err(Refusal::AlreadyPaired),
        (Paired { .. } | Muted { .. }, Unpair) => change(Revoked { cause: Cause::Unpaired }, Some(Notice::Unpaired)),
        (Paired { credential: Credential::Keys, .. } | Muted { credential: Credential::Keys, .. }, Reissue(_)) => {
            Err(Refusal::NoToken)
        }
        (Paired { mode, .. }, Reissue(token)) => {
            change(Paired { credential: Credential::Token(token), mode: *mode }, Some(Notice::Unpaired))
        }
        (Muted { restore, .. }, Reissue(token)) => {
            change(Muted { credential: Credential::Token(token), restore: *restore }, None)
        }
        (Paired { credential, mode }, Mute) => {
            change(Muted { credential: credential.clone(), restore: *mode }, Some(Notice::Muted))
        }
        (Muted { credential, restore }, Unmute) => {
            change(Paired { credential: credential.clone(), mode: *restore }, Some(Notice::Unmuted))
        }
        (Paired { credential, .. }, SetMode(mode)) => change(Paired { credential: credential.clone(), mode }, None),
        (Muted { credential, .. }, SetMode(mode)) => {
            change(Paired { credential: credential.clone(), mode }, Some(Notice::Unmuted))
        }
        (same @ Paired { .. }, Unmute) => change(same.clone(), None),
        // Told once more: whoever asks again may do so because the first push was lost.
        (same @ Muted { .. }, Mute) => change(same.clone(), Some(Notice::Muted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1000);

    fn hash(byte: u8) -> TokenHash {
        TokenHash::from_bytes([byte; 32])
    }

    fn credential(byte: u8) -> Credential {
        Credential::Token(hash(byte))
    }

    fn pending() -> Standing {
        Standing::Pending { expires: UnixTime::from_secs(1001) }
    }

    #[test]
    fn unmuting_restores_the_mode_from_before() {
        let mut standing = decide(&pending(), Decision::Approve(Credential::Token(hash(1))), NOW).unwrap().standing;
        for decision in [Decision::SetMode(Mode::SafeChat), Decision::Mute, Decision::Mute, Decision::Unmute] {
            standing = decide(&standing, decision, NOW).unwrap().standing;
        }
        assert_eq!(standing, Standing::Paired { credential: credential(1), mode: Mode::SafeChat });
    }

    #[test]
    fn a_revoked_node_stays_revoked_whatever_is_decided() {
        let revoked = decide(&pending(), Decision::Reject, NOW).unwrap().standing;
        for decision in [
            Decision::Approve(Credential::Token(hash(1))),
            Decision::Reissue(hash(1)),
            Decision::Reject,
            Decision::Mute,
            Decision::Unmute,
            Decision::SetMode(Mode::Full),
            Decision::Unpair,
        ] {
            assert_eq!(decide(&revoked, decision, NOW), Err(Refusal::Revoked));
        }
    }

    #[test]
    fn a_request_that_ran_out_cannot_be_approved() {
        let late = UnixTime::from_secs(1001);
        assert_eq!(decide(&pending(), Decision::Approve(Credential::Token(hash(1))), late), Err(Refusal::Expired));
    }

    #[test]
    fn a_new_token_ends_the_live_connection_of_the_old_one() {
        let paired = Standing::Paired { credential: credential(1), mode: Mode::Full };
        let change = decide(&paired, Decision::Reissue(hash(2)), NOW).unwrap();
        assert_eq!(change.standing, Standing::Paired { credential: credential(2), mode: Mode::Full });
        assert_eq!(change.notice, Some(Notice::Unpaired));
    }
}
