//! Connections to the gateway, limited in time and size: a WebSocket, or one HTTP request.

use std::time::Duration;

use handfast_core::limits::FRAME_BYTES;
use handfast_stdio::{Hint, Waiting};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use zeroize::Zeroizing;

use super::file::StoredSession;
use super::place::Endpoint;
use crate::End;
use crate::print::safe;

/// The byte stream below a connection: TCP, or TLS over it.
pub(super) trait CompanionStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> CompanionStream for T {}
pub(super) type Socket = WebSocketStream<Box<dyn CompanionStream>>;

/// Limit for connecting, and for each later step.
pub(super) const WITHIN: Duration = Duration::from_secs(10);
/// Maximum size of a gateway's answer to a companion, in bytes.
const MOST_BYTES: usize = 256 * 1024;

/// Opens the companions' WebSocket.
pub(super) async fn open(way: &Endpoint) -> Result<Socket, End> {
    let stream = connect(way).await?;
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * FRAME_BYTES)
        .max_message_size(Some(FRAME_BYTES))
        .max_frame_size(Some(FRAME_BYTES));
    let url = way.socket();
    let opening = tokio_tungstenite::client_async_with_config(url.as_str(), stream, Some(config));
    match timeout(WITHIN, opening).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(answer))) => Err(End::Refused(format!(
            "{} answered HTTP {} instead of opening a WebSocket; is a gateway there, and is the path right?",
            way.url,
            answer.status().as_u16()
        ))),
        Ok(Err(error)) => Err(End::Refused(format!(
            "{} does not speak WebSocket: {}",
            way.url,
            safe(&error.to_string())
        ))),
        Err(_) => Err(silent(way)),
    }
}

/// Sends a request about the session, and returns the answer as JSON text. `anew` is the command
/// that begins another session.
pub(super) async fn ask(
    way: &Endpoint,
    kept: &StoredSession,
    anew: &Hint,
    method: Method,
    path: &str,
) -> Result<String, End> {
    let stream = connect(way).await?;
    let asked = timeout(WITHIN, async {
        let broken = |error: hyper::Error| {
            End::Refused(format!("{} did not answer: {}", way.url, safe(&error.to_string())))
        };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // The driver ends with the connection; its error also reaches the request.
        let driver = tokio::spawn(async move { drop(connection.await) });
        let (host, path) = way.route(path);
        let bearer = Zeroizing::new(format!("Bearer {}", kept.token.expose()));
        let mut bearer = HeaderValue::from_str(&bearer).map_err(End::refused)?;
        // Debug output of the request must not contain the token.
        bearer.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(AUTHORIZATION, bearer);
        let response = sender
            .send_request(request.body(Empty::<Bytes>::new()).map_err(End::refused)?)
            .await
            .map_err(broken)?;
        let status = response.status();
        // A hostile gateway could send an endless body.
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        driver.abort();
        let too_long = |_| {
            End::Refused(format!("{} did not answer to its end, or at too great a length", way.url))
        };
        Ok::<_, End>((status, body.map_err(too_long)?.to_bytes()))
    });
    let (status, body) = asked.await.map_err(|_| silent(way))??;
    let text = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() { Ok(text) } else { Err(refused(way, status, &text, anew)) }
}

/// Returns the error for a refusal: the gateway's words, with advice.
fn refused(way: &Endpoint, status: StatusCode, text: &str, anew: &Hint) -> End {
    #[derive(serde::Deserialize)]
    struct RefusalAnswer {
        error: RefusalMessage,
    }
    #[derive(serde::Deserialize)]
    struct RefusalMessage {
        message: String,
    }
    let said = serde_json::from_str::<RefusalAnswer>(text)
        .map_or_else(|_| format!("HTTP {}", status.as_u16()), |view| safe(&view.error.message));
    End::Refused(match status {
        StatusCode::UNAUTHORIZED => format!(
            "the gateway does not know this session, or it has ended ({said}); begin another one with: {anew}"
        ),
        StatusCode::TOO_MANY_REQUESTS => {
            format!(
                "too many attempts come from this address ({said}); wait a minute and try again"
            )
        }
        StatusCode::NOT_FOUND => {
            format!(
                "{} does not keep sessions of companions ({said}); is it the gateway that the code named?",
                way.url
            )
        }
        _ => format!("{} refused: {said}", way.url),
    })
}

/// Tries the host's addresses one after the other; each gets an equal share of the time.
async fn connect(way: &Endpoint) -> Result<Box<dyn CompanionStream>, End> {
    let _waiting = Waiting::at_most(&format!("connecting to {}", way.url), WITHIN);
    let (host, port) = (way.host(), way.url.port());
    let unknown = |why: &dyn std::fmt::Display| {
        End::Refused(format!("the host {host} of the gateway cannot be found: {why}"))
    };
    let found = timeout(WITHIN, tokio::net::lookup_host((host.as_str(), port)))
        .await
        .map_err(|_| silent(way))?;
    let addresses: Vec<_> = found.map_err(|error| unknown(&error))?.collect();
    let share = WITHIN / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = unknown(&"it has no address");
    for address in addresses {
        last = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // Frames are small and answer each other, so Nagle's algorithm would only delay
                // them.
                tcp.set_nodelay(true).map_err(End::refused)?;
                return encrypted(way, tcp).await;
            }
            Ok(Err(why)) => End::Refused(format!(
                "cannot connect to {}: {why}; does the gateway run, and is it reached there?",
                way.url
            )),
            Err(_) => silent(way),
        };
    }
    Err(last)
}

async fn encrypted(way: &Endpoint, tcp: TcpStream) -> Result<Box<dyn CompanionStream>, End> {
    let Some(config) = way.tls.clone() else { return Ok(Box::new(tcp)) };
    let host = way.host();
    let name = ServerName::try_from(host.clone())
        .map_err(|_| End::Refused(format!("{host} is a name that no certificate can have")))?;
    match timeout(WITHIN, tokio_rustls::TlsConnector::from(config).connect(name, tcp)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => {
            let hint = match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>())
            {
                Some(rustls::Error::InvalidCertificate(_)) => {
                    "; if a private CA issued its certificate, name that CA with --ca FILE"
                }
                Some(rustls::Error::InvalidMessage(_)) => {
                    "; perhaps the gateway speaks plain ws:// on this port"
                }
                _ => "",
            };
            Err(End::Refused(format!("TLS with {host} failed: {}{hint}", safe(&error.to_string()))))
        }
        Err(_) => Err(silent(way)),
    }
}

pub(super) fn silent(way: &Endpoint) -> End {
    End::Refused(format!(
        "{} does not answer; check the address, and that a firewall lets port {} through",
        way.url,
        way.url.port()
    ))
}
