//! Certificates, clone counters and dispatches of the store that fails.

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::identity::certificate::NodeStanding;
use handfast_core::flow::identity::clone_counter::{LinkVerdict, Shown};
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::link::dispatch::DispatchEvent;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, Span, UnixTime};
use handfast_store::{
    AddressedNode, Addresses, Allowed, Capability, CertificateFilter, Certificates, Clones,
    DispatchReport, DispatchTask, Dispatches, Enqueued, Issuing, KeyCounts, KnownKeys, LinkedFrom,
    NodeAddresses, NotQueued, NotStored, RevokedCertificates, SaveError, SteppedDispatch,
    StoreError, StoredCertificate, StoredCounter, StoredDispatch,
};

use super::Failing;

fails_or_passes_on! {
    Certificates {}
    issuing(node_id: NodeId, now: UnixTime) -> Result<Option<Issuing>, StoreError>;
    issue(certificate: StoredCertificate, now: UnixTime) -> Result<Result<(), NotStored>, StoreError>;
    confirm_certificate(node_id: NodeId, serial: Serial) -> Result<bool, StoreError>;
    certificate_used(serial: Serial, now: UnixTime) -> Result<Vec<Serial>, StoreError>;
    revoke_certificates(which: RevokedCertificates, now: UnixTime) -> Result<Vec<Serial>, StoreError>;
    is_certificate_key_revoked(key: KeyHash) -> Result<bool, StoreError>;
    evict(node_id: NodeId, from: u32) -> Result<u32, SaveError>;
    allow_list(now: UnixTime) -> Result<Vec<Allowed>, StoreError>;
    node_standing(node_id: NodeId) -> Result<Option<NodeStanding>, StoreError>;
    certificate(serial: Serial) -> Result<Option<StoredCertificate>, StoreError>;
    certificate_by_fingerprint(fingerprint: [u8; 32]) -> Result<Option<StoredCertificate>, StoreError>;
    certificates_of(node_id: NodeId, limit: usize) -> Result<Vec<StoredCertificate>, StoreError>;
    certificates(
        filter: CertificateFilter, after: Option<Serial>, limit: usize, now: UnixTime
    ) -> Result<Vec<StoredCertificate>, StoreError>;
}

fails_or_passes_on! {
    Clones {}
    linked(node_id: NodeId, shown: Shown, from: LinkedFrom) -> Result<LinkVerdict, StoreError>;
    mark_stored(node_id: NodeId, value: u64, now: UnixTime) -> Result<(), StoreError>;
    release(node_id: NodeId, now: UnixTime) -> Result<bool, StoreError>;
    paired_anew(node_id: NodeId, now: UnixTime) -> Result<(), StoreError>;
    clone_counter(node_id: NodeId) -> Result<Option<StoredCounter>, StoreError>;
    quarantined(after: Option<NodeId>, limit: usize) -> Result<Vec<(NodeId, StoredCounter)>, StoreError>;
}

fails_or_passes_on! {
    KnownKeys {}
    knows_key(node_id: NodeId, key: PublicKey) -> Result<(), StoreError>;
    key_counts(key: PublicKey) -> Result<KeyCounts, StoreError>;
}

fails_or_passes_on! {
    Addresses {}
    move_nodes(node_id: Option<NodeId>, list: String, now: UnixTime) -> Result<u64, StoreError>;
    confirm_addresses(node_id: NodeId, list: String) -> Result<(), StoreError>;
    addresses_of(node_id: NodeId) -> Result<NodeAddresses, StoreError>;
    addressed_nodes(after: Option<NodeId>, limit: usize) -> Result<Vec<AddressedNode>, StoreError>;
}

fails_or_passes_on! {
    Dispatches {
        // The gateway asks these by itself, whenever it likes.
        async fn step_open_dispatches(
            &self,
            node_id: Option<NodeId>,
            event: DispatchEvent,
            now: UnixTime,
        ) -> Result<Vec<SteppedDispatch>, StoreError> {
            self.store.step_open_dispatches(node_id, event, now).await
        }

        async fn dispatches_due(
            &self,
            now: UnixTime,
            limit: usize,
        ) -> Result<Vec<StoredDispatch>, StoreError> {
            self.store.dispatches_due(now, limit).await
        }

        async fn next_dispatch_deadline(&self) -> Result<Option<UnixTime>, StoreError> {
            self.store.next_dispatch_deadline().await
        }
    }
    enqueue(task: DispatchTask, within: Span, now: UnixTime) -> Result<Result<Enqueued, NotQueued>, StoreError>;
    takes_tasks(node_id: NodeId) -> Result<Result<(), NotQueued>, StoreError>;
    retry_dispatch(
        node_id: NodeId, id: DispatchId, within: Span, now: UnixTime
    ) -> Result<Result<StoredDispatch, NotQueued>, StoreError>;
    step_dispatch(
        node_id: NodeId, id: DispatchId, event: DispatchEvent, report: Option<DispatchReport>, now: UnixTime
    ) -> Result<Option<SteppedDispatch>, StoreError>;
    dispatch(node_id: NodeId, id: DispatchId) -> Result<Option<StoredDispatch>, StoreError>;
    dispatches_of(node_id: NodeId, limit: usize) -> Result<Vec<StoredDispatch>, StoreError>;
    open_dispatches(node_id: NodeId) -> Result<Vec<StoredDispatch>, StoreError>;
    announce(node_id: NodeId, capability: Capability) -> Result<bool, StoreError>;
    capabilities(node_id: NodeId) -> Result<Vec<Capability>, StoreError>;
}
