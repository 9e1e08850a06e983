//! What the operator has decided that a node may do at most holds from that moment on, whatever the
//! node and those who rest on it do.

use std::sync::atomic::Ordering;

use handfast_core::flow::registration::operator::Purpose;
use handfast_core::grant::scope::{Action, Address, Pattern};
use handfast_core::limits::Limits;
use handfast_core::registry::grants::{Grant, State};
use handfast_core::secret::Secret;
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::Renew;
use handfast_store::SqliteStore;

use super::failing::Failing;
use super::*;
use crate::gateway::bearers::BearerHolder as BearerOf;
use crate::gateway::operator_types::OperatorError;
use crate::operator::paired::PermissionEnd;

fn terms(permissions: &str) -> crate::policy::ApprovalTerms {
    crate::policy::ApprovalTerms {
        permissions: Some(scopes(permissions)),
        ..crate::policy::ApprovalTerms::default()
    }
}

impl Served {
    async fn permit(&self, node: &Paired, permissions: &str) {
        self.gateway.permit(node.node_id, Some(scopes(permissions)), None).await.unwrap();
    }

    fn publish(&self, address: &str) -> usize {
        self.gateway.publish(&Address::parse(address).unwrap(), &Payload::new(b"!").unwrap())
    }

    /// Takes the node's newest grant out of the registry and puts one in its place.
    async fn replace_grant(&self, node: &Paired, change: impl FnOnce(&mut Grant)) {
        let store = &self.gateway.inner.store;
        let entry = self.gateway.entry(node.node_id).await.unwrap();
        let mut grant = store.grants(node.node_id).await.unwrap().pop().unwrap();
        store.end_grants(node.node_id, Some(grant.id), unix()).await.unwrap();
        (grant.id, grant.capability) = (GrantId::new(&entropy::draw()), None);
        change(&mut grant);
        store
            .offer(entry.record, entry.profile, Some(entry.version), grant, None, unix())
            .await
            .unwrap();
    }
}

/// The next grant that comes without having been asked for.
async fn offered(client: &mut Client) -> GrantId {
    loop {
        let heard = client.hear(|message| match message {
            FromGateway::Grant(grant) => Some(grant.id),
            _ => None,
        });
        if let Some(grant) = tokio::time::timeout(Duration::from_secs(10), heard)
            .await
            .expect("it is offered one")
            .unwrap()
        {
            return grant;
        }
    }
}

async fn confirms(client: &mut Client, grant: GrantId) {
    client.say(&FromNode::Stored(grant)).await;
    while !client.hear(|message| message == FromGateway::Active(grant)).await.unwrap() {}
}

#[tokio::test]
async fn a_node_that_ignores_a_narrower_grant_is_narrow_from_the_decision_on_over_any_number_of_links()
 {
    let mut served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut link = served.link(&lamp).await;
    assert!(served.lets_through(&mut link, "/lights").await);
    served
        .gateway
        .pair_on(lamp.node_id, Purpose::Reissue, terms("write:/only/**\n"))
        .await
        .unwrap();
    for _ in 0..4 {
        assert!(!served.lets_through(&mut link, "/lights").await);
        assert!(served.lets_through(&mut link, "/only/a").await);
        link.subscribe("/lights/*").await;
        let refused = |message: FromGateway<'_>| {
            matches!(message, FromGateway::NotAllowed { action: Action::Read, .. })
        };
        while !link.hear(refused).await.unwrap() {}
        // Says that it holds what it had, and never takes what it is offered.
        link = served.called(&lamp).await.unwrap();
        link.greet(Some(lamp.grant)).await;
        offered(&mut link).await;
    }
    let store = &served.gateway.inner.store;
    assert!(
        store.grants(lamp.node_id).await.unwrap().len() <= 2,
        "the same offer waits for it each time"
    );
}

