//! The columns of a node that are written together.

use handfast_core::grant::capability::Holder;
use handfast_core::grant::token::TokenHash;
use handfast_core::registry::delivery::{Before, Undelivered};
use handfast_core::registry::record::Standing;

use super::{NO_SIGNING_KEY, integer};

/// Selects everything that a listing shows, for the nodes that the rest of the query names.
macro_rules! select_listed {
    ($index:literal, $rest:literal) => {
        concat!(
            "SELECT node.node_id, name, room, address, asked_at, standing, expires, token_hash, mode, cause, version, static_key, signing_key,
                    ceiling, ceiling_expires, ceiling_named, ceiling_by, changed_at, profile, approved_by, last_seen, occupancy, noise_level,
                    wake_word_fp, delivery_id, delivery_until, fallback, fallback_expires, fallback_token,
                    asked_permissions, asked_csr_key, asked_method, asks_more,
                    asked.times AS times, asked.last AS last, asked.request AS request, rejection.times AS rejected, rejection.until AS until
             FROM node ",
            $index,
            " LEFT JOIN observation USING (node_id)
             LEFT JOIN asked ON asked.node_id = node.node_id LEFT JOIN rejection ON rejection.node_id = node.node_id
             WHERE ",
            $rest
        )
    };
}

/// Selects the columns of a record, for the node that the rest of the query names.
macro_rules! select_stored {
    ($rest:literal) => {
        concat!(
            "SELECT node_id, name, room, address, asked_at, standing, expires, token_hash, mode, cause, version, static_key, signing_key,
                    ceiling, ceiling_expires, ceiling_named, ceiling_by, delivery_id, delivery_until, fallback, fallback_expires, fallback_token,
                    asked_permissions, asked_csr_key, asked_method
             FROM node ",
            $rest
        )
    };
}

pub(crate) use {select_listed, select_stored};

/// The columns of a token under delivery.
#[derive(Default)]
pub(crate) struct DeliveryColumns<'a> {
    pub(crate) id: Option<&'a [u8; 16]>,
    pub(crate) until: Option<i64>,
    pub(crate) fallback: Option<&'static str>,
    pub(crate) fallback_expires: Option<i64>,
    pub(crate) fallback_token: Option<&'a [u8; 32]>,
}

impl<'a> DeliveryColumns<'a> {
    pub(crate) fn of(standing: &'a Standing) -> Self {
        let Some(Undelivered { token: _, ticket, before }) = standing.undelivered() else {
            return Self::default();
        };
        let (fallback, fallback_expires, fallback_token) = match before {
            Before::Pending { expires } => ("pending", Some(integer(*expires)), None),
            Before::Unapproved { token } => ("unapproved", None, Some(TokenHash::as_bytes(token))),
            Before::Token(token) => ("token", None, Some(TokenHash::as_bytes(token))),
        };
        Self {
            id: Some(ticket.id.as_bytes()),
            until: Some(integer(ticket.until)),
            fallback: Some(fallback),
            fallback_expires,
            fallback_token,
        }
    }
}

/// Returns the column for a node's signing key. The schema asks for one beside each static key, so
/// 32 zero bytes, which are no key, stand for a node without one.
pub(crate) fn signing_key(keys: &Holder) -> [u8; 32] {
    keys.signing.map_or(NO_SIGNING_KEY, |key| *key.as_bytes())
}
