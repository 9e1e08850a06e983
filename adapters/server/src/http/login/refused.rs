//! The reasons for which an operator's request over HTTP is not served.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::http::admin::{ErrorView, NextCall};

/// The reason for which an operator's request is refused. The response is JSON,
/// `{"error":{"code","message","hint"}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoginRefused {
    /// 401 `login_needed`: no session, an unknown one, or one that has ended.
    #[error("this needs a login: make a link at the gateway, and open it")]
    Needed,
    /// 401 `login_used`: no login link that waits has this secret.
    #[error(
        "this login link does not count here: it was used, its five minutes are over, or another \
         gateway of the registry made it, which alone knows it; make another one at the gateway"
    )]
    Spent,
    /// 403 `plain_connection`: everybody on the way could take the session over.
    #[error(
        "a session is not used over this connection, which is neither encrypted nor local: reach \
         the gateway by https, or from its own machine"
    )]
    Plain,
    /// 403 `origin_not_allowed`: another page, or none that a browser names, wants to change
    /// something.
    #[error(
        "only the gateway's own pages may do this; if this is one, name the address at which \
         browsers reach it in setup.public_url"
    )]
    ForeignPage,
    /// 403 `csrf`: the CSRF token is missing, or another session's.
    #[error("the header X-Handfast-CSRF does not fit this session: load the page again")]
    Csrf,
    /// 403 `fresh_login`: the session is too old for this act.
    #[error(
        "this needs a login of the last ten minutes: make a link at the gateway, open it, and do it \
         again"
    )]
    NotFresh,
    /// 409 `refused`: as many sessions and tokens as may be are valid.
    #[error("too many sessions and tokens are valid already; revoke some, and open the link again")]
    TooMany,
    /// 400 `usage`: the body is not understood.
    #[error("the request's body is not understood: it is JSON with the link's secret")]
    BadBody,
    /// 429 `rate_limited`: this source has shown too many wrong secrets.
    #[error("too many wrong secrets have come from this address: try again in a minute")]
    Throttled,
    /// 503 `clock_in_doubt`: only a clock that is in doubt says that the session has expired.
    #[error(
        "the gateway's clock is in doubt, and by what it says this session has expired: try again \
         once it is right"
    )]
    ClockInDoubt,
    /// 503 `store`: the registry could not be read or written.
    #[error("the registry could not be read or written: try again")]
    Store,
}

impl LoginRefused {
    /// Returns the status and the code of the answer.
    pub(super) const fn status(self) -> (StatusCode, &'static str) {
        match self {
            Self::Needed => (StatusCode::UNAUTHORIZED, "login_needed"),
            Self::Spent => (StatusCode::UNAUTHORIZED, "login_used"),
            Self::Plain => (StatusCode::FORBIDDEN, "plain_connection"),
            Self::ForeignPage => (StatusCode::FORBIDDEN, "origin_not_allowed"),
            Self::Csrf => (StatusCode::FORBIDDEN, "csrf"),
            Self::NotFresh => (StatusCode::FORBIDDEN, "fresh_login"),
            Self::TooMany => (StatusCode::CONFLICT, "refused"),
            Self::BadBody => (StatusCode::BAD_REQUEST, "usage"),
            Self::Throttled => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::ClockInDoubt => (StatusCode::SERVICE_UNAVAILABLE, "clock_in_doubt"),
            Self::Store => (StatusCode::SERVICE_UNAVAILABLE, "store"),
        }
    }

    pub(super) const fn hint(self) -> Option<NextCall> {
        match self {
            Self::Needed | Self::Spent | Self::NotFresh => Some(NextCall::Login),
            Self::TooMany => Some(NextCall::Operators),
            Self::ClockInDoubt => Some(NextCall::Clock),
            Self::Plain
            | Self::ForeignPage
            | Self::Csrf
            | Self::BadBody
            | Self::Throttled
            | Self::Store => None,
        }
    }
}

impl IntoResponse for LoginRefused {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        let body = ErrorView::new(code, &self.to_string()).hinting(self.hint());
        let mut response = (status, Json(body)).into_response();
        if self == Self::Throttled {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
        }
        response
    }
}
