//! Bearers that links were exchanged for: kept in memory alone, found by their hash.

use crate::entropy;
use crate::gateway::in_force::OwnedInForce;
use handfast_core::crypto::{base64url, sha256, x25519};
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::capability::{self, Held};
use handfast_core::registry::sessions::SessionId;
use handfast_core::wire::token::Token;
use handfast_core::{Instant, NodeId, Span};
use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;
use zeroize::Zeroizing;

/// Lifetime of a bearer.
pub const LIFETIME: Duration = Duration::from_secs(300);

/// Maximum number of bearers at once; a new one replaces the one that would expire first.
const MOST: usize = 65_536;

/// Maximum number of bearers of one holder, so that no holder displaces the others.
const MOST_OF_ONE: usize = 16;

/// Prefix of the bearer's characters in the hash by which it is found.
const LABEL: &[u8] = b"handfast/v1/bearer\0";

/// The holder of a bearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BearerHolder {
    /// A node of the registry.
    Node(NodeId),
    /// A delegate, by its static key.
    Delegate(x25519::PublicKey),
    /// A companion, by its session.
    Companion(SessionId),
}

impl From<Peer> for BearerHolder {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Node(node_id) => Self::Node(node_id),
            Peer::Delegate(key) => Self::Delegate(key),
        }
    }
}

type Hash = [u8; 32];

/// All valid bearers.
#[derive(Debug, Default)]
pub(crate) struct Bearers(Mutex<CachedBearers>);

#[derive(Debug, Default)]
struct CachedBearers {
    by_hash: HashMap<Hash, CachedBearer>,
    by_expiry: BTreeSet<(Instant, Hash)>,
    /// Hashes by tie, the oldest first.
    by_tie: HashMap<Tie, Vec<Hash>>,
}

#[derive(Debug)]
struct CachedBearer {
    holder: BearerHolder,
    /// The blocks of the chain on which the holder's link rests; empty for a grant.
    held: Box<[Held]>,
    in_force: OwnedInForce,
    expires: Instant,
}

/// A holder, block or key whose end also ends the bearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Tie {
    Holder(BearerHolder),
    Block(capability::Id),
    Key(x25519::PublicKey),
}

impl CachedBearer {
    fn ties(&self) -> Vec<Tie> {
        let mut ties = vec![Tie::Holder(self.holder)];
        ties.extend(self.held.iter().flat_map(|held| [Tie::Block(held.id), Tie::Key(held.by)]));
        ties
    }
}

impl Bearers {
    /// Issues a bearer that is valid for [`LIFETIME`], or for the remaining time of the link if
    /// that is less. Returns `None` if no time remains.
    pub(crate) fn issue(
        &self,
        (holder, held): (BearerHolder, &[Held]),
        in_force: impl Into<OwnedInForce>,
        left: Option<Duration>,
        now: Instant,
    ) -> Option<Token> {
        let lives = left.map_or(LIFETIME, |left| left.min(LIFETIME));
        if lives.is_zero() {
            return None;
        }
        let secret = entropy::key();
        let characters = Zeroizing::new(base64url::encode_32(secret.expose()));
        let token = Token::parse(std::str::from_utf8(&*characters).ok()?)?;
        let expires =
            now.after(Span::from_millis(u64::try_from(lives.as_millis()).unwrap_or(u64::MAX)));
        let mut kept = self.0.lock().expect("no thread panics while it holds the bearers");
        kept.purge(now);
        kept.add(
            hash(token.expose()),
            CachedBearer { holder, held: held.into(), in_force: in_force.into(), expires },
        );
        Some(token)
    }

    /// Returns the holder of a bearer and its permissions.
    pub(crate) fn find(&self, text: &str, now: Instant) -> Option<(BearerHolder, OwnedInForce)> {
        // The form is checked first: it bounds the length of the text that is hashed.
        let token = Token::parse(text)?;
        let kept = self.0.lock().expect("no thread panics while it holds the bearers");
        let bearer =
            kept.by_hash.get(&hash(token.expose())).filter(|bearer| now < bearer.expires)?;
        Some((bearer.holder, bearer.in_force.clone()))
    }

