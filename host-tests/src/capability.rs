//! A reference implementation of capability tokens: a simple writer that also writes invalid ones,
//! and a model that decides by the specification which are valid.

use std::sync::OnceLock;

use handfast_core::crypto::{ed25519, labels, sha256, x25519};
use handfast_core::grant::capability::{
    Authorised, Chain, Check, Denied, Held, Holder, PREFIX, verify,
};
use handfast_core::grant::scope::{Action, Address};
use handfast_core::limits::{CAPABILITY_BYTES, CAPABILITY_DEPTH};
use handfast_core::{Entropy, Label, UnixTime};

use crate::scopes::{STRANGER, address_outside, lists, matches, path, segments};

/// The keys of a gateway or a node.
pub struct Keys {
    /// X25519 key pair of its channels.
    pub channel: x25519::KeyPair,
    /// Ed25519 key pair of its signatures.
    pub signing: ed25519::KeyPair,
}

impl Keys {
    /// Returns the keys of a seed. They are made once: without optimisation they cost milliseconds.
    #[must_use]
    pub fn of(seed: u8) -> &'static Self {
        static ALL: [OnceLock<Keys>; 256] = [const { OnceLock::new() }; 256];
        ALL[usize::from(seed)].get_or_init(|| Self {
            channel: x25519::KeyPair::generate(&Entropy::from_recorded([seed; 32])),
            signing: ed25519::KeyPair::generate(&Entropy::from_recorded([seed; 32])),
        })
    }

    /// Returns the public keys.
    #[must_use]
    pub fn holder(&self) -> Holder {
        Holder { channel: *self.channel.public(), signing: Some(self.signing.public()) }
    }
}

/// A block before it is signed, with values that may be illegal.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Hash of the parent, or of the issuer's key.
    pub parent: [u8; 32],
    /// The holder's X25519 key.
    pub channel: [u8; 32],
    /// The holder's Ed25519 key.
    pub signing: Option<[u8; 32]>,
    /// Numbers of the actions, and patterns.
    pub scopes: Vec<(u64, String)>,
    /// Start of validity in Unix seconds.
    pub not_before: u64,
    /// End of validity in Unix seconds.
    pub expires: u64,
    /// Restriction to an audience; `None` for none.
    pub audience: Option<String>,
}

impl Draft {
    /// Encodes the bytes that are signed.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut body = [self.parent, self.channel].concat();
        match self.signing {
            None => body.push(0),
            Some(key) => {
                body.push(1);
                body.extend(key);
            }
        }
        body.extend(number(self.scopes.len() as u64));
        for (action, pattern) in &self.scopes {
            body.extend(number(*action));
            body.extend(prefixed(pattern));
        }
        body.extend(number(self.not_before));
        body.extend(number(self.expires));
        match &self.audience {
            None => body.push(0),
            Some(audience) => {
                body.push(1);
                body.extend(prefixed(audience));
            }
        }
        body
    }

    /// Encodes the block with a signature by any key.
    #[must_use]
    pub fn signed(&self, by: &ed25519::KeyPair) -> Vec<u8> {
        sign(self.body(), by)
    }
}

/// Appends a signature to a body.
#[must_use]
pub fn sign(mut body: Vec<u8>, by: &ed25519::KeyPair) -> Vec<u8> {
    let signature = by.sign(labels::CAPABILITY, [&body, &[]]);
    body.extend(signature.as_bytes());
    body
}

/// Encodes a number as LEB128.
#[must_use]
pub fn number(value: u64) -> Vec<u8> {
    let septets = (64 - value.leading_zeros()).div_ceil(7).max(1);
    (0..septets)
        .map(|at| (value >> (7 * at)) as u8 & 0x7f | if at + 1 < septets { 0x80 } else { 0 })
        .collect()
}

fn prefixed(text: &str) -> Vec<u8> {
    [number(text.len() as u64), text.as_bytes().to_vec()].concat()
}

/// Joins blocks to a token.
#[must_use]
pub fn token(blocks: &[Vec<u8>]) -> Vec<u8> {
    [number(blocks.len() as u64), blocks.concat()].concat()
}

/// Encodes bytes as unpadded base64url.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let characters = bits
        .chunks(6)
        .map(|six| (0..6).fold(0, |value, at| value << 1 | six.get(at).copied().unwrap_or(0)));
    characters.fold(PREFIX.to_owned(), |text, value| {
        text + &char::from(ALPHABET[usize::from(value)]).to_string()
    })
}

/// Returns the id of a signed block.
#[must_use]
pub fn id(block: &[u8]) -> [u8; 32] {
    sha256::hash_parts(labels::CAPABILITY_ID, &[block])
}