#[tokio::test]
async fn a_subscription_made_before_the_narrowing_hears_nothing_after_it_and_the_node_is_told() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut link = served.link(&lamp).await;
    for pattern in ["/**", "/only/a", "/lights/*"] {
        link.subscribe(pattern).await;
    }
    while served.publish("/lights/a") == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while !link.hear(|message| matches!(message, FromGateway::App(_))).await.unwrap() {}
    served.permit(&lamp, "read:/only/**\n").await;
    for ended in ["/**", "/lights/*"] {
        let told = |message: FromGateway<'_>| match message {
            FromGateway::NotAllowed { action: Action::Read, pattern } => {
                Some(pattern == Pattern::parse(ended).unwrap())
            }
            FromGateway::App(_) => None,
            other => panic!("{other:?}"),
        };
        while !link.hear(told).await.unwrap().unwrap_or(false) {}
    }
    assert_eq!(
        (served.publish("/lights/a"), served.publish("/only/b"), served.publish("/only/a")),
        (0, 0, 1)
    );
    while !link
        .hear(
            |message| matches!(message, FromGateway::App(app) if app.address.as_str() == "/only/a"),
        )
        .await
        .unwrap()
    {}
}

#[tokio::test]
async fn a_node_is_narrow_on_its_live_link_before_that_is_stored_and_what_gives_more_changes_nothing()
 {
    let store = Failing::in_calls(&["offer", "set_ceiling", "probe"]);
    let mut served = Served::of(
        Gateway::builder(store.clone())
            .store_key(Secret::new([7; 32]))
            .pairing(lets_in("read:/**\nwrite:/**\n")),
    )
    .await;
    let lamp = served.paired("lamp").await;
    let mut link = served.link(&lamp).await;
    link.subscribe("/lights/*").await;
    while served.publish("/lights/a") == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    store.left.store(1, Ordering::SeqCst);
    let (narrow, wide) = (scopes("write:/only/**\n"), scopes("write:/only/**\nwrite:/more\n"));
    // Once more says the same, and less is narrower still.
    for permissions in [&narrow, &narrow] {
        let narrowed = served.gateway.permit(lamp.node_id, Some(permissions.clone()), None).await;
        let Err(OperatorError::CutNotStored { what, .. }) = narrowed else {
            panic!("{narrowed:?}")
        };
        assert!(what.contains("narrower permissions") && what.contains("lamp"), "{what}");
    }
    let told = |message: FromGateway<'_>| {
        matches!(message, FromGateway::NotAllowed { action: Action::Read, .. })
    };
    while !link.hear(told).await.unwrap() {}
    assert!(
        !served.lets_through(&mut link, "/lights").await
            && served.lets_through(&mut link, "/only/a").await
    );
    let wider = served.gateway.permit(lamp.node_id, Some(wide), None).await;
    assert!(matches!(wider, Err(OperatorError::Store(_))), "{wider:?}");
    assert!(
        !served.lets_through(&mut link, "/more").await
            && served.lets_through(&mut link, "/only/a").await
    );
    // Nor does it come back by linking anew.
    let mut link = served.link(&lamp).await;
    assert!(
        !served.lets_through(&mut link, "/lights").await
            && served.lets_through(&mut link, "/only/a").await
    );
    let stored = async |served: &Served| {
        served.gateway.inner.held.load_stored(lamp.node_id).await.unwrap().unwrap().ceiling.unwrap()
    };
    assert_eq!(stored(&served).await.scopes.as_str(), "read:/**\nwrite:/**\n");
    assert_eq!(served.gateway.store_status().unstored.len(), 1);

    store.left.store(-1, Ordering::SeqCst);
    assert!(served.gateway.store_the_rest(Duration::from_secs(10)).await.is_empty());
    assert_eq!(stored(&served).await.scopes, narrow);
    let grant = offered(&mut link).await;
    confirms(&mut link, grant).await;
    assert!(
        !served.lets_through(&mut link, "/lights").await
            && served.lets_through(&mut link, "/only/a").await
    );
}

