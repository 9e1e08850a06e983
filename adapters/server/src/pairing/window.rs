//! The pairing mode: while it is open, PINs are shown. It closes by itself, or when too many PINs
//! were guessed wrong.

use std::sync::{Arc, Weak};
use std::time::Duration;

use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::authority::{Authority, Maker, Until};
use handfast_core::registry::codes::{Guesser, Opened, Window};
use handfast_core::time::{Span, UnixTime};
use handfast_store::held::Cut;
use handfast_store::{Over, Store, StoreError};

use super::settings::{Approve, PairingSettings};
use crate::gateway::{Gateway, Inner, OperatorError};
use crate::hook::Event;

/// How long the watcher sleeps at most: the wall clock may be set meanwhile, and another gateway
/// may have changed the window.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How the pairing mode stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairingStatus {
    /// Whether PINs are shown and may be guessed now.
    pub open: bool,
    /// Whether too many wrong PINs have closed it: the operator has to open it anew.
    pub locked: bool,
    /// Since when it is open, or was until it was locked.
    pub since: Option<UnixTime>,
    /// When it closes by itself; never while it is open, if there is no time.
    pub closes: Option<UnixTime>,
    /// Wrong PINs since it was opened, over all PINs, and those under way.
    pub wrong: u8,
    /// Who guessed them, in the order of their addresses. Whoever guessed too often hears that PINs
    /// are locked, while they are open to others.
    pub guessers: Vec<Guesser>,
}

impl PairingStatus {
    fn of(window: Window, guessers: Vec<Guesser>, now: UnixTime) -> Self {
        let open = window.admits(now).is_ok();
        let locked = window.is_locked();
        let opened = window.opened.filter(|_| open || locked);
        Self {
            open,
            locked,
            since: opened.map(|opened| opened.at),
            closes: opened.filter(|_| open).and_then(|opened| opened.closes),
            wrong: window.guesses,
            guessers,
        }
    }
}

impl Gateway {
    /// Opens pairing by PIN, for so long (whole seconds) or as long as the settings say. If it was
    /// open or locked, it begins anew, with all its guesses.
    ///
    /// # Errors
    /// [`OperatorError::Store`], and [`OperatorError::Usage`] for less than a second.
    pub async fn open_pairing(
        &self,
        open_for: Option<Duration>,
    ) -> Result<PairingStatus, OperatorError> {
        self.open_pairing_by(&Authority::OWNER, open_for).await
    }

    /// The same by somebody's right: a delegated one opens pairing only if it covers what a PIN
    /// alone brings, for no longer than itself, and it closes with it.
    ///
    /// # Errors
    /// As for [`Gateway::open_pairing`], and [`OperatorError::Wider`].
    pub async fn open_pairing_by(
        &self,
        authority: &Authority,
        open_for: Option<Duration>,
    ) -> Result<PairingStatus, OperatorError> {
        let said = open_for.is_some();
        let seconds =
            open_for.unwrap_or_else(|| self.inner.pairing.settings.opened_for()).as_secs();
        if seconds == 0 {
            return Err(OperatorError::Usage("pairing opens for a second at least".to_owned()));
        }
        let now = self.inner.clock.unix();
        let closes = now.after(Span::from_secs(seconds));
        let settings = &self.inner.pairing.settings;
        let brings = match settings.approve {
            Approve::Auto => settings.default_permissions.clone(),
            // The operator says what each brings.
            Approve::Manual => ScopesBuf::default(),
        };
        let until = if said { Until::Exactly(closes) } else { Until::AtMost(closes) };
        let (closes, maker) = (authority.mint(&brings.scopes(), until)?, authority.maker()?);
        let window = Window::open_by(now, Some(closes), maker);
        let _alone = self.inner.pairing.minting.lock().await;
        self.inner.store.set_window(window).await?;
        let closes = window.opened.and_then(|opened| opened.closes);
        self.check_maker(maker).await?;
        self.event(Event::WindowOpened { closes });
        self.inner.pairing.window_changed.notify_one();
        Ok(PairingStatus::of(window, Vec::new(), now))
    }

