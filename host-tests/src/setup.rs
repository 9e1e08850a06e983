//! Setup codes read by a reference reader made of serde_json, hmac and base64, which must agree
//! with core on tokens and payloads.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::grant::setup_code::{
    NotIssued, NotValid, SetupKey, Terms, VERIFY_SCRATCH, issue, verify,
};
use handfast_core::limits::{
    LABEL_BYTES, LABEL_CHARS, SETUP_PAYLOAD_CHARS, SETUP_TOKEN_CHARS, SETUP_TTL_MAX, SETUP_TTL_MIN,
    SETUP_URL_BYTES,
};
use handfast_core::registry::sessions::{NotRedeemed, redeem};
use handfast_core::secret::Secret;
use handfast_core::wire::setup::{Payload, ProfileName};
use handfast_core::{Entropy, Label, Span, UnixTime};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::json_against_serde::members;

/// The claims of a token as the reference reader has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Profile of the companion.
    pub profile: String,
    /// End of validity in Unix seconds.
    pub expires_at: u64,
    /// Nonce of the token.
    pub nonce: [u8; 16],
    /// Label of the device; `None` without one.
    pub device_label: Option<String>,
}

/// A payload as the reference reader has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// URL of the gateway.
    pub url: String,
    /// The bootstrap token.
    pub bootstrap_token: String,
    /// End of validity in Unix seconds.
    pub expires_at: u64,
    /// Fingerprint of the gateway, if the code is bound to it.
    pub fingerprint: Option<String>,
}

/// Signs claims in the reference reader's way.
///
/// # Panics
/// Never: HMAC takes a key of any length.
#[must_use]
pub fn signed(key: &[u8; 32], claims: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(claims);
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(claims),
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

/// Reads a token with the reference reader.
///
/// # Errors
/// [`NotValid`] with the reason.
pub fn read_token(keys: &[[u8; 32]], token: &str) -> Result<Said, NotValid> {
    let parts: Vec<&str> = token.split('.').collect();
    let [claims, signature] = parts[..] else { return Err(NotValid::Form) };
    if token.len() > SETUP_TOKEN_CHARS || claims.is_empty() || signature.is_empty() {
        return Err(NotValid::Form);
    }
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| NotValid::ClaimsEncoding)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| NotValid::SignatureEncoding)?;
    if signature.len() != 32 {
        return Err(NotValid::SignatureEncoding);
    }
    let is_signed = |key: &[u8; 32]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
        mac.update(&claims);
        mac.verify_slice(&signature).is_ok()
    };
    if !keys.iter().any(is_signed) {
        return Err(NotValid::Signature);
    }
    core::str::from_utf8(&claims).ok().and_then(read_claims).ok_or(NotValid::Claims)
}

fn read_claims(text: &str) -> Option<Said> {
    let members = members(text)?;
    let profile = string(&members, "profile")?;
    let nonce = string(&members, "nonce")?;
    let digits = nonce.len() == 32 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit());
    let nonce = digits.then(|| {
        core::array::from_fn(|at| u8::from_str_radix(&nonce[2 * at..2 * at + 2], 16).expect("hex"))
    })?;
    let device_label = match members.get(b"device_label".as_slice()) {
        None => None,
        Some(value) if value == "null" => None,
        Some(_) => beginning(
            &string(&members, "device_label").filter(|text| !text.chars().any(Label::forbids))?,
        ),
    };
    // The id of the session that made the token has 16 bytes, or is absent.
    if members.contains_key(b"by".as_slice()) {
        let id = URL_SAFE_NO_PAD.decode(string(&members, "by")?).ok()?;
        (id.len() == 16).then_some(())?;
    }
    Some(Said {
        profile: label(profile)
            .filter(|_| !string(&members, "profile").is_none_or(|text| text.trim().is_empty()))?,
        expires_at: seconds(&string(&members, "expires_at")?)?,
        nonce,
        device_label,
    })
}

/// Reads a payload with the reference reader; `None` if it is invalid.
#[must_use]
pub fn read_payload(text: &str) -> Option<Carried> {
    let text: String = text.split_whitespace().collect();
    if text.len() > SETUP_PAYLOAD_CHARS {
        return None;
    }
    let object = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let members = members(&object)?;
    let fingerprint = match members.get(b"fingerprint".as_slice()) {
        None => None,
        Some(value) if value == "null" => None,
        Some(_) => {
            let text = string(&members, "fingerprint")?;
            Some(Fingerprint::parse(&text).is_ok().then_some(text)?)
        }
    };
    let carried = Carried {
        url: string(&members, "url")?,
        bootstrap_token: string(&members, "bootstrap_token")?,
        expires_at: seconds(&string(&members, "expires_at")?)?,
        fingerprint,
    };
    let fits = (1..=SETUP_URL_BYTES).contains(&carried.url.len())
        && carried.bootstrap_token.len() <= SETUP_TOKEN_CHARS;
    fits.then_some(carried)
}