/// Returns the parent that a root of this gateway names.
#[must_use]
pub fn issuer(gateway: &Keys) -> [u8; 32] {
    sha256::hash_parts(labels::CAPABILITY_ISSUER, &[gateway.signing.public().as_bytes()])
}

/// Checks that a chain that parses is written by the simple writer as the same bytes and the same
/// text.
///
/// # Panics
/// If it is not.
pub fn reads_as_it_is_written(bytes: &[u8]) {
    let Ok(chain) = Chain::from_bytes(bytes) else { return };
    let mut written = number(chain.blocks().count() as u64);
    for block in chain.blocks() {
        let scopes = block.terms().scopes.as_slice().iter();
        let draft = Draft {
            // The library exposes neither field, but these bytes are their only form.
            parent: *bytes[written.len()..].first_chunk().expect("a parent"),
            channel: *block.holder().channel.as_bytes(),
            signing: block.holder().signing.map(|key| *key.as_bytes()),
            scopes: scopes
                .map(|scope| (scope.action as u64, scope.pattern.as_str().to_owned()))
                .collect(),
            not_before: block.terms().not_before.as_secs(),
            expires: block.terms().expires.as_secs(),
            audience: block.terms().audience.map(|audience| audience.as_str().to_owned()),
        };
        let start = written.len();
        written.extend(draft.body());
        let signature = bytes[written.len()..].first_chunk::<64>().expect("a signature");
        written.extend(signature);
        assert_eq!(block.id().as_bytes(), &id(&written[start..]));
    }
    assert_eq!(written, bytes);
    let shown = chain.to_string();
    assert_eq!(shown, text(bytes));
    assert_eq!(
        Chain::parse(&shown, &mut [0; CAPABILITY_BYTES]).expect("what is shown is read"),
        chain
    );
}

/// Checks a valid chain with bytes changed as the data says. Unchanged it is valid; a change
/// anywhere makes it invalid.
///
/// # Panics
/// If one of these does not hold.
pub fn any_change(data: &[u8]) {
    let (gateway, node, phone) = (Keys::of(1), Keys::of(2), Keys::of(3));
    let draft = |parent, holder: &Keys| Draft {
        parent,
        channel: *holder.channel.public().as_bytes(),
        signing: Some(*holder.signing.public().as_bytes()),
        scopes: vec![(1, "/a/**".to_owned()), (0, "/b".to_owned())],
        not_before: 100,
        expires: 1000,
        audience: Some("home".to_owned()),
    };
    let root = draft(issuer(gateway), node).signed(&gateway.signing);
    let leaf = draft(id(&root), phone).signed(&node.signing);
    let good = token(&[root, leaf]);
    let mut changed = good.clone();
    for change in data.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % changed.len();
        changed[at] ^= change[2];
    }
    reads_as_it_is_written(&changed);
    reads_as_it_is_written(data);
    let check = Check {
        gateway: &gateway.signing.public(),
        channel: phone.channel.public(),
        audience: Label::parse("home"),
        now: UnixTime::from_secs(500),
    };
    let counts =
        Chain::from_bytes(&changed).is_ok_and(|chain| verify(&chain, &check, |_| false).is_ok());
    assert_eq!(counts, changed == good, "{data:x?}");
}

fn covers((held, parent): &(u64, String), (asked, child): &(u64, String)) -> bool {
    held >= asked && address_outside(&segments(child), &segments(parent)).is_none()
}

fn lies_within(child: &Draft, parent: &Draft) -> bool {
    child.scopes.iter().all(|scope| parent.scopes.iter().any(|held| covers(held, scope)))
        && child.not_before >= parent.not_before
        && child.expires <= parent.expires
        && (parent.audience.is_none() || parent.audience == child.audience)
}

fn allowed(draft: &Draft, action: u64, address: &str) -> bool {
    draft
        .scopes
        .iter()
        .any(|(held, pattern)| *held >= action && matches(&segments(pattern), &segments(address)))
}