#[tokio::test]
async fn an_offer_that_was_never_confirmed_and_lapsed_leaves_the_node_narrow_also_after_a_restart()
{
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("handfast.db");
    let gateway = |settings| {
        Gateway::builder(SqliteStore::open(&file).unwrap())
            .store_key(Secret::new([7; 32]))
            .pairing(settings)
    };
    let before = async {
        let served = Served::of(gateway(lets_in("read:/**\nwrite:/**\n"))).await;
        let lamp = served.paired("lamp").await;
        served.permit(&lamp, "write:/only/**\n").await;
        // As it is 25 hours later.
        served.replace_grant(&lamp, |grant| grant.state = State::Offered { until: unix() }).await;
        let node = served.gateway.paired_node(lamp.node_id).await.unwrap();
        assert_eq!(
            node.in_force(unix()).unwrap().0.exactly().unwrap().as_str(),
            "write:/only/**\n"
        );
        assert_eq!(node.offered(unix()).unwrap().permissions.as_str(), "write:/only/**\n");
        lamp
    };
    // With its runtime the whole gateway ends.
    let lamp = std::thread::scope(|scope| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        scope.spawn(move || runtime.block_on(before)).join().unwrap()
    });
    let mut served = Served::of(gateway(lets_in("read:/**\nwrite:/**\n"))).await;
    let mut link = served.called(&lamp).await.unwrap();
    link.greet(Some(lamp.grant)).await;
    let grant = offered(&mut link).await;
    assert!(!served.lets_through(&mut link, "/lights").await);
    assert!(served.lets_through(&mut link, "/only/a").await);
    confirms(&mut link, grant).await;
    assert!(!served.lets_through(&mut link, "/lights").await);
    assert!(served.lets_through(&mut link, "/only/a").await);
}

#[tokio::test]
async fn delegates_and_bearers_are_narrowed_with_the_node_that_they_rest_on() {
    let mut served = Served::open().await;
    let (lamp, delegate) = (served.paired("lamp").await, keys());
    let chain = handed_on(&lamp.chain, &lamp.keys, &delegate, &["write:/**"], in_seconds(600));
    let mut live = served.stranger(Intent::Delegate, &delegate).await;
    assert!(presents(&mut live, &chain).await);
    assert!(served.lets_through(&mut live, "/lights").await);
    let mut link = served.link(&lamp).await;
    let (node, other) = (bearer(&mut link).await.unwrap(), bearer(&mut live).await.unwrap());
    let allows = |served: &Served, text: &str, address: &str| {
        let found =
            served.gateway.inner.pairing.bearers.find(text, served.gateway.inner.clock.now());
        found.is_some_and(|(_, in_force)| {
            in_force.allows(Action::Write, &Address::parse(address).unwrap())
        })
    };
    assert!(allows(&served, &node, "/lights") && allows(&served, &other, "/lights"));

    served.permit(&lamp, "write:/only/**\n").await;
    assert!(
        !allows(&served, &node, "/only/a") && !allows(&served, &other, "/only/a"),
        "what was given out for more ends"
    );
    assert!(!served.lets_through(&mut live, "/lights").await);
    assert!(served.lets_through(&mut live, "/only/a").await);
    let (node, other) = (bearer(&mut link).await.unwrap(), bearer(&mut live).await.unwrap());
    for text in [&node, &other] {
        assert!(!allows(&served, text, "/lights") && allows(&served, text, "/only/a"));
    }
    let mut again = served.stranger(Intent::Delegate, &delegate).await;
    assert!(presents(&mut again, &chain).await);
    assert!(!served.lets_through(&mut again, "/lights").await);
    assert!(served.lets_through(&mut again, "/only/a").await);
    served.permit(&lamp, "").await;
    assert!(
        !served.lets_through(&mut again, "/only/a").await
            && !served.lets_through(&mut link, "/only/a").await
    );
    assert!(bearer(&mut link).await.is_none());
}

