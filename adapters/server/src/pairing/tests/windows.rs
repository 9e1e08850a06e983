use handfast_core::crypto::code::Alphabet;
use handfast_core::limits::{
    GUESSES_PER_CODE, GUESSES_PER_SOURCE, GUESSES_PER_WINDOW, PINS_A_MINUTE,
};
use handfast_core::registry::codes::Window;

use super::*;
use crate::gateway::operator_types::OperatorError;

async fn refusal(gateway: &Gateway) -> Option<OwnedRefusal> {
    match gateway.prepare(&asks(&node(), "phone", Method::Pin)).await {
        OwnedPrepared::Refused(refusal) => Some(refusal),
        _ => None,
    }
}

#[tokio::test]
async fn pins_are_shown_only_while_pairing_is_open() {
    each(async |builder| {
        let gateway = builder.start().await.unwrap();
        assert_eq!(refusal(&gateway).await, Some(OwnedRefusal::Closed));
        let status = gateway.open_pairing(None).await.unwrap();
        assert_eq!(
            status.closes.unwrap().as_secs() - status.since.unwrap().as_secs(),
            OPEN_FOR.as_secs()
        );
        assert_eq!(refusal(&gateway).await, None);
        assert!(!gateway.close_pairing().await.unwrap().open);
        assert_eq!(refusal(&gateway).await, Some(OwnedRefusal::Closed));
        assert!(matches!(
            gateway.open_pairing(Some(Duration::from_millis(999))).await,
            Err(OperatorError::Usage(_))
        ));
    })
    .await;
}

#[tokio::test]
async fn pairing_closes_by_itself_and_says_so() {
    let ears = Ears::default();
    let gateway =
        Gateway::builder(MemoryStore::default()).observer(ears.clone()).start().await.unwrap();
    gateway.open_pairing(Some(Duration::from_secs(1))).await.unwrap();
    let closed = |event: &Event| *event == Event::WindowClosed;
    tokio::time::timeout(Duration::from_secs(20), async {
        while ears.count(closed) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert!(!gateway.pairing_status().await.unwrap().open);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ears.count(closed), 1);
}

#[tokio::test]
async fn twenty_wrong_pins_lock_pairing_until_the_operator_opens_it_and_a_restart_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || PairingSettings {
        enabled: true,
        pin_length: 12,
        pin_alphabet: Alphabet::Unambiguous,
        ..PairingSettings::default()
    };
    let start = async || {
        Gateway::builder(let_go(&directory).await)
            .store_key(key())
            .pairing(settings())
            .start()
            .await
            .unwrap()
    };
    let gateway = start().await;
    for number in 0..GUESSES_PER_WINDOW / GUESSES_PER_CODE {
        let OwnedPrepared::Pin { id, code, .. } =
            gateway.prepare(&asks(&node(), "phone", Method::Pin)).await
        else {
            panic!()
        };
        assert_eq!(code.expose().len(), 12);
        for _ in 0..GUESSES_PER_CODE {
            gateway
                .inner
                .store
                .reserve(Some(id), source(number), gateway.inner.clock.unix())
                .await
                .unwrap()
                .unwrap();
        }
    }
    assert_eq!(refusal(&gateway).await, Some(OwnedRefusal::Locked));
    drop(gateway);
    let gateway = start().await;
    let status = gateway.pairing_status().await.unwrap();
    assert!(status.locked && !status.open);
    let guessers: Vec<_> =
        status.guessers.iter().map(|guesser| (guesser.source, guesser.guesses)).collect();
    assert_eq!(guessers, [0, 1, 2, 3].map(|number| (source(number), GUESSES_PER_CODE)));
    assert_eq!(refusal(&gateway).await, Some(OwnedRefusal::Locked));
    assert!(gateway.open_pairing(None).await.unwrap().open);
    assert_eq!(refusal(&gateway).await, None);
}

fn source(number: u8) -> Source {
    Source::of([192, 0, 2, number].into())
}

#[tokio::test]
async fn a_source_that_guessed_eight_pins_wrong_hears_locked_and_others_are_shown_theirs() {
    let gateway = Gateway::builder(MemoryStore::default()).start().await.unwrap();
    gateway.open_pairing(None).await.unwrap();
    for guesses in [5, 3] {
        let OwnedPrepared::Pin { id, .. } =
            gateway.prepare(&asks(&node(), "phone", Method::Pin)).await
        else {
            panic!()
        };
        for _ in 0..guesses {
            gateway
                .inner
                .store
                .reserve(Some(id), here(), gateway.inner.clock.unix())
                .await
                .unwrap()
                .unwrap();
        }
    }
    assert_eq!(refusal(&gateway).await, Some(OwnedRefusal::Locked));
    let elsewhere =
        OwnedRequest { address: [198, 51, 100, 1].into(), ..asks(&node(), "phone", Method::Pin) };
    assert!(matches!(
        gateway.prepare(&elsewhere).await,
        OwnedPrepared::Pin { attempts: GUESSES_PER_CODE, .. }
    ));
    let status = gateway.pairing_status().await.unwrap();
    assert!(
        status.open
            && !status.locked
            && status.guessers.iter().all(handfast_core::registry::codes::Guesser::is_locked)
    );
    assert!(gateway.open_pairing(None).await.unwrap().guessers.is_empty());
    assert_eq!(refusal(&gateway).await, None);
}

