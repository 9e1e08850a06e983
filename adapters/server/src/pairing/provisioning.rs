//! The registration of nodes by provisioning tokens, and the keys of nodes that have registered.

use std::net::IpAddr;
use std::time::Duration;

use handfast_core::crypto::x25519;
use handfast_core::grant::keyed_secret::{KeyedSecret, SecretUse};
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::grant::token::TokenHash;
use handfast_core::registry::authority::Authority;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::provisioning::{NodeKeyId, NotRegistered, Registering, register};
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record, Standing};
use handfast_core::wire::native::pair::Method;
use handfast_core::{Name, NodeId, Source};
use handfast_store::{
    NewProvisioned, ProvisionedNode, ProvisionedRights, SaveError, StoreError, Stored, StoredCode,
};

use super::known_key::KnownKey;
use super::session::ToBePaired;
use crate::entropy;
use crate::events::Event;
use crate::gateway::{Gateway, MOST_CONFLICTS};
use crate::policy::request::OwnedRequest;
use crate::policy::rules::ApprovalTerms;
use crate::telemetry::log_lines::{CausedBy, limited};

/// A node's request to register.
#[derive(Debug)]
pub(crate) struct RegisterRequest {
    /// The name by which the node registers.
    pub(crate) external: Name,
    pub(crate) token: KeyedSecret,
    pub(crate) room: Name,
    /// The static key of the native wire, if the node has one. Nothing proves it here: the node
    /// proves it with its first link, and nobody else can.
    pub(crate) native_key: Option<x25519::PublicKey>,
    pub(crate) address: IpAddr,
}

/// A node that has registered.
#[derive(Debug)]
pub(crate) struct RegisteredNode {
    /// The node's key for HTTP requests, which is shown only now.
    pub(crate) key: KeyedSecret,
}

/// The reason for which a node has not registered.
#[derive(Debug)]
pub(crate) enum RegisterFailure {
    Refused(NotRegistered),
    /// The registry changed too often meanwhile.
    Busy,
    Store(StoreError),
}

impl From<StoreError> for RegisterFailure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The node of an HTTP request, by its key.
#[derive(Debug)]
pub(crate) enum NodeOfKey {
    /// The node is paired, and may do what its permissions allow.
    Admitted(Box<(ProvisionedNode, Record, Mode)>),
    /// The operator has muted the node, or it is in quarantine.
    Silenced,
    /// The key is unknown, or counts no more.
    Unknown,
}

impl Gateway {
    /// Registers a node and spends its token. It runs to completion even if the connection is lost.
    pub(crate) async fn register_node(
        &self,
        request: RegisterRequest,
    ) -> Result<RegisteredNode, RegisterFailure> {
        let gateway = self.clone();
        // A task of its own goes on when the connection is dropped.
        let registered = tokio::spawn(async move { gateway.register_now(&request).await });
        registered.await.unwrap_or(Err(RegisterFailure::Busy))
    }

    async fn register_now(
        &self,
        request: &RegisterRequest,
    ) -> Result<RegisteredNode, RegisterFailure> {
        let inner = &self.inner;
        let refused = |no| Err(RegisterFailure::Refused(no));
        for _ in 0..MOST_CONFLICTS {
            let token = CodeId::from_bytes(*request.token.id());
            let Some(code) = inner.store.code(token).await? else {
                // An unknown token is answered like one that counts no more.
                return refused(NotRegistered::Token);
            };
            let known = match &request.native_key {
                Some(key) => Some(self.known_key(key).await?),
                None => None,
            };
            let shown = request.token.hash();
            let registering = Registering {
                token: code.as_token(),
                shown: &shown,
                external: request.external.as_str(),
                // The store knows, and decides again in the step that enters the node.
                is_registered: false,
                standing: known.as_ref().and_then(KnownKey::standing),
            };
            // Decided before anything is made, so that a stranger causes no more than two reads.
            if let Err(no) = register(&registering, &inner.clock.moment()) {
                return refused(no);
            }
            let stored = known.and_then(|known| known.stored);
            let Some(authority) = self.authority_of(code.maker).await? else {
                // The session that minted the token has ended, and the token with it.
                return refused(NotRegistered::Token);
            };
            // Each try draws a fresh key; those of failed tries were shown to nobody.
            let key = KeyedSecret::mint(SecretUse::NodeKey, &entropy::draw(), &entropy::draw());
            let made = match &request.native_key {
                Some(native) => self.with_native_key(&authority, request, *native, &code, &stored),
                None => self.without_native_key(&authority, request, &code, &key),
            };
            let (record, rights) = made?;
            if let Some(stored) = &stored {
                // What the node has from an earlier pairing ends before it is paired anew.
                self.pairs_anew(&stored.record).await?;
            }
            let paired = record.clone();
            let new = NewProvisioned {
                token,
                shown,
                node: ProvisionedNode {
                    node_id: record.node_id,
                    external: request.external.clone(),
                    key: NodeKeyId::from_bytes(*key.id()),
                    hash: key.hash(),
                },
                record,
                profile: "{}".to_owned(),
                read_at: stored.map(|stored| stored.version),
                rights: rights.clone(),
            };
            match self.store().register(new, inner.clock.moment()).await {
                Ok(Ok(())) => {
                    // The step is durable, so its events may be told.
                    self.has_registered(paired, rights);
                    return Ok(RegisteredNode { key });
                }
                Ok(Err(no)) => return refused(no),
                // The registry has changed since it was read, so everything is decided anew.
                Err(SaveError::Conflict | SaveError::Missing) => {}
                Err(SaveError::Store(error)) => return Err(error.into()),
            }
        }
        Err(RegisterFailure::Busy)
    }

