//! Registration of nodes over HTTP by a provisioning token.
//!
//! ```text
//! token:  minted ──registers its node──▶ spent
//!            └──withdrawn, or its time over──▶ dead
//! node:   unknown ──token──▶ paired, by its native key or by its node key alone
//! ```
//! A token is bound to the name that the other system gave the node, and lets one node register
//! once. Whoever shows no valid token learns nothing: not which tokens exist, nor which names have
//! registered.

use super::codes::{Counted, Kind};
use super::record::{Cause, Standing};
use super::trusted_time::Moment;
use crate::grant::keyed_secret::KeyedHash;
use crate::id::opaque_id;
use crate::time::UnixTime;

opaque_id! {
    /// The public id of a node key.
    NodeKeyId
}

/// A provisioning token as the registry keeps it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StoredToken<'t> {
    /// The expiry of the token, and its uses.
    pub counted: Counted,
    /// The hash of the token; `None` once it is erased.
    pub hash: Option<KeyedHash>,
    /// The name of the node that may register.
    pub external: &'t str,
    /// The time of minting.
    pub created_at: UnixTime,
}

/// A node that registers, and what the registry knows of it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Registering<'r> {
    /// The token with the id that the node has shown.
    pub token: Option<StoredToken<'r>>,
    /// The hash of the token that the node has shown.
    pub shown: &'r KeyedHash,
    /// The name by which the node registers.
    pub external: &'r str,
    /// `true` if a node of this name has registered and is not revoked.
    pub is_registered: bool,
    /// The standing of the node with the same native key.
    pub standing: Option<&'r Standing>,
}

/// The reason for not registering a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotRegistered {
    /// The token is unknown, spent, over, or another node's.
    Token,
    /// Only a clock in doubt says that the token is over.
    ClockInDoubt,
    /// A node of this name has registered, or a node with this native key is paired.
    Already,
    /// The node's native key was revoked, which is final.
    Revoked,
    /// The maker of the token may not approve a node without a native key.
    NeedsKey,
}

/// Decides whether a node registers; its token is spent in the same step. A store calls this inside
/// the transaction that enters the node.
///
/// # Errors
/// [`NotRegistered`]; the token stays as it was.
pub fn register(node: &Registering<'_>, moment: &Moment) -> Result<(), NotRegistered> {
    let token = node.token.filter(|token| {
        let is_live = token.counted.kind == Kind::Provisioning && token.counted.uses_left > 0;
        // The hash is compared before the name, so a stranger cannot try names.
        is_live && token.hash.as_ref() == Some(node.shown) && token.external == node.external
    });
    let Some(StoredToken { counted, created_at, .. }) = token else {
        return Err(NotRegistered::Token);
    };
    if moment.doubts(created_at, counted.expires) {
        return Err(NotRegistered::ClockInDoubt);
    }
    if counted.expires <= moment.now {
        return Err(NotRegistered::Token);
    }
    // A name that has registered is told only to the holder of a valid token.
    if node.is_registered {
        return Err(NotRegistered::Already);
    }
    match node.standing {
        Some(Standing::Paired { .. } | Standing::Muted { .. }) => Err(NotRegistered::Already),
        Some(Standing::Revoked { cause: Cause::Unpaired | Cause::Barred }) => {
            Err(NotRegistered::Revoked)
        }
        // The token is the operator's approval, also of a node that waits or was rejected.
        Some(
            Standing::Pending { .. }
            | Standing::Unapproved { .. }
            | Standing::Revoked { cause: Cause::Rejected },
        )
        | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::record::{Credential, Mode};

    const SHOWN: KeyedHash = KeyedHash::from_bytes([7; 32]);

    fn now() -> Moment {
        UnixTime::from_secs(1000).into()
    }

    fn token() -> StoredToken<'static> {
        let expires = UnixTime::from_secs(1600);
        StoredToken {
            counted: Counted { kind: Kind::Provisioning, expires, guesses: 0, uses_left: 1 },
            hash: Some(SHOWN),
            external: "jarvis-0a1b2c3d",
            created_at: UnixTime::from_secs(1000),
        }
    }

    fn node(token: Option<StoredToken<'_>>) -> Registering<'_> {
        Registering {
            token,
            shown: &SHOWN,
            external: "jarvis-0a1b2c3d",
            is_registered: false,
            standing: None,
        }
    }

    fn at(seconds: u64, token: StoredToken<'_>) -> Result<(), NotRegistered> {
        register(&node(Some(token)), &UnixTime::from_secs(seconds).into())
    }

    #[test]
    fn a_token_lets_its_own_node_register_until_its_last_second() {
        assert_eq!((at(1000, token()), at(1599, token())), (Ok(()), Ok(())));
        assert_eq!(at(1600, token()), Err(NotRegistered::Token));
        let other = Registering { external: "jarvis-0a1b2c3e", ..node(Some(token())) };
        assert_eq!(register(&other, &now()), Err(NotRegistered::Token));
    }

    #[test]
    fn a_token_that_is_unknown_spent_erased_or_another_kind_of_code_registers_nobody() {
        let spent = Counted { uses_left: 0, ..token().counted };
        let kind = Kind::Code(crate::wire::native::pair::Selector::parse("K7QF").unwrap());
        for token in [
            None,
            Some(StoredToken { counted: spent, ..token() }),
            Some(StoredToken { hash: None, ..token() }),
            Some(StoredToken { hash: Some(KeyedHash::from_bytes([8; 32])), ..token() }),
            Some(StoredToken { counted: Counted { kind, ..token().counted }, ..token() }),
        ] {
            assert_eq!(register(&node(token), &now()), Err(NotRegistered::Token), "{token:?}");
        }
    }

    #[test]
    fn only_a_valid_token_is_told_that_its_node_has_registered() {
        let taken = |token| Registering { is_registered: true, ..node(token) };
        assert_eq!(register(&taken(Some(token())), &now()), Err(NotRegistered::Already));
        assert_eq!(register(&taken(None), &now()), Err(NotRegistered::Token));
    }

    #[test]
    fn a_revoked_key_stays_out_and_one_that_waits_or_was_rejected_is_paired() {
        let paired = Standing::Paired { credential: Credential::Keys, mode: Mode::Full };
        let muted = Standing::Muted { credential: Credential::Keys, restore: Mode::Full };
        let revoked = |cause| Standing::Revoked { cause };
        for (standing, then) in [
            (paired, Err(NotRegistered::Already)),
            (muted, Err(NotRegistered::Already)),
            (revoked(Cause::Unpaired), Err(NotRegistered::Revoked)),
            (revoked(Cause::Barred), Err(NotRegistered::Revoked)),
            (revoked(Cause::Rejected), Ok(())),
            (Standing::Pending { expires: UnixTime::from_secs(2000) }, Ok(())),
        ] {
            let node = Registering { standing: Some(&standing), ..node(Some(token())) };
            assert_eq!(register(&node, &now()), then, "{standing:?}");
        }
    }
}
