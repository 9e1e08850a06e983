//! Certificates of nodes: issued with a grant, and renewed over a link.
//!
//! ```text
//! request ─▶ the one that waits for delivery, if it is for the same key
//!         └▶ allowed ─▶ signed ─▶ stored ─▶ on the allow-list ─▶ sent ─▶ confirmed, or first used
//! ```
//! A certificate leaves only once it is stored. Until the node has confirmed it, the same bytes are
//! sent again, so that a lost answer costs no further certificate.

use std::sync::Arc;

use handfast_core::crypto::ed25519;
use handfast_core::crypto::sha256;
use handfast_core::flow::identity::certificate::{
    Certificate, CertificateState, NotRenewable, RenewalFacts, may_renew,
};
use handfast_core::flow::native::gateway::IssuedCertificate;
use handfast_core::grant::capability::Holder;
use handfast_core::grant::certificate::{CompactFields, KeyHash, Serial, issue_compact};
use handfast_core::limits::CERTIFICATES_A_DAY;
use handfast_core::registry::record::{Record, Standing};
use handfast_core::wire::native::part::Object;
use handfast_core::{NodeId, Refusal, Span, UnixTime};
use handfast_store::{
    Issuing, NotStored, RevokedCertificates, SaveError, StoreError, Stored, StoredCertificate,
};

use super::session::ToBePaired;

use crate::ca::{NotARequest, RequestedKey};
use crate::entropy;
use crate::events::Event;
use crate::gateway::common::failed;
use crate::gateway::{Gateway, MOST_CONFLICTS};
use crate::policy::request::{CertificateRequest, OwnedRequest};
use crate::telemetry::log_lines::{CausedBy, limited};

/// The time by which a certificate's validity begins earlier, for clocks that run behind.
const BACKDATED: Span = Span::from_secs(300);

/// The certificate that a node asks for.
#[derive(Clone, Debug)]
pub(crate) enum WantedCertificate {
    /// An X.509 certificate for the key of this request.
    X509(CertificateRequest),
    /// The compact certificate for the node's signing key.
    Compact,
}

/// The key that a certificate is made for.
enum CertifiedKey {
    X509(Arc<RequestedKey>),
    Compact(ed25519::PublicKey),
}

/// What the first certificate of a node is made from.
pub(super) struct FirstCertificate {
    key: CertifiedKey,
    holder: Holder,
}

/// The occasion on which a certificate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// The node was granted something.
    Pairing,
    /// The node renews over its link, by the signature of its own key.
    Renewal,
}

/// The reason for which a node gets no certificate.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum NotCertified {
    #[error("{0}")]
    Request(#[from] NotARequest),
    #[error("the node has no key of its own that signs")]
    NoSigner,
    #[error("its pairing was not for the key in this certificate request")]
    OtherKeyPaired,
    #[error("another key's certificate waits for it")]
    OtherKeyWaits,
    #[error("it was given as many certificates as it may have in a day")]
    TooMany,
    #[error("it is not paired, or its key is revoked")]
    NotPaired,
    #[error("it is in quarantine until an operator releases it")]
    Quarantined,
    #[error("its last certificate ended too long ago; it has to pair again")]
    TooLate,
    #[error("the key in its certificate request is revoked")]
    KeyRevoked,
    #[error("it could not be signed; the log says why")]
    NotSigned,
}

/// A certificate, durable and ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedCertificate {
    pub(crate) number: u64,
    pub(crate) object: Object,
    pub(crate) bytes: Vec<u8>,
}

impl OwnedCertificate {
    /// Returns the certificate in core's borrowed form.
    pub(crate) fn lend(&self) -> IssuedCertificate<'_> {
        IssuedCertificate { number: self.number, object: self.object, bytes: &self.bytes }
    }
}

impl CertifiedKey {
    fn of(wanted: &WantedCertificate, holder: &Holder) -> Result<Self, NotCertified> {
        match wanted {
            WantedCertificate::X509(request) => Ok(Self::X509(request.key()?)),
            WantedCertificate::Compact => {
                holder.signing.map(Self::Compact).ok_or(NotCertified::NoSigner)
            }
        }
    }

    fn hash(&self) -> KeyHash {
        match self {
            Self::X509(key) => KeyHash::of(key.der()),
            Self::Compact(key) => KeyHash::of_ed25519(key),
        }
    }

