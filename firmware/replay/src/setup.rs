//! Setup codes as a device verifies them: codes that Python made
//! (`host-tests/interop/setup_codes.py`), good ones and others, and what each verdict takes.

use handfast_core::grant::setup_code::{NotValid, SetupKey, VERIFY_SCRATCH, verify};
use handfast_core::secret::Secret;
use handfast_core::time::UnixTime;

use crate::{Measured, Notes};

/// When they are verified, in seconds.
const NOW: u64 = 1750000000;
/// Made with the current key.
const GOOD: &str = "eyJwcm9maWxlIjoiY29tcGFuaW9uLXYxIiwiZXhwaXJlc19hdCI6IjIwMjUtMDYtMTVUMTU6MTY6NDBaIiwibm9uY2UiOiIwMDExMjIzMzQ0NTU2Njc3ODg5OWFhYmJjY2RkZWVmZiJ9.8xm9pESnckKLrYBEbhMpSAHy-6ULpnmrD-YgzKAbeEg";
/// Made with the older key.
const OLDER: &str = "eyJwcm9maWxlIjoiY29tcGFuaW9uLXYxIiwiZXhwaXJlc19hdCI6IjIwMjUtMDYtMTVUMTU6MTY6NDBaIiwibm9uY2UiOiIwMDExMjIzMzQ0NTU2Njc3ODg5OWFhYmJjY2RkZWVmZiJ9.V6dhbChJbCAjDnBDeal1TK1WpgJWpOOcBAUJltoiaW0";
/// Signed without a key.
const FORGED: &str = "eyJwcm9maWxlIjoiY29tcGFuaW9uLXYxIiwiZXhwaXJlc19hdCI6IjIwMjUtMDYtMTVUMTU6MTY6NDBaIiwibm9uY2UiOiIwMDExMjIzMzQ0NTU2Njc3ODg5OWFhYmJjY2RkZWVmZiJ9.j83aZ37vIvOY8rsPkx58dkDyro-x09Wf6R-cOholO84";
/// Signed, and its time is over.
const EXPIRED: &str = "eyJwcm9maWxlIjoiY29tcGFuaW9uLXYxIiwiZXhwaXJlc19hdCI6IjIwMjUtMDYtMTVUMTU6MDY6NDBaIiwibm9uY2UiOiIwMDExMjIzMzQ0NTU2Njc3ODg5OWFhYmJjY2RkZWVmZiJ9.0M98GUjvdOHQIpkQe1BgvFJkQv34Tp4VmZP1EtatIe8";

/// Verifies each, and tells what that took, by `instructions`, a counter that goes up. `None` if a
/// verdict is another than it should be.
pub fn codes(instructions: fn() -> u32) -> Option<Measured> {
    let mut notes = Notes::new(instructions);
    let key = SetupKey::new(&Secret::new(core::array::from_fn(|at| {
        u8::try_from(at).unwrap_or(0).wrapping_add(1)
    })))
    .ok()?;
    notes.note("setup code, take the key in");
    let keys = [key, SetupKey::new(&Secret::new([0xee; 32])).ok()?];
    let (one, _) = keys.split_at_checked(1)?;
    notes.skip();
    let good = verdict(one, GOOD);
    notes.note("setup code, verify");
    let forged = verdict(one, FORGED);
    notes.note("setup code, refuse a forged one");
    let expired = verdict(one, EXPIRED);
    notes.note("setup code, refuse one whose time is over");
    let older = verdict(&keys, OLDER);
    notes.note("setup code, verify with the older of two keys");
    let rotated_out = verdict(one, OLDER);
    let right = good == Ok(NOW.wrapping_add(600))
        && older == good
        && forged == Err(NotValid::Signature)
        && expired == Err(NotValid::Expired)
        && rotated_out == Err(NotValid::Signature);
    right.then_some(notes.measured)
}

/// In a frame of its own, as it has one on a device.
#[inline(never)]
fn verdict(keys: &[SetupKey], token: &str) -> Result<u64, NotValid> {
    let mut scratch = [0; VERIFY_SCRATCH];
    verify(keys, token, UnixTime::from_secs(NOW), &mut scratch)
        .map(|verified| verified.claims().expires_at.as_secs())
}
