//! Conversion between rows and deliveries.

use handfast_core::NodeId;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::delivery::{DeliveryId, Ticket};
use handfast_core::wire::setup::Nonce;

use super::{Row, get, seconds, time};
use crate::ops::Subject;
use crate::{Delivered, Delivery, StoreError};

/// The columns of a delivery's subject.
pub(crate) const fn subject(of: &Subject) -> (&'static str, &[u8; 16]) {
    match of {
        Subject::Token(id) => ("token", id.as_bytes()),
        Subject::Code(id) => ("code", id.as_bytes()),
        Subject::Setup(nonce) => ("setup", nonce.as_bytes()),
    }
}

/// Reads a delivery. The schema allows only 16 bytes as its id and as its subject.
pub(crate) fn delivery<R: Row>(row: &R) -> Result<Result<Delivery, String>, R::Error> {
    let ticket = Ticket {
        id: DeliveryId::from_bytes(row.get("delivery_id")?),
        until: seconds(row.get("until")?),
    };
    let subject: [u8; 16] = row.get("subject")?;
    let of = || match get::<String>(row, "what")?.as_str() {
        "token" => Ok(Delivered::Token(NodeId::from_bytes(subject))),
        "code" => Ok(Delivered::Code(CodeId::from_bytes(subject))),
        "setup" => Ok(Delivered::Setup {
            nonce: Nonce::from_bytes(subject),
            expires_at: time(row, "expires")?,
        }),
        other => Err(format!("what {other:?} is unknown")),
    };
    Ok(of().map(|of| Delivery { ticket, of }))
}

pub(crate) fn unreadable(problem: String) -> StoreError {
    StoreError::Database(format!("a stored delivery cannot be read: {problem}"))
}
