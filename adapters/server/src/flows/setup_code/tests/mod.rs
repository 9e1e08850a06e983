//! Companions over real sockets.

mod failing;
mod floods;
mod links;
mod opening;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use futures_util::{SinkExt, StreamExt};
use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::grant::token;
use handfast_core::registry::sessions::{Maker, Session, SessionId};
use handfast_core::{Entropy, Label, Name, UnixTime};
use handfast_store::{MemoryStore, Store};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::application::{Application, CompanionInfo};
use crate::builder::GatewayBuilder;
use crate::entropy;
use crate::gateway::Gateway;
use crate::operator::setup_codes::NewSetup;
use crate::policy::setup_settings::SetupSettings;
use crate::public_url::Candidates;

pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Another source on the same machine.
pub(crate) const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// An application that tells what companions say.
struct Listener(mpsc::UnboundedSender<(CompanionInfo, String)>);

#[async_trait::async_trait]
impl Application for Listener {
    async fn companion(&self, companion: &CompanionInfo, frame: &str) {
        let _ = self.0.send((companion.clone(), frame.to_owned()));
    }
}

/// A gateway that is served.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    heard: mpsc::UnboundedReceiver<(CompanionInfo, String)>,
}

/// A companion's WebSocket.
pub(crate) type Socket = WebSocketStream<TcpStream>;

/// What came over it: a text, or how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Text(String),
    Close(u16, String),
    Gone,
}

pub(crate) fn settings() -> SetupSettings {
    let addresses =
        Candidates { public: Some("wss://gateway.example".to_owned()), ..Candidates::default() };
    SetupSettings { addresses, ..SetupSettings::default() }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(Gateway::builder(MemoryStore::default()).setup(settings())).await
    }

    pub(crate) async fn over(store: impl Store, setup: SetupSettings) -> Self {
        let key = handfast_core::secret::Secret::new([7; 32]);
        Self::of(Gateway::builder(store).store_key(key).setup(setup)).await
    }

    pub(crate) async fn of(builder: GatewayBuilder) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        let gateway = builder.application(Listener(tell)).start().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(crate::serve(gateway.clone(), listener, None, std::future::pending()));
        Self { gateway, address, heard }
    }

    /// A fresh setup code.
    pub(crate) fn code(&self) -> String {
        self.gateway.start_setup(&NewSetup::default()).unwrap().bootstrap_token
    }

    /// A fresh session's token.
    pub(crate) async fn session(&self) -> String {
        self.session_as("companion-v1").await
    }

    pub(crate) async fn session_as(&self, profile: &str) -> String {
        let new = NewSetup { profile: Some(profile.to_owned()), ..NewSetup::default() };
        self.shows(&self.gateway.start_setup(&new).unwrap().bootstrap_token).await.unwrap()
    }

    /// A session that ends in so many seconds.
    pub(crate) async fn short_session(&self, seconds: u64) -> (Session, String) {
        let token = loop {
            if let Some(token) = token::issue(&entropy::draw()) {
                break token;
            }
        };
        let now = self.unix();
        let session = Session {
            id: SessionId::new(&entropy::draw()),
            hash: SessionHash::of(&token),
            profile: Name::from(Label::parse("companion-v1").unwrap()),
            device_label: None,
            issued_at: now,
            expires_at: UnixTime::from_secs(now.as_secs() + seconds),
            revoked_at: None,
            over: false,
            maker: Maker::Operator,
            prolonged: None,
        };
        self.gateway.inner.store.insert_session(session.clone()).await.unwrap();
        (session, token.expose().to_owned())
    }

    pub(crate) async fn id_of(&self, token: &str) -> SessionId {
        self.gateway.session_of(&Token::parse(token).unwrap()).await.unwrap().unwrap().id
    }

    /// A stranger writes over a channel: the code with which it is challenged.
    pub(crate) async fn challenge(&self, sender: &str) -> String {
        let message = crate::inbound::Incoming {
            channel: "signal",
            account: "me",
            sender: Some(sender),
            policy: None,
            meta: None,
        };
        match self.gateway.gate().should_admit_elsewhere(message).await.unwrap() {
            crate::inbound::MessageAdmission::Challenge(challenge) => challenge.code.to_string(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn unix(&self) -> UnixTime {
        self.gateway.inner.clock.unix()
    }

    /// Shows a setup code: the session's token, or the word of the refusal.
    pub(crate) async fn shows(&self, code: &str) -> Result<String, String> {
        self.shows_from(HERE, code).await
    }

    pub(crate) async fn shows_from(&self, source: IpAddr, code: &str) -> Result<String, String> {
        let mut socket = self.open_from(source, "/pair", None).await;
        say(&mut socket, &json!({"bootstrap_token": code}).to_string()).await;
        let answer = word(&mut socket).await;
        let end = hear(&mut socket).await;
        match &answer {
            Ok(_) => assert_eq!(end, Heard::Close(1000, String::new())),
            Err(_) => assert!(matches!(end, Heard::Close(1008 | 1011 | 1013, _)), "{end:?}"),
        }
        answer
    }

    pub(crate) async fn open(&self, path: &str) -> Socket {
        self.open_from(HERE, path, None).await
    }

    pub(crate) async fn open_from(
        &self,
        source: IpAddr,
        path: &str,
        origin: Option<&str>,
    ) -> Socket {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("Origin", HeaderValue::from_str(origin).unwrap());
        }
        tokio_tungstenite::client_async(request, self.tcp(source).await).await.unwrap().0
    }

    pub(crate) async fn tcp(&self, source: IpAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source, 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// Comes back with a session: what the gateway says to that.
    async fn resumes(&self, token: &str) -> (Socket, Heard) {
        let mut socket = self.open("/pair").await;
        say(&mut socket, &json!({"session_token": token}).to_string()).await;
        let heard = hear(&mut socket).await;
        (socket, heard)
    }

    pub(crate) async fn links(&self, token: &str) -> Socket {
        let (socket, heard) = self.resumes(token).await;
        assert!(matches!(&heard, Heard::Text(text) if text.contains("session_id")), "{heard:?}");
        socket
    }

    async fn metrics(&self) -> String {
        let answer =
            crate::http::session_api::metrics::answer(&self.gateway, &Default::default()).await;
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// No connection is left, nor is anything kept of one.
    async fn is_at_rest(&self) {
        let mut open = self.gateway.inner.sessions.subscribe();
        open.wait_for(|open| *open == 0).await.unwrap();
        assert_eq!(self.gateway.inner.hub.companions(), 0);
    }
}

pub(crate) async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::Text(text.into())).await.unwrap();
}

pub(crate) async fn hear(socket: &mut Socket) -> Heard {
    loop {
        return match socket.next().await {
            Some(Ok(Message::Text(text))) => Heard::Text(text.to_string()),
            Some(Ok(Message::Close(Some(frame)))) => {
                Heard::Close(frame.code.into(), frame.reason.to_string())
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(other)) => panic!("{other:?}"),
            Some(Err(_)) | None => Heard::Gone,
        };
    }
}

/// The session's token that comes, or the word of the refusal.
async fn word(socket: &mut Socket) -> Result<String, String> {
    let Heard::Text(text) = hear(socket).await else { panic!("nothing was said") };
    let answer: Value = serde_json::from_str(&text).unwrap();
    match (answer["session_token"].as_str(), answer["error"].as_str()) {
        (Some(token), None) => Ok(token.to_owned()),
        (None, Some(word)) => Err(word.to_owned()),
        _ => panic!("{text}"),
    }
}

fn entropy() -> Entropy<16> {
    entropy::draw()
}
