//! Nodes of the registry: listed, approved, and decided about.

use handfast_core::flow::identity::seen::SeenHash;
use handfast_core::flow::registration::operator::{self, Approval, Purpose};
use handfast_core::grant::token::Token;
use handfast_core::registry::authority::{Authority, Maker};
use handfast_core::registry::delivery::Ticket;
use handfast_core::registry::lifecycle::{self, Decision, Effect, Notice};
use handfast_core::{Machine, NodeId, Refusal};
use handfast_store::held::Cut;
use handfast_store::{BadRecord, Filter, Over, SaveError, StoreError, Stored};

use crate::entropy;
use crate::events::Event;
use crate::gateway::operator_types::check_word;
use crate::gateway::requests::NamedRequest;
use crate::gateway::{Gateway, MOST_CONFLICTS, to_its_end};
use crate::operator::{Device, Issued, IssuedCredential, OperatorError};
use crate::policy::rules::ApprovalTerms;

/// The number of matches of a prefix that an error names.
const MOST_MATCHES: usize = 5;

impl Gateway {
    /// Returns a page of the nodes, in order of their ids. A node whose stored record is damaged
    /// appears in its place as an error.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn devices(
        &self,
        filter: Filter,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<Vec<Result<Device, BadRecord>>, OperatorError> {
        let now = self.inner.clock.unix();
        let listed = self.inner.store.list(filter, after, limit, now).await?;
        let mut devices: Vec<_> =
            listed.into_iter().map(|entry| entry.map(|entry| self.device(entry))).collect();
        self.find_links(devices.iter_mut().flatten()).await?;
        Ok(devices)
    }

    /// Returns the one node whose id begins with `prefix`.
    ///
    /// # Errors
    /// [`OperatorError::NotFound`], [`OperatorError::Ambiguous`] or [`OperatorError::Store`].
    pub async fn device_by_prefix(&self, prefix: &str) -> Result<Device, OperatorError> {
        let lower = prefix.to_ascii_lowercase();
        let well_formed =
            !lower.is_empty() && lower.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let mut found = match well_formed {
            true => self.inner.store.find(&lower, MOST_MATCHES).await?,
            false => Vec::new(),
        };
        match found.len() {
            0 => Err(OperatorError::NotFound(prefix.to_owned())),
            1 => {
                let mut device = self.device(found.remove(0).map_err(StoreError::from)?);
                self.find_links([&mut device]).await?;
                Ok(device)
            }
            _ => Err(OperatorError::Ambiguous {
                prefix: prefix.to_owned(),
                matches: found.iter().map(handfast_store::node_id).collect(),
            }),
        }
    }

    /// Approves a node, or issues it a new token or grant, on the terms that were proposed for it
    /// or the settings'. The result is durable before it is returned, a token as its hash. A
    /// token's delivery then begins: its receiver [confirms](Gateway::confirm_delivery) it, or the
    /// node uses the token; else the decision is undone after [`Limits::deliver_within`](handfast_core::limits::Limits::deliver_within).
    ///
    /// # Errors
    /// [`OperatorError::Refused`] if the node's standing does not allow it, and the others of
    /// [`OperatorError`].
    pub async fn pair(&self, node_id: NodeId, purpose: Purpose) -> Result<Issued, OperatorError> {
        self.pair_on(node_id, purpose, ApprovalTerms::default()).await
    }

    /// Approves a node that authenticates with its keys on the operator's terms.
    ///
    /// # Errors
    /// As for [`Gateway::pair`], and [`OperatorError::NoKeys`] for terms where a token carries
    /// none.
    pub async fn pair_on(
        &self,
        node_id: NodeId,
        purpose: Purpose,
        terms: ApprovalTerms,
    ) -> Result<Issued, OperatorError> {
        self.pair_by(&Authority::OWNER, node_id, purpose, terms).await
    }

    /// Approves a node by a maker's rights. Delegated rights grant nothing wider or longer than
    /// themselves, and the grant ends with them. A node that authenticates with a token has neither
    /// scopes nor an end; delegated rights approve it only if their profile says so, and it waits
    /// for approval again when they end.
    ///
    /// # Errors
    /// As for [`Gateway::pair_on`], and [`OperatorError::Wider`].
    pub async fn pair_by(
        &self,
        authority: &Authority,
        node_id: NodeId,
        purpose: Purpose,
        terms: ApprovalTerms,
    ) -> Result<Issued, OperatorError> {
        self.pair_seen_by(authority, node_id, purpose, terms, None).await
    }

