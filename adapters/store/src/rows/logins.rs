//! Conversion between rows and operators' sessions and tokens.

use handfast_core::grant::keyed_secret::KeyedHash;
use handfast_core::registry::authority::Role;
use handfast_core::registry::logins::{Login, LoginId, LoginKind};

use super::{Row, get, name, perhaps, time, word};
use crate::StoreError;

/// Reads a session or token. The schema allows only 16 bytes as its id.
pub(crate) fn login<R: Row>(row: &R) -> Result<Result<Login, StoreError>, R::Error> {
    let id: [u8; 16] = row.get("login_id")?;
    let id = LoginId::from_bytes(id);
    Ok(try_login(row, id).map_err(|problem| {
        let id = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        StoreError::Database(format!("the operator's session {id} cannot be read: {problem}"))
    }))
}

fn try_login(row: &impl Row, id: LoginId) -> Result<Login, String> {
    let used_from = match get::<Option<String>>(row, "used_from")? {
        Some(text) => Some(text.parse().map_err(|_| format!("used_from {text:?} is none"))?),
        None => None,
    };
    Ok(Login {
        id,
        kind: word(row, "kind", LoginKind::parse)?,
        hash: KeyedHash::from_bytes(get(row, "hash")?),
        name: name(row, "name")?,
        role: word(row, "role", Role::parse)?,
        made_at: time(row, "made_at")?,
        used_at: perhaps(row, "used_at")?,
        used_from,
        expires_at: time(row, "expires_at")?,
        ends_at: time(row, "ends_at")?,
        revoked_at: perhaps(row, "revoked_at")?,
    })
}
