//! The secrets that nodes prove: PINs, shown while pairing is open, and codes minted beforehand.

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::{GUESSES_PER_CODE, GUESSES_PER_SOURCE, GUESSES_PER_WINDOW};
use handfast_core::registry::codes::{CodeId, Counted, Kind, NoGuess, Window};
use handfast_core::wire::native::pair::Selector;
use handfast_core::{Source, Span, UnixTime};
use handfast_store::{NotMinted, StoreError};

use super::session::seconds_until;
use crate::entropy;
use crate::events::{Event, Pin};
use crate::gateway::Gateway;
use crate::policy::request::{OwnedPrepared, OwnedRefusal, OwnedRequest};
use crate::telemetry::log_lines::{CausedBy, limited};

impl Gateway {
    /// Mints a PIN for this key and shows it. A node that comes back while its PIN lives gets the
    /// same PIN, and no second event is sent.
    pub(super) async fn show_pin(
        &self,
        request: &OwnedRequest,
    ) -> Result<OwnedPrepared, StoreError> {
        let (store, pairing) = (&self.inner.store, &self.inner.pairing);
        // Otherwise two connections of one node could each mint a PIN.
        let _one_at_a_time = pairing.minting.lock().await;
        let now = self.inner.clock.unix();
        let window = store.window().await?;
        let source = Source::of(request.address);
        let guessers = store.guessers().await?;
        let of_source = guessers
            .iter()
            .find(|guesser| guesser.source == source)
            .map_or(0, |guesser| guesser.guesses);
        if let Err(no) = window.admits_source(of_source, now) {
            return Ok(OwnedPrepared::Refused(refusal(no)));
        }
        if window.is_doubted(&self.inner.clock.moment()) {
            limited!(warn, CausedBy::Any, {} "the clock is in doubt, and by what it says pairing has closed: no PIN is shown; open pairing again");
            return Ok(OwnedPrepared::Refused(OwnedRefusal::BUSY));
        }
        // The same PIN again costs no permit: the display shows it already.
        if let Some(pin) = self.live_pin(&request.key, &window, of_source, now).await? {
            return Ok(pin);
        }
        // A new PIN reaches the operator's display, so a source may cause only a few.
        let Some(permit) = pairing.pins.permit(source, self.inner.clock.now()) else {
            tracing::debug!(address = %request.address, "too many PINs were shown for there lately");
            return Ok(OwnedPrepared::Refused(OwnedRefusal::BUSY));
        };
        // The maker of a PIN is the one who opened pairing.
        let maker = window.opened.map(|opened| opened.by).unwrap_or_default();
        let settings = &pairing.settings;
        let length = usize::from(settings.pin_length);
        let Some(code) = Code::mint(settings.pin_alphabet, length, &entropy::draw()) else {
            return Err(StoreError::Database(format!("there is no PIN of {length} characters")));
        };
        let id = CodeId::new(&entropy::draw());
        let expires = now.after(Span::from_secs(settings.pin_timeout.as_secs()));
        let minted = handfast_store::StoredCode {
            id,
            counted: Counted { kind: Kind::Pin(request.key), expires, guesses: 0, uses_left: 1 },
            sealed: pairing.seal.seal_code(id.as_bytes(), &code),
            scopes: ScopesBuf::default(),
            grant_for: None,
            created_at: now,
            label: label(request),
            maker,
            source: Some(source),
            provisions: None,
        };
        if let Err(no) = store.mint(minted, now).await? {
            // The PIN was not shown, so it does not count against the source.
            permit.give_back(self.inner.clock.now());
            return Ok(OwnedPrepared::Refused(match no {
                NotMinted::Closed | NotMinted::MakerEnded => OwnedRefusal::Closed,
                NotMinted::Locked => OwnedRefusal::Locked,
                NotMinted::TooMany | NotMinted::Taken => OwnedRefusal::BUSY,
            }));
        }
        let expires_in = guessable_for(expires, &window, now);
        // The connection keeps the code itself, to verify guesses.
        let seen = copy(&code)?;
        self.event(Event::PairingRequest {
            name: request.name.to_string(),
            room: request.room.to_string(),
            address: request.address,
            fingerprint: Fingerprint::of(&request.key),
            pin: Pin::new(seen),
            expires_in,
            opened_by: maker,
        });
        Ok(OwnedPrepared::Pin { id, code, expires_in, attempts: attempts(0, &window, of_source) })
    }

