//! Error answers of the operator's API.

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use handfast_core::Refusal;
use handfast_core::registry::delivery::NotSettled;
use handfast_core::registry::logins::LoginKind;
use handfast_store::NotQueued;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ca::AuthorityError;
use crate::gateway::operator_types::OperatorError;
use crate::http::session_api::BODY_BYTES;
use crate::inbound::{GateError, InboundError};
use crate::operator::PingError;

/// The body of an error answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorView {
    /// Code and message of the error.
    pub error: ErrorBody,
}

/// An error for programs and for people.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// `usage`, `wider_than_yours`, `not_found`, `ambiguous`, `changed`, `refused`, `elsewhere`,
    /// `rate_limited`, `channel`, `key`, `store`, or `cut_not_stored` for a decision that is in force and not
    /// stored yet.
    pub code: String,
    /// The problem and its remedy, in a sentence for people. It names no command line: a client
    /// names the hint in its own words.
    pub message: String,
    /// The call of this API that mends the problem or shows more about it, as its method and path;
    /// `null` if there is none.
    #[schema(value_type = Option<String>, example = "GET /api/v1/clock", required)]
    #[serde(default)]
    pub hint: Option<NextCall>,
}

impl ErrorView {
    /// Creates the body of an error without a hint.
    pub(in crate::http) fn new(code: &str, message: &str) -> Self {
        Self { error: ErrorBody { code: code.to_owned(), message: message.to_owned(), hint: None } }
    }

    /// Adds the call that mends the problem or shows more about it.
    pub(in crate::http) fn hinting(mut self, hint: Option<NextCall>) -> Self {
        self.error.hint = hint;
        self
    }
}

/// A call of this API that an error advises, written as its method and path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NextCall {
    /// The state of the clock, and what mends it.
    #[serde(rename = "GET /api/v1/clock")]
    Clock,
    /// The nodes, with their states.
    #[serde(rename = "GET /api/v1/devices")]
    Nodes,
    /// The nodes that are paired by their keys.
    #[serde(rename = "GET /api/v1/paired")]
    Paired,
    /// The certificates of nodes.
    #[serde(rename = "GET /api/v1/certs")]
    Certificates,
    /// A new root of the certificate authority.
    #[serde(rename = "POST /api/v1/ca/rotate")]
    RotateAuthority,
    /// The sessions of companions.
    #[serde(rename = "GET /api/v1/sessions")]
    Sessions,
    /// The gateways that share the registry.
    #[serde(rename = "GET /api/v1/gateways")]
    Gateways,
    /// The senders that wait.
    #[serde(rename = "GET /api/v1/inbound")]
    Senders,
    /// A new key for setup codes, with `at_once`.
    #[serde(rename = "POST /api/v1/setup/rotate")]
    RotateSetupKey,
    /// A login link, which is made at the gateway alone.
    #[serde(rename = "POST /api/v1/logins")]
    Login,
    /// The sessions of operators.
    #[serde(rename = "GET /api/v1/operators")]
    Operators,
    /// The tokens of operators' programs.
    #[serde(rename = "GET /api/v1/tokens")]
    Tokens,
    /// Everything that this API can do.
    #[serde(rename = "GET /api/v1/openapi.json")]
    Document,
    /// A call that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The reason for which a request was not carried out.
pub(crate) enum AdminFailure {
    Usage(String),
    /// The body has more bytes than are read.
    TooLarge,
    NoRoute,
    /// The route exists, but not with this method.
    NoMethod(Method),
    /// No layer has inserted a [`Caller`](super::caller::Caller).
    NoCaller,
    Operator(OperatorError),
    Inbound(InboundError),
    Gate(GateError),
    Ping(PingError),
    Authority(AuthorityError),
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
        let (status, code, message) = self.told();
        (status, Json(ErrorView::new(code, &message).hinting(self.hint()))).into_response()
    }
}

