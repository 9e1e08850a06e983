//! Certificates of nodes, as the operator sees and revokes them, and the eviction of nodes.

use handfast_core::flow::identity::certificate::{NodeStanding, evicted};
use handfast_core::grant::certificate::Serial;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::{NodeId, UnixTime};
use handfast_store::held::Cut;
use handfast_store::{CertificateFilter, RevokedCertificates, SaveError, StoredCertificate};

use crate::events::Event;
use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, to_its_end};

/// Number of certificates that are read from the store at once.
const PAGE: usize = 500;
/// Number of a node's newest certificates among which those in force are looked for: as many as may
/// be in force, and as many that have ended since.
const MOST_OF_A_NODE: usize = 32;

impl Gateway {
    /// Returns the certificates that pass the filter, in order of their serial numbers.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn certificates(
        &self,
        filter: CertificateFilter,
    ) -> Result<Vec<StoredCertificate>, OperatorError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = self.certificates_page(filter, after, PAGE).await?;
            all.extend(page);
            after = next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// Returns a page of the certificates that pass the filter, in order of their serial numbers:
    /// at most `limit`, after `after`; and the serial number after which the next page begins, if
    /// there is one. A page may hold fewer than `limit` and not be the last.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn certificates_page(
        &self,
        filter: CertificateFilter,
        after: Option<Serial>,
        limit: usize,
    ) -> Result<(Vec<StoredCertificate>, Option<Serial>), OperatorError> {
        let (now, limit) = (self.inner.clock.unix(), limit.max(1));
        // One more shows that there is a next page.
        let mut page = self.inner.store.certificates(filter, after, limit + 1, now).await?;
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|last| last.certificate.serial);
        page.retain(|stored| self.keeps(filter, stored, now));
        Ok((page, next))
    }

    /// Returns the certificates of a node that are in force, the newest first.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn certificates_of(
        &self,
        node_id: NodeId,
    ) -> Result<Vec<StoredCertificate>, OperatorError> {
        let now = self.inner.clock.unix();
        let mut own = self.inner.store.certificates_of(node_id, MOST_OF_A_NODE).await?;
        own.retain(|stored| {
            stored.is_live(now) && self.keeps(CertificateFilter::Live, stored, now)
        });
        Ok(own)
    }

    /// Returns `true` if a certificate that the store has found belongs in a list. An eviction ends
    /// certificates by their node's epoch, which their rows do not show.
    fn keeps(&self, filter: CertificateFilter, stored: &StoredCertificate, now: UnixTime) -> bool {
        match filter {
            CertificateFilter::Live => {
                self.inner.allowed.still_allows(&stored.certificate.serial, now).is_ok()
            }
            CertificateFilter::All => true,
        }
    }

    /// Returns the certificate with this name: its serial number, or its SHA-256 fingerprint, in
    /// hexadecimal digits with or without colons. The fingerprint is a name only, and decides
    /// nothing.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchCertificate`], and [`OperatorError::Store`].
    pub async fn certificate_named(&self, which: &str) -> Result<StoredCertificate, OperatorError> {
        let store = &self.inner.store;
        let found = match (Serial::parse(which), fingerprint(which)) {
            (Some(serial), _) => store.certificate(serial).await?,
            (None, Some(fingerprint)) => store.certificate_by_fingerprint(fingerprint).await?,
            (None, None) => None,
        };
        found.ok_or_else(|| OperatorError::NoSuchCertificate(which.to_owned()))
    }

    /// Revokes certificates for good. It takes effect at once, also on live links, and even if the
    /// store cannot be written. Returns the serial numbers of those that were not revoked before.
    ///
    /// # Errors
    /// [`OperatorError::Store`], or [`OperatorError::CutNotStored`] if they are out but that is not
    /// stored yet.
    pub async fn revoke_certificates(
        &self,
        which: RevokedCertificates,
    ) -> Result<Vec<Serial>, OperatorError> {
        let gateway = self.clone();
        to_its_end(async move { gateway.revoke_certificates_now(which).await }).await
    }

    async fn revoke_certificates_now(
        &self,
        which: RevokedCertificates,
    ) -> Result<Vec<Serial>, OperatorError> {
        let (store, now) = (self.store(), self.inner.clock.unix());
        let what = match which {
            RevokedCertificates::Node(node_id) => format!("every certificate of node {node_id}"),
            RevokedCertificates::Serial(serial) => format!("certificate {serial}"),
            RevokedCertificates::Key(key) => format!("every certificate with the key {key}"),
            RevokedCertificates::Before(before) => {
                format!("every certificate from before {}", handfast_core::rfc3339::write(before))
            }
        };
        let stored = store.revoke_certificates(which, now);
        let revoked = self
            .cut(Cut::Certificates(which), what, |gateway| gateway.end_certificates(&which), stored)
            .await?;
        // One that had ended came back if a step of the clock was taken over meanwhile.
        for serial in &revoked {
            self.inner.allowed.revoke(serial);
        }
        self.event(Event::CertificatesRevoked { count: revoked.len() });
        Ok(revoked)
    }

    /// Evicts a node: its certificates are not valid any more and its links end. It may come back
    /// at once, by renewing with its own key.
    ///
    /// # Errors
    /// [`OperatorError::NotFound`], [`OperatorError::Store`], or [`OperatorError::CutNotStored`] if
    /// it is out but that is not stored yet.
    pub async fn evict(&self, node_id: NodeId) -> Result<(), OperatorError> {
        let gateway = self.clone();
        to_its_end(async move { gateway.evict_now(node_id).await }).await
    }

    async fn evict_now(&self, node_id: NodeId) -> Result<(), OperatorError> {
        let store = self.store();
        let missing = || OperatorError::NotFound(node_id.to_string());
        let NodeStanding { epoch, may_link } =
            store.node_standing(node_id).await?.ok_or_else(missing)?;
        let stored = async {
            match store.evict(node_id, epoch).await {
                // If the node is gone by now, it has no certificate any more.
                Ok(_) | Err(SaveError::Missing | SaveError::Conflict) => Ok(()),
                Err(SaveError::Store(error)) => Err(error),
            }
        };
        let evicted = self
            .cut(
                Cut::Evicted { node_id, from: epoch },
                format!("every certificate of node {node_id}"),
                |gateway| {
                    let standing = NodeStanding { epoch: evicted(epoch), may_link };
                    gateway.inner.allowed.set_standing(node_id, standing);
                    gateway.push(node_id, Some(Notice::Evicted));
                },
                stored,
            )
            .await;
        self.event(Event::Decided { node_id, decision: "evict" });
        evicted
    }

    /// Makes every link that may rest on such a certificate look again at once.
    fn end_certificates(&self, which: &RevokedCertificates) {
        self.inner.allowed.revoke_all(|certificate| match which {
            RevokedCertificates::Node(node_id) => certificate.node_id == *node_id,
            RevokedCertificates::Serial(serial) => certificate.serial == *serial,
            RevokedCertificates::Key(key) => certificate.key == *key,
            // The list does not know when a certificate was issued; its validity begins earlier.
            RevokedCertificates::Before(before) => certificate.not_before < *before,
        });
        match which {
            RevokedCertificates::Node(node_id) => self.inner.hub.look_again(*node_id),
            RevokedCertificates::Serial(_)
            | RevokedCertificates::Key(_)
            | RevokedCertificates::Before(_) => self.inner.hub.all_look_again(),
        }
    }
}

/// Reads 64 hexadecimal digits, with or without a colon after every second one.
fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.chars().filter(|digit| *digit != ':').collect();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
