use handfast_core::registry::codes::Kind;
use handfast_core::registry::record::Standing;
use handfast_core::wire::native::pair::Selector;

use super::*;

#[tokio::test]
async fn a_node_that_comes_back_gets_the_same_pin_and_nobody_is_told_twice() {
    each(async |builder| {
        let ears = Ears::default();
        let gateway = builder.observer(ears.clone()).start().await.unwrap();
        gateway.open_pairing(None).await.unwrap();
        let request = asks(&node(), "My Phone", Method::Pin);
        let pins = [gateway.prepare(&request).await, gateway.prepare(&request).await];
        let [OwnedPrepared::Pin { id, code, attempts, .. }, OwnedPrepared::Pin { id: again, code: same, .. }] = pins else {
            panic!()
        };
        assert_eq!((id, &code, attempts), (again, &same, 5));
        assert_eq!(code.expose().len(), 6);
        let shown = |event: &Event| matches!(event, Event::PairingRequest { name, pin, .. } if name == "My Phone" && pin.expose().as_bytes() == code.expose());
        assert_eq!(ears.count(shown), 1);
        assert!(!format!("{:?}", ears.0.lock().unwrap()).contains(std::str::from_utf8(code.expose()).unwrap()));

        let OwnedPrepared::Pin { code: others, .. } = gateway.prepare(&asks(&node(), "lamp", Method::Pin)).await else { panic!() };
        assert_ne!(others, code, "another node's PIN is another one");
    })
    .await;
}

#[tokio::test]
async fn many_connections_of_one_node_at_once_get_one_pin() {
    each(async |builder| {
        let ears = Ears::default();
        let gateway = builder.observer(ears.clone()).start().await.unwrap();
        gateway.open_pairing(None).await.unwrap();
        let request = asks(&node(), "phone", Method::Pin);
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let (gateway, request) = (gateway.clone(), request.clone());
                tokio::spawn(async move { gateway.prepare(&request).await })
            })
            .collect();
        let mut ids = Vec::new();
        for asked in asking {
            let OwnedPrepared::Pin { id, .. } = asked.await.unwrap() else { panic!() };
            ids.push(id);
        }
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(ears.count(|event| matches!(event, Event::PairingRequest { .. })), 1);
    })
    .await;
}

#[tokio::test]
async fn a_right_pin_pairs_with_the_default_permissions_and_asking_again_offers_the_same_bytes() {
    each(async |builder| {
        let gateway = builder.start().await.unwrap();
        gateway.open_pairing(None).await.unwrap();
        let own = node();
        let offer = offered(proves_pin(&gateway, &asks(&own, "phone", Method::Pin)).await);
        let chain = offer.chain.unwrap();
        assert_eq!(verifies(&gateway, &own, &chain).as_str(), "read:/**\nwrite:/**\n");
        let grant = gateway.inner.store.grants(offer.node_id).await.unwrap().pop().unwrap();
        assert_eq!(grant.expires.unwrap().as_secs() - grant.not_before.as_secs(), 90 * 86_400);

        // Its answer was lost: it has its key, and asks once more.
        let request = asks(&own, "phone", Method::Approval);
        assert!(matches!(gateway.prepare(&request).await, OwnedPrepared::Settle));
        let again = offered(gateway.settle(&request, None).await);
        assert_eq!((again.id, again.node_id, again.chain), (offer.id, offer.node_id, Some(chain)));
    })
    .await;
}