impl AdminFailure {
    /// Returns the status, the code and the words of the answer.
    pub(in crate::http) fn told(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::Usage(message) => (StatusCode::BAD_REQUEST, "usage", message.clone()),
            Self::TooLarge => {
                let text = format!("the body of a request has at most {} KiB", BODY_BYTES / 1024);
                (StatusCode::PAYLOAD_TOO_LARGE, "usage", text)
            }
            Self::NoRoute => (StatusCode::NOT_FOUND, "usage", "there is no such route".to_owned()),
            Self::NoMethod(method) => {
                let text = format!("this route is not for {method}: the header Allow names others");
                (StatusCode::METHOD_NOT_ALLOWED, "usage", text)
            }
            Self::NoCaller => {
                let text = "nobody says by whose right this comes, so it is not done".to_owned();
                (StatusCode::INTERNAL_SERVER_ERROR, "usage", text)
            }
            Self::Operator(error) => {
                let (status, code) = match error {
                    OperatorError::Wider(_) => (StatusCode::FORBIDDEN, "wider_than_yours"),
                    OperatorError::NotFound(_) | OperatorError::NotNamed(_) => {
                        (StatusCode::NOT_FOUND, "not_found")
                    }
                    OperatorError::Ambiguous { .. } | OperatorError::SeveralNamed { .. } => {
                        (StatusCode::CONFLICT, "ambiguous")
                    }
                    OperatorError::Changed { .. } => (StatusCode::CONFLICT, "changed"),
                    OperatorError::Refused { .. } | OperatorError::CannotReplace { .. } => {
                        (StatusCode::CONFLICT, "refused")
                    }
                    OperatorError::NotPaired(_)
                    | OperatorError::NoSuchCertificate(_)
                    | OperatorError::NoSuchCode(_)
                    | OperatorError::NoSuchPolicy(_)
                    | OperatorError::NoSuchEntry(_)
                    | OperatorError::NoSuchOperator { .. }
                    | OperatorError::NoSuchSession(_) => (StatusCode::NOT_FOUND, "not_found"),
                    OperatorError::SeveralPaired { .. }
                    | OperatorError::SeveralOperators { .. }
                    | OperatorError::SeveralSessions { .. } => (StatusCode::CONFLICT, "ambiguous"),
                    // Only an unknown delivery is missing; an ended one is a conflict.
                    OperatorError::Delivery { why: NotSettled::Unknown, .. } => {
                        (StatusCode::NOT_FOUND, "not_found")
                    }
                    OperatorError::Delivery { .. } => (StatusCode::CONFLICT, "refused"),
                    OperatorError::Elsewhere { .. } => (StatusCode::CONFLICT, "elsewhere"),
                    OperatorError::NoAnswer { .. } => (StatusCode::GATEWAY_TIMEOUT, "no_answer"),
                    OperatorError::NoKeys(_)
                    | OperatorError::NotQuarantined(_)
                    | OperatorError::NotRevoked(_)
                    | OperatorError::NotLinked(_)
                    | OperatorError::NoUrl(_) => (StatusCode::CONFLICT, "refused"),
                    OperatorError::NotDispatched { no: NotQueued::Full, .. } => {
                        (StatusCode::TOO_MANY_REQUESTS, "rate_limited")
                    }
                    OperatorError::NotDispatched { no: NotQueued::Unknown, .. } => {
                        (StatusCode::NOT_FOUND, "not_found")
                    }
                    OperatorError::NotDispatched { .. } => (StatusCode::CONFLICT, "refused"),
                    OperatorError::Clock(_) => (StatusCode::CONFLICT, "refused"),
                    OperatorError::SetupKey(_) | OperatorError::SetupCodesSpent(_) => {
                        (StatusCode::SERVICE_UNAVAILABLE, "key")
                    }
                    OperatorError::Usage(_) => (StatusCode::BAD_REQUEST, "usage"),
                    OperatorError::CutNotStored { .. } => {
                        (StatusCode::SERVICE_UNAVAILABLE, "cut_not_stored")
                    }
                    OperatorError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store"),
                };
                (status, code, error.to_string())
            }
            Self::Inbound(error) => {
                let (status, code) = of_inbound(error);
                (status, code, error.to_string())
            }
            Self::Ping(error) => {
                let (status, code) = match error {
                    PingError::Elsewhere { .. } => (StatusCode::CONFLICT, "elsewhere"),
                    PingError::NotLinked(_) | PingError::NotSupported(_) => {
                        (StatusCode::CONFLICT, "refused")
                    }
                    PingError::TooOften(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
                    PingError::NoAnswer(_) => (StatusCode::GATEWAY_TIMEOUT, "refused"),
                };
                (status, code, error.to_string())
            }
            Self::Authority(error) => (StatusCode::SERVICE_UNAVAILABLE, "key", error.to_string()),
            Self::Gate(error) => {
                let (status, code) = of_gate(error);
                (status, code, error.to_string())
            }
        }
    }

