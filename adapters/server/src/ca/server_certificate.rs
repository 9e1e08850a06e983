//! The certificate of the gateway's listener for nodes, which is renewed as handshakes need it.

use std::sync::{Arc, PoisonError, RwLock};

use handfast_core::{Span, UnixTime};
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::key::EcKey;
use super::{Authority, AuthorityError};

/// The certificate and key of the listener. Both live in memory alone.
pub struct ServerCertificate {
    authority: Arc<Authority>,
    clock: Clock,
    names: Vec<String>,
    current: RwLock<Current>,
}

type Clock = Box<dyn Fn() -> UnixTime + Send + Sync>;

struct Current {
    pair: Arc<CertifiedKey>,
    issuer: CertificateDer<'static>,
    made: UnixTime,
    /// Two thirds of the certificate's life after it was made.
    renew_at: UnixTime,
}

impl ServerCertificate {
    /// Makes a certificate with the names of the authority's settings.
    ///
    /// # Errors
    /// [`AuthorityError::NotSigned`].
    pub fn new(
        authority: Arc<Authority>,
        clock: impl Fn() -> UnixTime + Send + Sync + 'static,
    ) -> Result<Self, AuthorityError> {
        let names = authority.settings().names.clone();
        let current = RwLock::new(make(&authority, &names, clock())?);
        let clock = Box::new(clock);
        Ok(Self { authority, clock, names, current })
    }

    /// Returns the certificate in use, after renewing it if that is due.
    #[must_use]
    pub fn pair(&self) -> Arc<CertifiedKey> {
        let now = (self.clock)();
        let read = self.current.read().unwrap_or_else(PoisonError::into_inner);
        if self.is_fresh(&read, now) {
            return Arc::clone(&read.pair);
        }
        // The lock for writing would wait for this one for ever.
        drop(read);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Another handshake may have renewed it meanwhile.
        if !self.is_fresh(&current, now) {
            match make(&self.authority, &self.names, now) {
                Ok(newer) => *current = newer,
                Err(error) => {
                    // The old certificate stays in use, and the next handshake tries again.
                    tracing::error!(%error, "the certificate of the listener was not renewed");
                }
            }
        }
        Arc::clone(&current.pair)
    }

    /// Returns `true` if the certificate stays: its root is the one that nodes know, and the time
    /// is between its making and its renewal.
    fn is_fresh(&self, current: &Current, now: UnixTime) -> bool {
        let trust = self.authority.trust();
        trust.oldest(now).certificate == current.issuer
            && current.made <= now
            && now < current.renew_at
    }
}

fn make(authority: &Authority, names: &[String], now: UnixTime) -> Result<Current, AuthorityError> {
    let trust = authority.trust();
    let root = trust.oldest(now);
    let validity = root.validity(authority.settings().server_life, now);
    let key = EcKey::generate();
    let certificate = root.sign_server(names, &key, validity)?;
    let life = u64::try_from(now.until(validity.not_after)).unwrap_or(0);
    Ok(Current {
        pair: Arc::new(CertifiedKey::new(vec![certificate], key.for_tls())),
        issuer: root.certificate.clone(),
        made: now,
        renew_at: now.after(Span::from_secs(life / 3 * 2)),
    })
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair())
    }
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCertificate").field("names", &self.names).finish_non_exhaustive()
    }
}
