//! A manual peer of the native wire, over a WebSocket from an address that a test chooses.

use std::net::{IpAddr, SocketAddr};

use futures_util::{SinkExt, StreamExt};
use handfast_core::crypto::code::Code;
use handfast_core::crypto::cpace;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::{ik, xx};
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::grant::capability::{self, BlockTerms, Holder};
use handfast_core::grant::scope::Scopes;
use handfast_core::limits::{CAPABILITY_BYTES, MESSAGE_BYTES};
use handfast_core::wire::native::Bounded;
use handfast_core::wire::native::link::{
    Admission, Admitted, FromGateway as LinkSays, FromNode as LinkTells,
};
use handfast_core::wire::native::open::{Intent, Open};
use handfast_core::wire::native::pair::{
    Ask, ChainBytes, Method, NativeProfile, PairFromGateway, PairFromNode, PairRefusal, Request,
    Selector,
};
use handfast_core::{Entropy, Label, UnixTime};
use handfast_host_tests::native::raw::{Channel, Says, hello};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::conformance::{Client, PATIENCE};

pub(super) fn chance<const N: usize>() -> Entropy<N> {
    Entropy::try_draw(&mut getrandom::SysRng).unwrap()
}

pub(super) fn keys() -> OwnKeys {
    OwnKeys::generate(&chance())
}

/// Opens a WebSocket of the native wire; `None` if there is no room for it.
pub(super) async fn wire(gateway: SocketAddr, from: IpAddr) -> Option<Client> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((from, 0).into()).ok()?;
    let stream = socket.connect(gateway).await.ok()?;
    let mut request = format!("ws://{gateway}/").into_client_request().ok()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", "handfast.v1".parse().ok()?);
    let (socket, _) =
        tokio_tungstenite::client_async(request, MaybeTlsStream::Plain(stream)).await.ok()?;
    Some(Client { socket })
}

/// Returns the next message; `None` if the gateway ends the connection in any way.
async fn next(client: &mut Client) -> Option<Vec<u8>> {
    let heard = async {
        loop {
            match client.socket.next().await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(bytes))) => return Some(bytes.into()),
                Some(Ok(_) | Err(_)) | None => return None,
            }
        }
    };
    timeout(PATIENCE, heard).await.expect("the gateway should have said something")
}

/// Sends bytes. An error is ignored, because the gateway's answer shows it.
async fn send(client: &mut Client, bytes: &[u8]) {
    let _ = client.socket.send(Message::binary(bytes.to_vec())).await;
}

/// One end of a sealed channel.
pub(super) struct Peer {
    client: Client,
    channel: Channel,
}

/// The outcome of a guess.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Guessed {
    Right,
    Wrong,
    /// Pairing is locked for this address, or for all.
    Locked,
    Closed,
    Other,
}

/// The data of a paired node.
pub(super) struct Paired {
    pub(super) keys: OwnKeys,
    pub(super) gateway: PublicKey,
    pub(super) chain: Vec<u8>,
}

impl Peer {
    /// Performs the handshake of a peer that the gateway does not know.
    pub(super) async fn meets(
        gateway: SocketAddr,
        from: IpAddr,
        intent: Intent,
        own: &OwnKeys,
    ) -> Option<Self> {
        let mut client = wire(gateway, from).await?;
        let open = Open::new(intent);
        let mut room = [0; MESSAGE_BYTES];
        let (initiator, first) =
            xx::Initiator::start(open.prologue(), &chance(), &[], &mut room).ok()?;
        send(&mut client, open.as_bytes()).await;
        send(&mut client, first).await;
        let mut second = next(&mut client).await?;
        let (introduced, _) = initiator.read_second(&mut second).ok()?;
        let (established, third) = introduced.write_third(&own.channel, &[], &mut room).ok()?;
        send(&mut client, third).await;
        Some(Self { client, channel: Channel::new(established) })
    }

    /// Performs the handshake of a node. The gateway's answer says if it is welcome.
    pub(super) async fn links(gateway: SocketAddr, from: IpAddr, node: &Paired) -> Option<Self> {
        let mut client = wire(gateway, from).await?;
        let open = Open::new(Intent::Link);
        let mut room = [0; MESSAGE_BYTES];
        let started = ik::Initiator::start(
            open.prologue(),
            &node.keys.channel,
            &node.gateway,
            &chance(),
            &[],
            &mut room,
        );
        let (initiator, first) = started.ok()?;
        send(&mut client, open.as_bytes()).await;
        send(&mut client, first).await;
        let mut second = next(&mut client).await?;
        let (established, admission) =
            initiator.read_second(&node.keys.channel, &mut second).ok()?;
        let welcome = Admitted::parse(admission).ok()?.admission == Admission::Welcome;
        let mut peer = Self { client, channel: Channel::new(established) };
        peer.says(&hello()).await;
        welcome.then_some(peer)
    }

    pub(super) async fn says(&mut self, said: &impl Says) {
        let frame = self.channel.seal(said);
        send(&mut self.client, &frame).await;
    }

    pub(super) async fn hears(&mut self) -> Option<Vec<u8>> {
        let frame = next(&mut self.client).await?;
        self.channel.open(frame)
    }

    /// Returns `true` if the gateway ends the link in any way.
    pub(super) async fn is_ended(&mut self) -> bool {
        match self.hears().await {
            Some(said) => matches!(LinkSays::parse(&said), Ok(LinkSays::Bye(_))),
            None => true,
        }
    }