    const fn object(&self) -> Object {
        match self {
            Self::X509(_) => Object::Certificates,
            Self::Compact(_) => Object::CompactCertificate,
        }
    }
}

impl From<NotRenewable> for NotCertified {
    fn from(no: NotRenewable) -> Self {
        match no {
            NotRenewable::NotPaired => Self::NotPaired,
            NotRenewable::Quarantined => Self::Quarantined,
            NotRenewable::TooLate => Self::TooLate,
            NotRenewable::TooMany => Self::TooMany,
        }
    }
}

impl Gateway {
    /// Returns the certificate of a node that was just granted something. `None` if it gets none;
    /// the log says why.
    ///
    /// # Errors
    /// [`Refusal::StoreFailed`].
    pub(crate) async fn certify_paired(
        &self,
        node_id: NodeId,
        wanted: WantedCertificate,
    ) -> Result<Option<OwnedCertificate>, Refusal> {
        self.certify(node_id, wanted, Occasion::Pairing).await
    }

    /// Returns the next certificate of a linked node, whose signature was verified. `None` if it
    /// gets none; the log says why.
    ///
    /// # Errors
    /// [`Refusal::StoreFailed`].
    pub(crate) async fn certify_renewed(
        &self,
        node_id: NodeId,
        wanted: WantedCertificate,
    ) -> Result<Option<OwnedCertificate>, Refusal> {
        self.certify(node_id, wanted, Occasion::Renewal).await
    }

    /// Signs the first certificate of a node that is about to be entered; `None` if it asks for
    /// none with its request.
    pub(super) fn first_certificate(
        &self,
        request: &OwnedRequest,
        made: &ToBePaired,
    ) -> Option<FirstCertificate> {
        let key = request.csr.as_ref()?.key().ok()?;
        let holder = made.record.keys.filter(|holder| holder.signing.is_some())?;
        Some(FirstCertificate { key: CertifiedKey::X509(key), holder })
    }

    /// Enters a node with its grant and its first certificate, in one step: one wait for the disk
    /// instead of two. The certificate then waits to be sent. Without it the node is entered all
    /// the same, and the log says why when it is to be sent.
    ///
    /// # Errors
    /// As [`Store::offer`](handfast_store::Store::offer).
    pub(super) async fn enter_certified(
        &self,
        request: &OwnedRequest,
        made: &ToBePaired,
        FirstCertificate { key, holder }: FirstCertificate,
    ) -> Result<(), SaveError> {
        let inner = &self.inner;
        // As for every certificate: its times must not be from before a step of the clock.
        let _steady = inner.clock.steady().await;
        let (node_id, now) = (made.record.node_id, inner.clock.unix());
        let first = Issuing { number: 1, epoch: 0, of_today: 0 };
        let Some(signed) = self.sign(node_id, &holder, &key, &first, now) else {
            // A failed signature is logged, and must not cost the node its pairing.
            return self.offer_made(request, made, None).await;
        };
        let ToBePaired { record, fresh, ceiling } = made.clone();
        let (profile, certificate) = (request.profile.clone(), signed.clone());
        let store = self.store();
        let entered =
            store.offer_certified(record, profile, fresh.grant, Some(ceiling), certificate, now);
        // The node is entered even if its certificate was not taken.
        if entered.await?.1.is_ok() {
            self.is_issued(signed.certificate);
        }
        Ok(())
    }

    /// Takes in that a certificate is stored.
    fn is_issued(&self, certificate: Certificate) {
        let Certificate { node_id, serial, .. } = certificate;
        // The node may connect as soon as it has the certificate, so the list learns of it first.
        self.inner.allowed.issued(certificate);
        self.event(Event::CertificateIssued { node_id, serial });
    }

    /// It runs to completion even if the connection is lost, because a stored certificate must also
    /// be on the allow-list.
    async fn certify(
        &self,
        node_id: NodeId,
        wanted: WantedCertificate,
        on: Occasion,
    ) -> Result<Option<OwnedCertificate>, Refusal> {
        let gateway = self.clone();
        let done = tokio::spawn(async move { gateway.certify_now(node_id, &wanted, on).await });
        match done.await {
            Ok(Ok(Ok(issued))) => Ok(Some(issued)),
            Ok(Ok(Err(why))) => {
                limited!(warn, CausedBy::Node(node_id), { %node_id, %why, } "a node gets no certificate");
                Ok(None)
            }
            Ok(Err(error)) => Err(failed(error)),
            // Only a panic or the end of the runtime breaks it off.
            Err(_) => Err(Refusal::StoreFailed),
        }
    }