    /// Returns the PIN that was shown for this key and may still be guessed.
    async fn live_pin(
        &self,
        key: &x25519::PublicKey,
        window: &Window,
        of_source: u8,
        now: UnixTime,
    ) -> Result<Option<OwnedPrepared>, StoreError> {
        let live = self.inner.store.codes(now).await?;
        let moment = self.inner.clock.moment();
        let live =
            live.into_iter().filter(|code| !moment.doubts(code.created_at, code.counted.expires));
        let guessable = |counted: &Counted| {
            counted.kind == Kind::Pin(*key) && counted.guesses < GUESSES_PER_CODE
        };
        let mut live = live;
        let Some(found) = live.find(|code| guessable(&code.counted)) else { return Ok(None) };
        // A listing has no secrets, so the code is read by its id.
        let Some(found) = self.inner.store.code(found.id).await? else { return Ok(None) };
        // A PIN that does not open is of no use, so a new one takes its place.
        let Ok(code) = self.inner.pairing.seal.open_code(found.id.as_bytes(), &found.sealed) else {
            return Ok(None);
        };
        let (expires_in, attempts) = (
            guessable_for(found.counted.expires, window, now),
            attempts(found.counted.guesses, window, of_source),
        );
        Ok(Some(OwnedPrepared::Pin { id: found.id, code, expires_in, attempts }))
    }

    /// Finds the code with this selector. If there is none, the answer is nobody's code, at about
    /// the same cost.
    pub(super) async fn find_code(&self, selector: Selector) -> Result<OwnedPrepared, StoreError> {
        let seal = &self.inner.pairing.seal;
        if let Some(found) =
            self.inner.store.code_by_selector(selector, self.inner.clock.unix()).await?
        {
            if self.inner.clock.moment().doubts(found.created_at, found.counted.expires) {
                let selector = selector.as_str();
                limited!(warn, CausedBy::Any, { selector, } "the clock is in doubt, and by what it says this code has expired: it is refused now");
                return Ok(OwnedPrepared::Refused(OwnedRefusal::BUSY));
            }
            if let Ok(code) = seal.open_code(found.id.as_bytes(), &found.sealed) {
                return Ok(OwnedPrepared::Code { id: Some(found.id), code });
            }
            limited!(error, CausedBy::Any, { selector = selector.as_str(), } "the store key does not open this code; it counts as nobody's");
        }
        // A stranger must not learn which selectors exist, so the exchange goes on with nobody's
        // code.
        let code = Code::nobodys(&entropy::draw());
        let _as_long_as_opening_one = seal.seal_code(&[0; 16], &code);
        Ok(OwnedPrepared::Code { id: None, code })
    }
}

/// Returns the words by which an operator knows the node of a PIN.
fn label(request: &OwnedRequest) -> String {
    let (name, room) = (request.name.as_str(), request.room.as_str());
    if room.is_empty() { name.to_owned() } else { format!("{name}, {room}") }
}

/// Copies a code, which core's type does not allow by itself.
fn copy(code: &Code) -> Result<Code, StoreError> {
    let text = std::str::from_utf8(code.expose()).ok();
    text.and_then(|text| Code::parse(text).ok())
        .ok_or_else(|| StoreError::Database("a PIN was minted that reads as none".to_owned()))
}

/// Returns the seconds for which a PIN can be guessed: until it expires, or pairing closes.
fn guessable_for(expires: UnixTime, window: &Window, now: UnixTime) -> u32 {
    let closes = window.opened.and_then(|opened| opened.closes);
    seconds_until(closes.map_or(expires, |closes| expires.min(closes)), now)
}

/// Returns the number of guesses left for a PIN.
fn attempts(guesses: u8, window: &Window, of_source: u8) -> u8 {
    let of_all = GUESSES_PER_WINDOW
        .saturating_sub(window.guesses)
        .min(GUESSES_PER_SOURCE.saturating_sub(of_source));
    GUESSES_PER_CODE.saturating_sub(guesses).min(of_all)
}

const fn refusal(no: NoGuess) -> OwnedRefusal {
    match no {
        NoGuess::Closed => OwnedRefusal::Closed,
        NoGuess::Locked => OwnedRefusal::Locked,
        NoGuess::Expired => OwnedRefusal::Expired,
    }
}