fn string(members: &BTreeMap<Vec<u8>, String>, key: &str) -> Option<String> {
    serde_json::from_str(members.get(key.as_bytes())?).ok()
}

/// Returns the visible beginning of a label that somebody else wrote; `None` if it is blank.
fn beginning(text: &str) -> Option<String> {
    let shown: String =
        text.chars().take(LABEL_CHARS).take_while(|c| !Label::forbids(*c)).collect();
    (!shown.trim().is_empty()).then_some(shown)
}

/// Applies the rules of labels; a blank label reads `unknown`.
fn label(text: String) -> Option<String> {
    let fine = text.len() <= LABEL_BYTES
        && text.chars().count() <= LABEL_CHARS
        && !text.chars().any(Label::forbids);
    let blank_is_fine =
        text.trim().is_empty() && text.len() <= LABEL_BYTES && !text.chars().any(Label::forbids);
    match blank_is_fine {
        true => Some("unknown".to_owned()),
        false => fine.then_some(text),
    }
}

/// Parses an RFC 3339 time by counting years and months.
fn seconds(text: &str) -> Option<u64> {
    let number = |text: &str, digits: usize| -> Option<i64> {
        (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())
            .flatten()
    };
    let (date, behind) = (text.get(..10)?, text.get(10..)?);
    let rest = behind.strip_prefix(['T', 't', ' '])?;
    let (clock, zone) = (rest.get(..8)?, rest.get(8..)?);
    let [year, month, day] = <[&str; 3]>::try_from(date.split('-').collect::<Vec<_>>()).ok()?;
    let [hour, minute, second] =
        <[&str; 3]>::try_from(clock.split(':').collect::<Vec<_>>()).ok()?;
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    let zone = match zone.strip_prefix('.') {
        Some(fraction) => Some(fraction.trim_start_matches(|c: char| c.is_ascii_digit()))
            .filter(|rest| rest.len() < fraction.len())?,
        None => zone,
    };
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign @ ("+" | "-"), of) => {
            let (hours, minutes) = of.split_once(':')?;
            let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
            let secs = (hours * 60 + minutes) * 60;
            (hours < 24 && minutes < 60).then_some(if sign == "+" { secs } else { -secs })?
        }
        _ => return None,
    };
    let is_leap = |year: i64| year % 400 == 0 || (year % 4 == 0 && year % 100 != 0);
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month - 1).ok().filter(|before| *before < 12)?;
    if day < 1 || day > months[before] || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let of_years =
        |from, to| (from..to).map(|year| if is_leap(year) { 366 } else { 365 }).sum::<i64>();
    let days =
        of_years(1970, year) - of_years(year, 1970) + months[..before].iter().sum::<i64>() + day
            - 1;
    u64::try_from(days * 86_400 + hour * 3600 + minute * 60 + second - offset).ok()
}

const KEYS: [[u8; 32]; 2] = [[7; 32], [8; 32]];
const NOW: u64 = 1_750_000_000;

fn keys() -> [SetupKey; 2] {
    KEYS.map(|key| SetupKey::new(&Secret::new(key)).expect("not all zero"))
}

/// Reads a token with core, and returns its claims in the reference reader's form.
///
/// # Errors
/// [`NotValid`] with the reason.
pub fn verdict(keys: &[SetupKey], token: &str) -> Result<Said, NotValid> {
    let mut scratch = [0; VERIFY_SCRATCH];
    verify(keys, token, &mut scratch).map(|verified| {
        let claims = verified.claims();
        Said {
            profile: claims.profile.as_str().to_owned(),
            expires_at: claims.expires_at.as_secs(),
            nonce: *claims.nonce.as_bytes(),
            device_label: claims.device_label.map(|label| label.as_str().to_owned()),
        }
    })
}

fn agree_on(token: &str) -> Result<Said, NotValid> {
    let ours = verdict(&keys(), token);
    assert_eq!(ours, read_token(&KEYS, token), "{token:?}");
    ours
}

