//! Forwarding of HTTP requests to the mounts of extensions, with filters for requests and answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::handle::{Extension, Problem};
use super::path;
use super::readers::BodyReaders;
use crate::proxies::PeerAddress;

/// Maximum size of a body, of a request or of an answer, in bytes: in base64, with everything that
/// belongs to it, it fits a line.
pub const BODY_BYTES: usize = 700 * 1024;
/// Maximum number of requests in progress of one extension: half of its calls, so that a flood of
/// HTTP does not prevent pairing calls.
const MOST_REQUESTS: usize = 32;
/// Maximum number of body bytes on their way to one extension: half of the bytes that may wait for
/// it.
const MOST_BYTES: usize = 4 << 20;
/// Maximum number of headers of an answer, and their maximum size in bytes.
const MOST_HEADERS: usize = 64;
const HEADER_BYTES: usize = 16 * 1024;
/// Request headers that an extension does not receive, besides those that begin with `proxy-`:
/// headers of one connection, and credentials.
const NOT_ASKED: [&str; 11] = [
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "authorization",
    "cookie",
    "content-length",
    "expect",
];
/// Answer headers that a client does not receive, besides those that begin with `proxy-` or
/// `x-accel-`, and those named by `connection`: headers of one connection, headers that would
/// affect the whole origin, which is the gateway's, and headers that would make a server in front
/// of it send files of its own.
const NOT_ANSWERED: [&str; 24] = [
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "set-cookie",
    "set-cookie2",
    "content-length",
    "content-security-policy",
    "content-security-policy-report-only",
    "x-content-type-options",
    "www-authenticate",
    "clear-site-data",
    "service-worker-allowed",
    "strict-transport-security",
    "alt-svc",
    "nel",
    "report-to",
    "reporting-endpoints",
    "accept-ch",
    "x-sendfile",
    "x-lighttpd-send-file",
];
/// Sandbox for an extension's pages, which share the gateway's origin: they can neither read the
/// operator's pages nor act as them.
const SANDBOX: &str = "sandbox allow-forms allow-scripts";

/// Finds the extension of a path, and forwards requests. Clones share their limits.
#[derive(Clone, Debug, Default)]
pub struct Proxy {
    /// Mounts and their extensions, the longest mount first.
    mounts: Vec<(String, Mounted)>,
}

#[derive(Clone, Debug)]
struct Mounted {
    extension: Extension,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    readers: BodyReaders,
}

#[derive(Serialize)]
struct ProxiedRequest<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: BTreeMap<String, String>,
    body_base64: String,
}

#[derive(Deserialize)]
struct ProxiedResponse {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, HeaderValues>,
    #[serde(default)]
    body_base64: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum HeaderValues {
    One(String),
    Many(Vec<String>),
}

impl HeaderValues {
    fn all(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl Proxy {
    /// Creates a proxy for the mounts of these extensions.
    #[must_use]
    pub fn new(extensions: &[Extension]) -> Self {
        let mut mounts = Vec::new();
        for extension in extensions {
            let requests = Arc::new(Semaphore::new(MOST_REQUESTS));
            let mounted = Mounted {
                extension: extension.clone(),
                requests,
                bytes: Arc::new(Semaphore::new(MOST_BYTES)),
                readers: BodyReaders::default(),
            };
            mounts.extend(
                extension.config().mounts.iter().map(|mount| (mount.clone(), mounted.clone())),
            );
        }
        // The longest mount comes first, so that the most specific one serves a path.
        mounts.sort_by_key(|(mount, _)| std::cmp::Reverse(mount.len()));
        Self { mounts }
    }

    /// Returns the extension whose mount equals this path, or is followed by `/` in it. The path is
    /// compared as it was sent, byte by byte.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Extension> {
        self.mounted(path).map(|mounted| &mounted.extension)
    }

    fn mounted(&self, path: &str) -> Option<&Mounted> {
        let within = |mount: &str| {
            path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.mounts.iter().find(|(mount, _)| within(mount)).map(|(_, mounted)| mounted)
    }

    /// Answers a request; `None` if no mount matches its path, or if it asks for an upgrade, such
    /// as to a WebSocket.
    ///
    /// The extension's call timeout covers the body and the answer. The proxy's own status codes:
    /// 400 for an ambiguous path, 405 for CONNECT and TRACE, 408 for a slow body, 413 for a large
    /// one, 502 for an extension that is down or answers wrongly, 503 for an overloaded one, 504
    /// for a slow one.
    pub async fn serve(&self, request: Request) -> Option<Response> {
        let mounted = self.mounted(request.uri().path())?;
        // A call over JSON cannot carry an upgrade.
        if request.headers().contains_key(header::UPGRADE) {
            return None;
        }
        let within = mounted.extension.config().timeouts.call;
        Some(mounted.serve(request, within).await.unwrap_or_else(|refusal| refusal))
    }
}

impl Mounted {
    async fn serve(&self, request: Request, within: Duration) -> Result<Response, Response> {
        // One deadline for the body and the call together.
        let until = tokio::time::Instant::now() + within;
        let (parts, body) = request.into_parts();
        // CONNECT asks for a tunnel, and TRACE sends headers back that no page may see.
        if matches!(parts.method, Method::CONNECT | Method::TRACE) {
            return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "This method is not passed on."));
        }
        if !path::is_plain(parts.uri.path()) {
            return Err(refusal(
                StatusCode::BAD_REQUEST,
                "This path could mean another one than it seems to, and is not passed on.",
            ));
        }
        // A request takes a permit only once its body is complete, so slow senders block nobody.
        let body = self.body(&parts, body, until).await?;
        // A request without a permit is refused at once, so that no queue grows here.
        let _request = self.requests.try_acquire().map_err(|_| busy())?;
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let _bytes = self.bytes.try_acquire_many(length).map_err(|_| busy())?;
        let asked = ProxiedRequest {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: forwarded(&parts.headers),
            body_base64: STANDARD.encode(&body),
        };
        let within = until.saturating_duration_since(tokio::time::Instant::now());
        let answered =
            self.extension.ask(&self.extension.method("http.request"), &asked, within).await;
        let answered: ProxiedResponse = answered.map_err(|error| {
            tracing::debug!(%error, "an HTTP request was not answered");
            match error.problem {
                Problem::Busy => busy(),
                Problem::Timeout(_) => {
                    refusal(StatusCode::GATEWAY_TIMEOUT, "The extension did not answer in time.")
                }
                Problem::TooLarge => {
                    refusal(StatusCode::PAYLOAD_TOO_LARGE, "The request is larger than 1 MiB.")
                }
                Problem::Down(_) => {
                    refusal(StatusCode::BAD_GATEWAY, "The extension cannot be reached.")
                }
                Problem::Refused(_) | Problem::Malformed(_) => wrong(),
            }
        })?;
        response(answered).map_err(|problem| {
            let error = self.extension.failed(Problem::Malformed(problem.to_owned()));
            tracing::debug!(%error, "an HTTP request was answered wrongly");
            wrong()
        })
    }
}

impl Mounted {
    async fn body(
        &self,
        parts: &Parts,
        body: Body,
        until: tokio::time::Instant,
    ) -> Result<Bytes, Response> {
        // A request without a body needs no place among the readers.
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let peer = parts.extensions.get::<PeerAddress>().map(|peer| peer.ip());
        let _reading = self.readers.begin(peer).ok_or_else(busy)?;
        let body = tokio::time::timeout_at(until, Limited::new(body, BODY_BYTES).collect()).await;
        let body =
            body.map_err(|_| refusal(StatusCode::REQUEST_TIMEOUT, "The body took too long."))?;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => refusal(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 700 KiB."),
            None => refusal(StatusCode::BAD_REQUEST, "The body broke off."),
        })?;
        Ok(body.to_bytes())
    }
}

