//! Connections to the gateway, limited in time and size: a WebSocket, or one HTTP request.

use std::time::Duration;

use handfast_core::grant::session::Token;
use handfast_core::limits::FRAME_BYTES;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use zeroize::Zeroizing;

use super::{CompanionError, Endpoint};
use crate::connection::{self, Socket, SocketStream};
use crate::event::{Lost, presentable};

/// Limit for connecting, and for each later step.
pub(super) const WITHIN: Duration = Duration::from_secs(10);
/// Maximum size of a gateway's answer to a companion, in bytes.
const MOST_BYTES: usize = 256 * 1024;
/// Route of the session.
const SESSION: &str = "/api/v1/session";

/// A request about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRequest {
    /// Describe the session.
    Status,
    /// Extend the session, as far as the gateway allows.
    Refresh,
    /// End the session for good.
    End,
}

/// Opens the companions' WebSocket.
pub(super) async fn open(endpoint: &Endpoint) -> Result<Socket, CompanionError> {
    let stream = connect(endpoint).await?;
    let url = endpoint.socket();
    let config = connection::socket_config(FRAME_BYTES);
    let opening = tokio_tungstenite::client_async_with_config(url.as_str(), stream, Some(config));
    let refused = |why: String| CompanionError::NotOpened(Lost::NotOpened(why));
    match timeout(WITHIN, opening).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(answer))) => Err(refused(format!(
            "{} answered HTTP {} instead of opening a WebSocket; is a gateway there, and is the path right?",
            endpoint.url(),
            answer.status().as_u16()
        ))),
        Ok(Err(error)) => Err(refused(format!(
            "{} does not speak WebSocket: {}",
            endpoint.url(),
            presentable(&error.to_string())
        ))),
        Err(_) => Err(endpoint.silent()),
    }
}

/// Sends a request about the session of this token, and returns the answer as JSON text, unchecked.
///
/// # Errors
/// [`CompanionError::NotDone`] if the gateway refused; another [`CompanionError`] if there is no
/// answer.
pub async fn request(
    endpoint: &Endpoint,
    token: &Token,
    request: SessionRequest,
) -> Result<String, CompanionError> {
    let stream = connect(endpoint).await?;
    let answered = timeout(WITHIN, async {
        let broken = |error: hyper::Error| endpoint.broken(&error);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // The driver ends with the connection; its error also reaches the request.
        let driver = tokio::spawn(async move { drop(connection.await) });
        let request = http_request(endpoint, token, request);
        let request = request.map_err(|error| endpoint.broken(&error))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        // A hostile gateway could send an endless body.
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        // The driver would wait for a gateway that keeps the connection open.
        driver.abort();
        Ok::<_, CompanionError>((status, body.map_err(|_| endpoint.not_understood())?.to_bytes()))
    });
    let (status, body) = answered.await.map_err(|_| endpoint.silent())??;
    let text = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() {
        return Ok(text);
    }
    let (url, status) = (endpoint.url().as_str().to_owned(), status.as_u16());
    Err(CompanionError::NotDone { url, status, message: message_of(&text, status) })
}

fn http_request(
    endpoint: &Endpoint,
    token: &Token,
    request: SessionRequest,
) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    let (method, path) = match request {
        SessionRequest::Status => (Method::GET, SESSION.to_owned()),
        SessionRequest::Refresh => (Method::POST, format!("{SESSION}/refresh")),
        SessionRequest::End => (Method::DELETE, SESSION.to_owned()),
    };
    let (host, path) = endpoint.route(&path);
    let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
    let mut bearer = HeaderValue::from_str(&bearer)?;
    // Debug output of the request must not contain the token.
    bearer.set_sensitive(true);
    Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, host)
        .header(AUTHORIZATION, bearer)
        .body(Empty::new())
}

/// Returns the message of a refusal.
fn message_of(text: &str, status: u16) -> String {
    #[derive(serde::Deserialize)]
    struct RefusalAnswer {
        error: RefusalMessage,
    }
    #[derive(serde::Deserialize)]
    struct RefusalMessage {
        message: String,
    }
    serde_json::from_str::<RefusalAnswer>(text)
        .map_or_else(|_| format!("HTTP {status}"), |answer| answer.error.message)
}

async fn connect(endpoint: &Endpoint) -> Result<Box<dyn SocketStream>, CompanionError> {
    let (host, url) = (endpoint.host(), endpoint.url());
    let tcp = connection::connect(&host, url.port(), url, WITHIN).await;
    let tcp = tcp.map_err(CompanionError::NotOpened)?;
    let Some(config) = endpoint.tls.clone() else { return Ok(Box::new(tcp)) };
    match timeout(WITHIN, connection::encrypt(&host, config, tcp)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(lost)) => Err(CompanionError::NotOpened(lost)),
        Err(_) => Err(endpoint.silent()),
    }
}
