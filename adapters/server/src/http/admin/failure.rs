//! Error answers of the operator's API.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use handfast_core::registry::delivery::NotSettled;
use serde::{Deserialize, Serialize};

use crate::gateway::operator_types::OperatorError;
use crate::inbound::{GateError, InboundError};
use crate::operator::PingError;

/// The body of an error answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorView {
    /// Code and message of the error.
    pub error: ErrorBody,
}

/// An error for programs and for people.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// `usage`, `wider_than_yours`, `not_found`, `ambiguous`, `changed`, `refused`, `rate_limited`,
    /// `channel`, `key`, `store`, or `cut_not_stored` for a decision that is in force and not
    /// stored yet.
    pub code: String,
    /// The problem and its remedy, in a sentence for people.
    pub message: String,
}

/// The reason for which a request was not carried out.
pub(crate) enum AdminFailure {
    Usage(String),
    NoRoute,
    /// No layer has inserted a [`Caller`](super::caller::Caller).
    NoCaller,
    Operator(OperatorError),
    Inbound(InboundError),
    Gate(GateError),
    Ping(PingError),
}

impl From<OperatorError> for AdminFailure {
    fn from(error: OperatorError) -> Self {
        Self::Operator(error)
    }
}

impl From<PingError> for AdminFailure {
    fn from(error: PingError) -> Self {
        Self::Ping(error)
    }
}

impl From<InboundError> for AdminFailure {
    fn from(error: InboundError) -> Self {
        Self::Inbound(error)
    }
}

impl From<GateError> for AdminFailure {
    fn from(error: GateError) -> Self {
        Self::Gate(error)
    }
}

impl IntoResponse for AdminFailure {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Usage(message) => (StatusCode::BAD_REQUEST, "usage", message),
            Self::NoRoute => (
                StatusCode::NOT_FOUND,
                "usage",
                "there is no such route, or not with this method".to_owned(),
            ),
            Self::NoCaller => {
                let text = "nobody says by whose right this comes, so it is not done".to_owned();
                (StatusCode::INTERNAL_SERVER_ERROR, "usage", text)
            }
            Self::Operator(error) => {
                let (status, code) = match &error {
                    OperatorError::Wider(_) => (StatusCode::FORBIDDEN, "wider_than_yours"),
                    OperatorError::NotFound(_) | OperatorError::NotNamed(_) => {
                        (StatusCode::NOT_FOUND, "not_found")
                    }
                    OperatorError::Ambiguous { .. } | OperatorError::SeveralNamed { .. } => {
                        (StatusCode::CONFLICT, "ambiguous")
                    }
                    OperatorError::Changed { .. } => (StatusCode::CONFLICT, "changed"),
                    OperatorError::Refused { .. } => (StatusCode::CONFLICT, "refused"),
                    OperatorError::NotPaired(_)
                    | OperatorError::NoSuchCode(_)
                    | OperatorError::NoSuchSession(_) => (StatusCode::NOT_FOUND, "not_found"),
                    OperatorError::SeveralPaired { .. } | OperatorError::SeveralSessions { .. } => {
                        (StatusCode::CONFLICT, "ambiguous")
                    }
                    // Only an unknown delivery is missing; an ended one is a conflict.
                    OperatorError::Delivery { why: NotSettled::Unknown, .. } => {
                        (StatusCode::NOT_FOUND, "not_found")
                    }
                    OperatorError::Delivery { .. } => (StatusCode::CONFLICT, "refused"),
                    OperatorError::NoKeys(_)
                    | OperatorError::NotLinked(_)
                    | OperatorError::NoUrl(_) => (StatusCode::CONFLICT, "refused"),
                    OperatorError::Clock(_) => (StatusCode::CONFLICT, "refused"),
                    OperatorError::SetupKey(_) => (StatusCode::SERVICE_UNAVAILABLE, "key"),
                    OperatorError::Usage(_) => (StatusCode::BAD_REQUEST, "usage"),
                    OperatorError::CutNotStored { .. } => {
                        (StatusCode::SERVICE_UNAVAILABLE, "cut_not_stored")
                    }
                    OperatorError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store"),
                };
                (status, code, error.to_string())
            }
            Self::Inbound(error) => {
                let (status, code) = of_inbound(&error);
                (status, code, error.to_string())
            }
            Self::Ping(error) => {
                let status = match error {
                    PingError::NotLinked(_) | PingError::NotSupported(_) => StatusCode::CONFLICT,
                    PingError::NoAnswer(_) => StatusCode::GATEWAY_TIMEOUT,
                };
                (status, "refused", error.to_string())
            }
            Self::Gate(error) => {
                let (status, code) = of_gate(&error);
                (status, code, error.to_string())
            }
        };
        (status, Json(ErrorView { error: ErrorBody { code: code.to_owned(), message } }))
            .into_response()
    }
}

const fn of_inbound(error: &InboundError) -> (StatusCode, &'static str) {
    match error {
        InboundError::BadId { .. }
        | InboundError::NotASender { .. }
        | InboundError::BadCode
        | InboundError::Usage(_)
        | InboundError::BadPng => (StatusCode::BAD_REQUEST, "usage"),
        InboundError::NoSuchCode | InboundError::NoChannel(_) => {
            (StatusCode::NOT_FOUND, "not_found")
        }
        InboundError::Expired | InboundError::ClockInDoubt => (StatusCode::CONFLICT, "refused"),
        InboundError::RateLimited | InboundError::Busy(_) => {
            (StatusCode::TOO_MANY_REQUESTS, "rate_limited")
        }
        InboundError::Adapter(_) => (StatusCode::BAD_GATEWAY, "channel"),
        InboundError::CutNotStored { .. } => (StatusCode::SERVICE_UNAVAILABLE, "cut_not_stored"),
        InboundError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store"),
    }
}

const fn of_gate(error: &GateError) -> (StatusCode, &'static str) {
    match error {
        GateError::Channel(_) => (StatusCode::NOT_FOUND, "not_found"),
        GateError::BadId(_) => (StatusCode::BAD_REQUEST, "usage"),
        GateError::Adapter(_) => (StatusCode::BAD_GATEWAY, "channel"),
        GateError::Store(_) | GateError::NoFreeCode => (StatusCode::SERVICE_UNAVAILABLE, "store"),
    }
}

/// Parses a body as JSON, whatever its declared type. An empty body counts as an empty object.
pub(super) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, AdminFailure> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        AdminFailure::Usage(format!("the request's body is not understood: {error}"))
    })
}