/// Returns the headers that an extension receives: names in lower case, the values of one name
/// joined.
fn forwarded(headers: &HeaderMap) -> BTreeMap<String, String> {
    let named =
        hops(headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok()));
    let mut seen = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let name = name.as_str();
        let hidden = NOT_ASKED.contains(&name)
            || name.starts_with("proxy-")
            || named.iter().any(|hop| hop == name);
        // JSON carries text only, so other values are left out.
        let Some(value) = value.to_str().ok().filter(|_| !hidden) else { continue };
        let together = seen.entry(name.to_owned()).or_default();
        // HTTP lets the values of one name be joined by commas.
        if !together.is_empty() {
            together.push_str(", ");
        }
        together.push_str(value);
    }
    seen
}

/// Returns the names in a `connection` header.
fn hops<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    values.flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase())).collect()
}

/// Converts the answer of an extension into one for the client.
///
/// # Errors
/// The violation of the protocol, as part of a sentence.
fn response(answered: ProxiedResponse) -> Result<Response, &'static str> {
    let status = StatusCode::from_u16(answered.status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()));
    let status = status.ok_or("a status that is not 200 to 599")?;
    let body = STANDARD.decode(&answered.body_base64).map_err(|_| "a body that is no base64")?;
    if body.len() > BODY_BYTES {
        return Err("a body larger than 700 KiB");
    }
    let connection =
        answered.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let named = hops(connection.flat_map(|(_, values)| values.all()).map(String::as_str));
    let mut headers = HeaderMap::new();
    let mut bytes = 0;
    for (name, values) in &answered.headers {
        // An invalid name or value is left out, because it could break the answer apart.
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        let hidden = ["proxy-", "x-accel-"].iter().any(|begin| name.as_str().starts_with(begin));
        if hidden
            || NOT_ANSWERED.contains(&name.as_str())
            || named.iter().any(|hop| hop == name.as_str())
        {
            continue;
        }
        for value in values.all() {
            let Ok(value) = HeaderValue::from_str(value) else { continue };
            bytes += name.as_str().len() + value.len();
            if headers.len() >= MOST_HEADERS || bytes > HEADER_BYTES {
                return Err("more than 64 headers, or more than 16 KiB of them");
            }
            headers.append(name.clone(), value);
        }
    }
    // Set last, so that the extension cannot override them.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // These statuses have no body in HTTP.
    let bodiless = matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    let mut response = Response::new(if bodiless { Body::empty() } else { Body::from(body) });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn refusal(status: StatusCode, text: &'static str) -> Response {
    // A refusal tells how it is now, so nobody may keep it.
    (status, [(header::CACHE_CONTROL, "no-store")], format!("{text}\n")).into_response()
}

fn wrong() -> Response {
    refusal(StatusCode::BAD_GATEWAY, "The extension gave no answer that can be passed on.")
}

fn busy() -> Response {
    let mut response =
        refusal(StatusCode::SERVICE_UNAVAILABLE, "Too much is asked of the extension at once.");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
