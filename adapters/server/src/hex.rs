//! Bytes as hexadecimal text.

/// Returns bytes as lower-case hex, the form of ids of codes and grants.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
