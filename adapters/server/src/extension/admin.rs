//! Routing of operators' methods to extensions, by prefix.

use handfast_core::UnixTime;
use handfast_core::registry::authority::{Authority, Delegated, Right};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::config::{PATH_BYTES, own_word};
use super::handle::{Extension, Problem};
use super::wire::shown;
use crate::hex::hex;

/// Finds the extension of a method: the one with the longest prefix that equals the method, or is
/// followed by `.` or `/` in it.
#[derive(Clone, Debug, Default)]
pub struct AdminRouter {
    /// Prefixes and their extensions, the longest prefix first.
    routes: Vec<(String, Extension)>,
}

/// A method call of an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminRequest {
    /// Name of the method, for instance `mail.queue.list`.
    pub method: String,
    /// Parameters of the method; `null` if absent.
    #[serde(default)]
    pub params: Value,
    /// The session behind the call; absent for an operator. Its permissions bound the work of the
    /// extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<OnBehalfOf>,
}

/// A companion's session, on whose behalf a method is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnBehalfOf {
    /// Id of the session: 32 hex digits; empty for a capability or bearer token.
    pub session: String,
    /// Permissions of the session, each as `action:pattern`.
    pub scopes: Vec<String>,
    /// End of the session in Unix seconds.
    pub ends_at: Option<u64>,
}

impl OnBehalfOf {
    /// Describes a delegated authority; `None` for an operator.
    pub(crate) fn of(authority: &Authority) -> Option<Self> {
        let Authority::Delegated(Delegated { right, scopes, ends, .. }) = authority else {
            return None;
        };
        let session = match right {
            Right::Session(id) => hex(id.as_bytes()),
            // Only a session has an id that an operator could revoke.
            Right::Capability(_) | Right::Bearer => String::new(),
        };
        let scopes = scopes.scopes().as_slice().iter().map(ToString::to_string).collect();
        Some(Self { session, scopes, ends_at: ends.map(UnixTime::as_secs) })
    }
}

/// The outcome of a call: `{"ok":true,"result":…}` or `{"ok":false,"error":"…"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AdminAnswer {
    /// `true` if the extension carried out the call.
    pub ok: bool,
    /// Result of the extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Reason of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Deserialize)]
struct AdminOutcome {
    ok: bool,
    result: Option<Box<RawValue>>,
    error: Option<String>,
}

impl AdminRouter {
    /// Creates a router for the admin prefixes of these extensions.
    #[must_use]
    pub fn new(extensions: &[Extension]) -> Self {
        let of = |extension: &Extension| {
            let prefixes = extension.config().admin.clone();
            prefixes.into_iter().map(|prefix| (prefix, extension.clone())).collect::<Vec<_>>()
        };
        let mut routes: Vec<_> = extensions.iter().flat_map(of).collect();
        // The longest prefix comes first, so that the most specific extension answers.
        routes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self { routes }
    }

    /// Returns the extension of a method; `None` for an invalid method or one without an extension.
    #[must_use]
    pub fn find(&self, method: &str) -> Option<&Extension> {
        let plain = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        // The gateway's own methods are never passed on, whatever a prefix says.
        if method.len() > PATH_BYTES || own_word(method) || !method.split(['.', '/']).all(plain) {
            return None;
        }
        let within = |prefix: &str| {
            method
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
        };
        self.routes.iter().find(|(prefix, _)| within(prefix)).map(|(_, extension)| extension)
    }

    /// Calls a method, within the extension's call timeout. The extension receives
    /// `<prefix>.admin.call`, so no operator reaches its other methods.
    pub async fn call(&self, method: &str, params: Value) -> AdminAnswer {
        self.call_for(method, params, None).await
    }

    /// Calls a method on behalf of a session, which the extension is told.
    pub async fn call_for(
        &self,
        method: &str,
        params: Value,
        on_behalf_of: Option<OnBehalfOf>,
    ) -> AdminAnswer {
        let Some(extension) = self.find(method) else {
            return AdminAnswer::bad(format!(
                "no extension answers the method {:?}",
                shown(method)
            ));
        };
        let request = AdminRequest { method: method.to_owned(), params, on_behalf_of };
        let asked = extension
            .ask(&extension.method("admin.call"), &request, extension.config().timeouts.call)
            .await;
        let outcome: AdminOutcome = match asked {
            Ok(outcome) => outcome,
            Err(error) => return AdminAnswer::bad(error.to_string()),
        };
        if !outcome.ok {
            return AdminAnswer::bad(
                outcome.error.map_or_else(|| "it gave no reason".to_owned(), |error| shown(&error)),
            );
        }
        let result =
            outcome.result.map_or(Ok(Value::Null), |result| serde_json::from_str(result.get()));
        match result {
            Ok(result) => AdminAnswer { ok: true, result: Some(result), error: None },
            Err(error) => AdminAnswer::bad(
                extension.failed(Problem::Malformed(shown(&error.to_string()))).to_string(),
            ),
        }
    }
}

impl AdminAnswer {
    fn bad(error: String) -> Self {
        Self { ok: false, result: None, error: Some(error) }
    }
}