async fn bearer(client: &mut Client) -> Option<String> {
    client.say(&FromNode::Renew(Renew::Token)).await;
    loop {
        let heard = client.hear(|message| match message {
            FromGateway::Grant(grant) => grant.token.map(|token| Some(token.expose().to_owned())),
            FromGateway::NotRenewed => Some(None),
            _ => None,
        });
        if let Some(token) = heard.await.unwrap() {
            return token;
        }
    }
}

#[tokio::test]
async fn a_bearer_that_is_asked_for_while_its_node_is_narrowed_allows_no_more_than_what_is_left() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let wide = scopes("read:/**\nwrite:/**\n");
    served.permit(&lamp, "write:/only/**\n").await;
    // A link that has not heard of it yet.
    let kind = handfast_core::flow::native::gateway::RenewKind::Token;
    let peer = Peer::Node(lamp.node_id);
    assert!(served.gateway.renew(peer, kind, Some(wide.into()), None, &[]).await.is_none());
    assert!(
        served.gateway.inner.pairing.bearers.find("", served.gateway.inner.clock.now()).is_none()
    );
    assert_eq!(BearerOf::from(peer), BearerOf::Node(lamp.node_id));
}

#[tokio::test]
async fn a_node_that_the_operator_has_narrowed_by_name_does_no_more_by_the_chain_of_another() {
    let mut served = Served::open().await;
    let (lamp, other) = (served.paired("lamp").await, served.paired("other").await);
    let mut link = served.link(&other).await;
    let chain =
        handed_on(&lamp.chain, &lamp.keys, &other.keys, &["write:/lights/**"], in_seconds(600));
    assert!(presents(&mut link, &chain).await);
    assert!(served.lets_through(&mut link, "/lights/a").await);
    served.permit(&other, "write:/only/**\n").await;
    assert!(!served.lets_through(&mut link, "/lights/a").await);
}

#[tokio::test]
async fn a_wider_decision_adds_nothing_until_the_node_confirms_the_grant_that_comes_by_itself() {
    let mut served =
        Served::of(Gateway::builder(MemoryStore::default()).pairing(lets_in("write:/a\n"))).await;
    let lamp = served.paired("lamp").await;
    let mut link = served.link(&lamp).await;
    served.permit(&lamp, "write:/a\nwrite:/b\n").await;
    assert!(!served.lets_through(&mut link, "/b").await || panic!("it was not confirmed"));
    let mut link = served.link(&lamp).await;
    let grant = offered(&mut link).await;
    confirms(&mut link, grant).await;
    assert!(served.lets_through(&mut link, "/b").await);
    let node = served.gateway.paired_node(lamp.node_id).await.unwrap();
    assert!(node.offered(unix()).is_none());
}

#[tokio::test]
async fn the_newest_of_several_decisions_holds_and_is_what_is_offered() {
    let mut served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut link = served.link(&lamp).await;
    for permissions in ["write:/a\n", "write:/**\n", "write:/b\n"] {
        served.permit(&lamp, permissions).await;
    }
    assert!(!served.lets_through(&mut link, "/a").await);
    assert!(served.lets_through(&mut link, "/b").await);
    let store = &served.gateway.inner.store;
    let live = store.grants(lamp.node_id).await.unwrap();
    let offers: Vec<_> =
        live.iter().filter(|grant| matches!(grant.state, State::Offered { .. })).collect();
    assert!(
        offers.iter().all(|grant| grant.scopes.as_str() == "write:/b\n") && offers.len() == 1,
        "{offers:?}"
    );
}

#[tokio::test]
async fn an_end_that_the_operator_set_ends_the_link_and_is_not_renewed_away() {
    let mut served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut link = served.link(&lamp).await;
    served
        .gateway
        .permit(lamp.node_id, None, Some(PermissionEnd::After(Duration::from_secs(2))))
        .await
        .unwrap();
    let grant = offered(&mut link).await;
    confirms(&mut link, grant).await;
    assert!(served.lets_through(&mut link, "/a").await);
    link.say(&FromNode::Renew(Renew::Chain)).await;
    assert!(
        link.hear(|message| message == FromGateway::NotRenewed).await.unwrap(),
        "it has all until then"
    );
    // The gateway counts whole seconds of its own.
    let over = in_seconds(3);
    while unix() < over {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!served.lets_through(&mut link, "/a").await);
    let (_, admission) =
        Client::call(served.wire().await, &lamp.keys, served.gateway.keys().channel.public())
            .await
            .unwrap();
    assert_eq!(admission, Admission::NotPaired);
}

