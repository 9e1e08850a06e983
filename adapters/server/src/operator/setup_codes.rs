//! Creation of setup codes.

use std::time::Duration;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::grant::setup_code::{NotIssued, Terms, issue_by};
use handfast_core::limits::{
    SETUP_PAYLOAD_CHARS, SETUP_TOKEN_CHARS, SETUP_TTL_MAX, SETUP_TTL_MIN, SETUP_URL_BYTES,
};
use handfast_core::registry::authority::{Authority, Maker, Until};
use handfast_core::wire::setup::{MadeBy, Nonce, Payload, ProfileName};
use handfast_core::{Label, Span, UnixTime};
use handfast_store::audit::What;

use crate::entropy;
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::keys::setup::SetupKeyError;
use crate::public_url::{Candidates, UrlSource, resolve};

/// Options of a new setup code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewSetup {
    /// Label of the device; at most 64 characters.
    pub for_device: Option<String>,
    /// Profile of the companion; `None` for the profile of the settings.
    pub profile: Option<String>,
    /// Lifetime in whole seconds; `None` for the lifetime of the settings.
    pub ttl: Option<Duration>,
    /// URL of the gateway, which takes precedence over those of the settings.
    pub public_url: Option<String>,
    /// `true` to pair a device with a key of its own, on the native wire. The code then contains
    /// the gateway's fingerprint, and opens no session.
    pub bound: bool,
}

/// A setup code that was just made: the only time it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct StartedSetup {
    /// URL of the gateway for the companion.
    pub url: String,
    /// Source of the URL.
    pub url_source: UrlSource,
    /// The token that the companion presents.
    pub bootstrap_token: String,
    /// End of the code's validity.
    pub expires_at: UnixTime,
    /// Nonce of the code.
    pub(crate) nonce: Nonce,
    /// URL and token in one text, for a QR code or for copying.
    pub payload: String,
}