    /// Prepares a node that links over the native wire, with the rights that its token brings.
    fn with_native_key(
        &self,
        authority: &Authority,
        request: &RegisterRequest,
        key: x25519::PublicKey,
        code: &StoredCode,
        stored: &Option<Stored>,
    ) -> Result<(Record, ProvisionedRights), RegisterFailure> {
        let asks = OwnedRequest {
            key,
            // A signing key is proven by a signature, and there is none here.
            signing: None,
            name: request.external.clone(),
            room: request.room.clone(),
            profile: "{}".to_owned(),
            method: Method::Approval,
            wants: AskedScopesBuf::EMPTY,
            csr: None,
            address: request.address,
            foreign_page: false,
            number: 0,
        };
        let terms = ApprovalTerms {
            permissions: Some(code.scopes.clone()),
            expires: code.grant_for.map(Duration::from_secs),
            message: None,
        };
        let usual = self.inner.pairing.settings.token_expiry;
        let stored = stored.as_ref();
        match self.to_be_paired(authority, &asks, stored, &terms, usual, Mode::Full) {
            Ok(Some(ToBePaired { record, fresh, ceiling })) => {
                // The method of the native wire above is not how the node has asked.
                let record = Record { asked: Asked::by(AskMethod::Provisioning), ..record };
                Ok((record, ProvisionedRights::Offer(Box::new((fresh.grant, ceiling)))))
            }
            Ok(None) => Err(RegisterFailure::Busy),
            Err(wider) => {
                let from = CausedBy::Source(Source::of(request.address));
                let name = &request.external;
                limited!(warn, from, { ?name, %wider, } "a provisioning token brings more than its maker may give by now");
                Err(RegisterFailure::Refused(NotRegistered::Token))
            }
        }
    }

    /// Prepares a node that has nothing but its key for HTTP requests.
    fn without_native_key(
        &self,
        authority: &Authority,
        request: &RegisterRequest,
        code: &StoredCode,
        key: &KeyedSecret,
    ) -> Result<(Record, ProvisionedRights), RegisterFailure> {
        // Such a node has no scopes, so no right bounds it.
        if authority.approve_unbounded().is_err() {
            return Err(RegisterFailure::Refused(NotRegistered::NeedsKey));
        }
        // The registry wants a hash for a node without keys. No token of the `missy` dialect has
        // this one, so the node is authenticated by its key alone.
        let credential = Credential::Token(TokenHash::from_bytes(*key.hash().as_bytes()));
        let record = Record {
            node_id: NodeId::new(&entropy::draw()),
            name: request.external.clone(),
            room: request.room.clone(),
            address: request.address.to_canonical(),
            keys: None,
            asked_at: self.inner.clock.unix(),
            asked: Asked::by(AskMethod::Provisioning),
            standing: Standing::Paired { credential, mode: Mode::Full },
        };
        Ok((record, ProvisionedRights::ApprovedBy(code.maker.lasting())))
    }

    fn has_registered(&self, record: Record, rights: ProvisionedRights) {
        match rights {
            ProvisionedRights::Offer(rights) => {
                // The offer reaches the node over its first link.
                self.is_paired(&record, rights.0.id);
            }
            ProvisionedRights::ApprovedBy(_) => self.event(Event::Paired(record.node_id)),
        }
    }

    /// Finds the node that authenticates by this key under this name.
    pub(crate) async fn node_of_key(
        &self,
        external: &str,
        key: &KeyedSecret,
    ) -> Result<NodeOfKey, StoreError> {
        let (store, now) = (&self.inner.store, self.inner.clock.unix());
        let id = NodeKeyId::from_bytes(*key.id());
        let Some((node, stored)) = store.by_node_key(id).await? else {
            return Ok(NodeOfKey::Unknown);
        };
        let Stored { record, ceiling, .. } = stored;
        let is_over = ceiling.is_some_and(|ceiling| ceiling.is_over(now));
        // The hashes are compared in constant time, and all three cases are answered alike.
        if node.hash != key.hash() || node.external.as_str() != external || is_over {
            return Ok(NodeOfKey::Unknown);
        }
        match record.standing {
            Standing::Paired { mode, .. } => {
                // A node in quarantine keeps its key, and is silent until it is released.
                let counter = store.clone_counter(record.node_id).await?;
                Ok(match counter.is_some_and(|stored| stored.counter.is_quarantined()) {
                    true => NodeOfKey::Silenced,
                    false => NodeOfKey::Admitted(Box::new((node, record, mode))),
                })
            }
            Standing::Muted { .. } => Ok(NodeOfKey::Silenced),
            Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => {
                Ok(NodeOfKey::Unknown)
            }
        }
    }
}
