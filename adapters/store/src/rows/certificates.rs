//! Conversion between rows and certificates.

use handfast_core::NodeId;
use handfast_core::flow::identity::certificate::{Certificate, CertificateState, NodeStanding};
use handfast_core::grant::certificate::{KeyHash, Serial};

use super::{Row, get, perhaps, time, word};
use crate::{StoreError, StoredCertificate};

/// Returns a node's standing from its columns.
pub(crate) fn node_standing(epoch: u32, standing: &str) -> NodeStanding {
    NodeStanding { epoch, may_link: matches!(standing, "paired" | "muted") }
}

/// Reads a certificate. The schema allows only ids and hashes of the right length.
pub(crate) fn stored<R: Row>(row: &R) -> Result<Result<StoredCertificate, String>, R::Error> {
    let serial: [u8; 20] = row.get("serial")?;
    let node_id = NodeId::from_bytes(row.get("node_id")?);
    let key = KeyHash::from_bytes(row.get("key")?);
    let fingerprint = row.get("fingerprint")?;
    let read = || {
        let state = word(row, "state", CertificateState::parse)?;
        let certificate = Certificate {
            serial: Serial::from_bytes(&serial).ok_or("serial is none")?,
            node_id,
            number: get::<i64>(row, "number")?.cast_unsigned(),
            key,
            epoch: get(row, "epoch")?,
            not_before: time(row, "not_before")?,
            not_after: time(row, "not_after")?,
            state,
        };
        Ok(StoredCertificate {
            certificate,
            issued_at: time(row, "issued_at")?,
            ended: perhaps(row, "out_at")?,
            fingerprint,
            encoded: get(row, "der")?,
        })
    };
    Ok(read())
}

pub(crate) fn whole(
    rows: Vec<Result<StoredCertificate, String>>,
) -> Result<Vec<StoredCertificate>, StoreError> {
    rows.into_iter().collect::<Result<_, _>>().map_err(unreadable)
}

pub(crate) fn unreadable(problem: String) -> StoreError {
    StoreError::Database(format!("a stored certificate cannot be read: {problem}"))
}
