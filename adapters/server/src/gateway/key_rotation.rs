//! The rotation of the gateway's static key, with an overlap in which nodes may link with the older
//! one. [`handfast_core::registry::gateway_keys`] decides.

use std::sync::{Arc, Weak};
use std::time::Duration;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::registry::codes::Kind;
use handfast_core::registry::gateway_keys::{GatewayKeys, NotRotated, OVERLAP, OlderKey};
use handfast_core::{NodeId, Span, UnixTime};
use handfast_store::audit::What;
use handfast_store::{KeyCounts, StoreError};
use tokio::sync::watch;

use crate::entropy;
use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, Inner, to_its_end};
use crate::telemetry::log_lines::{CausedBy, limited};

/// The interval at which the end of an overlap is looked for, and a rotation by another gateway of
/// the registry.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A rotation of the gateway's key that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRotation {
    /// Fingerprint of the key, which is shown to nodes and people from the rotation on.
    pub fingerprint: Fingerprint,
    /// Fingerprint of the key of before.
    pub older: Fingerprint,
    /// Time of the rotation.
    pub begun: UnixTime,
    /// Time until which nodes link with the older key.
    pub until: UnixTime,
    /// Nodes that have proven that they know the new key.
    pub know: u64,
    /// Nodes that have not. At the end they lose this gateway.
    pub lack: u64,
    /// `true` if nodes would be lost soon.
    pub is_near: bool,
}

impl Gateway {
    /// Makes a new static key. Nodes that are linked are told it over their links, and nodes that
    /// are away when they come back: until the overlap has ended they link with the older key. PINs
    /// and codes that were made under the older key end.
    ///
    /// # Errors
    /// [`OperatorError::Usage`] for an overlap that is too short or too long, or while an earlier
    /// one runs; [`OperatorError::Store`].
    pub async fn rotate_key(&self, overlap: Option<Span>) -> Result<KeyRotation, OperatorError> {
        let gateway = self.clone();
        to_its_end(async move { gateway.rotate_key_now(overlap.unwrap_or(OVERLAP)).await }).await
    }

    async fn rotate_key_now(&self, overlap: Span) -> Result<KeyRotation, OperatorError> {
        let (store, now) = (self.store(), self.now());
        let keys = &self.inner.pairing.keys;
        let rotated = keys.replace(&*store, &self.inner.pairing.seal, What::RotateKey, |keys| {
            keys.rotate(&entropy::draw(), overlap, now)
        });
        rotated.await?.map_err(|error| OperatorError::Usage(explain(error)))?;
        self.end_codes_of_older_key().await?;
        let rotation = self.key_rotation().await?;
        let rotation = rotation.ok_or_else(|| {
            StoreError::Database("the rotation was ended while it began".to_owned())
        })?;
        tracing::warn!(fingerprint = %rotation.fingerprint, older = %rotation.older, "there is a new key of the gateway");
        Ok(rotation)
    }

    /// Returns a receiver of the fingerprints of keys that take the place of the gateway's.
    pub(crate) fn shown_fingerprints(&self) -> watch::Receiver<Fingerprint> {
        self.inner.pairing.keys.fingerprints()
    }

    /// Ends an overlap early. Nodes that do not know the new key lose this gateway. Returns `false`
    /// if there is none.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn finish_key_rotation(&self) -> Result<bool, OperatorError> {
        let gateway = self.clone();
        to_its_end(async move { Ok(gateway.drop_older_key(|_| true).await?) }).await
    }

    /// Erases the older key, if there is one and it is to go.
    async fn drop_older_key(&self, goes: impl Fn(&OlderKey) -> bool) -> Result<bool, StoreError> {
        let keys = &self.inner.pairing.keys;
        let drops = |keys: &GatewayKeys| match keys.older() {
            Some(older) if goes(older) => Ok(keys.finished()),
            Some(_) | None => Err(()),
        };
        let (store, what) = (self.store(), What::FinishKeyRotation);
        let dropped = keys.replace(&*store, &self.inner.pairing.seal, what, drops).await?;
        if dropped.is_ok() {
            tracing::warn!("the older key of the gateway is erased");
        }
        Ok(dropped.is_ok())
    }

    /// Returns the rotation that is under way, if there is one.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn key_rotation(&self) -> Result<Option<KeyRotation>, OperatorError> {
        let keys = self.keys();
        let Some(OlderKey { pair, begun, until }) = keys.0.older() else { return Ok(None) };
        let KeyCounts { know, lack } = self.inner.store.key_counts(*keys.channel.public()).await?;
        Ok(Some(KeyRotation {
            fingerprint: self.fingerprint(),
            older: Fingerprint::of(pair.public()),
            begun: *begun,
            until: *until,
            know,
            lack,
            is_near: keys.0.older().is_some_and(|older| older.is_near(self.now())),
        }))
    }

    /// Takes in that a node knows a key of the gateway. It is written only while that is counted.
    pub(crate) async fn knows_key(&self, node_id: NodeId, key: &PublicKey) {
        let keys = self.keys();
        if keys.0.older().is_none() || key != keys.channel.public() {
            return;
        }
        // The next link shows it again.
        if let Err(error) = self.inner.store.knows_key(node_id, *key).await {
            limited!(warn, CausedBy::Node(node_id), { %node_id, %error, } "that a node knows the new key could not be written");
        }
    }

    /// Withdraws what was minted under the older key: who types or scans it would be shown another
    /// fingerprint than the one that came with it.
    async fn end_codes_of_older_key(&self) -> Result<(), StoreError> {
        let keys = self.keys();
        let Some(OlderKey { begun, .. }) = keys.0.older() else { return Ok(()) };
        let (store, now) = (self.store(), self.now());
        for code in store.codes(now).await? {
            match code.counted.kind {
                Kind::Code(_) if code.created_at <= *begun => {}
                // A PIN belongs to a connection that shows the key itself, and a provisioning token
                // to no key.
                Kind::Code(_) | Kind::Pin(_) | Kind::Provisioning => continue,
            }
            store.withdraw(code.id, now).await?;
        }
        Ok(())
    }
}

fn explain(error: NotRotated) -> String {
    match error {
        NotRotated::UnderWay { until } => format!(
            "the key was rotated before, and until {} nodes may still link with the older one; a \
             third key would cut them off: wait, or end that overlap with handfast gateway \
             rotate-key --finish",
            handfast_core::rfc3339::write(until)
        ),
        NotRotated::BadOverlap => "an overlap is from 1 hour to 400 days long".to_owned(),
    }
}

/// Completes a rotation that a crash has interrupted, and starts the task that ends overlaps, as
/// long as the gateway lives.
///
/// # Errors
/// [`StoreError`] if the registry cannot be read or written.
pub(crate) async fn watch(gateway: &Gateway) -> Result<(), StoreError> {
    gateway.end_codes_of_older_key().await?;
    tokio::spawn(watcher(Arc::downgrade(&gateway.inner)));
    Ok(())
}

async fn watcher(gateway: Weak<Inner>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(inner) = gateway.upgrade() else { return };
        if let Err(error) = look(&Gateway::new(inner)).await {
            tracing::error!(%error, "the gateway's keys could not be looked after; it is tried again");
        }
    }
}

async fn look(gateway: &Gateway) -> Result<(), StoreError> {
    let inner = &gateway.inner;
    gateway.read_keys_again().await?;
    // An erased key cannot come back, so it waits for a good clock.
    if let Some(now) = inner.clock.sweeps_at()
        && gateway.keys().0.older().is_some_and(|older| older.is_over(now))
    {
        gateway.drop_older_key(|older| older.is_over(now)).await?;
    }
    Ok(())
}
