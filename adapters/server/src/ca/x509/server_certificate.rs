//! The certificates of the gateway's own listeners, which are renewed as handshakes need it.

use std::sync::{Arc, PoisonError, RwLock};

use handfast_core::crypto::sha256;
use handfast_core::secret::Secret;
use handfast_core::{Span, UnixTime};
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::key::EcKey;
use super::sealed::{ListenerRecord, VERSION};
use super::{Authority, AuthorityError};

/// Lifetime of the certificate that browsers are shown: what all of them accept.
const FOR_BROWSERS: Span = Span::from_secs(397 * 86_400);

/// The certificate and key of a listener.
pub struct ServerCertificate {
    authority: Arc<Authority>,
    clock: Clock,
    names: Vec<String>,
    life: Span,
    /// Whether it is kept beside the authority, or lives in memory alone.
    kept: bool,
    current: RwLock<Current>,
}

type Clock = Box<dyn Fn() -> UnixTime + Send + Sync>;

struct Current {
    pair: Arc<CertifiedKey>,
    key: EcKey,
    certificate: CertificateDer<'static>,
    issuer: CertificateDer<'static>,
    made: UnixTime,
    /// Two thirds of the certificate's life after it was made.
    renew_at: UnixTime,
}

impl ServerCertificate {
    /// Makes a certificate with the names of the authority's settings. It lives in memory alone,
    /// because nodes trust its root and not the certificate.
    ///
    /// # Errors
    /// [`AuthorityError::NotSigned`].
    pub fn new(
        authority: Arc<Authority>,
        clock: impl Fn() -> UnixTime + Send + Sync + 'static,
    ) -> Result<Self, AuthorityError> {
        let (names, life) = (authority.settings().names.clone(), authority.settings().server_life);
        let current = RwLock::new(Current::make(&authority, &names, life, clock())?);
        Ok(Self { authority, clock: Box::new(clock), names, life, kept: false, current })
    }

    /// Returns the certificate that browsers are shown, which lives for 397 days, or a third of the
    /// root's life if that is shorter. It is kept beside the authority, because a browser that was
    /// told to accept it warns again about another one. Blocks.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn for_browsers(
        authority: Arc<Authority>,
        names: Vec<String>,
        clock: impl Fn() -> UnixTime + Send + Sync + 'static,
    ) -> Result<Self, AuthorityError> {
        let third = Span::from_secs(authority.settings().root_life.as_secs() / 3);
        let (life, now) = (FOR_BROWSERS.min(third), clock());
        let kept = match authority.directory() {
            Some(directory) => directory.listener()?.and_then(|kept| Current::of(kept, &names)),
            None => None,
        };
        let (is_kept, current) = match kept {
            Some(current) => (true, current),
            None => (false, Current::make(&authority, &names, life, now)?),
        };
        let current = RwLock::new(current);
        let clock = Box::new(clock);
        let certificate = Self { authority, clock, names, life, kept: true, current };
        if !is_kept {
            certificate.keep(&certificate.read())?;
        }
        Ok(certificate)
    }

    /// Returns the certificate in use, after renewing it if that is due.
    #[must_use]
    pub fn pair(&self) -> Arc<CertifiedKey> {
        let now = (self.clock)();
        let read = self.read();
        if self.is_fresh(&read, now) {
            return Arc::clone(&read.pair);
        }
        // The lock for writing would wait for this one for ever.
        drop(read);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Another handshake may have renewed it meanwhile.
        if !self.is_fresh(&current, now) {
            let newer = Current::make(&self.authority, &self.names, self.life, now);
            // It is shown only once it is kept, so that a restart does not show yet another one.
            match newer.and_then(|newer| self.keep(&newer).map(|()| newer)) {
                Ok(newer) => *current = newer,
                Err(error) => {
                    // The old certificate stays in use, and the next handshake tries again.
                    tracing::error!(%error, "the certificate of the listener was not renewed");
                }
            }
        }
        Arc::clone(&current.pair)
    }

    /// Returns the SHA-256 fingerprint of the certificate in use, as browsers show it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let pair = self.pair();
        let hash = sha256::hash([pair.cert.first().map_or(&[][..], |leaf| leaf), &[]]);
        hash.map(|byte| format!("{byte:02X}")).join(":")
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a certificate if it is one that is kept.
    fn keep(&self, current: &Current) -> Result<(), AuthorityError> {
        match (self.kept, self.authority.directory()) {
            (true, Some(directory)) => directory.keep_listener(&current.record(&self.names)),
            (true, None) | (false, _) => Ok(()),
        }
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

impl Current {
    fn make(
        authority: &Authority,
        names: &[String],
        life: Span,
        now: UnixTime,
    ) -> Result<Self, AuthorityError> {
        let trust = authority.trust();
        let root = trust.oldest(now);
        let validity = root.validity(life, now);
        let key = EcKey::generate();
        let certificate = root.sign_server(names, &key, validity)?;
        let life = u64::try_from(now.until(validity.not_after)).unwrap_or(0);
        let (issuer, renew_at) =
            (root.certificate.clone(), now.after(Span::from_secs(life / 3 * 2)));
        Ok(Self::new(key, certificate, issuer, now, renew_at))
    }

    fn new(
        key: EcKey,
        certificate: CertificateDer<'static>,
        issuer: CertificateDer<'static>,
        made: UnixTime,
        renew_at: UnixTime,
    ) -> Self {
        let pair = Arc::new(CertifiedKey::new(vec![certificate.clone()], key.for_tls()));
        Self { pair, key, certificate, issuer, made, renew_at }
    }

    /// Returns the certificate of a record, if it has these names. Whether it is fresh is decided at
    /// each handshake.
    fn of(record: ListenerRecord, names: &[String]) -> Option<Self> {
        let ListenerRecord { version: _, certificate, key, issuer, names: had, made, renew_at } =
            record;
        let key = EcKey::from_number(key).filter(|_| had == names)?;
        Some(Self::new(key, certificate.into(), issuer.into(), made, renew_at))
    }

    fn record(&self, names: &[String]) -> ListenerRecord {
        ListenerRecord {
            version: VERSION,
            certificate: self.certificate.to_vec(),
            key: Secret::new(*self.key.number().expose()),
            issuer: self.issuer.to_vec(),
            names: names.to_vec(),
            made: self.made,
            renew_at: self.renew_at,
        }
    }
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
