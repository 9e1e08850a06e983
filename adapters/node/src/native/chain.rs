//! Capability tokens on the side of a node: reading their terms, and attenuating them.

use std::time::Duration;

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::identity::certificate::renews_at;
use handfast_core::grant::capability::{
    BlockTerms, CannotIssue, Chain, Holder, MalformedToken, Widening,
};
use handfast_core::grant::scope::{ScopeError, Scopes};
use handfast_core::limits::CAPABILITY_BYTES;
use handfast_core::{Label, UnixTime};
use zeroize::Zeroizing;

use crate::clock::unix_now;
use crate::tokens::SecretText;

/// The terms of a capability token. They are read without verification; the gateway decides whether
/// the token is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFacts {
    /// Start of validity.
    pub not_before: UnixTime,
    /// End of validity.
    pub expires: UnixTime,
    /// Allowed actions, each as `action:pattern`.
    pub scopes: Vec<String>,
    /// The keys of the holder.
    pub holder: Holder,
}

impl ChainFacts {
    fn of(chain: &Chain<'_>) -> Self {
        let leaf = chain.leaf();
        Self {
            not_before: leaf.terms().not_before,
            expires: leaf.terms().expires,
            scopes: leaf
                .terms()
                .scopes
                .as_slice()
                .iter()
                .map(|scope| format!("{}:{}", scope.action, scope.pattern.as_str()))
                .collect(),
            holder: *leaf.holder(),
        }
    }

    /// Parses the text of a capability token.
    ///
    /// # Errors
    /// [`MalformedToken`] with the cause.
    pub fn read(text: &str) -> Result<Self, MalformedToken> {
        let mut bytes = Zeroizing::new([0; CAPABILITY_BYTES]);
        Chain::parse(text.trim(), &mut bytes).map(|chain| Self::of(&chain))
    }

    /// Returns the time for the renewal: two thirds of the token's life.
    #[must_use]
    pub fn renew_at(&self) -> UnixTime {
        renews_at(self.not_before, self.expires)
    }
}

/// Returns the text and the terms of a capability token that was received as bytes.
pub(super) fn text_of(bytes: &[u8]) -> Result<(SecretText, ChainFacts), MalformedToken> {
    let chain = Chain::from_bytes(bytes)?;
    Ok((SecretText::new(chain.to_string()), ChainFacts::of(&chain)))
}

/// Returns the bytes of a capability token's text.
pub(super) fn bytes_of(text: &str) -> Result<Zeroizing<Vec<u8>>, MalformedToken> {
    let mut bytes = Zeroizing::new([0; CAPABILITY_BYTES]);
    Chain::parse(text.trim(), &mut bytes).map(|chain| Zeroizing::new(chain.as_bytes().to_vec()))
}

/// The reason for which no attenuated token is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDelegated {
    /// The node's own token cannot be parsed.
    #[error("the kept token is no capability ({0:?}); pair again")]
    Malformed(MalformedToken),
    /// A scope cannot be parsed.
    #[error("a scope is none: {0}; write it like read:/lights/**")]
    Scope(ScopeError),
    /// The lifetime is shorter than one second.
    #[error("it would last no time; give --for at least a second")]
    NoTime,
    /// The node's own token has expired.
    #[error("this node's own token has run out; pair again")]
    Expired,
    /// The scopes exceed those of the node's own token.
    #[error("a scope lies within none of this node's own; handfast-node status shows them")]
    WiderScopes,
    /// The new token would outlive the node's own token.
    #[error(
        "it would outlast this node's own token; handfast-node status shows when that ends: choose a shorter --for"
    )]
    Longer,
    /// The node's own token counts at another audience only.
    #[error("this node's own token counts at another audience only; leave --audience out")]
    OtherAudience,
    /// The node's own token belongs to another holder.
    #[error(
        "the token belongs to another key than this node's, so this node cannot delegate from it"
    )]
    NotTheHolder,
    /// The token was delegated too often already.
    #[error("the token was delegated as often as is possible; ask who holds the one above it")]
    TooDeep,
    /// The new token would exceed the size limit.
    #[error("the new token would be too long; name fewer scopes")]
    TooLong,
}