#[tokio::test]
async fn a_stranger_who_asks_for_pin_after_pin_leaves_room_for_everybody_else() {
    let gateway = Gateway::builder(MemoryStore::default()).start().await.unwrap();
    gateway.open_pairing(None).await.unwrap();
    let OwnedPrepared::Pin { id: honest, .. } =
        gateway.prepare(&asks(&node(), "phone", Method::Pin)).await
    else {
        panic!()
    };
    for asked in 0..100 {
        let stranger = OwnedRequest {
            address: [198, 51, 100, 1].into(),
            ..asks(&node(), "stranger", Method::Pin)
        };
        let prepared = gateway.prepare(&stranger).await;
        match asked < PINS_A_MINUTE {
            true => assert!(matches!(prepared, OwnedPrepared::Pin { .. }), "{asked}"),
            false => assert!(
                matches!(prepared, OwnedPrepared::Refused(OwnedRefusal::Busy { .. })),
                "{asked}"
            ),
        }
    }
    let live = gateway.codes().await.unwrap();
    assert!(live.len() == 5 && live.iter().any(|code| code.id == honest));
}

#[tokio::test]
async fn a_pin_that_was_guessed_too_often_is_replaced_when_its_node_comes_back() {
    let gateway = Gateway::builder(MemoryStore::default()).start().await.unwrap();
    gateway.open_pairing(None).await.unwrap();
    let request = asks(&node(), "phone", Method::Pin);
    let OwnedPrepared::Pin { id: dead, .. } = gateway.prepare(&request).await else { panic!() };
    for _ in 0..GUESSES_PER_CODE {
        gateway
            .inner
            .store
            .reserve(Some(dead), here(), gateway.inner.clock.unix())
            .await
            .unwrap()
            .unwrap();
    }
    let OwnedPrepared::Pin { id, attempts, .. } = gateway.prepare(&request).await else { panic!() };
    assert_ne!(id, dead);
    assert_eq!(attempts, GUESSES_PER_SOURCE - GUESSES_PER_CODE, "its source has guessed before");
}

#[tokio::test]
async fn what_was_to_stay_open_as_long_as_the_gateway_runs_is_closed_after_a_start_without_it() {
    let directory = tempfile::tempdir().unwrap();
    let start = async |enabled| {
        let settings = PairingSettings { enabled, ..PairingSettings::default() };
        Gateway::builder(let_go(&directory).await)
            .store_key(key())
            .pairing(settings)
            .start()
            .await
            .unwrap()
    };
    let status = start(true).await.pairing_status().await.unwrap();
    assert!(status.open && status.closes.is_none());
    let gateway = start(false).await;
    assert_eq!(gateway.inner.store.window().await.unwrap(), Window::default());
    gateway.open_pairing(Some(Duration::from_secs(600))).await.unwrap();
    drop(gateway);
    assert!(start(false).await.pairing_status().await.unwrap().open, "the operator's time goes on");
}

#[tokio::test]
async fn an_invitation_carries_the_code_the_gateways_fingerprint_and_its_address() {
    use handfast_core::wire::invite::Invite;
    let gateway = Gateway::builder(MemoryStore::default()).start().await.unwrap();
    let minted = gateway.mint_code(NewCode::default()).await.unwrap();
    let selector = minted.code.selector;
    let text = gateway.invitation(minted, &["ws://192.168.1.10:8765".to_owned()]).unwrap();
    let invite = Invite::parse(&text).unwrap();
    assert_eq!((invite.selector(), *invite.gateway()), (selector, gateway.fingerprint()));
    for wrong in [&[][..], &["http://192.168.1.10".to_owned()]] {
        let minted = gateway.mint_code(NewCode::default()).await.unwrap();
        assert!(matches!(gateway.invitation(minted, wrong), Err(OperatorError::Usage(_))));
    }
}

#[tokio::test]
async fn a_withdrawn_code_is_nobodys() {
    let gateway = Gateway::builder(MemoryStore::default()).start().await.unwrap();
    let minted =
        gateway.mint_code(NewCode { kind: CodeKind::Typed, ..NewCode::default() }).await.unwrap();
    assert_eq!(minted.text().len(), 4 + 1 + 6);
    assert!(!format!("{minted:?}").contains(&minted.text()[5..]));
    assert_eq!(gateway.codes().await.unwrap().len(), 1);
    gateway.withdraw_code(minted.id).await.unwrap();
    assert_eq!(gateway.codes().await.unwrap().len(), 0);
    assert!(matches!(gateway.withdraw_code(minted.id).await, Err(OperatorError::NoSuchCode(_))));
}
