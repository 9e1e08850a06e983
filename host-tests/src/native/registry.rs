//! The gateway's registry with its transactions: a simple model in memory that uses core's rules.

mod settling;

use std::collections::{BTreeMap, BTreeSet};

use handfast_core::crypto::code::Code;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::identity::clone_counter::CloneCounter;
use handfast_core::flow::native::settle::Denial;
use handfast_core::grant::capability::Holder;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{self, CodeId, Counted, Kind, NoGuess, PinRoom, Window};
use handfast_core::registry::grants::{Grant, GrantId};
use handfast_core::registry::record::Record;
use handfast_core::registry::rejection::Rejection;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::wire::native::pair::{Method, Selector};
use handfast_core::wire::setup::Nonce;
use handfast_core::{NodeId, Source, Span, UnixTime};

use super::identity::{StoredCertificate, StoredTask};

/// A code as it is stored.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The code's kind, end and counters.
    pub counted: Counted,
    /// The secret; `None` once it is spent.
    pub secret: Option<String>,
    /// Time of the latest reserved guess.
    pub reserved_at: UnixTime,
    /// The source that asked for it.
    pub source: Option<Source>,
    /// Number of codes that were minted before it.
    pub minted: usize,
}

/// Maximum number of live PINs.
const MOST_PINS: usize = 64;

/// A request, as the gateway stores it from `Ask` on.
#[derive(Clone, Debug)]
pub struct Request {
    /// Public keys of the node.
    pub holder: Holder,
    /// The node's name for people.
    pub name: String,
    /// The method that it asked by.
    pub method: Method,
}

/// An offer that is durable.
#[derive(Clone, Debug)]
pub struct Offered {
    /// Id of the grant.
    pub id: GrantId,
    /// Id of the node.
    pub node_id: NodeId,
    /// The capability token.
    pub chain: Option<Vec<u8>>,
}

/// The outcome of a request.
#[derive(Clone, Debug)]
pub enum Settled {
    /// The node is paired, and gets this offer.
    Offered(Offered),
    /// The operator has to decide.
    Waits,
    /// The request is refused.
    Refused(Denial),
}

/// A setup code that was shown and verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Nonce of the code.
    pub nonce: Nonce,
    /// End of the code.
    pub expires_at: UnixTime,
}

/// All state that survives a power cut of the gateway.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// The counters of marks, by static key.
    pub clones: BTreeMap<[u8; 32], CloneCounter>,
    /// The static keys that were paired anew, for the history.
    pub paired_anew: Vec<[u8; 32]>,
    /// The certificates, in the order in which they were issued.
    pub certificates: Vec<StoredCertificate>,
    /// The tasks of nodes.
    pub tasks: BTreeMap<DispatchId, StoredTask>,
    /// The nodes by id.
    pub records: BTreeMap<NodeId, Record>,
    /// The grants, in the order in which they were made.
    pub grants: Vec<Grant>,
    /// Ceilings that the operator set.
    pub ceilings: BTreeMap<NodeId, Ceiling>,
    /// PINs and codes by id.
    pub codes: BTreeMap<CodeId, Kept>,
    /// Number of minted codes.
    pub minted: usize,
    /// Every secret that was ever minted, for the audit: a code that is replaced while a guess is
    /// being counted is no longer among the codes.
    pub secrets: BTreeMap<CodeId, String>,
    /// The pairing window.
    pub window: Window,
    /// Number of wrong PINs of each source in this window.
    pub guesses: BTreeMap<Source, u8>,
    /// Scopes of new grants.
    pub scopes: ScopesBuf,
    /// Lifetime of new grants.
    pub grant_for: Option<Span>,
    /// Spent setup codes with their ends.
    pub setup_spent: BTreeMap<Nonce, UnixTime>,
    /// Latest end of the forgotten setup codes.
    pub setup_mark: UnixTime,
    /// Rejections of requests by key.
    pub rejections: BTreeMap<[u8; 32], Rejection>,
    /// Nodes that have proven that they know a static key of the gateway.
    pub known_keys: Vec<(NodeId, PublicKey)>,
    /// Lists of addresses that nodes have confirmed.
    pub known_addresses: Vec<(NodeId, &'static str)>,
    /// The capabilities that nodes announced.
    pub announced: BTreeSet<(NodeId, String)>,
}

impl Registry {
    /// Returns the record with this static key.
    #[must_use]
    pub fn by_key(&self, key: &PublicKey) -> Option<&Record> {
        self.records.values().find(|record| record.keys.is_some_and(|keys| keys.channel == *key))
    }

