//! The compact certificate of a device: verified, kept, and renewed in time.
//!
//! ```text
//!  Effect::CertificateKey, Part, Certificate ─▶ take ─▶ keep, before the memory ─▶ Input::Kept
//!  Effect::Time ─▶ take ─▶ asks, once the link stands and a new one is due
//! ```
//! `handfast_core::flow::identity::held` decides which certificate is taken, and when a new one is
//! asked for.

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::identity::held::{
    DeviceTime, HeldCertificate, IncomingCertificate, NotHeld, RequestPlan,
};
use handfast_core::flow::native::node::{CertificateWish, NativeMemory};
use handfast_core::{Instant, NodeId, UnixTime};

use super::certificate_port::{CertificateOrder, CertificatePort};
use super::memory::{CertificateRecord, CertificateStorage, StoredCertificate};
use crate::error::KeepError;

/// News of the node's certificate for the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CertificateNews {
    /// The node holds this certificate, durably: it was found at the start, or came and was stored.
    Held(HeldCertificate),
    /// A certificate was found or came that does not count. One that was stored before stays.
    Refused(NotHeld),
    /// What is stored cannot be read. The node asks for a certificate as if it had none.
    NotLoaded(KeepError),
}

/// Static storage for a node's certificate.
#[derive(Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CertificateBuffers {
    incoming: IncomingCertificate,
    record: CertificateRecord,
}

impl CertificateBuffers {
    /// Creates empty buffers.
    #[must_use]
    pub const fn new() -> Self {
        Self { incoming: IncomingCertificate::new(), record: CertificateRecord::new() }
    }
}

/// A node with a compact certificate. Its storage is also a [`CertificateStorage`].
///
/// ```
/// use handfast_edge::native::memory::CertificateFlash;
/// use handfast_edge::native::{CertificateBuffers, Certificates};
/// use handfast_edge::prototype::RamFlash;
///
/// let mut buffers = CertificateBuffers::new();
/// // These are the fields `certificate` and `keep` of `NativePorts`.
/// let certificate = Certificates::new(&mut buffers);
/// let keep = CertificateFlash::new(RamFlash::<8192>::new(), 0).expect("ten pages and more");
/// # let _ = (certificate, keep);
/// ```
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Certificates<'s> {
    incoming: &'s mut IncomingCertificate,
    record: &'s mut CertificateRecord,
    /// The node that is paired, and the certificate that it holds.
    held: Option<(NodeId, HeldCertificate)>,
    plan: RequestPlan,
    time: DeviceTime,
    /// The time of the driver's last turn.
    now: Instant,
    /// A time that the gateway has told since.
    told: Option<UnixTime>,
    linked: bool,
    /// `true` if what came is to be kept with the next memory.
    arrived: bool,
    /// `true` if what came was not kept.
    refused: bool,
}

impl<'s> Certificates<'s> {
    /// Uses this storage.
    pub const fn new(buffers: &'s mut CertificateBuffers) -> Self {
        Self {
            incoming: &mut buffers.incoming,
            record: &mut buffers.record,
            held: None,
            plan: RequestPlan::NONE,
            time: DeviceTime::at_least(UnixTime::from_secs(0)),
            now: Instant::from_millis(0),
            told: None,
            linked: false,
            arrived: false,
            refused: false,
        }
    }

    /// Judges the certificate that came for this node.
    fn judge(&self, node_id: NodeId, keys: &OwnKeys) -> Result<HeldCertificate, NotHeld> {
        let bytes = self.incoming.as_bytes();
        if bytes.is_empty() {
            return Err(NotHeld::Incomplete);
        }
        let signer = self.plan.signer().ok_or(NotHeld::NoSigner)?;
        HeldCertificate::verify(bytes, &signer, (node_id, keys), (&self.time, self.now))
    }
}

impl<K: CertificateStorage> CertificatePort<K> for Certificates<'_> {
    const WISH: CertificateWish<'static> = CertificateWish::Compact;

    async fn load(
        &mut self,
        keep: &mut K,
        memory: &NativeMemory,
        keys: &OwnKeys,
    ) -> Result<Option<CertificateNews>, KeepError> {
        self.held = None;
        let NativeMemory::Paired(paired) = memory else { return Ok(None) };
        let stored = match keep.load_certificate(self.record).await {
            // It may be read the next time.
            Err(KeepError::Flash) => return Err(KeepError::Flash),
            Err(error) => return Ok(Some(CertificateNews::NotLoaded(error))),
            // The certificate of another pairing is none of this one.
            Ok(stored) => stored.filter(|stored| stored.node_id == paired.node_id),
        };
        let Some(StoredCertificate { node_id, signer, known, bytes }) = stored else {
            return Ok(None);
        };
        // The certificate was stored at this time, so it cannot be earlier now.
        self.time = DeviceTime::at_least(known);
        let own = (node_id, keys);
        Ok(Some(match HeldCertificate::verify(bytes, &signer, own, (&self.time, self.now)) {
            Ok(held) => {
                self.held = Some((node_id, held));
                CertificateNews::Held(held)
            }
            Err(why) => CertificateNews::Refused(why),
        }))
    }

    fn set_linked(&mut self, linked: bool) {
        self.linked = linked;
        if !linked {
            self.plan.left();
            // Parts that came belong to the link that brought them.
            self.incoming.clear();
            self.arrived = false;
        }
    }

    fn take(&mut self, order: &CertificateOrder<'_>) {
        match order {
            CertificateOrder::Key(key) => self.plan.told(*key),
            CertificateOrder::Time(time) => self.told = Some(*time),
            CertificateOrder::Part(part) => self.incoming.take(part),
            CertificateOrder::Whole => self.arrived = true,
        }
    }

    async fn keep(
        &mut self,
        keep: &mut K,
        memory: &NativeMemory,
        keys: &OwnKeys,
    ) -> Result<Option<CertificateNews>, KeepError> {
        let node_id = match memory {
            NativeMemory::Paired(paired) => paired.node_id,
            NativeMemory::Asked { .. } => return Ok(None),
            // It goes before the pairing: a node that is paired asks for another one, and a
            // certificate without a pairing would stay.
            NativeMemory::Blank => {
                keep.keep_certificate(None, self.record).await?;
                self.held = None;
                return Ok(None);
            }
        };
        // The certificate of another pairing is none of this one.
        self.held = self.held.filter(|(of, _)| *of == node_id);
        if !self.arrived {
            return Ok(None);
        }
        let news = match self.judge(node_id, keys) {
            Ok(held) => {
                // A certificate that counts shows that its start has passed.
                let known = self.time.now(self.now).max(held.not_before);
                let bytes = self.incoming.as_bytes();
                let stored = StoredCertificate { node_id, signer: held.signer, known, bytes };
                keep.keep_certificate(Some(&stored), self.record).await?;
                // The state follows the flash, so that a write that failed is tried again.
                self.held = Some((node_id, held));
                self.plan.taken(self.now);
                CertificateNews::Held(held)
            }
            Err(why) => {
                self.refused = true;
                CertificateNews::Refused(why)
            }
        };
        self.arrived = false;
        self.incoming.clear();
        Ok(Some(news))
    }

    fn take_refused(&mut self) -> bool {
        core::mem::take(&mut self.refused)
    }

    fn asks(&mut self, now: Instant) -> bool {
        self.now = now;
        if let Some(time) = self.told.take() {
            self.time = DeviceTime::told(time, now);
        }
        let held = self.held.as_ref().map(|(_, held)| held);
        self.linked && self.plan.asks(held, &self.time, now)
    }
}