/// Makes an attenuated capability token for another holder, offline. It becomes valid when the
/// node's own token does, so the clocks need not agree. With an audience it counts at that verifier
/// alone; a gateway's audience is its fingerprint.
///
/// # Errors
/// [`NotDelegated`] with the cause.
pub fn delegate(
    keys: &OwnKeys,
    token: &SecretText,
    to: &Holder,
    scopes: &[String],
    lasts: Duration,
    audience: Option<Label<'_>>,
) -> Result<SecretText, NotDelegated> {
    let scopes = Scopes::parse(scopes.iter().map(String::as_str)).map_err(NotDelegated::Scope)?;
    let mut bytes = Zeroizing::new([0; CAPABILITY_BYTES]);
    let chain = Chain::parse(token.expose(), &mut bytes).map_err(NotDelegated::Malformed)?;
    let own = chain.leaf().terms();
    let now = unix_now();
    if lasts.as_secs() == 0 {
        return Err(NotDelegated::NoTime);
    }
    if own.expires <= now {
        return Err(NotDelegated::Expired);
    }
    let expires = UnixTime::from_secs(now.as_secs().saturating_add(lasts.as_secs()));
    // A token for one audience stays bound to it.
    let audience = audience.or(own.audience);
    let terms = BlockTerms { scopes, not_before: own.not_before, expires, audience };
    let mut out = Zeroizing::new([0; CAPABILITY_BYTES]);
    let made = chain.attenuate(&keys.signing, to, &terms, &mut out).map_err(|why| match why {
        CannotIssue::NotTheHolder => NotDelegated::NotTheHolder,
        CannotIssue::Wider(Widening::Scopes) => NotDelegated::WiderScopes,
        CannotIssue::Wider(Widening::Life) => NotDelegated::Longer,
        CannotIssue::Wider(Widening::Audience) => NotDelegated::OtherAudience,
        CannotIssue::NeverInForce => NotDelegated::NoTime,
        CannotIssue::TooDeep => NotDelegated::TooDeep,
        CannotIssue::TooLong => NotDelegated::TooLong,
    })?;
    Ok(SecretText::new(made.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use handfast_core::Entropy;
    use handfast_core::grant::capability::issue;

    fn keys(byte: u8) -> OwnKeys {
        OwnKeys::generate(&Entropy::from_recorded([byte; 64]))
    }

    fn token(scopes: &[&str], begins: u64, ends: u64) -> SecretText {
        let scopes = Scopes::parse(scopes.iter().copied()).unwrap();
        let terms = BlockTerms {
            scopes,
            not_before: UnixTime::from_secs(begins),
            expires: UnixTime::from_secs(ends),
            audience: None,
        };
        let mut out = [0; CAPABILITY_BYTES];
        let chain = issue(&keys(1).signing, &Holder::of(&keys(2)), &terms, &mut out).unwrap();
        SecretText::new(chain.to_string())
    }

    #[test]
    fn a_token_is_renewed_at_two_thirds_of_its_life() {
        let facts = ChainFacts::read(token(&["read:/**"], 1000, 1900).expose()).unwrap();
        assert_eq!(facts.renew_at(), UnixTime::from_secs(1600));
        assert_eq!(
            (facts.scopes, facts.expires),
            (vec!["read:/**".to_owned()], UnixTime::from_secs(1900))
        );
    }

    #[test]
    fn a_delegation_is_narrower_and_shorter_or_none() {
        let now = unix_now().as_secs();
        let own = token(&["read:/lights/**"], now, now + 3600);
        let to = Holder::of(&keys(3));
        let scope = |text: &str| [text.to_owned()];
        let hour = Duration::from_secs(60);
        let made = delegate(&keys(2), &own, &to, &scope("read:/lights/1"), hour, None).unwrap();
        let facts = ChainFacts::read(made.expose()).unwrap();
        assert_eq!((facts.scopes, facts.holder), (vec!["read:/lights/1".to_owned()], to));
        let not = |keys: &OwnKeys, scopes: &str, lasts| {
            delegate(keys, &own, &to, &scope(scopes), lasts, None).unwrap_err()
        };
        assert_eq!(not(&keys(2), "write:/lights/1", hour), NotDelegated::WiderScopes);
        assert_eq!(not(&keys(2), "read:/lights/1", hour * 600), NotDelegated::Longer);
        assert_eq!(not(&keys(3), "read:/lights/1", hour), NotDelegated::NotTheHolder);
        assert_eq!(not(&keys(2), "read:/lights/1", Duration::ZERO), NotDelegated::NoTime);
        assert!(matches!(not(&keys(2), "watch:/lights/1", hour), NotDelegated::Scope(_)));
    }
}