    /// Returns the call that mends this or shows more about it.
    const fn hint(&self) -> Option<NextCall> {
        match self {
            Self::NoRoute | Self::NoMethod(_) => Some(NextCall::Document),
            Self::Operator(error) => next_of(error),
            Self::Inbound(InboundError::NoSuchCode) => Some(NextCall::Senders),
            Self::Inbound(InboundError::ClockInDoubt) => Some(NextCall::Clock),
            Self::Ping(PingError::NotLinked(_)) => Some(NextCall::Nodes),
            Self::Ping(PingError::Elsewhere { .. }) => Some(NextCall::Gateways),
            Self::Authority(AuthorityError::RootEnded) => Some(NextCall::RotateAuthority),
            Self::Usage(_)
            | Self::TooLarge
            | Self::NoCaller
            | Self::Inbound(_)
            | Self::Gate(_)
            | Self::Ping(_)
            | Self::Authority(_) => None,
        }
    }
}

const fn next_of(error: &OperatorError) -> Option<NextCall> {
    match error {
        OperatorError::NotPaired(_) => Some(NextCall::Paired),
        OperatorError::NoSuchCertificate(_) => Some(NextCall::Certificates),
        OperatorError::NotFound(_)
        | OperatorError::NotQuarantined(_)
        | OperatorError::NotDispatched {
            no:
                NotQueued::NotPaired | NotQueued::TakesNone | NotQueued::Muted | NotQueued::Quarantined,
            ..
        } => Some(NextCall::Nodes),
        OperatorError::Elsewhere { .. } | OperatorError::NoAnswer { .. } => {
            Some(NextCall::Gateways)
        }
        OperatorError::NoSuchSession(_) => Some(NextCall::Sessions),
        OperatorError::NoSuchOperator { kind: LoginKind::Session, .. } => Some(NextCall::Operators),
        OperatorError::NoSuchOperator { kind: LoginKind::Token, .. } => Some(NextCall::Tokens),
        OperatorError::SetupCodesSpent(_) => Some(NextCall::RotateSetupKey),
        OperatorError::Clock(_)
        | OperatorError::Refused { refusal: Refusal::ClockInDoubt, .. }
        | OperatorError::Delivery { why: NotSettled::ClockInDoubt, .. } => Some(NextCall::Clock),
        OperatorError::Ambiguous { .. }
        | OperatorError::NotDispatched { .. }
        | OperatorError::NotRevoked(_)
        | OperatorError::CannotReplace { .. }
        | OperatorError::Refused { .. }
        | OperatorError::NotNamed(_)
        | OperatorError::SeveralNamed { .. }
        | OperatorError::Changed { .. }
        | OperatorError::NoKeys(_)
        | OperatorError::NotLinked(_)
        | OperatorError::SeveralPaired { .. }
        | OperatorError::NoSuchCode(_)
        | OperatorError::NoSuchPolicy(_)
        | OperatorError::NoSuchEntry(_)
        | OperatorError::NoUrl(_)
        | OperatorError::SetupKey(_)
        | OperatorError::SeveralOperators { .. }
        | OperatorError::SeveralSessions { .. }
        | OperatorError::Wider(_)
        | OperatorError::Delivery { .. }
        | OperatorError::Usage(_)
        | OperatorError::CutNotStored { .. }
        | OperatorError::Store(_) => None,
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
