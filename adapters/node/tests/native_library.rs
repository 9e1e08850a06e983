//! The library over the native wire, from an embedder's view.

mod support;

use handfast_core::Label;
use handfast_core::crypto::code::Code;
use handfast_core::flow::native::node::{NativeMemory, PairMethod};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::path::Action;
use handfast_node::StateDir;
use handfast_node::native::{
    AppMessage, NativeConfig, NativeError, NativeEvent, NativeEvents, NativeIdentity, NativeNode,
    NativeOwner, NotSent, Renewable,
};
use support::native::{NativeGateway, Seen};
use support::program::Home;
use support::soon;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Running {
    owner: NativeOwner,
    events: NativeEvents,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), NativeError>>,
}

impl Running {
    fn start(home: &Home, gateway: &NativeGateway) -> Self {
        let identity = NativeIdentity {
            gateways: vec![gateway.url().parse().unwrap()],
            name: Label::parse("Kitchen Pi").unwrap().into(),
            room: Label::UNKNOWN.into(),
            tokens: home.path("state/tokens.json").into(),
            plain_tokens: true,
        };
        let node = NativeNode::new(NativeConfig::new(identity, home.state()).unwrap()).unwrap();
        let (owner, events) = (node.owner(), node.events());
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(node.run(async {
            let _ = stopped.await;
        }));
        Self { owner, events, stop, ended }
    }

    async fn until<T>(&mut self, what: &str, wanted: impl Fn(NativeEvent) -> Option<T>) -> T {
        loop {
            let event = soon(what, self.events.next()).await.expect("the node runs");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }

    async fn hears(&mut self, what: &str, wanted: impl Fn(&NativeEvent) -> bool) {
        self.until(what, |event| wanted(&event).then_some(())).await;
    }

    async fn linked(&mut self) {
        self.hears("a link", |event| matches!(event, NativeEvent::Linked(_))).await;
    }

    async fn pair(&mut self, gateway: &mut NativeGateway) {
        self.owner.pair(PairMethod::Pin, Some(gateway.fingerprint())).await;
        self.hears("a PIN", |event| matches!(event, NativeEvent::TypeThePin { attempts: 5, .. }))
            .await;
        let pin = gateway.pin().await;
        self.owner.enter_code(Code::parse(&pin).unwrap()).await;
        self.linked().await;
    }

    async fn stop(self) {
        drop(self.stop);
        soon("its end", self.ended).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_embedder_pairs_sends_hears_renews_and_forgets() {
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    let mut node = Running::start(&home, &gateway);
    assert_eq!(
        node.owner.send_app(Action::Write, "/lights/1", b"on".to_vec()).await,
        Err(NotSent::NotLinked)
    );
    node.pair(&mut gateway).await;

    node.owner.subscribe("/lights/*").await.unwrap();
    gateway.sees(Seen::Subscribed("/lights/*".into())).await;
    node.owner.send_app(Action::Write, "/lights/1", b"on".to_vec()).await.unwrap();
    let expected =
        AppMessage { action: Action::Write, address: "/lights/1".into(), bytes: b"on".to_vec() };
    let came =
        node.until("its echo", |event| {
            if let NativeEvent::App(message) = event { Some(message) } else { None }
        })
        .await;
    assert_eq!(came, expected);
    assert!(matches!(
        node.owner.send_app(Action::Write, "lights", vec![]).await,
        Err(NotSent::Address(_))
    ));
    assert_eq!(
        node.owner.send_app(Action::Write, "/x", vec![0; 1000]).await,
        Err(NotSent::TooLong)
    );
    node.owner.send_app(Action::Write, "/doors", vec![]).await.unwrap();
    node.hears(
        "no",
        |event| matches!(event, NativeEvent::NotAllowed { pattern, .. } if pattern == "/doors"),
    )
    .await;

    node.owner.renew(Renewable::Chain).await;
    node.hears("a renewal", |event| matches!(event, NativeEvent::Renewed)).await;
    node.owner.renew(Renewable::Bearer).await;
    node.hears("a bearer", |event| matches!(event, NativeEvent::Bearer(_))).await;

    gateway.hang_up();
    node.linked().await;
    gateway.sees(Seen::Subscribed("/lights/*".into())).await;

    node.owner.forget().await;
    node.hears("that it is forgotten", |event| matches!(event, NativeEvent::Forgotten)).await;
    node.stop().await;
    let (_, memory) = StateDir::at(home.state()).load_native().unwrap().unwrap();
    assert_eq!(memory, NativeMemory::Blank);
    assert!(!std::fs::read_to_string(home.path("state/tokens.json")).unwrap().contains("hf1."));
}

#[tokio::test]
async fn a_muted_node_stays_linked_and_may_do_nothing_until_it_is_unmuted() {
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    let mut node = Running::start(&home, &gateway);
    node.pair(&mut gateway).await;
    let id = gateway.linked().await;
    gateway.push(id, Notice::Muted);
    node.hears("mute", |event| matches!(event, NativeEvent::Muted)).await;
    node.owner.send_app(Action::Write, "/lights/1", b"on".to_vec()).await.unwrap();
    node.hears("no", |event| matches!(event, NativeEvent::NotAllowed { .. })).await;
    gateway.push(id, Notice::Unmuted);
    node.hears("unmute", |event| matches!(event, NativeEvent::Unmuted)).await;
    node.owner.send_app(Action::Write, "/lights/1", b"on".to_vec()).await.unwrap();
    gateway.sees(Seen::App("/lights/1".into(), b"on".to_vec())).await;
    node.stop().await;
}

#[tokio::test]
async fn a_long_token_comes_in_parts_and_is_kept_whole() {
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    let scopes: Vec<String> = (0..12)
        .map(|at| format!("read:/a/rather/long/place/of/its/own/number/{at}/**\n"))
        .collect();
    gateway.registry(|registry| registry.scopes = scopes.concat());
    let mut node = Running::start(&home, &gateway);
    node.pair(&mut gateway).await;
    node.stop().await;
    let mut again = Running::start(&home, &gateway);
    again.linked().await;
    again.stop().await;
    let kept = std::fs::read_to_string(home.path("state/tokens.json")).unwrap();
    let token = kept.split('"').find(|text| text.starts_with("hf1.")).unwrap();
    assert_eq!(handfast_node::native::ChainFacts::read(token).unwrap().scopes.len(), 12);
}

#[tokio::test]
async fn what_is_dropped_or_shown_never_holds_a_secret() {
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    let mut node = Running::start(&home, &gateway);
    node.pair(&mut gateway).await;
    node.owner.renew(Renewable::Bearer).await;
    let shown = node
        .until("a bearer", |event| match &event {
            NativeEvent::Bearer(token) => Some((format!("{event:?}"), token.expose().to_owned())),
            _ => None,
        })
        .await;
    assert!(!shown.0.contains(&shown.1), "{}", shown.0);
    node.stop().await;
}
