//! What a peer may do ends when it says, and its link with it: long before it is asked for the
//! first time whether it is still there.

use handfast_core::registry::grants::State;
use handfast_core::wire::native::link::{Bye, Renew};

use super::*;
use crate::operator::paired::PermissionEnd;

/// Longer than any end in these tests, and shorter than the time to the first ping.
const BEFORE_THE_FIRST_PING: Duration = Duration::from_secs(15);

impl Served {
    /// A node whose only grant ends in so many seconds.
    async fn paired_for(&self, name: &str, seconds: u64) -> Paired {
        let mut node = self.paired(name).await;
        let store = &self.gateway.inner.store;
        let entry = self.gateway.entry(node.node_id).await.unwrap();
        let mut grant = store.grants(node.node_id).await.unwrap().pop().unwrap();
        store.end_grants(node.node_id, Some(grant.id), unix()).await.unwrap();
        node.grant = GrantId::new(&entropy::draw());
        (grant.id, grant.capability, grant.expires) = (node.grant, None, Some(in_seconds(seconds)));
        grant.state = State::Offered { until: in_seconds(60) };
        store
            .offer(entry.record, entry.profile, Some(entry.version), grant, None, unix())
            .await
            .unwrap();
        store.activate(node.node_id, node.grant, unix()).await.unwrap();
        node
    }

    async fn admits(&self, node: &Paired) -> Admission {
        Client::call(self.wire().await, &node.keys, self.gateway.keys().channel.public())
            .await
            .unwrap()
            .1
    }
}

/// The link is ended, and nothing but that is said before.
async fn ends(link: &mut Client) {
    let heard =
        tokio::time::timeout(BEFORE_THE_FIRST_PING, link.hear(|message| format!("{message:?}")));
    assert_eq!(
        heard.await.expect("it ends by itself").unwrap(),
        format!("{:?}", FromGateway::Bye(Bye::Done))
    );
}

#[tokio::test]
async fn a_link_ends_with_its_grant_and_the_node_comes_back_for_a_new_one_and_nothing_else() {
    let mut served = Served::open().await;
    let lamp = served.paired_for("lamp", 3).await;
    let mut link = served.link(&lamp).await;
    assert!(served.lets_through(&mut link, "/lights").await);
    ends(&mut link).await;
    until(|| !served.gateway.inner.hub.is_live(lamp.node_id)).await;
    assert_eq!(served.admits(&lamp).await, Admission::Expired);
}

#[tokio::test]
async fn a_link_ends_with_what_the_operator_gave_for_a_time() {
    let mut served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut link = served.link(&lamp).await;
    let for_a_while = Some(PermissionEnd::After(Duration::from_secs(3)));
    served
        .gateway
        .permit(lamp.node_id, Some(scopes("write:/lights/**\n")), for_a_while)
        .await
        .unwrap();
    // It never takes the grant that it is offered.
    while !link.hear(|message| matches!(message, FromGateway::Grant(_))).await.unwrap() {}
    assert!(served.lets_through(&mut link, "/lights/a").await);
    ends(&mut link).await;
    assert_eq!(served.admits(&lamp).await, Admission::NotPaired);
}

#[tokio::test]
async fn a_delegates_link_ends_with_its_chain() {
    let mut served = Served::open().await;
    let (lamp, holder) = (served.paired("lamp").await, keys());
    let chain = handed_on(&lamp.chain, &lamp.keys, &holder, &["write:/lights/**"], in_seconds(3));
    let mut link = served.stranger(Intent::Delegate, &holder).await;
    assert!(presents(&mut link, &chain).await);
    assert!(served.lets_through(&mut link, "/lights/a").await);
    ends(&mut link).await;
    let mut again = served.stranger(Intent::Delegate, &holder).await;
    assert!(!presents(&mut again, &chain).await);
}

#[tokio::test]
async fn a_link_whose_grant_was_renewed_in_time_goes_on_over_the_end_of_the_old_one() {
    let mut served = Served::open().await;
    let lamp = served.paired_for("lamp", 6).await;
    let ended = in_seconds(7);
    let mut link = served.link(&lamp).await;
    // A renewed grant lives as long as the old one did, from when it was made.
    tokio::time::sleep(Duration::from_secs(4)).await;
    link.say(&FromNode::Renew(Renew::Chain)).await;
    let renewed = loop {
        let heard = link.hear(|message| match message {
            FromGateway::Grant(grant) => Some(grant.id),
            _ => None,
        });
        if let Some(grant) = heard.await.unwrap() {
            break grant;
        }
    };
    link.say(&FromNode::Stored(renewed)).await;
    while !link.hear(|message| message == FromGateway::Active(renewed)).await.unwrap() {}
    while unix() <= ended {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(served.lets_through(&mut link, "/lights/a").await);
    }
}
