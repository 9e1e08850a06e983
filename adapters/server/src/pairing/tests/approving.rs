use handfast_core::NodeId;
use handfast_core::flow::native::gateway::{Peer, RenewKind};
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::grant::scope::{Action, Address};
use handfast_core::registry::grants::State;

use super::*;
use crate::gateway::operator_types::{IssuedCredential, OperatorError};

async fn waiting(gateway: &Gateway, own: &OwnKeys) -> NodeId {
    match gateway.settle(&asks(own, "lamp", Method::Approval), None).await {
        OwnedVerdict::Waits { node_id, .. } => node_id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_operator_pairs_a_waiting_node_with_chosen_permissions_and_the_node_gets_them_without_a_token()
 {
    each(async |builder| {
        let gateway = builder.start().await.unwrap();
        let own = node();
        let node_id = waiting(&gateway, &own).await;
        let terms = ApprovalTerms {
            permissions: Some(scopes("read:/sensors/**\nwrite:/control/**\n")),
            expires: Some(Duration::from_secs(60)),
            message: Some("Welcome!".to_owned()),
        };
        let issued = gateway.pair_on(node_id, Purpose::Approve, terms).await.unwrap();
        let IssuedCredential::Grant(grant) = issued.credential else { panic!("a token") };
        assert_eq!(grant.expires.unwrap().as_secs() - grant.not_before.as_secs(), 60);
        let offer = offered(gateway.settle(&asks(&own, "lamp", Method::Approval), None).await);
        assert_eq!(
            (offer.id, offer.node_id, offer.message.as_deref()),
            (grant.id, node_id, Some("Welcome!"))
        );
        assert_eq!(
            verifies(&gateway, &own, &offer.chain.unwrap()).as_str(),
            "read:/sensors/**\nwrite:/control/**\n"
        );
        let twice = gateway.pair(node_id, Purpose::Approve).await;
        assert!(matches!(twice, Err(OperatorError::Refused { .. })));
    })
    .await;
}

#[tokio::test]
async fn what_a_handler_proposes_is_granted_unless_the_operator_chooses_otherwise() {
    each(async |builder| {
        let proposed = ApprovalTerms {
            permissions: Some(scopes("read:/public/**\n")),
            ..ApprovalTerms::default()
        };
        let gateway = builder
            .pairing_handler(Says(PairingDecision::Propose(proposed)))
            .start()
            .await
            .unwrap();
        for (own, chosen, expected) in
            [(node(), None, "read:/public/**\n"), (node(), Some(scopes("admin:/\n")), "admin:/\n")]
        {
            let node_id = waiting(&gateway, &own).await;
            let terms = ApprovalTerms { permissions: chosen, ..ApprovalTerms::default() };
            let IssuedCredential::Grant(grant) =
                gateway.pair_on(node_id, Purpose::Approve, terms).await.unwrap().credential
            else {
                panic!()
            };
            assert_eq!(grant.scopes.as_str(), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_turned_down_hears_why_and_when_it_may_ask_again() {
    each(async |builder| {
        let gateway = builder.start().await.unwrap();
        let own = node();
        let node_id = waiting(&gateway, &own).await;
        gateway.reject(node_id, Some("Access denied".to_owned())).await.unwrap();
        let request = asks(&own, "lamp", Method::Approval);
        let OwnedVerdict::Refused(refusal) = gateway.settle(&request, None).await else { panic!() };
        let OwnedRefusal::Denied { reason: Some(reason) } = refusal else { panic!() };
        assert!(reason.starts_with("Access denied; ask again in "), "{reason}");
        assert!(matches!(gateway.prepare(&request).await, OwnedPrepared::Settle));
        gateway.turn_down(node_id, None, true).await.unwrap();
        assert!(matches!(
            gateway.prepare(&request).await,
            OwnedPrepared::Refused(OwnedRefusal::Revoked)
        ));
        let odd = gateway.reject(node_id, Some("two\nlines".to_owned())).await;
        assert!(matches!(odd, Err(OperatorError::Usage(_))));
    })
    .await;
}

#[tokio::test]
async fn a_reissued_grant_keeps_its_permissions_and_replaces_what_the_node_has_only_once_it_is_stored()
 {
    each(async |builder| {
        let gateway = builder.pairing_handler(approves("read:/a\n")).start().await.unwrap();
        let own = node();
        let first = offered(gateway.settle(&asks(&own, "lamp", Method::Approval), None).await);
        let store = &gateway.inner.store;
        store.activate(first.node_id, first.id, gateway.inner.clock.unix()).await.unwrap();
        let IssuedCredential::Grant(second) =
            gateway.pair(first.node_id, Purpose::Reissue).await.unwrap().credential
        else {
            panic!()
        };
        assert_eq!(second.scopes.as_str(), "read:/a\n");
        let states = async || {
            store
                .grants(first.node_id)
                .await
                .unwrap()
                .iter()
                .map(|grant| grant.state)
                .collect::<Vec<_>>()
        };
        assert!(matches!(states().await[..], [State::Active, State::Offered { .. }]));
        // The link asks for it, and gets this one rather than yet another.
        let renewed = gateway
            .renew(Peer::Node(first.node_id), RenewKind::Chain, None, None, &[])
            .await
            .unwrap();
        assert_eq!(renewed.id, second.id);
        store.activate(first.node_id, renewed.id, gateway.inner.clock.unix()).await.unwrap();
        assert_eq!(states().await[..], [State::Ended, State::Active]);
        // And what is active is made anew.
        let third = gateway
            .renew(Peer::Node(first.node_id), RenewKind::Chain, None, None, &[])
            .await
            .unwrap();
        assert_ne!(third.id, second.id);
        assert_eq!(verifies(&gateway, &own, &third.chain.unwrap()).as_str(), "read:/a\n");
    })
    .await;
}

#[tokio::test]
async fn permissions_are_refused_for_a_node_that_has_a_token() {
    use handfast_core::registry::admission::PendingRequest;
    use handfast_core::wire::registration::{PairRequest, Profile};
    each(async |builder| {
        let gateway = builder.start().await.unwrap();
        let label = Label::parse("old one").unwrap();
        let request = PairRequest { name: label, room: label, profile: Profile::EMPTY };
        let now = gateway.inner.clock.unix();
        let asking =
            PendingRequest::new(&request, ADDRESS, now, &Limits::DEFAULT, &entropy::draw());
        let node_id = gateway
            .inner
            .store
            .admit(asking, "{}".to_owned(), Limits::DEFAULT, now)
            .await
            .unwrap()
            .unwrap();
        let terms =
            ApprovalTerms { permissions: Some(scopes("read:/a\n")), ..ApprovalTerms::default() };
        let refused = gateway.pair_on(node_id, Purpose::Approve, terms).await;
        assert!(matches!(refused, Err(OperatorError::NoKeys(_))));
        assert!(
            gateway.pair(node_id, Purpose::Approve).await.unwrap().credential.token().is_some()
        );
    })
    .await;
}

#[tokio::test]
async fn a_bearer_ends_with_the_grant_the_node_or_its_voice() {
    use handfast_core::registry::lifecycle::Decision;
    each(async |builder| {
        let gateway = builder.pairing_handler(approves("read:/a\n")).start().await.unwrap();
        let bearer = async |node_id| {
            let renewed = gateway
                .renew(
                    Peer::Node(node_id),
                    RenewKind::Token,
                    Some(scopes("read:/a\n").into()),
                    None,
                    &[],
                )
                .await;
            renewed.and_then(|offer| offer.token)
        };
        let counts = |text: &str| {
            gateway.inner.pairing.bearers.find(text, gateway.inner.clock.now()).is_some()
        };
        for end in [0, 1, 2] {
            let own = node();
            let offer = offered(gateway.settle(&asks(&own, "lamp", Method::Approval), None).await);
            let token = bearer(offer.node_id).await.unwrap();
            let (_, scopes) = gateway
                .inner
                .pairing
                .bearers
                .find(token.expose(), gateway.inner.clock.now())
                .unwrap();
            assert!(scopes.allows(Action::Read, &Address::parse("/a").unwrap()));
            match end {
                0 => gateway.decide(offer.node_id, &Decision::Unpair).await.unwrap(),
                1 => gateway.decide(offer.node_id, &Decision::Mute).await.unwrap(),
                _ => {
                    let capability = gateway
                        .inner
                        .store
                        .grants(offer.node_id)
                        .await
                        .unwrap()
                        .pop()
                        .unwrap()
                        .capability
                        .unwrap();
                    gateway.revoke_paired(&capability.to_string()[..16]).await.unwrap();
                }
            }
            assert!(!counts(token.expose()));
            assert!(bearer(offer.node_id).await.is_none(), "and there is no other");
        }
    })
    .await;
}
