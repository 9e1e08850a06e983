//! Persistent state of a node of the native wire: its keys, its pairing, and its token.
//!
//! The token is written before `native.json` names its grant, so after a power failure anywhere,
//! the grant that `native.json` names has its token. If the token is the newer of the two,
//! [`NativeKeeper::load`] uses the token's data.

use std::path::Path;

use getrandom::SysRng;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::{NativeMemory, Paired};
use handfast_core::grant::capability::Holder;
use handfast_core::registry::grants::GrantId;
use handfast_core::secret::Secret;
use handfast_core::{Entropy, NodeId};

use super::address_book::ToldAddresses;
use super::board;
use super::certificate::{self, CertificateFacts, CertificateStore};
use super::chain::{ChainFacts, text_of};
use super::record::{self, NativeIdentity};
use crate::clock::unix_now;
use crate::standing::{NodeStanding, Teller};
use crate::state::{ADDRESSES, CERTIFICATE, HeldState, KEYS, NATIVE, StateDir, StateError};
use crate::tokens::{KeySource, TokenEntry, TokenStore, TokensError};

/// The reason for which state cannot be stored or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NativeStorageError {
    /// The state directory failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The token store failed.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The board of dispatches does not fit its file.
    #[error("the board of dispatches cannot be written; report this as a mistake of this program")]
    Board,
}

impl StateDir {
    /// Loads the identity and pairing of a node of the native wire; `None` if none was ever stored.
    ///
    /// # Errors
    /// [`StateError`] if the file exists but cannot be read, is readable by others, or is damaged.
    pub fn load_native(&self) -> Result<Option<(NativeIdentity, NativeMemory)>, StateError> {
        self.read_as(NATIVE, record::read_native)
    }

    /// Loads the addresses that the gateway told the node under this id; `None` if it told none.
    ///
    /// # Errors
    /// As [`load_native`](Self::load_native).
    pub fn load_addresses(&self, node_id: NodeId) -> Result<Option<ToldAddresses>, StateError> {
        let told = self.read_as(ADDRESSES, ToldAddresses::read)?;
        // A power cut between two pairings leaves those of the earlier one.
        Ok(told.filter(|told| told.node_id == node_id))
    }

    /// Loads the terms of the node's newest certificate; `None` if there is none.
    ///
    /// # Errors
    /// As [`load_native`](Self::load_native).
    pub fn load_certificate(&self) -> Result<Option<CertificateFacts>, StateError> {
        Ok(self.load_certificates()?.newest().cloned())
    }

    pub(super) fn load_certificates(&self) -> Result<CertificateStore, StateError> {
        Ok(self.read_as(CERTIFICATE, certificate::read)?.unwrap_or_default())
    }

    /// Loads the keys of a node of the native wire; `None` if there are none yet.
    ///
    /// # Errors
    /// As [`load_native`](Self::load_native).
    pub fn load_keys(&self) -> Result<Option<OwnKeys>, StateError> {
        self.read_as(KEYS, record::read_keys)
    }

    fn read_as<T>(
        &self,
        name: &str,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, StateError> {
        let damaged = |why| StateError::Damaged { path: self.path().join(name), why };
        self.read_file(name)?.map(|bytes| read(&bytes).map_err(damaged)).transpose()
    }
}

impl HeldState {
    /// Loads the keys of a node of the native wire, or generates and stores them.
    ///
    /// # Errors
    /// [`NativeStorageError`] if the keys cannot be read or written, or there is no randomness for
    /// new ones.
    pub fn keys(&self) -> Result<OwnKeys, NativeStorageError> {
        if let Some(keys) = self.dir().load_keys()? {
            return Ok(keys);
        }
        let keys = OwnKeys::generate(&Entropy::try_draw(&mut SysRng)?);
        // The keys are durable before a gateway learns them.
        self.write_file(KEYS, &record::write_keys(&keys))?;
        Ok(keys)
    }
}

/// Opens the token store of a node. A store in the state directory has its key file beside it,
/// because a service starts before anybody unlocks a keyring.
///
/// # Errors
/// [`TokensError`] if the store exists but cannot be used.
pub fn open_tokens(identity: &NativeIdentity, state: &Path) -> Result<TokenStore, TokensError> {
    let path = identity.tokens.clone();
    if identity.plain_tokens {
        TokenStore::open(path, KeySource::Plain)
    } else if path.parent() == Some(state) {
        let beside = KeySource::beside(&path);
        TokenStore::open(path, beside)
    } else {
        TokenStore::open_usual(path)
    }
}

/// Storage for the state of a running node.
pub(super) struct NativeKeeper {
    pub(super) state: HeldState,
    tokens: TokenStore,
    own: Holder,
    /// The key that seals the board.
    pub(super) seal: Secret<32>,
}

/// The state to store, with its capability token if a new one came.
pub(super) struct ToKeep {
    pub(super) identity: NativeIdentity,
    pub(super) memory: NativeMemory,
    pub(super) chain: Option<Vec<u8>>,
    /// The gateway's name for people, if it told one.
    pub(super) gateway_name: Option<String>,
}

impl NativeKeeper {
    pub(super) fn new(
        state: HeldState,
        identity: &NativeIdentity,
        keys: &OwnKeys,
    ) -> Result<Self, NativeStorageError> {
        let tokens = open_tokens(identity, state.dir().path())?;
        Ok(Self { state, tokens, own: Holder::of(keys), seal: board::seal_key(keys) })
    }

