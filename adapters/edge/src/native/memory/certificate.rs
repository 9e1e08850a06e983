//! The compact certificate of a device in flash.

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::limits::COMPACT_CERTIFICATE_BYTES;
use handfast_core::secret::Secret;
use handfast_core::wire::native::signer::SignerKey;
use handfast_core::{NodeId, UnixTime};
use serde::{Deserialize, Serialize};

use super::{BoardRecord, BoardStorage, DispatchFlash, NativeStorage, StoredBoard};
use crate::error::{GeometryError, KeepError};
use crate::pages::{Pages, RECORD_OVERHEAD, RecordBuffer, RecordKind, behind};

/// A certificate with what it is verified by. A storage writes it with serde.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StoredCertificate<'b> {
    /// The id under which the node is paired; a certificate of another one means nothing.
    pub node_id: NodeId,
    /// The gateway's key that signed the certificate.
    pub signer: SignerKey,
    /// The time when the certificate was stored, as far as the device knew it.
    pub known: UnixTime,
    /// The certificate.
    #[serde(borrow)]
    pub bytes: &'b [u8],
}

/// Length of a certificate's record in bytes.
const CERTIFICATE_RECORD: usize =
    (RECORD_OVERHEAD + 16 + 32 + 10 + 2 + COMPACT_CERTIFICATE_BYTES).next_multiple_of(32);

/// Working memory for reading and writing a [`StoredCertificate`].
pub type CertificateRecord = RecordBuffer<CERTIFICATE_RECORD>;

/// Storage that makes the certificate of a node durable.
pub trait CertificateStorage {
    /// Loads the certificate stored last; `None` if there is none.
    ///
    /// # Errors
    /// As of [`NativeStorage::load`].
    async fn load_certificate<'r>(
        &mut self,
        record: &'r mut CertificateRecord,
    ) -> Result<Option<StoredCertificate<'r>>, KeepError>;

    /// Makes a certificate durable in place of the older one, or erases that one (`None`). After
    /// `Ok` the change survives any power cut; until then either the old one is stored or the new
    /// one.
    ///
    /// # Errors
    /// [`KeepError`]: the change may not be durable; try again.
    async fn keep_certificate(
        &mut self,
        certificate: Option<&StoredCertificate<'_>>,
        record: &mut CertificateRecord,
    ) -> Result<(), KeepError>;
}

impl<K: CertificateStorage + ?Sized> CertificateStorage for &mut K {
    async fn load_certificate<'r>(
        &mut self,
        record: &'r mut CertificateRecord,
    ) -> Result<Option<StoredCertificate<'r>>, KeepError> {
        K::load_certificate(self, record).await
    }

    async fn keep_certificate(
        &mut self,
        certificate: Option<&StoredCertificate<'_>>,
        record: &mut CertificateRecord,
    ) -> Result<(), KeepError> {
        K::keep_certificate(self, certificate, record).await
    }
}

/// Pages of NOR flash for a node with a certificate: those of a [`DispatchFlash`], and behind them
/// the two of the certificate.
pub struct CertificateFlash<F> {
    dispatch: DispatchFlash<F>,
    certificate: Pages<CERTIFICATE_RECORD>,
}

impl<F: NorFlash> CertificateFlash<F> {
    /// Number of bytes used: two pages more than a [`DispatchFlash`], or more where a page is
    /// shorter than a certificate's record of 352 bytes.
    pub const LENGTH: usize =
        DispatchFlash::<F>::LENGTH.saturating_add(Pages::<CERTIFICATE_RECORD>::length::<F>());

    /// Uses the pages that begin at the byte address `start`.
    ///
    /// # Errors
    /// [`GeometryError`]: the pages do not fit this flash there.
    pub fn new(flash: F, start: u32) -> Result<Self, GeometryError> {
        let dispatch = DispatchFlash::new(flash, start)?;
        let start = behind(start, DispatchFlash::<F>::LENGTH);
        let certificate = Pages::new(&dispatch.native.flash, start)?;
        Ok(Self { dispatch, certificate })
    }

    /// Returns the flash driver.
    pub fn into_flash(self) -> F {
        self.dispatch.into_flash()
    }
}

impl<F: NorFlash> CertificateStorage for CertificateFlash<F> {
    async fn load_certificate<'r>(
        &mut self,
        record: &'r mut CertificateRecord,
    ) -> Result<Option<StoredCertificate<'r>>, KeepError> {
        let flash = &mut self.dispatch.native.flash;
        let stored: Option<StoredCertificate<'r>> =
            self.certificate.load(flash, RecordKind::CERTIFICATE, record).await?;
        // An empty one is what erasing leaves.
        Ok(stored.filter(|stored| !stored.bytes.is_empty()))
    }

    async fn keep_certificate(
        &mut self,
        certificate: Option<&StoredCertificate<'_>>,
        record: &mut CertificateRecord,
    ) -> Result<(), KeepError> {
        let flash = &mut self.dispatch.native.flash;
        let none = StoredCertificate {
            node_id: NodeId::from_bytes([0; 16]),
            signer: SignerKey::from_bytes([0; 32]),
            known: UnixTime::from_secs(0),
            bytes: &[],
        };
        let (forget, stored) = (certificate.is_none(), certificate.unwrap_or(&none));
        self.certificate.replace(flash, RecordKind::CERTIFICATE, stored, record, forget).await
    }
}

impl<F: NorFlash> NativeStorage for CertificateFlash<F> {
    async fn keys(&mut self) -> Result<Option<Secret<64>>, KeepError> {
        self.dispatch.keys().await
    }

    async fn keep_keys(&mut self, keys: &Secret<64>) -> Result<(), KeepError> {
        self.dispatch.keep_keys(keys).await
    }

    async fn load(&mut self) -> Result<NativeMemory, KeepError> {
        self.dispatch.load().await
    }

    async fn keep(&mut self, memory: &NativeMemory) -> Result<(), KeepError> {
        self.dispatch.keep(memory).await
    }
}

impl<F: NorFlash> BoardStorage for CertificateFlash<F> {
    async fn load_board(
        &mut self,
        board: &mut StoredBoard,
        record: &mut BoardRecord,
    ) -> Result<(), KeepError> {
        self.dispatch.load_board(board, record).await
    }

    async fn keep_board(
        &mut self,
        board: &StoredBoard,
        record: &mut BoardRecord,
    ) -> Result<(), KeepError> {
        self.dispatch.keep_board(board, record).await
    }
}
