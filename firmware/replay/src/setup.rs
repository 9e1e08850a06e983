//! Verification of setup codes as on a device: codes that Python made
//! (`host-tests/interop/setup_codes.py`), valid and invalid, and the cost of each verdict.

use handfast_core::UnixTime;
use handfast_core::grant::setup_code::{NotValid, SetupKey, VERIFY_SCRATCH, verify};
use handfast_core::registry::sessions::{NotRedeemed, redeem};
use handfast_core::secret::Secret;

use crate::{Measured, Notes};

/// Time of the verification, in Unix seconds.
const NOW: u64 = 1750000000;
/// A code signed with the current key.
const GOOD: &str = "eyJwcm9maWxlIjoiY29tcGFuaW9uLXYxIiwiZXhwaXJlc19hdCI6IjIwMjUtMDYtMTVUMTU6MTY6NDBaIiwibm9uY2UiOiIwMDExMjIzMzQ0NTU2Njc3ODg5OWFhYmJjY2RkZWVmZiJ9.8xm9pESnckKLrYBEbhMpSAHy-6ULpnmrD-YgzKAbeEg";
/// A code signed with the older key.
const OLDER: &str = "eyJwcm9maWxlIjoiY29tcGFuaW9uLXYxIiwiZXhwaXJlc19hdCI6IjIwMjUtMDYtMTVUMTU6MTY6NDBaIiwibm9uY2UiOiIwMDExMjIzMzQ0NTU2Njc3ODg5OWFhYmJjY2RkZWVmZiJ9.V6dhbChJbCAjDnBDeal1TK1WpgJWpOOcBAUJltoiaW0";
/// A code signed without a key.
const FORGED: &str = "eyJwcm9maWxlIjoiY29tcGFuaW9uLXYxIiwiZXhwaXJlc19hdCI6IjIwMjUtMDYtMTVUMTU6MTY6NDBaIiwibm9uY2UiOiIwMDExMjIzMzQ0NTU2Njc3ODg5OWFhYmJjY2RkZWVmZiJ9.j83aZ37vIvOY8rsPkx58dkDyro-x09Wf6R-cOholO84";
/// A correctly signed code that has expired.
const EXPIRED: &str = "eyJwcm9maWxlIjoiY29tcGFuaW9uLXYxIiwiZXhwaXJlc19hdCI6IjIwMjUtMDYtMTVUMTU6MDY6NDBaIiwibm9uY2UiOiIwMDExMjIzMzQ0NTU2Njc3ODg5OWFhYmJjY2RkZWVmZiJ9.0M98GUjvdOHQIpkQe1BgvFJkQv34Tp4VmZP1EtatIe8";

/// Verifies each code and notes the costs, measured with `instructions`, an increasing counter.
/// `None` if a verdict is wrong.
pub fn codes(measured: &mut Measured, instructions: fn() -> u32) -> Option<()> {
    let mut notes = Notes::new(measured, instructions);
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
    let expired = verdict(one, EXPIRED).map(|end| {
        redeem(UnixTime::from_secs(end), UnixTime::default(), false, UnixTime::from_secs(NOW))
    });
    notes.note("setup code, refuse one whose time is over");
    let older = verdict(&keys, OLDER);
    notes.note("setup code, verify with the older of two keys");
    let rotated_out = verdict(one, OLDER);
    let right = good == Ok(NOW.wrapping_add(600))
        && older == good
        && forged == Err(NotValid::Signature)
        && expired == Ok(Err(NotRedeemed::Expired))
        && rotated_out == Err(NotValid::Signature);
    right.then_some(())
}

/// Verifies one code in a stack frame of its own, as on a device.
#[inline(never)]
fn verdict(keys: &[SetupKey], token: &str) -> Result<u64, NotValid> {
    let mut scratch = [0; VERIFY_SCRATCH];
    verify(keys, token, &mut scratch).map(|verified| verified.claims().expires_at.as_secs())
}
