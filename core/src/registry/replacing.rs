//! A node that takes the place of another: its name, its room and its rights, while the other one is
//! revoked.

use crate::grant::scope::ScopesBuf;
use crate::registry::ceiling::Ceiling;
use crate::registry::lifecycle::{Change, Decision, as_delivered, decide};
use crate::registry::record::{Credential, Record, Standing};
use crate::time::{Span, UnixTime};

/// The reason for which a node cannot take the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CannotReplace {
    /// Both are the same node.
    Itself,
    /// The request is by a node without keys. Its token is only good once it was delivered, and
    /// until then the decision may be undone; that of the other node's end may not.
    NoKeys,
    /// The request does not wait any more.
    NotWaiting,
    /// The request has expired.
    Expired,
    /// The other node waits itself, so it has nothing to hand over.
    OldWaits,
    /// The other node is muted. What would take its place would not be.
    OldMuted,
    /// The other node is revoked, or was rejected.
    OldRevoked,
    /// The other node's rights have ended, or it never had any that could be handed over.
    OldHasNothing,
}

/// The standings of two nodes of which one takes the other's place. Both are saved in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a change that is not saved did not happen"]
pub struct Replacing {
    /// The standing of the node that takes the place.
    pub standing: Standing,
    /// The change of the node whose place is taken.
    pub replaced: Change,
}

/// Decides about a waiting request that is to take the place of another node. The mode moves with
/// the place.
///
/// # Errors
/// [`CannotReplace`], without a change of either.
pub fn replace(new: &Record, old: &Record, now: UnixTime) -> Result<Replacing, CannotReplace> {
    if new.node_id == old.node_id {
        return Err(CannotReplace::Itself);
    }
    if new.keys.is_none() {
        return Err(CannotReplace::NoKeys);
    }
    match new.standing {
        Standing::Pending { expires } if expires <= now => return Err(CannotReplace::Expired),
        Standing::Pending { .. } => {}
        Standing::Unapproved { .. }
        | Standing::Paired { .. }
        | Standing::Muted { .. }
        | Standing::Revoked { .. } => return Err(CannotReplace::NotWaiting),
    }
    // A token whose delivery has lapsed counts as undone, even before that is stored.
    let standing = as_delivered(&old.standing, now);
    let mode = match &standing {
        Standing::Paired { mode, .. } => *mode,
        Standing::Muted { .. } => return Err(CannotReplace::OldMuted),
        Standing::Pending { .. } | Standing::Unapproved { .. } => {
            return Err(CannotReplace::OldWaits);
        }
        Standing::Revoked { .. } => return Err(CannotReplace::OldRevoked),
    };
    let replaced =
        decide(&standing, Decision::Unpair, now).map_err(|_| CannotReplace::OldRevoked)?;
    Ok(Replacing { standing: Standing::Paired { credential: Credential::Keys, mode }, replaced })
}

/// Returns the rights that move with a node's place, and the rest of their life if they have an end.
///
/// # Errors
/// [`CannotReplace::OldHasNothing`] if they are over, or unknown.
pub fn rights(
    ceiling: Option<&Ceiling>,
    now: UnixTime,
) -> Result<(&ScopesBuf, Option<Span>), CannotReplace> {
    let ceiling =
        ceiling.filter(|ceiling| !ceiling.is_over(now)).ok_or(CannotReplace::OldHasNothing)?;
    let left = |end: UnixTime| Span::from_secs(end.as_secs().saturating_sub(now.as_secs()));
    Ok((&ceiling.scopes, ceiling.expires.map(left)))
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::crypto::x25519;
    use crate::entropy::Entropy;
    use crate::grant::capability::Holder;
    use crate::id::NodeId;
    use crate::registry::lifecycle::Notice;
    use crate::registry::record::{AskMethod, Asked, Cause, Mode};
    use crate::registry::sessions::Maker;
    use crate::text::Label;

    const NOW: UnixTime = UnixTime::from_secs(1_000);

    fn record(id: u8, standing: Standing) -> Record {
        let key = x25519::KeyPair::generate(&Entropy::from_recorded([id; 32]));
        Record {
            node_id: NodeId::from_bytes([id; 16]),
            name: Label::parse("lamp").unwrap().into(),
            room: Label::parse("hall").unwrap().into(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            keys: Some(Holder { channel: *key.public(), signing: None }),
            asked_at: NOW,
            asked: Asked::by(AskMethod::Approval),
            standing,
        }
    }

    fn waiting(id: u8) -> Record {
        record(id, Standing::Pending { expires: UnixTime::from_secs(1_001) })
    }

    fn paired(mode: Mode) -> Standing {
        Standing::Paired { credential: Credential::Keys, mode }
    }

    #[test]
    fn a_waiting_node_takes_the_place_and_the_mode_of_a_paired_one_which_is_revoked() {
        for mode in [Mode::Full, Mode::SafeChat] {
            let done = replace(&waiting(1), &record(2, paired(mode)), NOW).unwrap();
            assert_eq!(done.standing, paired(mode));
            assert_eq!(done.replaced.standing, Standing::Revoked { cause: Cause::Unpaired });
            assert_eq!(done.replaced.notice, Some(Notice::Unpaired));
        }
    }

    #[test]
    fn each_pair_of_nodes_that_cannot_change_places_has_its_reason() {
        let old = || record(2, paired(Mode::Full));
        let keyless = Record { keys: None, ..waiting(1) };
        let expired = record(1, Standing::Pending { expires: NOW });
        let muted = Standing::Muted { credential: Credential::Keys, restore: Mode::Full };
        let revoked = Standing::Revoked { cause: Cause::Unpaired };
        for (new, old, why) in [
            (waiting(2), old(), CannotReplace::Itself),
            (keyless, old(), CannotReplace::NoKeys),
            (expired, old(), CannotReplace::Expired),
            (record(1, paired(Mode::Full)), old(), CannotReplace::NotWaiting),
            (record(1, revoked.clone()), old(), CannotReplace::NotWaiting),
            (waiting(1), waiting(2), CannotReplace::OldWaits),
            (waiting(1), record(2, muted), CannotReplace::OldMuted),
            (waiting(1), record(2, revoked), CannotReplace::OldRevoked),
        ] {
            assert_eq!(replace(&new, &old, NOW), Err(why));
        }
    }

    #[test]
    fn rights_move_with_the_rest_of_their_life_and_never_after_their_end() {
        let until = |expires| Ceiling {
            scopes: ScopesBuf::default(),
            expires,
            named: true,
            maker: Maker::Operator,
        };
        assert_eq!(rights(Some(&until(None)), NOW).unwrap().1, None);
        let ends = until(Some(UnixTime::from_secs(1_060)));
        assert_eq!(rights(Some(&ends), NOW).unwrap().1, Some(Span::from_secs(60)));
        assert_eq!(rights(Some(&until(Some(NOW))), NOW), Err(CannotReplace::OldHasNothing));
        assert_eq!(rights(None, NOW), Err(CannotReplace::OldHasNothing));
    }
}
