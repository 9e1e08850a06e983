//! The command line's client of the operator's Unix socket.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use handfast_server::admin::{ErrorBody, ErrorView, NextCall, socket_path};
use handfast_stdio::Waiting;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::End;
use crate::data::{DATABASE, DataPlace};
use crate::gateway_time;
use crate::groups::refused_by;
use crate::hints::{Next, how_to_start, start_service};

/// The words before a data directory on which no gateway runs.
pub(crate) const NO_GATEWAY: &str = "no gateway runs on";

/// Sends a request to the gateway that runs on a data directory, and returns its answer as JSON
/// text.
///
/// # Errors
/// [`End`] if no gateway answers, or it refuses.
pub(crate) async fn ask(
    data: &Path,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<String, End> {
    Ok(try_ask(data, method, path, body).await?)
}

/// Requests a whole list, page by page, and returns it as one answer.
///
/// # Errors
/// [`End`] if no gateway answers, or it refuses.
pub(crate) async fn ask_all(data: &Path, path: &str) -> Result<String, End> {
    let first = ask(data, Method::GET, path, None).await?;
    let mut whole: Value = read(&first)?;
    let mut next = whole["next"].as_str().map(str::to_owned);
    if next.is_none() {
        return Ok(first);
    }
    let joint = if path.contains('?') { '&' } else { '?' };
    while let Some(after) = next {
        let path = format!("{path}{joint}after={}", encoded(&after));
        let page: Value = read(&ask(data, Method::GET, &path, None).await?)?;
        for member in ["items", "damaged"] {
            let more = page[member].as_array().cloned().unwrap_or_default();
            match whole[member].as_array_mut() {
                Some(all) => all.extend(more),
                None if more.is_empty() => {}
                None => whole[member] = Value::Array(more),
            }
        }
        next = page["next"].as_str().map(str::to_owned);
    }
    whole["next"] = Value::Null;
    Ok(whole.to_string())
}

/// The reason for which there is no answer.
pub(crate) enum Unanswered {
    /// No gateway runs, or it ended before it answered.
    Broken(End),
    /// The gateway does not know what the request is about.
    Missing(End),
    /// The node has changed since it was shown.
    Changed(End),
    /// The gateway refused the request.
    Refused(End),
}

impl From<Unanswered> for End {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Broken(end)
            | Unanswered::Missing(end)
            | Unanswered::Changed(end)
            | Unanswered::Refused(end) => end,
        }
    }
}

