//! PINs and codes over sockets: right, wrong, and guessed by many at once.

use std::sync::Arc;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::cpace;
use handfast_core::crypto::cpace::Tag;
use handfast_core::limits::{GUESSES_PER_CODE, GUESSES_PER_SOURCE, GUESSES_PER_WINDOW, Limits};
use handfast_core::secret::Secret;
use handfast_core::wire::native::pair::{
    PairFromGateway as Says, PairFromNode as Tells, PairRefusal, Selector,
};
use handfast_store::SqliteStore;
use tokio::sync::broadcast;

use super::*;
use crate::events::Event;
use crate::operator::codes::{CodeKind, NewCode};

/// What a gateway says to whoever pairs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    PinShown(u8),
    Yb([u8; 32]),
    Tb(Tag),
    Wrong(u8),
    Refused(&'static str),
    Grant(GrantId),
    Active,
    Other,
}

pub(super) async fn hears(client: &mut Client) -> Result<Said, u16> {
    let said = client.hear_to_pair(|message| match message {
        Says::PinShown { attempts, .. } => Said::PinShown(attempts),
        Says::Yb(element) => Said::Yb(element),
        Says::Tb(tag) => Said::Tb(tag),
        Says::Refused(PairRefusal::WrongCode { attempts_left }) => Said::Wrong(attempts_left),
        Says::Refused(PairRefusal::Locked) => Said::Refused("locked"),
        Says::Refused(PairRefusal::Expired) => Said::Refused("expired"),
        Says::Refused(PairRefusal::Closed) => Said::Refused("closed"),
        Says::Refused(PairRefusal::Busy { .. }) => Said::Refused("busy"),
        Says::Refused(_) => Said::Refused("no"),
        Says::Grant(grant) => Said::Grant(grant.id),
        Says::Active(_) => Said::Active,
        Says::Waiting { .. }
        | Says::Part(_)
        | Says::CertificateKey(_)
        | Says::NotPaired
        | Says::Name(_) => Said::Other,
    });
    said.await
}

/// One run with a guess: whether it was right (and the gateway showed that it knows the code, too),
/// or what it said.
pub(super) async fn guesses(
    client: &mut Client,
    own: &OwnKeys,
    served: &Gateway,
    code: &str,
    method: cpace::CodeOrigin,
) -> Result<Result<(), Said>, u16> {
    let (code, gateway) = (Code::parse(code).unwrap(), *served.keys().channel.public());
    let inputs = cpace::Inputs::new(&code, &client.hash, own.channel.public(), &gateway, method);
    let (initiator, ya) = cpace::Initiator::start(&inputs, &entropy::draw()).unwrap();
    client.say_to_pair(&Tells::Ya(ya)).await;
    let yb = match hears(client).await? {
        Said::Yb(yb) => yb,
        other => return Ok(Err(other)),
    };
    let (awaits, ta) = initiator.confirm(&yb).unwrap();
    client.say_to_pair(&Tells::Ta(ta)).await;
    Ok(match hears(client).await? {
        Said::Tb(tb) => awaits.verify(&tb).map(drop).map_err(|_| Said::Tb(tb)),
        other => Err(other),
    })
}

/// Takes the grant that follows, and confirms it.
pub(super) async fn takes_the_grant(client: &mut Client) {
    let Said::Grant(grant) = hears(client).await.unwrap() else { panic!("no grant") };
    client.say_to_pair(&Tells::Stored(grant)).await;
    assert_eq!(hears(client).await.unwrap(), Said::Active);
}

async fn asks_for_a_pin(client: &mut Client, own: &OwnKeys) -> Result<Said, u16> {
    client.ask_by(own, "phone", Method::Pin).await;
    hears(client).await
}

/// The PIN that was shown last.
fn shown(feed: &mut broadcast::Receiver<Event>) -> String {
    let pins = std::iter::from_fn(|| feed.try_recv().ok()).filter_map(|event| match event {
        Event::PairingRequest { pin, .. } => Some(pin.expose().to_owned()),
        _ => None,
    });
    pins.last().expect("a PIN was shown")
}

