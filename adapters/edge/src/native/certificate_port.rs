//! The certificate of a node as the driver sees it.

use core::future::Future;

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::{CertificateWish, NativeMemory};
use handfast_core::wire::native::part::Part;
use handfast_core::wire::native::signer::SignerKey;
use handfast_core::{Instant, UnixTime};

#[cfg(feature = "identity")]
pub(super) use super::certificate::CertificateNews;
use crate::error::KeepError;

/// News of a certificate, which a node without the feature `identity` never has.
#[cfg(not(feature = "identity"))]
pub(super) type CertificateNews = core::convert::Infallible;

/// A message of the gateway about a certificate: the part of core's effects that a
/// [`CertificatePort`] carries out. It is a type of its own, so that a port cannot be given another
/// effect.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CertificateOrder<'b> {
    /// The key that the gateway signs with.
    Key(SignerKey),
    /// The time of day.
    Time(UnixTime),
    /// A part of an object.
    Part(Part<'b>),
    /// The parts that came are a certificate, which is kept with the next memory.
    Whole,
}

/// The certificate of a node, as its role uses it: `K` is the node's storage.
pub trait CertificatePort<K> {
    /// The certificate that the node asks for.
    const WISH: CertificateWish<'static>;

    /// Loads the certificate of the node with this memory, and returns what to tell of it.
    ///
    /// # Errors
    /// [`KeepError`]: it cannot be read now.
    fn load(
        &mut self,
        keep: &mut K,
        memory: &NativeMemory,
        keys: &OwnKeys,
    ) -> impl Future<Output = Result<Option<CertificateNews>, KeepError>>;

    /// Notes that the link stands, or is gone.
    fn set_linked(&mut self, linked: bool);

    /// Takes what the gateway sent.
    fn take(&mut self, order: &CertificateOrder<'_>);

    /// Makes the certificate durable that came with this memory, before the memory, and returns what
    /// to tell of it.
    ///
    /// # Errors
    /// [`KeepError`]: it may not be durable; try again.
    fn keep(
        &mut self,
        keep: &mut K,
        memory: &NativeMemory,
        keys: &OwnKeys,
    ) -> impl Future<Output = Result<Option<CertificateNews>, KeepError>>;

    /// Returns `true`, once, if the certificate that came with the last memory was not kept.
    fn take_refused(&mut self) -> bool;

    /// Returns `true` if the node has to ask for a certificate now. Called on every turn of the
    /// driver.
    fn asks(&mut self, now: Instant) -> bool;
}

/// A node without a certificate.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NoCertificate;

impl<K> CertificatePort<K> for NoCertificate {
    const WISH: CertificateWish<'static> = CertificateWish::None;

    async fn load(
        &mut self,
        _keep: &mut K,
        _memory: &NativeMemory,
        _keys: &OwnKeys,
    ) -> Result<Option<CertificateNews>, KeepError> {
        Ok(None)
    }

    fn set_linked(&mut self, _linked: bool) {}

    fn take(&mut self, _order: &CertificateOrder<'_>) {}

    async fn keep(
        &mut self,
        _keep: &mut K,
        _memory: &NativeMemory,
        _keys: &OwnKeys,
    ) -> Result<Option<CertificateNews>, KeepError> {
        Ok(None)
    }

    fn take_refused(&mut self) -> bool {
        false
    }

    fn asks(&mut self, _now: Instant) -> bool {
        false
    }
}