impl std::fmt::Debug for StartedSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartedSetup")
            .field("url", &self.url)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// Returns the address that setup codes name if the operator names none; `None` if companions
    /// on other machines cannot reach this gateway.
    #[must_use]
    pub fn companion_url(&self) -> Option<String> {
        let setup = &self.inner.setup.settings;
        let (url, _) = resolve(&setup.addresses, &setup.plain_hosts).ok()?;
        Some(url.to_string())
    }

    /// Makes a setup code. Nothing is stored until it is spent.
    ///
    /// # Errors
    /// [`OperatorError::Usage`] for invalid options, [`OperatorError::NoUrl`] if the gateway's URL
    /// for companions is unknown or must not be used.
    pub fn start_setup(&self, new: &NewSetup) -> Result<StartedSetup, OperatorError> {
        self.start_setup_by(&Authority::OWNER, new)
    }

    /// Makes a setup code with an authority. A delegated one makes no code for a profile wider than
    /// itself, the code does not outlive it, and the session or pairing that the code yields ends
    /// with it.
    ///
    /// # Errors
    /// As for [`Gateway::start_setup`], and [`OperatorError::Wider`].
    pub fn start_setup_by(
        &self,
        authority: &Authority,
        new: &NewSetup,
    ) -> Result<StartedSetup, OperatorError> {
        let setup = &self.inner.setup.settings;
        let now = self.inner.clock.unix();
        let usage = |text: String| OperatorError::Usage(text);
        let profile = new.profile.as_deref().unwrap_or(&setup.profile);
        let terms = Terms {
            profile: ProfileName::parse(profile)
                .ok_or_else(|| usage(format!("{profile:?} is no name of a profile: it has 1 to 64 visible characters")))?,
            device_label: match new.for_device.as_deref() {
                Some(label) if label.trim().is_empty() => return Err(usage("the name of a device is not blank".to_owned())),
                Some(label) => Some(Label::parse(label).ok_or_else(|| {
                    usage(
                        "the name of a device has at most 64 characters, none of which moves a cursor or reorders a line"
                            .to_owned(),
                    )
                })?),
                None => None,
            },
            ttl: Span::from_secs(new.ttl.unwrap_or(setup.ttl).as_secs()),
            bound: new.bound,
        };
        if !setup.knows(profile) {
            return Err(usage(format!(
                "there is no profile {profile:?}: name its permissions in setup.profiles"
            )));
        }
        // A session of such a profile may approve nodes without bounds, so the maker must be
        // allowed to.
        if setup.may_approve(profile) {
            authority.approve_unbounded()?;
        }
        let until = now.after(terms.ttl);
        // A named life is refused if it is too long; the default is shortened to the authority's.
        let until = if new.ttl.is_some() { Until::Exactly(until) } else { Until::AtMost(until) };
        let ends = authority.mint(&setup.permissions_of(profile).scopes(), until)?;
        let terms = Terms {
            ttl: terms.ttl.min(Span::from_secs(ends.as_secs().saturating_sub(now.as_secs()))),
            ..terms
        };
        let by = match authority.code_maker()? {
            Maker::Operator => None,
            Maker::Session(id) => Some(MadeBy::Session(*id.as_bytes())),
            Maker::Login(id) => Some(MadeBy::Login(*id.as_bytes())),
        };
        let addresses = Candidates {
            public: new.public_url.clone().or_else(|| setup.addresses.public.clone()),
            ..setup.addresses.clone()
        };
        let (url, url_source) = resolve(&addresses, &setup.plain_hosts)
            .map_err(|problem| OperatorError::NoUrl(problem.to_string()))?;
        // Companions connect to exactly this text.
        let url = url.pair_text();
        if url.len() > SETUP_URL_BYTES {
            return Err(usage(format!(
                "a URL in a setup code has at most {SETUP_URL_BYTES} bytes"
            )));
        }
        let mut out = [0; SETUP_TOKEN_CHARS];
        let keys = self.inner.setup.keys.now(now);
        let key = keys.first().expect("there is always a current key");
        // Its fingerprint is in the code, which ends with it.
        let own = self.keys();
        let key = match new.bound {
            true => &key.bound_to(own.channel.public()),
            false => key,
        };
        let issued =
            issue_by(key, &terms, by, now, &entropy::draw(), &mut out).map_err(
                |why| match why {
                    NotIssued::Ttl => usage(format!(
                        "a setup code is good for {} seconds to {} hours",
                        SETUP_TTL_MIN.as_secs(),
                        SETUP_TTL_MAX.as_secs() / 3600
                    )),
                    NotIssued::BufferTooSmall => {
                        usage("the names in this setup code are too long together".to_owned())
                    }
                },
            )?;
        // The life of this run's codes is elapsed time, whatever happens to the wall clock.
        self.inner.setup.issued.remember(issued.nonce, self.inner.clock.elapsed(), terms.ttl);
        let payload = Payload {
            url: &url,
            bootstrap_token: issued.token,
            expires_at: issued.expires_at,
            fingerprint: new.bound.then(|| Fingerprint::of(own.channel.public())),
        };
        let (mut scratch, mut text) = ([0; SETUP_PAYLOAD_CHARS], [0; SETUP_PAYLOAD_CHARS]);
        let payload = payload
            .encode(&mut scratch, &mut text)
            .expect("what was just checked is not too long")
            .to_owned();
        self.inner.telemetry.bootstrap_token_issued(profile);
        Ok(StartedSetup {
            url,
            url_source,
            bootstrap_token: issued.token.to_owned(),
            expires_at: issued.expires_at,
            nonce: issued.nonce,
            payload,
        })
    }

    /// Checks that a code with this end would not count as spent, because the clock was ahead once.
    ///
    /// # Errors
    /// [`OperatorError::SetupCodesSpent`] if it would; or [`OperatorError::Store`].
    pub async fn check_setup_mark(&self, expires_at: UnixTime) -> Result<(), OperatorError> {
        let mark = self.inner.store.setup_mark().await?;
        if mark < expires_at {
            return Ok(());
        }
        Err(OperatorError::SetupCodesSpent(mark))
    }

    /// Makes a new key for setup codes. Codes of the previous key stay valid until they expire;
    /// with `at_once` they become invalid, which is for a stolen key. Sessions are not affected.
    ///
    /// # Errors
    /// [`OperatorError::SetupKey`] if the key could not be replaced.
    pub async fn rotate_setup_key(&self, at_once: bool) -> Result<(), OperatorError> {
        let gateway = self.clone();
        let now = self.inner.clock.unix();
        let rotated = self.recorded(What::RotateSetupKey, async {
            let keys = &self.inner.setup.keys;
            let rotated = if keys.is_in_registry() {
                let seal = &self.inner.pairing.seal;
                let rotated = keys.rotate_in_registry(&*self.inner.store, seal, at_once, now);
                rotated.await.map_err(SetupKeyError::from)
            } else {
                let keys = move || gateway.inner.setup.keys.rotate_in_file(at_once, now);
                // Rotating writes files, which blocks.
                let rotated = tokio::task::spawn_blocking(keys).await;
                rotated.map_err(|error| OperatorError::SetupKey(error.to_string()))?
            };
            rotated.map_err(|error| OperatorError::SetupKey(error.to_string()))
        });
        rotated.await??;
        if at_once {
            // All earlier codes are invalid now, so none has to be remembered; a mark that a clock
            // had set too far ahead is cleared, too.
            self.store().forget_setup_codes().await?;
        }
        Ok(())
    }
}