    /// Approves the request with this hash by a maker's rights: what was seen is what is approved.
    ///
    /// # Errors
    /// As for [`Gateway::pair_by`], and [`OperatorError::Changed`] if the node asks for something
    /// else by now.
    pub async fn pair_seen_by(
        &self,
        authority: &Authority,
        node_id: NodeId,
        purpose: Purpose,
        terms: ApprovalTerms,
        seen: Option<SeenHash>,
    ) -> Result<Issued, OperatorError> {
        let named = NamedRequest { hash: seen, version: None };
        self.pair_named_by(authority, node_id, purpose, terms, named).await
    }

    /// Approves the request in this state by a maker's rights.
    pub(crate) async fn pair_named_by(
        &self,
        authority: &Authority,
        node_id: NodeId,
        purpose: Purpose,
        terms: ApprovalTerms,
        named: NamedRequest,
    ) -> Result<Issued, OperatorError> {
        check_word(terms.message.as_deref())?;
        if terms.expires.is_some_and(|expires| expires.as_secs() == 0) {
            return Err(OperatorError::Usage("a grant lives for a second at least".to_owned()));
        }
        let (gateway, authority) = (self.clone(), authority.clone());
        let paired =
            async move { gateway.pair_now(&authority, node_id, purpose, &terms, named).await };
        to_its_end(paired).await
    }

    async fn pair_now(
        &self,
        authority: &Authority,
        node_id: NodeId,
        purpose: Purpose,
        terms: &ApprovalTerms,
        named: NamedRequest,
    ) -> Result<Issued, OperatorError> {
        for _ in 0..MOST_CONFLICTS {
            let entry = self.entry(node_id).await?;
            if entry.record.is_doubted(&self.inner.clock.moment()) {
                return Err(OperatorError::Refused { node_id, refusal: Refusal::ClockInDoubt });
            }
            let issued = match entry.record.keys {
                Some(holder) => {
                    if purpose == Purpose::Approve {
                        self.inner.shown.check_named(&entry, named)?;
                    }
                    let grant =
                        self.grant(authority, &entry, holder, purpose, terms, false).await?;
                    grant.map(|grant| (IssuedCredential::Grant(Box::new(grant)), None))
                }
                None if *terms != ApprovalTerms::default() => {
                    return Err(OperatorError::NoKeys(node_id));
                }
                None => {
                    authority.approve_unbounded()?;
                    self.inner.shown.check_named(&entry, named)?;
                    let stored =
                        Stored { record: entry.record, version: entry.version, ceiling: None };
                    let issued = self.approve(stored, purpose, authority.maker()?).await?;
                    issued.map(|(token, ticket)| (IssuedCredential::Token(token), Some(ticket)))
                }
            };
            if let Some((credential, delivery)) = issued {
                self.event(Event::Paired(node_id));
                return Ok(Issued { node_id, credential, delivery });
            }
        }
        Err(OperatorError::Refused { node_id, refusal: Refusal::StoreFailed })
    }

    /// Takes any other decision about a node, and pushes it to the node's live connection.
    ///
    /// # Errors
    /// As for [`Gateway::pair`].
    pub async fn decide(&self, node_id: NodeId, decision: &Decision) -> Result<(), OperatorError> {
        let (gateway, decision) = (self.clone(), decision.clone());
        to_its_end(async move { gateway.decide_now(node_id, &decision).await }).await
    }