/// Sends a request like [`ask`], for callers that retry if no gateway answers.
///
/// # Errors
/// [`Unanswered`] with the cause.
pub(crate) async fn try_ask(
    data: &Path,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<String, Unanswered> {
    let (driver, response) = send(data, method, path, body).await.map_err(Unanswered::Broken)?;
    let status = response.status();
    let bytes = response
        .into_body()
        .collect()
        .await
        .map_err(|error| Unanswered::Broken(broken(error)))?
        .to_bytes();
    // The connection is needed until the whole answer has arrived.
    drop(driver);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match status {
        _ if status.is_success() => Ok(text),
        StatusCode::NOT_FOUND => Err(Unanswered::Missing(failed(data, status, &text))),
        StatusCode::CONFLICT if is_changed(&text) => {
            Err(Unanswered::Changed(failed(data, status, &text)))
        }
        _ => Err(Unanswered::Refused(failed(data, status, &text))),
    }
}

/// A stream of lines from the gateway.
pub(crate) struct LineStream {
    body: Incoming,
    read: Vec<u8>,
    _driver: Driver,
}

impl LineStream {
    /// Requests a stream of lines.
    ///
    /// # Errors
    /// [`End`] if no gateway answers, or it refuses.
    pub(crate) async fn follow(data: &Path, path: &str) -> Result<Self, End> {
        let (driver, response) = send(data, Method::GET, path, None).await?;
        let status = response.status();
        let body = response.into_body();
        if status.is_success() {
            return Ok(Self { body, read: Vec::new(), _driver: driver });
        }
        let bytes = body.collect().await.map_err(broken)?.to_bytes();
        Err(failed(data, status, &String::from_utf8_lossy(&bytes)))
    }

    /// Waits for the next line; `None` once the gateway has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, End> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.read.extend(frame.into_data().unwrap_or_default()),
                // An error and an end both mean that no more lines come.
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

/// The task that drives a connection. Dropping it aborts the task.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Time for a gateway to create its removed socket again.
const SOCKET_WITHIN: Duration = Duration::from_secs(3);

/// Connects to the gateway of a data directory. If the socket is missing while a gateway runs,
/// waits for the gateway to create it again.
async fn connect(data: &Path, socket: &Path) -> Result<UnixStream, End> {
    let until = Instant::now() + SOCKET_WITHIN;
    let _waiting = Waiting::at_most("waiting for the gateway's socket", SOCKET_WITHIN);
    loop {
        let error = match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        if error.kind() == ErrorKind::PermissionDenied {
            return Err(End::Refused(format!(
                "{}: you may not use the gateway's socket: {}",
                socket.display(),
                refused_by(data)
            )));
        }
        if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) {
            return Err(End::Refused(format!(
                "{}: the gateway's socket cannot be opened: {error}",
                socket.display()
            )));
        }
        let shown = data.display();
        if DataPlace::named(data).is_shared() {
            return Err(End::Refused(format!(
                "no gateway answers at {}; start it with: {}; --data DIR names another gateway",
                socket.display(),
                start_service()
            )));
        }
        let serve = Next::Serve.on(&DataPlace::named(data));
        // The registry's lock tells a gateway that is just starting from none at all.
        match handfast_store::holder(&data.join(DATABASE)) {
            None => {
                return Err(End::Refused(format!(
                    "{NO_GATEWAY} {shown}; {}",
                    how_to_start(&DataPlace::named(data), None)
                )));
            }
            Some(holder) if Instant::now() >= until => {
                return Err(End::Refused(format!(
                    "{holder} has the registry in {shown} open, and {} does not answer: it is just starting, it is no gateway (an import, for instance), or it \
                     hangs; wait for it, or end it and start a gateway with: {serve}",
                    socket.display()
                )));
            }
            Some(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn send(
    data: &Path,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<(Driver, Response<Incoming>), End> {
    let socket = socket_path(data).map_err(End::refused)?;
    let stream = connect(data, &socket).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = Driver(tokio::spawn(async move { drop(connection.await) }));
    let mut request = Request::builder().method(method).uri(path).header("host", "handfast");
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = Full::new(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default()));
    let request =
        request.body(body).map_err(|error| End::Usage(format!("that is no id: {error}")))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    gateway_time::take(response.headers());
    Ok((driver, response))
}

fn broken(error: hyper::Error) -> End {
    End::Refused(format!("the gateway did not answer: {error}"))
}

fn is_changed(text: &str) -> bool {
    serde_json::from_str::<ErrorView>(text).is_ok_and(|view| view.error.code == "changed")
}

/// Returns the gateway's refusal, with the command for the call that it advises.
fn failed(data: &Path, status: StatusCode, text: &str) -> End {
    let message = match serde_json::from_str::<ErrorView>(text) {
        Ok(ErrorView { error: ErrorBody { message, hint, .. } }) => {
            let advised = hint.and_then(advised);
            advised.map_or(message.clone(), |(what, next)| {
                format!("{message}; {what}: {}", next.on(&DataPlace::named(data)))
            })
        }
        Err(_) => format!("the gateway answered {status}"),
    };
    if status == StatusCode::BAD_REQUEST { End::Usage(message) } else { End::Refused(message) }
}

/// Returns the words for a call that the gateway advises, and its command.
const fn advised(call: NextCall) -> Option<(&'static str, Next<'static>)> {
    match call {
        NextCall::Clock => Some(("see what mends it with", Next::Clock)),
        NextCall::Nodes => Some(("see the nodes with", Next::Nodes)),
        NextCall::Certificates => Some(("see them all with", Next::Certificates)),
        NextCall::RotateAuthority => Some(("make a new one with", Next::RotateAuthority)),
        NextCall::Paired => Some(("see them with", Next::Paired)),
        NextCall::Sessions => Some(("see them with", Next::Companions)),
        NextCall::Senders => Some(("see who waits with", Next::Senders)),
        NextCall::Login => Some(("log in with", Next::Login)),
        NextCall::Operators => Some(("see them with", Next::Operators)),
        NextCall::Tokens => Some(("see them with", Next::Tokens)),
        NextCall::RotateSetupKey => Some(("make one with", Next::RotateSetupKey)),
        // The commands are in this command's help; and the gateway may be of a newer version.
        NextCall::Document | NextCall::Gateways | NextCall::Unknown => None,
    }
}

/// Parses an answer.
pub(crate) fn read<T: DeserializeOwned>(answer: &str) -> Result<T, End> {
    serde_json::from_str(answer).map_err(|error| {
        End::Refused(format!("the gateway's answer is not understood ({error}); is it of another version than this command?"))
    })
}

/// Returns a node's name, or its id or the beginning of it, as a path segment.
pub(crate) fn named(which: &str, data: &DataPlace) -> Result<String, End> {
    if which.is_empty() {
        return Err(End::Usage(format!(
            "an empty name names nobody; see the nodes with: {}",
            Next::Nodes.on(data)
        )));
    }
    Ok(encoded(which))
}

/// Percent-encodes any text as one path segment.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_characters_is_one_path_segment() {
        assert_eq!(encoded("My Phone"), "My%20Phone");
        assert_eq!(encoded("../a?b#ü%"), "%2E%2E%2Fa%3Fb%23%C3%BC%25");
    }
}