    /// Sends a pairing request.
    pub(super) async fn asks(&mut self, own: &OwnKeys, name: &str, method: Method) {
        let request = Request {
            features: handfast_core::wire::native::Features::NONE,
            name: Label::parse(name).unwrap(),
            room: Label::parse("hall").unwrap(),
            profile: NativeProfile::EMPTY,
            method,
            wants: handfast_core::wire::native::pair::AskedScopes::NONE,
            csr: None,
        };
        let ask = Ask::sign(request, &own.signing, &self.channel.hash);
        self.says(&PairFromNode::Ask(ask)).await;
    }

    /// Returns `true` if the gateway shows a PIN for the request; else its message.
    pub(super) async fn is_shown_a_pin(
        &mut self,
        own: &OwnKeys,
        name: &str,
    ) -> Result<(), Guessed> {
        self.asks(own, name, Method::Pin).await;
        let said = self.hears().await.ok_or(Guessed::Other)?;
        match PairFromGateway::parse(&said) {
            Ok(PairFromGateway::PinShown { .. }) => Ok(()),
            Ok(PairFromGateway::Refused(refusal)) => Err(refused(&refusal)),
            _ => Err(Guessed::Other),
        }
    }

    /// Performs one run of CPace with this code.
    pub(super) async fn guesses(
        &mut self,
        own: &OwnKeys,
        code: &str,
        method: cpace::CodeOrigin,
    ) -> Guessed {
        let code = Code::parse(code).unwrap();
        let inputs = cpace::Inputs::new(
            &code,
            &self.channel.hash,
            own.channel.public(),
            &self.channel.peer,
            method,
        );
        let (initiator, ya) = cpace::Initiator::start(&inputs, &chance()).unwrap();
        self.says(&PairFromNode::Ya(ya)).await;
        let Some(said) = self.hears().await else { return Guessed::Other };
        let yb = match PairFromGateway::parse(&said) {
            Ok(PairFromGateway::Yb(yb)) => yb,
            Ok(PairFromGateway::Refused(refusal)) => return refused(&refusal),
            _ => return Guessed::Other,
        };
        let (awaits, ta) = initiator.confirm(&yb).unwrap();
        self.says(&PairFromNode::Ta(ta)).await;
        let Some(said) = self.hears().await else { return Guessed::Other };
        match PairFromGateway::parse(&said) {
            Ok(PairFromGateway::Tb(tb)) if awaits.verify(&tb).is_ok() => Guessed::Right,
            Ok(PairFromGateway::Refused(refusal)) => refused(&refusal),
            _ => Guessed::Other,
        }
    }

    /// Presents a chain. Returns `true` if the gateway accepts it.
    pub(super) async fn presents(&mut self, chain: &[u8]) -> bool {
        let chain = ChainBytes::Here(Bounded::new(chain).expect("the chains here are short"));
        self.says(&LinkTells::Present { chain }).await;
        let said = self.hears().await;
        said.is_some_and(|said| {
            LinkSays::parse(&said) == Ok(LinkSays::Admission(Admission::Welcome))
        })
    }
}

fn refused(refusal: &PairRefusal<'_>) -> Guessed {
    match refusal {
        PairRefusal::WrongCode { .. } => Guessed::Wrong,
        PairRefusal::Locked => Guessed::Locked,
        PairRefusal::Closed => Guessed::Closed,
        _ => Guessed::Other,
    }
}

/// Pairs a node with a code that was minted in advance, `SELECTOR-SECRET`.
pub(super) async fn pairs(gateway: SocketAddr, from: IpAddr, name: &str, code: &str) -> Paired {
    let keys = keys();
    let (selector, secret) = code.split_once('-').unwrap();
    let mut peer = Peer::meets(gateway, from, Intent::Pair, &keys).await.expect("a handshake");
    peer.asks(&keys, name, Method::Code { selector: Selector::parse(selector).unwrap() }).await;
    assert_eq!(peer.guesses(&keys, secret, cpace::CodeOrigin::Code).await, Guessed::Right);
    let said = peer.hears().await.expect("a grant");
    let Ok(PairFromGateway::Grant(grant)) = PairFromGateway::parse(&said) else {
        panic!("no grant: {said:?}")
    };
    let chain = match grant.chain {
        Some(ChainBytes::Here(chain)) => chain.as_bytes().to_vec(),
        Some(ChainBytes::InParts) | None => Vec::new(),
    };
    peer.says(&PairFromNode::Stored(grant.id)).await;
    let said = peer.hears().await.expect("a word that it counts");
    assert!(matches!(PairFromGateway::parse(&said), Ok(PairFromGateway::Active(_))), "{said:?}");
    Paired { keys, gateway: peer.channel.peer, chain }
}

/// Attenuates the chain of its holder for an hour.
pub(super) fn handed_on(node: &Paired, to: &OwnKeys, scopes: &[&str]) -> Vec<u8> {
    let mut room = [0; CAPABILITY_BYTES];
    let chain = capability::Chain::from_bytes(&node.chain).unwrap();
    let not_before = chain.leaf().terms().not_before;
    let expires = UnixTime::from_secs(not_before.as_secs() + 3600);
    let terms = BlockTerms {
        scopes: Scopes::parse(scopes.iter().copied()).unwrap(),
        not_before,
        expires,
        audience: None,
    };
    chain
        .attenuate(&node.keys.signing, &Holder::of(to), &terms, &mut room)
        .unwrap()
        .as_bytes()
        .to_vec()
}