#[tokio::test]
async fn a_code_brings_its_own_permissions_and_one_that_nobody_minted_looks_like_any_other() {
    each(async |builder| {
        let gateway = builder.start().await.unwrap();
        let new = NewCode {
            permissions: Some(scopes("read:/public/**\n")),
            grant_for: Some(Duration::from_secs(3600)),
            label: "guests".to_owned(),
            ..NewCode::default()
        };
        let minted = gateway.mint_code(new).await.unwrap();
        let own = node();
        let request = asks(&own, "phone", Method::Code { selector: minted.code.selector });
        let OwnedPrepared::Code { id: Some(id), code } = gateway.prepare(&request).await else {
            panic!("pairing need not be open")
        };
        assert_eq!((id, &code), (minted.id, &minted.code.code));
        let now = gateway.inner.clock.unix();
        gateway.inner.store.reserve(Some(id), here(), now).await.unwrap().unwrap();
        assert!(gateway.inner.store.spend(id, here(), now, now).await.unwrap());
        let offer = offered(gateway.settle(&request, Some(id)).await);
        assert_eq!(verifies(&gateway, &own, &offer.chain.unwrap()).as_str(), "read:/public/**\n");
        let grant = gateway.inner.store.grants(offer.node_id).await.unwrap().pop().unwrap();
        assert_eq!(grant.expires.unwrap().as_secs() - grant.not_before.as_secs(), 3600);

        for selector in [minted.code.selector, Selector::parse("0O1I").unwrap()] {
            let prepared =
                gateway.prepare(&asks(&node(), "stranger", Method::Code { selector })).await;
            assert!(
                matches!(prepared, OwnedPrepared::Code { id: None, .. }),
                "spent, or never minted"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_store_keeps_of_a_code_does_not_hold_it() {
    let gateway = Gateway::builder(MemoryStore::default()).start().await.unwrap();
    gateway.open_pairing(None).await.unwrap();
    let own = node();
    let OwnedPrepared::Pin { id, code, .. } =
        gateway.prepare(&asks(&own, "phone", Method::Pin)).await
    else {
        panic!()
    };
    let kept = gateway.inner.store.code(id).await.unwrap().unwrap();
    assert_eq!(kept.counted.kind, Kind::Pin(*own.channel.public()));
    assert!(!kept.sealed.windows(code.expose().len()).any(|part| part == code.expose()));
}

#[tokio::test]
async fn whoever_asks_without_a_code_waits_and_what_the_handler_says_counts_without_the_operator() {
    each(async |builder| {
        let gateway = builder.start().await.unwrap();
        let own = node();
        let request = asks(&own, "lamp", Method::Approval);
        let [first, second] =
            [gateway.settle(&request, None).await, gateway.settle(&request, None).await];
        let (
            OwnedVerdict::Waits { node_id, expires_in },
            OwnedVerdict::Waits { node_id: same, .. },
        ) = (first, second)
        else {
            panic!()
        };
        assert_eq!((node_id, u64::from(expires_in)), (same, Limits::DEFAULT.pending_for.as_secs()));
    })
    .await;
    each(async |builder| {
        let gateway = builder.pairing_handler(approves("read:/a\n")).start().await.unwrap();
        let own = node();
        let offer = offered(gateway.settle(&asks(&own, "lamp", Method::Approval), None).await);
        assert_eq!(verifies(&gateway, &own, &offer.chain.unwrap()).as_str(), "read:/a\n");
    })
    .await;
    each(async |builder| {
        let no = PairingDecision::Reject { reason: Some("Device name not allowed".to_owned()) };
        let gateway = builder.pairing_handler(Says(no)).start().await.unwrap();
        let OwnedVerdict::Refused(refusal) =
            gateway.settle(&asks(&node(), "lamp", Method::Approval), None).await
        else {
            panic!()
        };
        assert_eq!(
            refusal,
            OwnedRefusal::Denied { reason: Some("Device name not allowed".to_owned()) }
        );
        assert_eq!(gateway.summary().await.unwrap().nodes.pending, 0, "nothing is kept of it");
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_panics_has_decided_nothing() {
    struct Panics;
    #[async_trait]
    impl PairingHandler for Panics {
        async fn decide(&self, _: &PairingRequest<'_>) -> PairingDecision {
            panic!("on purpose");
        }
    }
    let gateway =
        Gateway::builder(MemoryStore::default()).pairing_handler(Panics).start().await.unwrap();
    let verdict = gateway.settle(&asks(&node(), "lamp", Method::Approval), None).await;
    assert!(matches!(verdict, OwnedVerdict::Waits { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_has_decided_nothing() {
    struct Sleeps;
    #[async_trait]
    impl PairingHandler for Sleeps {
        async fn decide(&self, _: &PairingRequest<'_>) -> PairingDecision {
            std::future::pending().await
        }
    }
    let gateway =
        Gateway::builder(MemoryStore::default()).pairing_handler(Sleeps).start().await.unwrap();
    let verdict = gateway.settle(&asks(&node(), "lamp", Method::Approval), None).await;
    assert!(matches!(verdict, OwnedVerdict::Waits { .. }));
}

#[tokio::test]
async fn pairing_again_neither_unmutes_a_node_nor_widens_its_mode() {
    each(async |builder| {
        let gateway = builder.pairing_handler(approves("read:/a\n")).start().await.unwrap();
        gateway.open_pairing(None).await.unwrap();
        let own = node();
        let request = asks(&own, "lamp", Method::Pin);
        let node_id = offered(proves_pin(&gateway, &request).await).node_id;
        let decide = async |decision| gateway.decide(node_id, &decision).await.unwrap();
        use handfast_core::registry::lifecycle::Decision;
        decide(Decision::SetMode(Mode::SafeChat)).await;
        decide(Decision::Mute).await;
        assert_eq!(offered(proves_pin(&gateway, &request).await).node_id, node_id);
        let record = gateway.inner.store.load(node_id).await.unwrap().unwrap().record;
        assert!(matches!(record.standing, Standing::Muted { restore: Mode::SafeChat, .. }));
    })
    .await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_whatever_it_shows() {
    each(async |builder| {
        let gateway = builder.pairing_handler(approves("read:/a\n")).start().await.unwrap();
        gateway.open_pairing(None).await.unwrap();
        let own = node();
        let node_id =
            offered(gateway.settle(&asks(&own, "lamp", Method::Approval), None).await).node_id;
        gateway.revoke_paired(&node_id.to_string()).await.unwrap();
        for method in [
            Method::Approval,
            Method::Pin,
            Method::Code { selector: Selector::parse("ABCD").unwrap() },
        ] {
            let prepared = gateway.prepare(&asks(&own, "another name", method)).await;
            assert!(
                matches!(prepared, OwnedPrepared::Refused(OwnedRefusal::Revoked)),
                "{prepared:?}"
            );
        }
        let held = vec![handfast_core::grant::capability::Held {
            id: capability::Id::from_bytes([1; 32]),
            by: *own.channel.public(),
        }];
        assert!(gateway.inner.store.is_revoked(held).await.unwrap());
    })
    .await;
}