/// Checks that both readers agree on any token: one of arbitrary characters, one that signs
/// arbitrary claims, and one that was issued and then changed. An issued token is valid until its
/// end, and carries the claims it was issued with.
///
/// # Panics
/// If one of these does not hold.
pub fn any_token(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    match kind % 4 {
        0 => drop(agree_on(&String::from_utf8_lossy(rest))),
        1 => drop(agree_on(&signed(&KEYS[usize::from(kind >> 7)], rest))),
        2 => {
            // The claims include the required members, so that each further member is tested by
            // itself.
            let text = String::from_utf8_lossy(rest);
            let claims = format!(
                r#"{{"profile":"p","expires_at":"2026-11-22T06:17:50Z","nonce":"00112233445566778899aabbccddeeff",{text}}}"#
            );
            drop(agree_on(&signed(&KEYS[0], claims.as_bytes())));
        }
        _ => issued(rest),
    }
}

fn issued(data: &[u8]) {
    let (head, rest) = data.split_at(data.len().min(6));
    let at = |place: usize| head.get(place).copied().unwrap_or(0);
    let text = String::from_utf8_lossy(rest);
    let (profile, label) = text
        .split_once('\n')
        .map_or((text.as_ref(), None), |(profile, label)| (profile, Some(label)));
    let Some(profile) = ProfileName::parse(profile) else { return };
    let device_label = label.and_then(Label::parse);
    let ttl = Span::from_secs(u64::from(at(0)) * 400);
    let terms = Terms { profile, device_label, ttl, bound: false };
    let entropy = Entropy::from_recorded([at(1); 16]);
    let key = usize::from(at(2) & 1);
    let mut out = [0; SETUP_TOKEN_CHARS];
    let issued = issue(&keys()[key], &terms, UnixTime::from_secs(NOW), &entropy, &mut out);
    let possible = (SETUP_TTL_MIN..=SETUP_TTL_MAX).contains(&ttl);
    let Ok(issued) = issued else {
        return assert_eq!((issued, possible), (Err(NotIssued::Ttl), false));
    };
    let token = issued.token.to_owned();
    let end = NOW + ttl.as_millis() / 1000;
    let said = Said {
        profile: profile.as_str().to_owned(),
        expires_at: end,
        nonce: [at(1); 16],
        device_label: device_label.map(|label| label.as_str().to_owned()),
    };
    assert!(possible);
    assert_eq!(agree_on(&token), Ok(said));
    let spent_at = |now: u64| {
        redeem(UnixTime::from_secs(end), UnixTime::from_secs(0), false, UnixTime::from_secs(now))
    };
    assert_eq!((spent_at(end - 1), spent_at(end)), (Ok(()), Err(NotRedeemed::Expired)));
    assert_eq!(
        verdict(&keys()[1 - key..2 - key], &token),
        Err(NotValid::Signature),
        "of another key"
    );
    let mut changed = token.clone().into_bytes();
    let place = usize::from(at(3)) % changed.len();
    changed[place] = changed[place].wrapping_add(at(4) | 1);
    let changed = String::from_utf8_lossy(&changed);
    assert!(agree_on(&changed).is_err(), "{changed} for {token}");
}

/// Checks that both readers agree on any payload, and that a payload that was read is written as
/// one of the same content.
///
/// # Panics
/// If one of these does not hold.
pub fn any_payload(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let text = match kind % 3 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        1 => URL_SAFE_NO_PAD.encode(rest),
        _ => {
            let more = String::from_utf8_lossy(rest);
            let object = format!(
                r#"{{"url":"wss://gateway.example/","bootstrap_token":"e30.AAAA","expires_at":"2026-11-22T06:17:50Z",{more}}}"#
            );
            URL_SAFE_NO_PAD.encode(object)
        }
    };
    let mut scratch = vec![0; 2 * SETUP_PAYLOAD_CHARS];
    let payload = Payload::decode(&text, &mut scratch);
    assert_eq!(payload.as_ref().map(carried), read_payload(&text), "{text:?}");
    let Some(payload) = payload else { return };
    let (mut room, mut out) = ([0; SETUP_PAYLOAD_CHARS], [0; SETUP_PAYLOAD_CHARS]);
    let again = payload.encode(&mut room, &mut out).expect("what fits fits again");
    let mut scratch = vec![0; 2 * SETUP_PAYLOAD_CHARS];
    let latest = UnixTime::from_secs(253_402_300_799);
    // Only a time beyond the year 9999, which an offset can express, is written differently than it
    // was read.
    let expected = Payload { expires_at: payload.expires_at.min(latest), ..payload };
    assert_eq!(Payload::decode(again, &mut scratch), Some(expected));
}

fn carried(payload: &Payload<'_>) -> Carried {
    Carried {
        url: payload.url.to_owned(),
        bootstrap_token: payload.bootstrap_token.to_owned(),
        expires_at: payload.expires_at.as_secs(),
        fingerprint: payload
            .fingerprint
            .map(|fingerprint| String::from_utf8_lossy(&fingerprint.text()).into_owned()),
    }
}
