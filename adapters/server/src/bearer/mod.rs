//! Short-lived bearers for HTTP: what a link allows, for doors that know no sealed channel.
//!
//! Over its link a node, or a delegate, asks for a token. For five minutes, or until its link would
//! end, that token stands for the scopes of the link, in the header `Authorization: Bearer …`.
//! Revoking the node, its grant, or anything that it was delegated from ends it at once, and so
//! does muting. Bearers are kept in memory alone, as their SHA-256.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use handfast_core::grant::scope::Action;
//! use handfast_server::Gateway;
//! use handfast_server::bearer::Permit;
//!
//! # fn example(gateway: &Gateway) -> Router {
//! async fn who(permit: Permit) -> String {
//!     format!("{:?} may read here", permit.holder())
//! }
//!
//! // Whoever may read `/sensors/kitchen` may GET it.
//! Router::new()
//!     .route("/sensors/{name}", get(who))
//!     .route_layer(gateway.require(Action::Read))
//!     .with_state(gateway.clone())
//! # }
//! ```
//!
//! The token of a companion's session is a bearer as well. What it allows, the profile of the
//! session says ([`SetupSettings`](crate::setup::SetupSettings)); and it counts until the session
//! ends. It is looked up in the registry at each request, so a session that was revoked is refused
//! at once, by whichever gateway. A [`Permit`] takes both kinds, a [`Companion`] only sessions:
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use handfast_server::Gateway;
//! use handfast_server::bearer::Companion;
//!
//! # fn example(gateway: &Gateway) -> Router {
//! async fn greet(companion: Companion) -> String {
//!     let device = companion.info().device_label.as_ref().map_or("whoever you are", |label| label.as_str());
//!     format!("Hello, {device}. Your session ends at {}.", companion.expires_at().as_secs())
//! }
//!
//! Router::new().route("/greeting", get(greet)).with_state(gateway.clone())
//! # }
//! ```
//!
//! Where the request knows its peer ([`ConnectInfo`](axum::extract::ConnectInfo)), tokens that are
//! nobody's use up the attempts of its source, as wrong proofs of nodes do; then all that come from
//! there are answered 429 for a while, but for bearers of links.

mod companion;
mod layer;
mod permit;

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use handfast_core::crypto::{base64url, sha256, x25519};
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::capability::{self, Held};
use handfast_core::id::NodeId;
use handfast_core::registry::sessions::SessionId;
use handfast_core::time::{Instant, Span};
use handfast_core::wire::token::Token;
use zeroize::Zeroizing;

use crate::chance;
use crate::in_force::OwnedInForce;

pub use crate::hook::CompanionInfo;
pub use companion::Companion;
pub(crate) use layer::decoded;
pub use layer::{Require, Required};
pub use permit::{BearerRefused, Permit};

/// How long a bearer counts.
pub const LIFETIME: Duration = Duration::from_secs(300);
/// Most bearers at once; then the one that would expire first goes.
const MOST: usize = 65_536;
/// Most of one holder's, so that nobody drives out the others.
const MOST_OF_ONE: usize = 16;

/// Before the characters in the hash by which a bearer is found.
const LABEL: &[u8] = b"handfast/v1/bearer\0";

/// Whose a bearer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A node of the registry.
    Node(NodeId),
    /// A holder of a chain, by its static key.
    Delegate(x25519::PublicKey),
    /// A companion, by its session.
    Companion(SessionId),
}

impl From<Peer> for Holder {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Node(node_id) => Self::Node(node_id),
            Peer::Delegate(key) => Self::Delegate(key),
        }
    }
}

type Hash = [u8; 32];

/// The bearers that count.
#[derive(Debug, Default)]
pub(crate) struct Bearers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_hash: HashMap<Hash, Bearer>,
    by_expiry: BTreeSet<(Instant, Hash)>,
    /// The oldest first.
    by_tie: HashMap<Tie, Vec<Hash>>,
}

#[derive(Debug)]
struct Bearer {
    holder: Holder,
    /// What the holder's link rests on.
    held: Box<[Held]>,
    in_force: OwnedInForce,
    expires: Instant,
}

/// What a bearer ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Tie {
    Holder(Holder),
    Block(capability::Id),
    Key(x25519::PublicKey),
}

impl Bearer {
    fn ties(&self) -> Vec<Tie> {
        let mut ties = vec![Tie::Holder(self.holder)];
        ties.extend(self.held.iter().flat_map(|held| [Tie::Block(held.id), Tie::Key(held.by)]));
        ties
    }
}

impl Bearers {
    /// A fresh one, that counts for [`LIFETIME`], or for as long as is left if that is less. None
    /// if nothing is left.
    pub(crate) fn issue(
        &self,
        (holder, held): (Holder, &[Held]),
        in_force: impl Into<OwnedInForce>,
        left: Option<Duration>,
        now: Instant,
    ) -> Option<Token> {
        let lives = left.map_or(LIFETIME, |left| left.min(LIFETIME));
        if lives.is_zero() {
            return None;
        }
        let secret = chance::key();
        let characters = Zeroizing::new(base64url::encode_32(secret.expose()));
        let token = Token::parse(std::str::from_utf8(&*characters).ok()?)?;
        let expires =
            now.after(Span::from_millis(u64::try_from(lives.as_millis()).unwrap_or(u64::MAX)));
        let mut kept = self.0.lock().expect("no thread panics while it holds the bearers");
        kept.purge(now);
        kept.add(
            hash(token.expose()),
            Bearer { holder, held: held.into(), in_force: in_force.into(), expires },
        );
        Some(token)
    }

    /// Whose this is, and what it allows.
    pub(crate) fn find(&self, text: &str, now: Instant) -> Option<(Holder, OwnedInForce)> {
        // What has another form is nobody's; and it bounds what is hashed.
        let token = Token::parse(text)?;
        let kept = self.0.lock().expect("no thread panics while it holds the bearers");
        let bearer =
            kept.by_hash.get(&hash(token.expose())).filter(|bearer| now < bearer.expires)?;
        Some((bearer.holder, bearer.in_force.clone()))
    }

    /// Ends those of a node or a delegate.
    pub(crate) fn drop_holder(&self, holder: Holder) {
        self.drop_tied(&[Tie::Holder(holder)]);
    }

    /// Ends those that rest on any of these blocks.
    pub(crate) fn drop_blocks(&self, blocks: &[capability::Id]) {
        self.drop_tied(&blocks.iter().copied().map(Tie::Block).collect::<Vec<_>>());
    }

    /// Ends those that rest on a block of this holder's.
    pub(crate) fn drop_key(&self, key: &x25519::PublicKey) {
        self.drop_tied(&[Tie::Key(*key)]);
    }

    fn drop_tied(&self, ties: &[Tie]) {
        let mut kept = self.0.lock().expect("no thread panics while it holds the bearers");
        let tied: Vec<_> =
            ties.iter().filter_map(|tie| kept.by_tie.get(tie)).flatten().copied().collect();
        tied.iter().for_each(|hash| kept.remove(hash));
    }
}

impl Kept {
    fn add(&mut self, hash: Hash, bearer: Bearer) {
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
