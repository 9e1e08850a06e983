//! The operator's side of the Unix socket.

use std::path::Path;

use handfast_server::admin::{ErrorView, socket_path};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::End;

/// Asks the gateway that runs on a data directory, and reads its answer as JSON text.
pub(crate) async fn ask(data: &Path, method: Method, path: &str, body: Option<serde_json::Value>) -> Result<String, End> {
    let socket = socket_path(data).map_err(End::refused)?;
    let stream = UnixStream::connect(&socket).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => End::Refused(format!(
            "no gateway runs on {data}; start one with: handfast serve --data {data}",
            data = data.display()
        )),
        _ => End::Refused(format!("{}: the gateway's socket cannot be opened: {error}", socket.display())),
    })?;
    let broken = |error: hyper::Error| End::Refused(format!("the gateway did not answer: {error}"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let json = body.is_some();
    let mut request = Request::builder().method(method).uri(path).header("host", "handfast");
    if json {
        request = request.header("content-type", "application/json");
    }
    let body = Full::new(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default()));
    let request = request.body(body).map_err(|error| End::Usage(format!("that is no id: {error}")))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let bytes = response.into_body().collect().await.map_err(broken)?.to_bytes();
    driver.abort();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if status.is_success() {
        return Ok(text);
    }
    let message = match serde_json::from_str::<ErrorView>(&text) {
        Ok(view) => view.error.message,
        Err(_) => format!("the gateway answered {status}"),
    };
    Err(if status == StatusCode::BAD_REQUEST { End::Usage(message) } else { End::Refused(message) })
}

/// Reads an answer.
pub(crate) fn read<T: DeserializeOwned>(answer: &str) -> Result<T, End> {
    serde_json::from_str(answer).map_err(|error| {
        End::Refused(format!("the gateway's answer is not understood ({error}); is it of another version than this command?"))
    })
}

/// An id or its beginning as a path segment. Anything else can name no node, so it is refused before it is sent.
pub(crate) fn segment(id: &str) -> Result<&str, End> {
    let plausible = !id.is_empty() && id.len() <= 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    match plausible {
        true => Ok(id),
        false => Err(End::Refused(format!("no node has an id that begins with {id:?}: ids are made of 0-9, a-f and dashes"))),
    }
}