    async fn decide_now(&self, node_id: NodeId, decision: &Decision) -> Result<(), OperatorError> {
        for _ in 0..MOST_CONFLICTS {
            let before = self.inner.held.held().of_node(node_id);
            let Stored { record, version, .. } = self.load(node_id).await?;
            let now = self.inner.clock.unix();
            let decided = match lifecycle::decide(&record.standing, decision.clone(), now) {
                // What is in force already and not stored is stored by deciding it once more.
                Ok(change) if change.takes_away() && before.is_some() => {
                    let stored = self.inner.held.load_stored(node_id).await?;
                    let stored =
                        stored.ok_or_else(|| OperatorError::NotFound(node_id.to_string()))?;
                    lifecycle::decide(&stored.record.standing, decision.clone(), now)
                }
                other => other,
            };
            let change = match decided {
                Ok(change) => change,
                Err(refusal) => {
                    // Out for good already: whatever link there might still be hears it once more.
                    if refusal == Refusal::Revoked {
                        self.push(node_id, Some(Notice::Unpaired));
                    }
                    if refusal == Refusal::Expired {
                        self.note_over(Over::Request(node_id)).await;
                    }
                    if before.is_some() {
                        self.still_not_stored(node_id).await?;
                    }
                    return Err(OperatorError::Refused { node_id, refusal });
                }
            };
            let what = || format!("node {node_id} ({:?}) is out", record.name.as_str());
            let mut held = None;
            let mut saved = Ok(version);
            for effect in change.effects() {
                match effect {
                    Effect::EndLinks(notice) => {
                        let key = record.keys.as_ref().map(|keys| keys.channel);
                        held = Some(self.hold(
                            Cut::Node { node_id, decision: decision.clone(), key },
                            &what(),
                        )?);
                        self.end_what_rests_on(&record, Some(notice));
                        self.push(node_id, Some(notice));
                    }
                    Effect::Save(standing) => {
                        saved = self.store().save(node_id, version, standing.clone(), now).await;
                        if saved.is_err() {
                            break;
                        }
                    }
                    Effect::Push(notice) => {
                        self.end_what_rests_on(&record, Some(notice));
                        self.push(node_id, Some(notice));
                    }
                }
            }
            let error = match saved {
                Ok(_) => {
                    // Whatever was held of this node when it was read, what is stored now goes
                    // beyond it.
                    held.iter()
                        .chain(&before)
                        .for_each(|ticket| self.inner.held.held().release(ticket));
                    self.event(Event::Decided { node_id, decision: word(decision) });
                    return Ok(());
                }
                Err(SaveError::Store(error)) => error,
                Err(SaveError::Conflict) => continue,
                Err(SaveError::Missing) => {
                    held.iter().for_each(|ticket| self.inner.held.held().release(ticket));
                    return Err(OperatorError::NotFound(node_id.to_string()));
                }
            };
            return Err(match held {
                Some(ticket) => {
                    self.event(Event::Decided { node_id, decision: word(decision) });
                    self.not_stored(&ticket, what(), error)
                }
                None => error.into(),
            });
        }
        Err(OperatorError::Refused { node_id, refusal: Refusal::StoreFailed })
    }

    /// Drives one approval. Returns `None` if the record changed meanwhile.
    async fn approve(
        &self,
        stored: Stored,
        purpose: Purpose,
        maker: Maker,
    ) -> Result<Option<(Token, Ticket)>, OperatorError> {
        use operator::{Effect, Input};
        let inner = &self.inner;
        let (node_id, at) = (stored.record.node_id, inner.clock.unix());
        let refused = |refusal| OperatorError::Refused { node_id, refusal };
        let mut notice = None;
        let ticket = self.ticket();
        let (mut approval, mut effects) =
            Approval::begin(&stored.record, purpose, ticket, at).map_err(refused)?;
        loop {
            let Some(effect) = effects.into_iter().next() else {
                return Err(refused(Refusal::StoreFailed));
            };
            let input = match effect {
                Effect::Draw => Input::Drawn(entropy::draw()),
                // Not in the pool, where a flood of strangers' tokens would keep the operator
                // waiting.
                Effect::Hash(job) => match tokio::task::spawn_blocking(move || job.run()).await {
                    Ok(hashed) => Input::Hashed(hashed),
                    Err(_) => return Err(refused(Refusal::StoreFailed)),
                },
                Effect::Save(change) => {
                    notice = change.notice;
                    match self
                        .store()
                        .save_by(node_id, stored.version, change.standing, maker, at)
                        .await
                    {
                        Ok(_) => Input::Saved(Ok(())),
                        Err(SaveError::Conflict) => return Ok(None),
                        Err(SaveError::Missing) => {
                            return Err(OperatorError::NotFound(node_id.to_string()));
                        }
                        Err(SaveError::Store(error)) => return Err(error.into()),
                    }
                }
                Effect::Reveal(token) => {
                    self.push(node_id, notice);
                    self.delivery_begun();
                    return Ok(Some((token, ticket)));
                }
                Effect::Refuse(refusal) => return Err(refused(refusal)),
            };
            effects = approval.step(inner.clock.now(), input, &mut []);
        }
    }
}

const fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Approve(_) | Decision::Issue(_) => "pair",
        Decision::Reissue(_) => "reissue",
        Decision::Reject => "reject",
        Decision::Bar => "reject_for_good",
        Decision::Mute => "mute",
        Decision::Unmute => "unmute",
        Decision::SetMode(_) => "policy",
        Decision::Unpair => "unpair",
    }
}