    /// Closes pairing by PIN. PINs that are shown cannot be guessed any more.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn close_pairing(&self) -> Result<PairingStatus, OperatorError> {
        let now = self.inner.clock.unix();
        let _alone = self.inner.pairing.minting.lock().await;
        let before = self.inner.store.window().await?;
        let closed = Window { opened: None, ..before };
        let end = |gateway: &Self| {
            if before.opened.is_some() {
                gateway.event(Event::WindowClosed);
            }
            gateway.inner.pairing.window_changed.notify_one();
        };
        self.cut(
            Cut::Window,
            "pairing by PIN".to_owned(),
            end,
            self.inner.store.set_window(closed),
        )
        .await?;
        let guessers = self.inner.store.guessers().await?;
        Ok(PairingStatus::of(closed, guessers, now))
    }

    /// How the pairing mode stands.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn pairing_status(&self) -> Result<PairingStatus, OperatorError> {
        let (window, guessers) =
            (self.inner.store.window().await?, self.inner.store.guessers().await?);
        Ok(PairingStatus::of(window, guessers, self.inner.clock.unix()))
    }
}

/// Brings the window into the state in which the settings want it at the start. Guesses are kept: a
/// restart gives nobody more of them.
pub(crate) async fn at_start(
    store: &dyn Store,
    settings: &PairingSettings,
    now: UnixTime,
) -> Result<(), StoreError> {
    let before = store.window().await?;
    let opened = match (settings.enabled, before.opened) {
        (true, _) => {
            let closes = settings.window.map(|window| now.after(Span::from_secs(window.as_secs())));
            Some(Opened { at: now, closes, by: Maker::Operator })
        }
        // The operator's time goes on; what was to last as long as the gateway ran is over.
        (false, Some(opened @ Opened { closes: Some(_), .. })) => Some(opened),
        (false, Some(Opened { closes: None, .. }) | None) => None,
    };
    let window = Window { opened, ..before };
    if settings.enabled && window.is_locked() {
        tracing::warn!(
            "pairing stays closed after too many wrong PINs, until the operator opens it"
        );
    }
    if window == before { Ok(()) } else { store.set_window(window).await }
}

/// Closes the window when its time is over, and says so, as long as there is a gateway.
pub(crate) fn watch(inner: &Arc<Inner>) {
    tokio::spawn(watcher(Arc::downgrade(inner)));
}

async fn watcher(gateway: Weak<Inner>) {
    loop {
        let Some(inner) = gateway.upgrade() else { return };
        let alone = inner.pairing.minting.lock().await;
        let now = inner.clock.unix();
        let mut sleep = LOOK_EVERY;
        match inner.store.window().await {
            Ok(window) => match window.opened {
                Some(Opened { closes: Some(closes), .. }) if closes <= now => {
                    // Where the clock is not good it is closed all the same, but that is not
                    // written: it would stay so when the clock is right again.
                    let written = match inner.clock.trusted().is_good() {
                        true => Some(inner.store.write_over(Over::Window, now)),
                        false => None,
                    };
                    match match written {
                        Some(written) => written.await,
                        None => Ok(false),
                    } {
                        Ok(true) => inner.event(&Event::WindowClosed),
                        Ok(false) => {}
                        Err(error) => {
                            tracing::error!(%error, "that pairing has closed could not be written down; it is closed all the same");
                        }
                    }
                }
                Some(opened) => {
                    let left = opened.closes.map(|closes| {
                        Duration::from_secs(closes.as_secs().saturating_sub(now.as_secs()))
                    });
                    sleep = left.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
                }
                None => {}
            },
            Err(error) => tracing::error!(%error, "the pairing window could not be read"),
        }
        drop(alone);
        let changed = Arc::clone(&inner.pairing.window_changed);
        let mut shutdown = inner.shutdown.subscribe();
        // Whoever sleeps keeps no gateway alive.
        drop(inner);
        tokio::select! {
            () = changed.notified() => {}
            () = tokio::time::sleep(sleep) => {}
            _ = shutdown.wait_for(|down| *down) => return,
        }
    }
}