    /// Ends the bearers of a holder.
    pub(crate) fn drop_holder(&self, holder: BearerHolder) {
        self.drop_tied(&[Tie::Holder(holder)]);
    }

    /// Ends the bearers that rest on any of these blocks.
    pub(crate) fn drop_blocks(&self, blocks: &[capability::Id]) {
        self.drop_tied(&blocks.iter().copied().map(Tie::Block).collect::<Vec<_>>());
    }

    /// Ends the bearers that rest on a block made for this key.
    pub(crate) fn drop_key(&self, key: &x25519::PublicKey) {
        self.drop_tied(&[Tie::Key(*key)]);
    }

    /// Ends the bearers that rest on any chain.
    pub(crate) fn drop_chained(&self) {
        self.drop_where(|bearer| !bearer.held.is_empty());
    }

    /// Ends the bearers of all companions.
    pub(crate) fn drop_companions(&self) {
        self.drop_where(|bearer| matches!(bearer.holder, BearerHolder::Companion(_)));
    }

    /// Ends all bearers.
    pub(crate) fn clear(&self) {
        self.drop_where(|_| true);
    }

    /// Returns `true` if there is no bearer.
    pub(crate) fn is_empty(&self) -> bool {
        let kept = self.0.lock().expect("no thread panics while it holds the bearers");
        kept.by_hash.is_empty()
    }

    fn drop_where(&self, ends: impl Fn(&CachedBearer) -> bool) {
        let mut kept = self.0.lock().expect("no thread panics while it holds the bearers");
        let all = kept.by_hash.iter();
        let ended: Vec<_> = all.filter(|(_, bearer)| ends(bearer)).map(|(hash, _)| *hash).collect();
        ended.iter().for_each(|hash| kept.remove(hash));
    }

    fn drop_tied(&self, ties: &[Tie]) {
        let mut kept = self.0.lock().expect("no thread panics while it holds the bearers");
        let tied: Vec<_> =
            ties.iter().filter_map(|tie| kept.by_tie.get(tie)).flatten().copied().collect();
        tied.iter().for_each(|hash| kept.remove(hash));
    }
}

impl CachedBearers {
    fn add(&mut self, hash: Hash, bearer: CachedBearer) {
        // A holder at its limit displaces its own oldest bearer, before any limit of all applies.
        let own = self.by_tie.get(&Tie::Holder(bearer.holder));
        if let Some(oldest) =
            own.filter(|own| own.len() >= MOST_OF_ONE).and_then(|own| own.first().copied())
        {
            self.remove(&oldest);
        }
        while self.by_hash.len() >= MOST {
            let Some((_, first)) = self.by_expiry.first().copied() else { break };
            self.remove(&first);
        }
        self.by_expiry.insert((bearer.expires, hash));
        bearer.ties().into_iter().for_each(|tie| self.by_tie.entry(tie).or_default().push(hash));
        self.by_hash.insert(hash, bearer);
    }

    fn purge(&mut self, now: Instant) {
        while let Some((_, hash)) =
            self.by_expiry.first().copied().filter(|(expires, _)| *expires <= now)
        {
            self.remove(&hash);
        }
    }

    fn remove(&mut self, hash: &Hash) {
        let Some(bearer) = self.by_hash.remove(hash) else { return };
        self.by_expiry.remove(&(bearer.expires, *hash));
        for tie in bearer.ties() {
            let Some(tied) = self.by_tie.get_mut(&tie) else { continue };
            tied.retain(|other| other != hash);
            if tied.is_empty() {
                self.by_tie.remove(&tie);
            }
        }
    }
}

fn hash(text: &str) -> Hash {
    sha256::hash_parts(LABEL, &[text.as_bytes()])
}

#[cfg(test)]
mod tests;