#[tokio::test]
async fn a_node_whose_grant_ran_out_links_for_nothing_but_renewing_and_gets_what_its_ceiling_allows()
 {
    let mut served = Served::open().await;
    let lamp = served.paired("lamp").await;
    served.permit(&lamp, "write:/only/**\n").await;
    let ran_out = |grant: &mut Grant| {
        let at = |ago: u64| handfast_core::UnixTime::from_secs(unix().as_secs() - ago);
        (grant.not_before, grant.expires, grant.state) =
            (at(90 * 86_400), Some(at(30 * 86_400)), State::Active);
    };
    served.gateway.inner.store.end_grants(lamp.node_id, None, unix()).await.unwrap();
    served.replace_grant(&lamp, ran_out).await;
    let own = *served.gateway.keys().channel.public();
    let (mut link, admission) = Client::call(served.wire().await, &lamp.keys, &own).await.unwrap();
    assert_eq!(admission, Admission::Expired);
    link.greet(None).await;
    served.is_live(lamp.node_id).await;
    assert!(!served.lets_through(&mut link, "/only/a").await);
    assert!(bearer(&mut link).await.is_none());
    assert!(!presents(&mut link, &lamp.chain).await);
    link.say(&FromNode::Renew(Renew::Chain)).await;
    let grant = offered(&mut link).await;
    confirms(&mut link, grant).await;
    assert!(served.lets_through(&mut link, "/only/a").await);
    assert!(!served.lets_through(&mut link, "/lights").await);

    // Whom the operator gives less time, or none, is told to pair again.
    let limits =
        Limits { renew_after_expiry: handfast_core::Span::from_secs(0), ..Limits::DEFAULT };
    let builder =
        Gateway::builder(MemoryStore::default()).limits(limits).pairing(lets_in("write:/**\n"));
    let served = Served::of(builder).await;
    let lamp = served.paired("lamp").await;
    served.replace_grant(&lamp, ran_out).await;
    let own = *served.gateway.keys().channel.public();
    let (_, admission) = Client::call(served.wire().await, &lamp.keys, &own).await.unwrap();
    assert_eq!(admission, Admission::NotPaired);
}

#[tokio::test]
async fn pairing_anew_by_a_code_does_not_undo_what_the_operator_decided_about_the_node() {
    let mut served = Served::of(Gateway::builder(MemoryStore::default())).await;
    let mint = async |served: &Served| {
        let new = crate::operator::NewCode {
            permissions: Some(scopes("write:/**\n")),
            ..crate::operator::NewCode::default()
        };
        served.gateway.mint_code(new).await.unwrap()
    };
    let own = keys();
    let pair = async |served: &Served| {
        let code = mint(served).await;
        let method = Method::Code { selector: code.code.selector };
        match served.gateway.settle(&asks(&own, "lamp", method), Some(code.id)).await {
            OwnedVerdict::Offered(offer) => offer,
            other => panic!("{other:?}"),
        }
    };
    let offer = pair(&served).await;
    let lamp = Paired {
        keys: OwnKeys::from_stored(&own.to_stored()),
        node_id: offer.node_id,
        grant: offer.id,
        chain: vec![],
    };
    served.permit(&lamp, "write:/only/**\n").await;
    let offer = pair(&served).await;
    served.gateway.inner.store.activate(lamp.node_id, offer.id, unix()).await.unwrap();
    let mut link = served.link(&lamp).await;
    assert!(!served.lets_through(&mut link, "/lights").await);
    assert!(served.lets_through(&mut link, "/only/a").await);
}
