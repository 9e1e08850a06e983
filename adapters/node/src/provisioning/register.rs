//! Registration at the command center: one POST over HTTP or HTTPS.

use std::path::PathBuf;
use std::time::Duration;

use handfast_core::crypto::x25519::PublicKey;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::time::timeout;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::connection::{self, SocketStream};
use crate::event::Lost;
use crate::tls;

/// Limit for the connection, and for TLS.
const CONNECT_WITHIN: Duration = Duration::from_secs(8);
/// Limit for the whole attempt. Core's own limit is longer.
const WITHIN: Duration = Duration::from_secs(25);
/// Maximum length of an answer, in bytes.
const MOST_BYTES: usize = 16 * 1024;
const ROUTE: &str = "/api/v0/nodes/register";

/// What the node tells the command center. The members are the dialect's, and the node's own key
/// for the native link.
#[derive(Serialize)]
pub(super) struct RegisterBody<'b> {
    pub(super) node_id: &'b str,
    pub(super) provisioning_token: &'b str,
    pub(super) room: &'b str,
    pub(super) native_key: &'b str,
}

/// An answer of the command center.
pub(super) enum RegisterReply {
    /// It agreed, with this body.
    Agreed(Zeroizing<String>),
    /// It answered with this HTTP status and body.
    Refused(u16, String),
    /// No answer came.
    Unreachable,
    /// The URL is none that this node can call, or the invitation none that it can use.
    NoUrl,
    /// The gateway of an invitation, by its static key, has paired the node.
    Paired(PublicKey),
    /// The gateway of an invitation refused.
    NotPaired,
}

/// Sends the request. A failure is logged without the token.
pub(super) async fn register(
    command_center: &str,
    body: &RegisterBody<'_>,
    ca: Option<PathBuf>,
) -> RegisterReply {
    let Some(url) = route(command_center) else {
        tracing::warn!("{command_center:?} is no http:// or https:// URL");
        return RegisterReply::NoUrl;
    };
    match timeout(WITHIN, send(&url, body, ca)).await {
        Ok(Ok((200..=299, body))) => RegisterReply::Agreed(body),
        Ok(Ok((status, body))) => RegisterReply::Refused(status, body.to_string()),
        Ok(Err(why)) => {
            tracing::warn!("the command center at {url} did not answer: {why}");
            RegisterReply::Unreachable
        }
        Err(_) => {
            tracing::warn!("the command center at {url} did not answer in time");
            RegisterReply::Unreachable
        }
    }
}

/// Returns the URL of the route, with what stands before it and without a user.
fn route(command_center: &str) -> Option<Url> {
    let mut url = Url::parse(command_center.trim()).ok()?;
    let known = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !known || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let path = format!("{}{ROUTE}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

async fn send(
    url: &Url,
    body: &RegisterBody<'_>,
    ca: Option<PathBuf>,
) -> Result<(u16, Zeroizing<String>), String> {
    let stream = connect(url, ca).await?;
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| text(&error))?;
    let driver = tokio::spawn(async move { drop(connection.await) });
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let bytes = serde_json::to_vec(body).map_err(|error| text(&error))?;
    let request = Request::post(url.path())
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(bytes)))
        .map_err(|error| text(&error))?;
    let response = sender.send_request(request).await.map_err(|error| text(&error))?;
    let status = response.status().as_u16();
    // A hostile command center could send an endless body.
    let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
    driver.abort();
    let body = body.map_err(|error| text(&error))?.to_bytes();
    Ok((status, Zeroizing::new(String::from_utf8_lossy(&body).into_owned())))
}

async fn connect(url: &Url, ca: Option<PathBuf>) -> Result<Box<dyn SocketStream>, String> {
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        None => return Err("it has no host".to_owned()),
    };
    let port = url.port_or_known_default().unwrap_or(80);
    let lost = |error: Lost| error.to_string();
    let tcp = connection::connect(&host, port, url, CONNECT_WITHIN).await.map_err(lost)?;
    if url.scheme() == "http" {
        return Ok(Box::new(tcp));
    }
    let config = tls::client(ca.as_deref()).map_err(|error| error.to_string())?;
    match timeout(CONNECT_WITHIN, connection::encrypt(&host, config, tcp)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(lost(error)),
        Err(_) => Err("TLS took too long".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_stands_behind_the_url_without_its_last_slash() {
        for (given, expected) in [
            ("http://cc.local:7703", "http://cc.local:7703/api/v0/nodes/register"),
            ("https://cc.local/", "https://cc.local/api/v0/nodes/register"),
            (" http://[::1]:80/x/?q#f ", "http://[::1]/x/api/v0/nodes/register"),
        ] {
            assert_eq!(route(given).map(String::from).as_deref(), Some(expected));
        }
        for none in ["", "cc.local", "ftp://cc.local", "http://", "http://ada:pw@cc.local"] {
            assert_eq!(route(none), None, "{none}");
        }
    }
}