    /// Loads the pairing, with the terms of the stored token.
    pub(super) fn load(
        &self,
        identity: &NativeIdentity,
    ) -> Result<(NativeMemory, Option<ChainFacts>), NativeStorageError> {
        let memory =
            self.state.dir().load_native()?.map_or(NativeMemory::Blank, |(_, memory)| memory);
        let NativeMemory::Paired(paired) = memory else { return Ok((memory, None)) };
        // A node without its token still links, and then learns that it may do nothing.
        let entry = match self
            .tokens
            .get(&identity.gateways.first().map(super::GatewayAt::router).unwrap_or_default())
        {
            // An entry of another pairing at the same address is not this node's.
            Ok(entry) => entry.filter(|entry| entry.node_id == Some(paired.node_id)),
            Err(error) => {
                tracing::warn!("the kept token cannot be used: {error}");
                None
            }
        };
        let Some(entry) = entry else { return Ok((memory, None)) };
        // The token is written first, so its entry may be newer than the file.
        let newer = Paired {
            gateway: entry.gateway_key.unwrap_or(paired.gateway),
            grant: entry.grant.map_or(paired.grant, GrantId::from_bytes),
            ..paired
        };
        Ok((NativeMemory::Paired(newer), ChainFacts::read(entry.token.expose()).ok()))
    }

    pub(super) fn tell(&self, teller: &mut Teller, standing: NodeStanding) {
        teller.tell(&self.state, standing);
    }

    /// Makes the state durable. A pairing with another gateway replaces the one before, whose token
    /// is removed. Returns the terms of the stored token, if there is one.
    pub(super) fn keep(
        &self,
        ToKeep { identity, memory, chain, gateway_name }: ToKeep,
    ) -> Result<Option<ChainFacts>, NativeStorageError> {
        let router = identity.gateways.first().map(super::GatewayAt::router).unwrap_or_default();
        let mut facts = None;
        // The token goes first, so that `native.json` never names a grant without its token.
        if let NativeMemory::Paired(paired) = &memory {
            facts = self.keep_token(&router, paired, chain, gateway_name)?;
        }
        // Read before it is overwritten, because it names the earlier gateway.
        let before = self.state.dir().load_native().ok().flatten().map(|(before, _)| before);
        self.state.write_file(NATIVE, &record::write_native(&identity, &memory))?;
        // The old token is removed only once the new pairing is durable.
        if let NativeMemory::Paired(_) = &memory {
            self.forget_others(before.as_ref(), &identity)?;
        }
        // A power cut before the removal leaves a token that no file names.
        if matches!(memory, NativeMemory::Blank) {
            self.tokens.remove(&router)?;
        }
        Ok(facts)
    }

    /// Makes durable that the gateway has moved: its first address is another one now, and its
    /// entry in the token store goes with it from `before`.
    pub(super) fn keep_address(
        &self,
        before: &str,
        identity: &NativeIdentity,
    ) -> Result<(), NativeStorageError> {
        let Some((_, memory)) = self.state.dir().load_native()? else { return Ok(()) };
        let router = identity.gateways.first().map(super::GatewayAt::router).unwrap_or_default();
        let moved = match &memory {
            NativeMemory::Paired(paired) if router != before => {
                self.tokens.get(before)?.filter(|entry| entry.node_id == Some(paired.node_id))
            }
            NativeMemory::Paired(_) | NativeMemory::Asked { .. } | NativeMemory::Blank => None,
        };
        let has_moved = moved.is_some();
        // The token goes first, so that `native.json` never names an address without its token.
        if let Some(entry) = moved {
            self.tokens.put(&router, entry)?;
        }
        self.state.write_file(NATIVE, &record::write_native(identity, &memory))?;
        if has_moved {
            self.tokens.remove(before)?;
        }
        Ok(())
    }

    /// Loads the addresses that the gateway told, under this pairing.
    pub(super) fn addresses(&self, memory: &NativeMemory) -> Option<ToldAddresses> {
        let NativeMemory::Paired(paired) = memory else { return None };
        // The node still reaches its gateway at its own addresses, and is told the others again.
        self.state.dir().load_addresses(paired.node_id).unwrap_or_else(|error| {
            tracing::warn!("the addresses that the gateway told cannot be used: {error}");
            None
        })
    }