    async fn certify_now(
        &self,
        node_id: NodeId,
        wanted: &WantedCertificate,
        on: Occasion,
    ) -> Result<Result<OwnedCertificate, NotCertified>, StoreError> {
        let inner = &self.inner;
        // A step of the clock moves the times of what it finds in the store, so a certificate with
        // times from before a step must be there before it.
        let _steady = inner.clock.steady().await;
        for _ in 0..MOST_CONFLICTS {
            let now = inner.clock.unix();
            let Some(Stored { record, .. }) = inner.store.load(node_id).await? else {
                return Ok(Err(NotCertified::NotPaired));
            };
            let Some(holder) = record.keys else { return Ok(Err(NotCertified::NotPaired)) };
            let key = match CertifiedKey::of(wanted, &holder) {
                Ok(key) => key,
                Err(why) => return Ok(Err(why)),
            };
            let Some(issuing) = inner.store.issuing(node_id, now).await? else {
                return Ok(Err(NotCertified::NotPaired));
            };
            let newest = inner.store.certificates_of(node_id, 1).await?.pop();
            let waits = newest.as_ref().filter(|newest| {
                newest.certificate.state.may_be_delivered()
                    && newest.certificate.epoch == issuing.epoch
                    && newest.is_live(now)
            });
            let allowed = match on {
                Occasion::Pairing => may_have(&record, &key, &issuing),
                Occasion::Renewal => {
                    let facts = RenewalFacts {
                        node: inner.store.node_standing(node_id).await?,
                        quarantined: self.is_quarantined(node_id).await?,
                        newest: newest.as_ref().map(|newest| &newest.certificate),
                        // The day's limit is checked below, since a waiting certificate is sent
                        // again in spite of it.
                        issued_lately: 0,
                        renewable_for: inner.limits.renew_after_expiry,
                    };
                    may_renew(&facts, now).map_err(NotCertified::from)
                }
            };
            if let Err(why) = allowed {
                return Ok(Err(why));
            }
            match waits {
                Some(waits) if waits.certificate.key == key.hash() => {
                    return Ok(Ok(self.to_be_sent(waits, key.object())));
                }
                // A node that renews may have lost the key that its last request was for.
                Some(_) if on == Occasion::Pairing => return Ok(Err(NotCertified::OtherKeyWaits)),
                Some(_) | None => {}
            }
            if issuing.of_today >= CERTIFICATES_A_DAY {
                return Ok(Err(NotCertified::TooMany));
            }
            let Some(made) = self.sign(node_id, &holder, &key, &issuing, now) else {
                return Ok(Err(NotCertified::NotSigned));
            };
            match self.store().issue(made.clone(), now).await? {
                Ok(()) => {
                    self.is_issued(made.certificate);
                    return Ok(Ok(self.to_be_sent(&made, key.object())));
                }
                // Another certificate was issued meanwhile, so the next number is another one.
                Err(NotStored::Changed | NotStored::SerialTaken) => {}
                Err(NotStored::NotPaired) => return Ok(Err(NotCertified::NotPaired)),
                Err(NotStored::KeyRevoked) => return Ok(Err(NotCertified::KeyRevoked)),
            }
        }
        Ok(Err(NotCertified::NotSigned))
    }

    /// Signs a certificate. Returns `None` if that is not possible, which is logged.
    fn sign(
        &self,
        node_id: NodeId,
        holder: &Holder,
        key: &CertifiedKey,
        issuing: &Issuing,
        now: UnixTime,
    ) -> Option<StoredCertificate> {
        let (serial, not_before, not_after, encoded) = match key {
            CertifiedKey::X509(requested) => {
                let issued = self.inner.authority.issue(node_id, requested, now);
                let issued = issued.inspect_err(|error| {
                    tracing::error!(%node_id, %error, "a certificate could not be signed");
                });
                let issued = issued.ok()?;
                let serial = issued.serial;
                let validity = issued.validity;
                (serial, validity.not_before, validity.not_after, issued.certificate.to_vec())
            }
            CertifiedKey::Compact(signing) => {
                let life = self.inner.authority.settings().node_life;
                let fields = CompactFields {
                    node_id,
                    channel: holder.channel,
                    signing: *signing,
                    epoch: issuing.epoch,
                    serial: Serial::new(&entropy::draw()),
                    not_before: before(now),
                    not_after: now.after(life),
                };
                let bytes = issue_compact(&fields, &self.keys().signing)?;
                (fields.serial, fields.not_before, fields.not_after, bytes.to_vec())
            }
        };
        Some(StoredCertificate {
            certificate: Certificate {
                serial,
                node_id,
                number: issuing.number,
                key: key.hash(),
                epoch: issuing.epoch,
                not_before,
                not_after,
                state: CertificateState::Issued,
            },
            issued_at: now,
            ended: None,
            // Without parts, the hash is that of the certificate alone.
            fingerprint: sha256::hash_parts(&encoded, &[]),
            encoded,
        })
    }

