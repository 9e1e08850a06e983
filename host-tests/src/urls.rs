//! URLs in setup codes: arbitrary text, checked by a second parser that shares no code with the
//! gateway's.

/// Checks that an accepted URL is valid, and that it leads to this network unless it is encrypted.
///
/// # Panics
/// If it is not.
pub fn any_url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let checked = handfast_public_url::check::check(&text);
    assert_eq!(checked, Ok(()), "{text:?}");
}