/// Checks a chain of arbitrary blocks, properly signed or not: it is valid exactly where the model
/// says so, and never allows what a block above refuses. Returns the number of its blocks if it is
/// valid.
///
/// # Panics
/// If one of these does not hold.
pub fn any_chain(data: &[u8]) -> Option<usize> {
    let mut data = data.iter();
    let mut next = |bound: u8| data.next().map_or(0, |byte| byte % bound);
    let (gateway, nodes) = (Keys::of(1), [Keys::of(2), Keys::of(3), Keys::of(4)]);
    let (mut drafts, mut blocks): (Vec<Draft>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let (mut signer, mut sound) = (gateway, true);
    let depth = usize::from(next(6));
    for _ in 0..depth {
        let holder = nodes[usize::from(next(3))];
        let above = drafts.last();
        let mut scopes: Vec<(u64, String)> =
            above.map(|above| above.scopes.clone()).unwrap_or_default();
        scopes.truncate(usize::from(next(4)));
        // A root has some scopes; a child seldom has more than some of its parent's.
        for _ in 0..if above.is_none() { 1 + next(3) } else { next(8) / 6 } {
            let tokens: Vec<&str> =
                (0..next(4)).map(|_| ["a", "b", "*", "**"][usize::from(next(4))]).collect();
            sound &= tokens.iter().filter(|token| **token == "**").count() < 2;
            scopes.push((u64::from(next(3)), path(&tokens)));
        }
        let draft = Draft {
            parent: blocks.last().map_or_else(|| issuer(gateway), |block| id(block)),
            channel: *holder.channel.public().as_bytes(),
            signing: Some(*holder.signing.public().as_bytes()),
            scopes,
            not_before: above.map_or(10, |above| above.not_before) + u64::from(next(4)) % 3,
            expires: above.map_or(20, |above| above.expires).saturating_sub(u64::from(next(4)) % 3),
            audience: [
                above.and_then(|above| above.audience.clone()),
                None,
                Some("x".into()),
                Some("y".into()),
            ][usize::from(next(24)).saturating_sub(20)]
            .clone(),
        };
        let (mut draft, mut by) = (draft, signer);
        match next(64) {
            1 => by = holder,
            2 => by = gateway,
            3 => draft.parent[7] ^= 4,
            4 => draft.parent = issuer(gateway),
            5 => draft.not_before = draft.not_before.saturating_sub(9),
            6 => draft.expires += 9,
            7 => draft.expires = draft.not_before,
            _ => {}
        }
        let expected = blocks.last().map_or_else(|| issuer(gateway), |block| id(block));
        let same_key = by.signing.public() == signer.signing.public();
        sound &= draft.parent == expected && same_key && draft.expires > draft.not_before;
        sound &= drafts.last().is_none_or(|above| lies_within(&draft, above));
        blocks.push(draft.signed(&by.signing));
        drafts.push(draft);
        signer = holder;
    }
    let bytes = token(&blocks);
    reads_as_it_is_written(&bytes);
    sound &= (1..=CAPABILITY_DEPTH).contains(&depth);
    let leaf = drafts.last().cloned();
    let channel = if next(8) == 0 { nodes[0] } else { signer };
    let audience = [None, Some("x"), Some("y")][usize::from(next(3))];
    let now = 9 + u64::from(next(14));
    let revoked = usize::from(next(16));
    let check = Check {
        gateway: &gateway.signing.public(),
        channel: channel.channel.public(),
        audience: audience.and_then(Label::parse),
        now: UnixTime::from_secs(now),
    };
    let is_revoked =
        |held: &Held| blocks.get(revoked).is_some_and(|block| held.id.as_bytes() == &id(block));
    let result: Result<Authorised, Option<Denied>> = match Chain::from_bytes(&bytes) {
        Ok(chain) => verify(&chain, &check, is_revoked).map_err(Some),
        Err(_) => Err(None),
    };
    let Some(leaf) = leaf else {
        assert!(result.is_err(), "no blocks");
        return None;
    };
    let counts = sound
        && channel.channel.public() == signer.channel.public()
        && (leaf.not_before..leaf.expires).contains(&now)
        && (leaf.audience.is_none() || leaf.audience.as_deref() == audience)
        && revoked >= depth;
    assert_eq!(result.is_ok(), counts, "{result:?} {drafts:?}");
    let authorised = result.ok()?;
    assert_eq!(authorised.subject().as_bytes(), &drafts[0].channel);
    assert_eq!(authorised.expires().as_secs(), leaf.expires);
    assert!(authorised.ids().map(|id| *id.as_bytes()).eq(blocks.iter().map(|block| id(block))));
    for address in lists(&["a", "b", STRANGER], 4) {
        let address = path(&address);
        for (number, action) in [Action::Read, Action::Write, Action::Admin].into_iter().enumerate()
        {
            let answer = authorised.allows(action, &Address::parse(&address).expect("an address"));
            assert_eq!(
                answer,
                allowed(&leaf, number as u64, &address),
                "{action} {address} {leaf:?}"
            );
            assert!(
                !answer || drafts.iter().all(|draft| allowed(draft, number as u64, &address)),
                "{action} {address} {drafts:?}"
            );
        }
    }
    Some(depth)
}
