//! The time of the gateway that answers, by which everything is shown that counts from now: the
//! gateway's ends and deadlines are by its own clock, and this machine's may be another one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::header::DATE;

/// The time that the gateway told last, and when it did.
static TOLD: Mutex<Option<(SystemTime, Instant)>> = Mutex::new(None);

/// Takes over the time that an answer of the gateway carries.
pub(crate) fn take(headers: &HeaderMap) {
    let told = headers.get(DATE).and_then(|value| value.to_str().ok());
    if let Some(time) = told.and_then(|text| httpdate::parse_http_date(text).ok()) {
        *TOLD.lock().unwrap_or_else(PoisonError::into_inner) = Some((time, Instant::now()));
    }
}

/// Returns the time of the gateway as Unix time in seconds; this machine's before it has answered.
pub(crate) fn now() -> u64 {
    let told = *TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let now = match told {
        Some((time, at)) => time.checked_add(at.elapsed()).unwrap_or(time),
        None => SystemTime::now(),
    };
    now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