    /// Returns the bytes that a node gets: an X.509 certificate comes with the trusted roots.
    fn to_be_sent(&self, stored: &StoredCertificate, object: Object) -> OwnedCertificate {
        let bytes = match object {
            Object::Certificates => {
                let roots = self.inner.authority.certificates();
                let mut set = Vec::new();
                let all =
                    std::iter::once(&stored.encoded[..]).chain(roots.iter().map(|der| &**der));
                for der in all {
                    // No certificate is nearly as long as 64 KiB, so the fallback is never used.
                    let length = u16::try_from(der.len()).unwrap_or(u16::MAX);
                    set.extend_from_slice(&length.to_be_bytes());
                    set.extend_from_slice(der);
                }
                set
            }
            Object::CompactCertificate | Object::Chain | Object::Profile => stored.encoded.clone(),
        };
        OwnedCertificate { number: stored.certificate.number, object, bytes }
    }

    /// Ends what a node has from an earlier pairing: its certificates are revoked, and its marks
    /// start afresh, because the device may have lost the last one.
    ///
    /// # Errors
    /// [`StoreError`]; the node must not be paired then.
    pub(crate) async fn pairs_anew(&self, record: &Record) -> Result<(), StoreError> {
        match record.standing {
            Standing::Paired { .. } | Standing::Muted { .. } => {}
            Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => {
                return Ok(());
            }
        }
        let (node_id, now) = (record.node_id, self.inner.clock.unix());
        let which = RevokedCertificates::Node(node_id);
        let revoked = self.store().revoke_certificates(which, now).await?;
        if !revoked.is_empty() {
            self.inner.allowed.revoke_all(|certificate| certificate.node_id == node_id);
            // A link that one of them has opened must not outlive it.
            self.inner.hub.look_again(node_id);
            self.event(Event::CertificatesRevoked { count: revoked.len() });
        }
        self.inner.store.paired_anew(node_id, now).await
    }

    /// Records that a node has stored the certificate with this number.
    pub(crate) async fn certificate_stored(&self, node_id: NodeId, number: u64) {
        let confirmed = async {
            let of = self.inner.store.certificates_of(node_id, LATEST).await?;
            // A number that was never issued confirms nothing.
            let Some(of) = of.iter().find(|of| of.certificate.number == number) else {
                return Ok(());
            };
            self.inner.store.confirm_certificate(node_id, of.certificate.serial).await?;
            Ok::<(), StoreError>(())
        };
        // Its first use confirms it as well.
        if let Err(error) = confirmed.await {
            limited!(warn, CausedBy::Node(node_id), { %node_id, %error, } "that a node has stored its certificate could not be written");
        }
    }
}

/// Number of a node's newest certificates among which a confirmed one is looked for.
const LATEST: usize = 16;

/// Decides about a certificate that comes with a grant: it is for the key that was asked about, and
/// that the approval was bound to.
fn may_have(record: &Record, key: &CertifiedKey, issuing: &Issuing) -> Result<(), NotCertified> {
    match record.standing {
        Standing::Paired { .. } | Standing::Muted { .. } => {}
        Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => {
            return Err(NotCertified::NotPaired);
        }
    }
    let asked = match key {
        CertifiedKey::X509(_) => record.asked.csr_key == Some(key.hash()),
        // The signing key is the node's own, which the approval was for.
        CertifiedKey::Compact(_) => true,
    };
    match asked {
        true if issuing.of_today < CERTIFICATES_A_DAY => Ok(()),
        true => Err(NotCertified::TooMany),
        false => Err(NotCertified::OtherKeyPaired),
    }
}

fn before(now: UnixTime) -> UnixTime {
    UnixTime::from_secs(now.as_secs().saturating_sub(BACKDATED.as_secs()))
}
