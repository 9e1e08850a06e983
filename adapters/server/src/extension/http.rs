//! The HTTP transport: one POST per call, on a connection of its own.

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::{Position, Url};

use super::config::endpoint;
use super::handle::Problem;
use super::tls::HttpsHost;
use super::wire::{self, Answer, LINE_BYTES, ProgramLine};

/// Maximum length of an answer's head in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// The endpoint of an HTTP extension.
pub(super) struct Http {
    url: Url,
    /// The host in the form for the resolver: without the brackets of an IPv6 address.
    host: String,
    port: u16,
    tls: Option<HttpsHost>,
}

impl Http {
    /// Creates the transport for a URL.
    ///
    /// # Errors
    /// The reason for which the URL cannot be used, as part of a sentence.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let url = endpoint(url)?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().ok_or("names no port")?;
        let tls = match url.scheme() {
            "https" => Some(HttpsHost::new(&host)?),
            _ => None,
        };
        Ok(Self { url, host, port, tls })
    }

    /// Sends a request and waits for the answer. The caller sets the time limit.
    pub(super) async fn call(&self, id: u64, body: Vec<u8>) -> Result<Answer, Problem> {
        let unreached = |error: std::io::Error| Problem::Down(error.to_string());
        let stream =
            TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreached)?;
        // With one request per connection, Nagle's algorithm would only delay it.
        stream.set_nodelay(true).map_err(unreached)?;
        match &self.tls {
            None => self.exchange(stream, id, body).await,
            Some(host) => {
                let stream = host.connect(stream).await.map_err(unreached)?;
                self.exchange(stream, id, body).await
            }
        }
    }

    async fn exchange<S>(&self, stream: S, id: u64, body: Vec<u8>) -> Result<Answer, Problem>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |error: hyper::Error| Problem::Down(error.to_string());
        let mut builder = hyper::client::conn::http1::Builder::new();
        // The library's default is about 400 KiB for each connection.
        builder.max_buf_size(HEAD_BYTES);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let _driver = HttpDriver(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an extension ended");
            }
        }));
        let request = Request::post(&self.url[Position::BeforePath..Position::AfterQuery])
            .header(HOST, &self.url[Position::BeforeHost..Position::AfterPort])
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Problem::Down(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status() != StatusCode::OK {
            return Err(Problem::Malformed(format!(
                "HTTP status {}, not 200",
                response.status().as_u16()
            )));
        }
        // A hostile extension could send an endless body.
        let body =
            Limited::new(response.into_body(), LINE_BYTES).collect().await.map_err(|error| {
                match error.downcast_ref::<LengthLimitError>() {
                    Some(_) => Problem::Malformed("a body larger than 1 MiB".to_owned()),
                    None => Problem::Down(error.to_string()),
                }
            })?;
        match wire::incoming(&body.to_bytes()) {
            Ok(ProgramLine::Answer { id: theirs, answer }) if theirs == id => Ok(answer),
            Ok(ProgramLine::Answer { .. }) => {
                Err(Problem::Malformed("the answer to another call".to_owned()))
            }
            Ok(ProgramLine::Request { .. }) => {
                Err(Problem::Malformed("a request instead of an answer".to_owned()))
            }
            Err(problem) => Err(Problem::Malformed(problem.to_owned())),
        }
    }
}

/// The task that drives a connection. Dropping it aborts the task.
struct HttpDriver(tokio::task::JoinHandle<()>);

impl Drop for HttpDriver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
