//! The library against scripted gateways: the permitted behaviour of an original server, and that
//! of a broken one.

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use handfast_core::wire::token::Token;
use handfast_core::{Label, Refusal};
use handfast_node::{
    Events, Identity, LinuxNode, Lost, NodeConfig, NodeError, Owner, RegistrationEvent, Vitals,
    Waits,
};
use support::gateway::{Gateway, Seen};
use support::program::Home;
use support::soon;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

const ID: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";
const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";

struct Running {
    owner: Owner,
    events: Events,
    task: JoinHandle<Result<(), NodeError>>,
    _home: Home,
}

impl Running {
    async fn until(&mut self, wanted: impl Fn(&RegistrationEvent) -> bool) -> RegistrationEvent {
        loop {
            let event =
                soon("an event of the node", self.events.next()).await.expect("the node runs");
            if wanted(&event) {
                return event;
            }
        }
    }

    async fn lost(&mut self) -> Lost {
        match self.until(|event| matches!(event, RegistrationEvent::Lost(_))).await {
            RegistrationEvent::Lost(lost) => lost,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn start(url: &str, change: impl FnOnce(&mut NodeConfig)) -> Running {
    let home = Home::new();
    let name = Label::parse("Kitchen Pi").unwrap();
    let identity =
        Identity { gateway: url.parse().unwrap(), name: name.into(), room: Label::UNKNOWN.into() };
    let mut config = NodeConfig::new(identity, home.state()).unwrap();
    change(&mut config);
    let node = LinuxNode::new(config).unwrap();
    let (owner, events) = (node.owner(), node.events());
    Running { owner, events, task: tokio::spawn(node.run(std::future::pending())), _home: home }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    (listener, url)
}

async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
    tokio_tungstenite::accept_async(stream).await.unwrap()
}

async fn hear(socket: &mut WebSocketStream<TcpStream>) -> Message {
    soon("a frame", socket.next())
        .await
        .expect("the connection is open")
        .expect("the frame is whole")
}

async fn say(socket: &mut WebSocketStream<TcpStream>, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
}

#[tokio::test]
async fn three_nodes_run_in_one_process_and_their_owners_enter_the_tokens() {
    let mut gateway = Gateway::start().await;
    for _ in 0..3 {
        let mut node = start(&gateway.url(), |_| {});
        let id = gateway.asked().await;
        node.until(|event| *event == RegistrationEvent::WaitsForApproval(id)).await;
        let token = gateway.approve(id).await;
        node.owner.tell(Vitals { occupancy: Some(true), ..Vitals::default() }).await;
        node.owner.token_entered(Token::parse(&token).unwrap()).await;
        node.until(|event| *event == RegistrationEvent::TokenKept).await;
        node.until(
            |event| matches!(event, RegistrationEvent::Linked { node_id, .. } if *node_id == id),
        )
        .await;
        gateway.until(|seen| *seen == Seen::Heartbeat(id, Some(true))).await;
    }
}

#[tokio::test]
async fn a_new_token_replaces_the_link_of_the_old_one() {
    let mut gateway = Gateway::start().await;
    let mut node = start(&gateway.url(), |_| {});
    let id = gateway.asked().await;
    for _ in 0..2 {
        let token = gateway.approve(id).await;
        node.owner.token_entered(Token::parse(&token).unwrap()).await;
        node.until(|event| *event == RegistrationEvent::TokenKept).await;
        node.until(|event| matches!(event, RegistrationEvent::Linked { .. })).await;
    }
    node.owner.ask_again().await;
    node.until(|event| *event == RegistrationEvent::Forgotten).await;
    assert_ne!(gateway.asked().await, id);
}

#[tokio::test]
async fn a_gateway_may_say_more_than_this_node_knows() {
    let (listener, url) = listen().await;
    let mut node = start(&url, |_| {});
    let mut socket = accept(&listener).await;
    let asked = hear(&mut socket).await.into_text().unwrap();
    assert!(asked.contains("pair_request") && asked.contains("Kitchen Pi"), "{asked}");
    say(&mut socket, r#"{"type":"news","x":[{}]}"#).await;
    socket.send(Message::binary(vec![0; 4096])).await.unwrap();
    say(&mut socket, "no JSON").await;
    say(
        &mut socket,
        &format!(r#"{{"server":"7.1","type":"pair_pending","node_id":"{ID}","expires":null}}"#),
    )
    .await;
    socket
        .close(Some(CloseFrame { code: 1000.into(), reason: "Pairing pending".into() }))
        .await
        .unwrap();
    node.until(|event| matches!(event, RegistrationEvent::WaitsForApproval(_))).await;

    node.owner.token_entered(Token::parse(TOKEN).unwrap()).await;
    let mut socket = accept(&listener).await;
    let auth = hear(&mut socket).await.into_text().unwrap();
    assert!(auth.contains(TOKEN) && auth.contains(ID));
    say(
        &mut socket,
        &format!(
            r#"{{"type":"auth_ok","node_id":"{ID}","room":"Küche","policy":{{"mode":"full"}}}}"#
        ),
    )
    .await;
    let RegistrationEvent::Linked { room, .. } =
        node.until(|event| matches!(event, RegistrationEvent::Linked { .. })).await
    else {
        panic!()
    };
    assert_eq!(room, "Küche");
    assert!(hear(&mut socket).await.into_text().unwrap().contains("heartbeat"));
    // A ping of the gateway's must be answered.
    socket.send(Message::Ping("there?".into())).await.unwrap();
    assert_eq!(hear(&mut socket).await, Message::Pong("there?".into()));
}

#[tokio::test]
async fn a_gateway_without_room_is_tried_again_soon() {
    let (listener, url) = listen().await;
    let mut node = start(&url, |_| {});
    let mut socket = accept(&listener).await;
    hear(&mut socket).await;
    socket
        .close(Some(CloseFrame { code: 1013.into(), reason: "Server at capacity".into() }))
        .await
        .unwrap();
    assert_eq!(
        node.lost().await,
        Lost::Closed { code: 1013, reason: "Server at capacity".to_owned() }
    );
    let RegistrationEvent::RetryIn(wait) =
        node.until(|event| matches!(event, RegistrationEvent::RetryIn(_))).await
    else {
        panic!()
    };
    assert!(wait <= Duration::from_millis(1200), "{wait:?}");
    accept(&listener).await;
}

#[tokio::test]
async fn a_port_that_accepts_and_says_nothing_is_given_up() {
    let (listener, url) = listen().await;
    let mut node = start(&url, |config| config.waits.connect_within = Duration::from_millis(100));
    let (_silent, _) = soon("a connection", listener.accept()).await.unwrap();
    let Lost::NotOpened(why) = node.lost().await else { panic!() };
    assert!(why.contains(&url) && why.contains("said nothing"), "{why}");
    node.until(|event| matches!(event, RegistrationEvent::RetryIn(_))).await;
}

#[tokio::test]
async fn a_web_server_that_is_no_gateway_is_told_apart() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (listener, url) = listen().await;
    let mut node = start(&url, |_| {});
    let (mut stream, _) = soon("a connection", listener.accept()).await.unwrap();
    let mut request = [0; 1024];
    let _ = stream.read(&mut request).await.unwrap();
    stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let Lost::NotOpened(why) = node.lost().await else { panic!() };
    assert!(why.contains("HTTP 404"), "{why}");
}

#[tokio::test]
async fn a_gateway_that_never_answers_a_request_is_left_after_the_wait() {
    let (listener, url) = listen().await;
    let mut node = start(&url, |config| config.waits.answer_within = Duration::from_millis(50));
    let mut socket = accept(&listener).await;
    hear(&mut socket).await;
    assert!(matches!(hear(&mut socket).await, Message::Close(Some(_))));
    node.until(|event| matches!(event, RegistrationEvent::RetryIn(_))).await;
}

#[tokio::test]
async fn a_linked_gateway_that_falls_silent_is_noticed() {
    let (listener, url) = listen().await;
    let mut node = start(&url, |config| {
        config.waits = Waits {
            ping_every: Duration::from_millis(50),
            pong_within: Duration::from_millis(300),
            close_within: Duration::from_millis(50),
            ..Waits::DEFAULT
        };
    });
    let mut socket = accept(&listener).await;
    // While the test reads, the WebSocket layer answers the pings, and the link stays.
    hear(&mut socket).await;
    for _ in 0..3 {
        assert!(matches!(hear(&mut socket).await, Message::Ping(_)));
    }
    // From here on nobody reads, so the pings stay unanswered.
    assert_eq!(node.lost().await, Lost::Silent);
}

#[tokio::test]
async fn what_a_gateway_says_at_the_close_is_shown_without_tokens() {
    let (listener, url) = listen().await;
    let mut node = start(&url, |_| {});
    let mut socket = accept(&listener).await;
    hear(&mut socket).await;
    let reason = format!("\u{1b}[2J{TOKEN}");
    socket.close(Some(CloseFrame { code: 1008.into(), reason: reason.into() })).await.unwrap();
    let shown = node.lost().await.to_string();
    assert!(
        shown.contains("1008") && !shown.contains(TOKEN) && !shown.contains('\u{1b}'),
        "{shown}"
    );
}

#[tokio::test]
async fn a_refusal_waits_the_longest_and_keeps_the_token() {
    let (listener, url) = listen().await;
    let mut node = start(&url, |_| {});
    let mut socket = accept(&listener).await;
    hear(&mut socket).await;
    say(&mut socket, &format!(r#"{{"type":"pair_pending","node_id":"{ID}"}}"#)).await;
    node.until(|event| matches!(event, RegistrationEvent::WaitsForApproval(_))).await;
    node.owner.token_entered(Token::parse(TOKEN).unwrap()).await;
    let mut socket = accept(&listener).await;
    hear(&mut socket).await;
    say(&mut socket, r#"{"type":"auth_fail","reason":"node is not yet approved"}"#).await;
    socket
        .close(Some(CloseFrame { code: 1008.into(), reason: "Authentication failed".into() }))
        .await
        .unwrap();
    node.until(|event| *event == RegistrationEvent::Refused(Refusal::NotApproved)).await;
    let RegistrationEvent::RetryIn(wait) =
        node.until(|event| matches!(event, RegistrationEvent::RetryIn(_))).await
    else {
        panic!()
    };
    assert!((48..=72).contains(&wait.as_secs()), "{wait:?}");
    assert!(std::fs::read_to_string(node._home.path("state/node.json")).unwrap().contains(TOKEN));
}

#[tokio::test]
async fn a_private_ca_is_trusted_when_it_is_named_and_only_then() {
    let (listener, url) = listen().await;
    let url = url.replace("ws://127.0.0.1", "wss://localhost");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let home = Home::new();
    let ca = home.path("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));

    let mut node = start(&url, |config| config.ca = Some(ca.into()));
    let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
    let mut socket =
        tokio_tungstenite::accept_async(acceptor.accept(stream).await.unwrap()).await.unwrap();
    let asked = soon("a frame", socket.next()).await.unwrap().unwrap();
    assert!(asked.into_text().unwrap().contains("pair_request"));
    socket
        .send(Message::text(format!(r#"{{"type":"pair_pending","node_id":"{ID}"}}"#)))
        .await
        .unwrap();
    let finishing = tokio::spawn(async move { while let Some(Ok(_)) = socket.next().await {} });
    node.until(|event| matches!(event, RegistrationEvent::WaitsForApproval(_))).await;
    finishing.await.unwrap();

    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let wrong = home.path("wrong.pem");
    std::fs::write(&wrong, other.cert.pem()).unwrap();
    let mut stranger = start(&url, |config| config.ca = Some(wrong.into()));
    let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
    let _ = acceptor.accept(stream).await;
    let Lost::NotOpened(why) = stranger.lost().await else { panic!() };
    assert!(why.contains("TLS") && why.contains("--ca FILE"), "{why}");
}

#[tokio::test]
async fn a_loss_is_noticed_even_while_the_owner_keeps_talking() {
    let (listener, url) = listen().await;
    let mut node = start(&url, |_| {});
    let mut socket = accept(&listener).await;
    hear(&mut socket).await;
    // This gateway sends a close frame, and then neither closes nor reads.
    let talking = tokio::spawn({
        let owner = node.owner.clone();
        async move {
            loop {
                owner.tell(Vitals::default()).await;
                tokio::task::yield_now().await;
            }
        }
    });
    socket.send(Message::Close(None)).await.unwrap();
    node.until(|event| matches!(event, RegistrationEvent::RetryIn(_))).await;
    talking.abort();
}