    /// Returns the grants of a node.
    #[must_use]
    pub fn grants_of(&self, node_id: NodeId) -> Vec<Grant> {
        self.grants.iter().filter(|grant| grant.node_id == node_id).cloned().collect()
    }

    /// Mints a PIN for this key. It replaces an older one of the key, and may displace another of
    /// the same source. `false` if there is no room.
    pub fn mint_pin(
        &mut self,
        id: CodeId,
        key: PublicKey,
        source: Source,
        pin: &str,
        now: UnixTime,
    ) -> bool {
        let lives = |kept: &Kept| {
            kept.counted.expires > now
                && kept.counted.uses_left > 0
                && kept.counted.kind != Kind::Pin(key)
        };
        let mut live: Vec<_> = self.codes.iter().filter(|(_, kept)| lives(kept)).collect();
        live.sort_by_key(|(_, kept)| kept.minted);
        let live: Vec<_> = live
            .into_iter()
            .filter_map(|(id, kept)| Some((*id, kept.counted.live_pin(kept.source)?)))
            .collect();
        let pins: Vec<_> = live.iter().map(|(_, pin)| *pin).collect();
        match codes::pin_room(&pins, Some(source), MOST_PINS) {
            PinRoom::Free => {}
            PinRoom::InPlaceOf(at) => {
                if let Some(kept) = live.get(at).and_then(|(id, _)| self.codes.get_mut(id)) {
                    kept.counted.expires = kept.counted.expires.min(now);
                    kept.secret = None;
                }
            }
            PinRoom::Full => return false,
        }
        for kept in self.codes.values_mut().filter(|kept| kept.counted.kind == Kind::Pin(key)) {
            kept.counted.expires = kept.counted.expires.min(now);
            kept.secret = None;
        }
        self.mint(id, Kind::Pin(key), pin, now.after(Span::from_secs(300)));
        if let Some(kept) = self.codes.get_mut(&id) {
            kept.source = Some(source);
        }
        true
    }

    /// Mints a code.
    pub fn mint(&mut self, id: CodeId, kind: Kind, secret: &str, expires: UnixTime) {
        let counted = Counted { kind, expires, guesses: 0, uses_left: 1 };
        let minted = self.minted;
        self.minted += 1;
        let kept = Kept {
            counted,
            secret: Some(secret.to_owned()),
            reserved_at: UnixTime::from_secs(0),
            source: None,
            minted,
        };
        self.codes.insert(id, kept);
        self.secrets.insert(id, secret.to_owned());
    }

    /// Finds the code with this selector.
    #[must_use]
    pub fn find_code(&self, selector: Selector) -> Option<(CodeId, Code)> {
        let found =
            self.codes.iter().find(|(_, kept)| kept.counted.kind == Kind::Code(selector))?;
        Some((*found.0, Code::parse(found.1.secret.as_deref()?).ok()?))
    }

    /// Returns the number of wrong PINs of a source.
    #[must_use]
    pub fn guesses_of(&self, source: Source) -> u8 {
        self.guesses.get(&source).copied().unwrap_or_default()
    }

    /// Opens or closes the pairing window.
    pub fn set_window(&mut self, window: Window) {
        self.window = window;
        if window.guesses == 0 {
            self.guesses.clear();
        }
    }

    /// Reserves a guess of a source.
    ///
    /// # Errors
    /// [`NoGuess`] with the reason.
    pub fn reserve(&mut self, id: CodeId, source: Source, now: UnixTime) -> Result<u8, NoGuess> {
        let of_source = self.guesses_of(source);
        let kept = self.codes.get_mut(&id).ok_or(NoGuess::Expired)?;
        let reserved = codes::reserve(&kept.counted, &self.window, of_source, now)?;
        self.guesses.insert(source, reserved.of_source);
        kept.counted.guesses = reserved.guesses;
        kept.reserved_at = now;
        self.window = reserved.window;
        Ok(reserved.left)
    }

    /// Gives a right guess back and spends the code.
    pub fn spend(&mut self, id: CodeId, source: Source) -> bool {
        let of_source = self.guesses_of(source);
        let Some(kept) = self.codes.get_mut(&id) else { return false };
        let Some((counted, window, of_source)) =
            codes::spend(&kept.counted, &self.window, of_source, kept.reserved_at)
        else {
            return false;
        };
        self.guesses.insert(source, of_source);
        kept.counted = counted;
        if counted.uses_left == 0 {
            kept.secret = None;
        }
        self.window = window;
        true
    }
}