    /// Makes the addresses that the gateway tells durable, or removes those of a pairing that is
    /// over.
    pub(super) fn keep_addresses(
        &self,
        told: Option<&ToldAddresses>,
    ) -> Result<(), NativeStorageError> {
        match told {
            Some(told) => self.state.write_file(ADDRESSES, &told.write())?,
            None => self.state.remove_file(ADDRESSES)?,
        }
        Ok(())
    }

    /// Stores the gateway's name in its entry, if there is one.
    pub(super) fn keep_name(&self, router: &str, name: &str) -> Result<(), NativeStorageError> {
        // An equal name costs no write.
        if let Some(mut entry) = self.tokens.get(router)?.filter(|entry| entry.name != name) {
            name.clone_into(&mut entry.name);
            self.tokens.put(router, entry)?;
        }
        Ok(())
    }

    /// Loads the certificates.
    pub(super) fn certificates(&self) -> Result<CertificateStore, NativeStorageError> {
        Ok(self.state.dir().load_certificates()?)
    }

    /// Makes the certificates durable.
    pub(super) fn keep_certificates(
        &self,
        certificates: &CertificateStore,
    ) -> Result<(), NativeStorageError> {
        Ok(self.state.write_file(CERTIFICATE, &certificate::write(certificates))?)
    }

    /// Removes the entry of the gateway that this node was paired with before, if it holds a token
    /// of the node's own: nothing could use it any more.
    fn forget_others(
        &self,
        before: Option<&NativeIdentity>,
        now: &NativeIdentity,
    ) -> Result<(), NativeStorageError> {
        // A token store that the node no longer uses is left alone.
        let Some(before) = before.filter(|before| before.tokens == now.tokens) else {
            return Ok(());
        };
        let kept = now.gateways.first().map(super::GatewayAt::router);
        if let Some(router) = before
            .gateways
            .first()
            .map(super::GatewayAt::router)
            .filter(|router| Some(router) != kept.as_ref())
        {
            // An entry that cannot be read is left alone.
            let own = self.tokens.get(&router).ok().flatten();
            if own.is_some_and(|entry| {
                ChainFacts::read(entry.token.expose()).is_ok_and(|facts| facts.holder == self.own)
            }) {
                self.tokens.remove(&router)?;
                tracing::info!(
                    "the pairing with the gateway at {router} is given up for the new one; its token is forgotten"
                );
            }
        }
        Ok(())
    }

    fn keep_token(
        &self,
        router: &str,
        paired: &Paired,
        chain: Option<Vec<u8>>,
        gateway_name: Option<String>,
    ) -> Result<Option<ChainFacts>, NativeStorageError> {
        // An entry that cannot be read counts as none, since it is replaced.
        let before = self.tokens.get(router).ok().flatten();
        let before_it = |entry: &TokenEntry| entry.node_id == Some(paired.node_id);
        let (token, facts) = match chain.as_deref().map(text_of) {
            Some(Ok((token, facts))) if facts.holder == self.own => (token, facts),
            Some(Ok(_)) => {
                tracing::error!(
                    "the gateway sent a token that belongs to another key; it is not kept"
                );
                return Ok(None);
            }
            Some(Err(why)) => {
                tracing::error!(?why, "the gateway sent a token that is none; it is not kept");
                return Ok(None);
            }
            None => return self.keep_without_token(router, paired, before),
        };
        let kept = before.filter(before_it);
        let (paired_at, name) = kept
            .map_or_else(|| (unix_now(), router.to_owned()), |entry| (entry.paired_at, entry.name));
        let mut entry = TokenEntry::new(token, paired_at, gateway_name.unwrap_or(name));
        entry.expires_at = Some(facts.expires);
        entry.permissions = Some(facts.scopes.clone());
        name_pairing(&mut entry, paired);
        self.tokens.put(router, entry)?;
        Ok(Some(facts))
    }

    /// Updates the entry of a pairing that changed without a new token: the gateway has another
    /// key, or the node was given no scopes.
    fn keep_without_token(
        &self,
        router: &str,
        paired: &Paired,
        before: Option<TokenEntry>,
    ) -> Result<Option<ChainFacts>, NativeStorageError> {
        match before {
            Some(mut entry) if entry.grant == Some(*paired.grant.as_bytes()) => {
                name_pairing(&mut entry, paired);
                let facts = ChainFacts::read(entry.token.expose()).ok();
                self.tokens.put(router, entry)?;
                Ok(facts)
            }
            // A token of an earlier grant is no longer valid.
            Some(_) | None => {
                self.tokens.remove(router)?;
                Ok(None)
            }
        }
    }
}

fn name_pairing(entry: &mut TokenEntry, paired: &Paired) {
    entry.gateway_key = Some(paired.gateway);
    entry.fingerprint = Some(Fingerprint::of(&paired.gateway));
    entry.node_id = Some(paired.node_id);
    entry.grant = Some(*paired.grant.as_bytes());
}
