//! Addresses in setup codes: any text, held against a second reading that shares nothing with the
//! gateway's.

/// What is let through holds, and leads to this network unless it is encrypted.
///
/// # Panics
/// If that does not hold.
pub fn any_url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let checked = handfast_server::setup::url::check::check(&text);
    assert_eq!(checked, Ok(()), "{text:?}");
}