/// Another PIN of the same length.
fn another(pin: &str) -> String {
    pin.chars().map(|digit| if digit == '1' { '2' } else { '1' }).collect()
}

#[tokio::test]
async fn a_pin_typed_wrong_and_then_right_pairs_the_node_over_every_carrier() {
    let served = Served::of(Gateway::builder(MemoryStore::default())).await;
    served.gateway.open_pairing(None).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = listener.local_addr().unwrap();
    tokio::spawn(crate::serve(served.gateway.clone(), listener, None, std::future::pending()));
    for wire in [served.wire().await, Wire::websocket(http).await] {
        let (own, mut feed) = (keys(), served.gateway.inner.pairing.feed.subscribe());
        let mut client = Client::stranger(Intent::Pair, wire, &own).await;
        assert_eq!(asks_for_a_pin(&mut client, &own).await, Ok(Said::PinShown(GUESSES_PER_CODE)));
        let pin = shown(&mut feed);
        let wrong =
            guesses(&mut client, &own, &served.gateway, &another(&pin), cpace::CodeOrigin::Pin)
                .await;
        assert_eq!(wrong, Ok(Err(Said::Wrong(GUESSES_PER_CODE - 1))));
        assert_eq!(
            guesses(&mut client, &own, &served.gateway, &pin, cpace::CodeOrigin::Pin).await,
            Ok(Ok(()))
        );
        takes_the_grant(&mut client).await;
        assert!(client.wire.recv().await.is_err(), "and the connection ends");
        // A PIN is good for once.
        let mut client = served.stranger(Intent::Pair, &own).await;
        asks_for_a_pin(&mut client, &own).await.unwrap();
        let again = guesses(&mut client, &own, &served.gateway, &pin, cpace::CodeOrigin::Pin).await;
        assert!(matches!(again, Ok(Err(Said::Wrong(_)))), "{again:?}");
    }
    assert_eq!(
        served.gateway.pairing_status().await.unwrap().wrong,
        4,
        "what was right is not counted"
    );
}

#[tokio::test]
async fn a_code_typed_wrong_and_then_right_pairs_the_node_and_nobodys_code_fails_alike() {
    let served = Served::of(Gateway::builder(MemoryStore::default())).await;
    let new = NewCode { kind: CodeKind::Typed, ..NewCode::default() };
    let minted = served.gateway.mint_code(new).await.unwrap();
    let secret = String::from_utf8(minted.code.code.expose().to_vec()).unwrap();
    let nobodys = Selector::parse("0O1I").unwrap();
    for selector in [nobodys, minted.code.selector] {
        let own = keys();
        let mut client = served.stranger(Intent::Pair, &own).await;
        client.ask_by(&own, "phone", Method::Code { selector }).await;
        let wrong =
            guesses(&mut client, &own, &served.gateway, &another(&secret), cpace::CodeOrigin::Code)
                .await;
        assert_eq!(wrong, Ok(Err(Said::Wrong(GUESSES_PER_CODE - 1))));
        let right =
            guesses(&mut client, &own, &served.gateway, &secret, cpace::CodeOrigin::Code).await;
        if selector == nobodys {
            assert_eq!(right, Ok(Err(Said::Wrong(GUESSES_PER_CODE - 2))));
        } else {
            assert_eq!(right, Ok(Ok(())));
            takes_the_grant(&mut client).await;
        }
    }
}

#[tokio::test]
async fn the_right_pin_in_two_sessions_at_once_pairs_in_exactly_one() {
    let served = Served::of(Gateway::builder(MemoryStore::default())).await;
    served.gateway.open_pairing(None).await.unwrap();
    let (own, mut feed) = (keys(), served.gateway.inner.pairing.feed.subscribe());
    let (mut one, mut other) =
        (served.stranger(Intent::Pair, &own).await, served.stranger(Intent::Pair, &own).await);
    let (first, second) =
        tokio::join!(asks_for_a_pin(&mut one, &own), asks_for_a_pin(&mut other, &own));
    assert_eq!((first, second), (Ok(Said::PinShown(5)), Ok(Said::PinShown(5))));
    let pin = shown(&mut feed);
    let outcomes = tokio::join!(
        guesses(&mut one, &own, &served.gateway, &pin, cpace::CodeOrigin::Pin),
        guesses(&mut other, &own, &served.gateway, &pin, cpace::CodeOrigin::Pin),
    );
    let right =
        [&outcomes.0, &outcomes.1].iter().filter(|outcome| matches!(outcome, Ok(Ok(())))).count();
    assert_eq!(right, 1, "{outcomes:?}");
    assert_eq!(served.gateway.pairing_status().await.unwrap().wrong, 0);
}

