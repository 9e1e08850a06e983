//! The pairing window: PINs are shown while it is open. It closes at its time, or after too many
//! wrong PINs.

use std::sync::{Arc, Weak};
use std::time::Duration;

use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::authority::{Authority, Maker, Until};
use handfast_core::registry::codes::{Guesser, NoGuess, Opened, Window};
use handfast_core::{Span, UnixTime};
use handfast_store::audit::{Origin, Who};
use handfast_store::held::Cut;
use handfast_store::{Over, Store, StoreError};

use crate::events::Event;
use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, Inner};
use crate::policy::settings::{Approve, PairingSettings};

/// Maximum sleep of the watcher: the wall clock may be set meanwhile, and another gateway may
/// change the window.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// State of the pairing window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairingStatus {
    /// `true` if PINs are shown and may be guessed now.
    pub open: bool,
    /// `true` if too many wrong PINs have closed the window: only the operator opens it again.
    pub locked: bool,
    /// Time at which the window was opened; `None` while it is closed, except by too many wrong
    /// PINs.
    pub since: Option<UnixTime>,
    /// Time at which the open window closes by itself; `None` if it has no end.
    pub closes: Option<UnixTime>,
    /// Number of wrong PINs since the window was opened, over all PINs, including guesses in
    /// progress.
    pub wrong: u8,
    /// Sources of the wrong guesses, in the order of their addresses. A source that guessed too
    /// often is told that PINs are locked, while they are open to others.
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
    /// Opens pairing by PIN for the given time (whole seconds), or for the time of the settings. A
    /// window that is open or locked starts again, with all its guesses.
    ///
    /// # Errors
    /// [`OperatorError::Store`], and [`OperatorError::Usage`] for less than a second.
    pub async fn open_pairing(
        &self,
        open_for: Option<Duration>,
    ) -> Result<PairingStatus, OperatorError> {
        self.open_pairing_by(&Authority::OWNER, open_for).await
    }

    /// Opens pairing by PIN with an authority. A delegated one must cover the permissions that a
    /// PIN alone yields; the window ends no later than the authority, and with it.
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
            // The operator chooses the permissions of each node.
            Approve::Manual => ScopesBuf::default(),
        };
        // A named time is refused if it is too long; the default is shortened to the authority's.
        let until = if said { Until::Exactly(closes) } else { Until::AtMost(closes) };
        let (closes, maker) = (authority.mint(&brings.scopes(), until)?, authority.code_maker()?);
        let window = Window::open_by(now, Some(closes), maker);
        // Otherwise the watcher could close the window that opens here, by what it read before.
        let _alone = self.inner.pairing.minting.lock().await;
        self.store().set_window(window).await?;
        let closes = window.opened.and_then(|opened| opened.closes);
        // The store does not tie the window to its maker, who may have ended while it was written.
        self.check_maker(maker).await?;
        self.event(Event::WindowOpened { closes });
        self.inner.pairing.window_changed.notify_one();
        Ok(PairingStatus::of(window, Vec::new(), now))
    }

    /// Closes pairing by PIN. PINs that are shown can no longer be guessed.
    ///
    /// # Errors
    /// [`OperatorError::Store`] if the registry fails.
    pub async fn close_pairing(&self) -> Result<PairingStatus, OperatorError> {
        let now = self.inner.clock.unix();
        let _alone = self.inner.pairing.minting.lock().await;
        let before = self.inner.store.window().await?;
        // The guesses stay, so that closing and opening by settings does not grant new ones.
        let closed = Window { opened: None, ..before };
        let end = |gateway: &Self| {
            if before.opened.is_some() {
                gateway.event(Event::WindowClosed);
                gateway.inner.hub.all_pins_ended(NoGuess::Closed);
            }
            gateway.inner.pairing.window_changed.notify_one();
        };
        let store = self.store();
        self.cut(Cut::Window, "pairing by PIN".to_owned(), end, store.set_window(closed)).await?;
        let guessers = self.inner.store.guessers().await?;
        Ok(PairingStatus::of(closed, guessers, now))
    }

    /// Returns the state of the pairing window.
    ///
    /// # Errors
    /// [`OperatorError::Store`] if the registry cannot be read.
    pub async fn pairing_status(&self) -> Result<PairingStatus, OperatorError> {
        let (window, guessers) =
            (self.inner.store.window().await?, self.inner.store.guessers().await?);
        Ok(PairingStatus::of(window, guessers, self.inner.clock.unix()))
    }
}

/// Brings the window into the state that the settings demand at start. Guesses are kept: a restart
/// yields no further ones.
///
/// # Errors
/// [`StoreError`] if the window cannot be read or written.
pub(crate) async fn at_start(
    store: &Arc<dyn Store>,
    settings: &PairingSettings,
    is_shared: bool,
    now: UnixTime,
) -> Result<(), StoreError> {
    let before = store.window().await?;
    let opened = match (settings.enabled, before.opened) {
        (true, _) => {
            let closes = settings.window.map(|window| now.after(Span::from_secs(window.as_secs())));
            Some(Opened { at: now, closes, by: Maker::Operator })
        }
        // A window that the operator opened for a time stays open. One without an end was meant for
        // the previous run.
        (false, Some(opened @ Opened { closes: Some(_), .. })) => Some(opened),
        // Another gateway may have opened it since.
        (false, opened) if is_shared => opened,
        (false, Some(Opened { closes: None, .. }) | None) => None,
    };
    let window = Window { opened, ..before };
    if settings.enabled && window.is_locked() {
        tracing::warn!(
            "pairing stays closed after too many wrong PINs, until the operator opens it"
        );
    }
    if window == before {
        return Ok(());
    }
    let store = Arc::clone(store).by(Origin::new(Who::Gateway, now));
    store.set_window(window).await
}

/// Starts the task that closes the window at its time and emits the event, as long as the gateway
/// lives.
pub(crate) fn watch(inner: &Arc<Inner>) {
    tokio::spawn(watcher(Arc::downgrade(inner)));
}

async fn watcher(gateway: Weak<Inner>) {
    loop {
        let Some(inner) = gateway.upgrade() else { return };
        // Held from reading to writing, so that a window that opens meanwhile stays open.
        let alone = inner.pairing.minting.lock().await;
        let now = inner.clock.unix();
        let mut sleep = LOOK_EVERY;
        match inner.store.window().await {
            Ok(window) => match window.opened {
                Some(Opened { closes: Some(closes), .. }) if closes <= now => {
                    // With a doubtful clock the window counts as closed, but that is not stored: it
                    // would stay closed once the clock is right.
                    let written = match inner.clock.trusted().is_good() {
                        true => Some(inner.store.write_over(Over::Window, now)),
                        false => None,
                    };
                    match match written {
                        Some(written) => written.await,
                        None => Ok(false),
                    } {
                        Ok(true) => {
                            inner.event(&Event::WindowClosed);
                            inner.hub.all_pins_ended(NoGuess::Closed);
                        }
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
        // A sleeping watcher must not keep the gateway alive.
        drop(inner);
        tokio::select! {
            () = changed.notified() => {}
            () = tokio::time::sleep(sleep) => {}
            _ = shutdown.wait_for(|down| *down) => return,
        }
    }
}