/// Many sockets ask, those of each node from an address of its own unless it is `one`, and then
/// guess at once, each as often as it is let: how many guesses were compared.
async fn flood(served: &Served, nodes: u8, sockets: usize, one: bool) -> usize {
    let mut feed = served.gateway.inner.pairing.feed.subscribe();
    let mut tasks = tokio::task::JoinSet::new();
    let all_asked = Arc::new(tokio::sync::Barrier::new(usize::from(nodes) * sockets));
    for number in 0..nodes {
        let address = [127, 0, 0, if one { 99 } else { 1 + number }];
        let stored = keys().to_stored();
        for _ in 0..sockets {
            let (gateway, own, wire) = (
                served.gateway.clone(),
                OwnKeys::from_stored(&stored),
                served.wire_from(address).await,
            );
            let all_asked = Arc::clone(&all_asked);
            tasks.spawn(async move {
                let mut client = Client::stranger(Intent::Pair, wire, &own).await;
                let asked = asks_for_a_pin(&mut client, &own).await;
                all_asked.wait().await;
                if !matches!(asked, Ok(Said::PinShown(_))) {
                    return;
                }
                // No PIN has letters, so that none of these is right by chance.
                while let Ok(Err(Said::Wrong(_))) =
                    guesses(&mut client, &own, &gateway, "AAAAAA", cpace::CodeOrigin::Pin).await
                {
                }
            });
        }
    }
    let mut compared = 0;
    let mut count = |event: Result<Event, _>| {
        assert!(!matches!(event, Err(broadcast::error::RecvError::Lagged(_))));
        compared += usize::from(matches!(event, Ok(Event::CodeWrong { .. })));
    };
    loop {
        tokio::select! {
            biased;
            event = feed.recv() => count(event),
            done = tasks.join_next() => if done.is_none() { break },
        }
    }
    compared
}

#[tokio::test]
async fn of_guesses_by_many_sockets_at_once_five_of_a_pin_eight_of_a_source_and_twenty_of_a_window_are_compared()
 {
    let limits =
        Limits { failures_per_minute: 10_000, waiting_per_source: 1000, ..Limits::DEFAULT };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let open = || {
        Gateway::builder(SqliteStore::open(&path).unwrap())
            .store_key(Secret::new([7; 32]))
            .limits(limits)
    };
    let memory = Served::of(Gateway::builder(MemoryStore::default()).limits(limits)).await;
    memory.gateway.open_pairing(None).await.unwrap();
    assert_eq!(flood(&memory, 1, 16, false).await, usize::from(GUESSES_PER_CODE));
    assert_eq!(
        flood(&memory, 8, 4, false).await,
        usize::from(GUESSES_PER_WINDOW - GUESSES_PER_CODE)
    );
    assert!(memory.gateway.pairing_status().await.unwrap().locked);
    assert_eq!(
        memory
            .gateway
            .pairing_status()
            .await
            .unwrap()
            .guessers
            .iter()
            .map(|guesser| guesser.guesses)
            .sum::<u8>(),
        20
    );
    let file = Served::of(open()).await;
    file.gateway.open_pairing(None).await.unwrap();
    assert_eq!(flood(&file, 4, 4, true).await, usize::from(GUESSES_PER_SOURCE));
    assert_eq!(
        flood(&file, 4, 4, false).await,
        usize::from(GUESSES_PER_WINDOW - GUESSES_PER_SOURCE)
    );
    assert_eq!(flood(&file, 1, 1, false).await, 0);
}
