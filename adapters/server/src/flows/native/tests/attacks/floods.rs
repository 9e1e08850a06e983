//! Many at once, the slow, the silent and those who leave in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use handfast_core::flow::registration::operator::Purpose;
use handfast_core::grant::scope::Address;
use handfast_core::limits::Limits;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::pair::{self, Selector};

use super::*;
use crate::connection::hub::MOST_QUEUED;

/// Nothing is kept for anybody.
pub(super) async fn is_at_rest(gateway: &Gateway) {
    let inner = &gateway.inner;
    until(|| {
        *inner.sessions.borrow() == 0 && inner.seats.taken() == 0 && inner.native.is_at_rest()
    })
    .await;
    assert!(inner.hub.is_empty() && inner.hub.count() == 0);
}

/// Somebody who asks with a code and then does nothing.
async fn stalls(served: &Served) -> Client {
    let own = keys();
    let mut client = served.stranger(Intent::Pair, &own).await;
    client
        .ask_by(&own, "slow", pair::Method::Code { selector: Selector::parse("0O1I").unwrap() })
        .await;
    client
}

#[tokio::test]
async fn strangers_who_stall_in_the_middle_of_a_code_keep_no_known_node_out() {
    let limits = Limits { waiting_per_source: 4, ..Limits::DEFAULT };
    let served = Served::of(
        Gateway::builder(MemoryStore::default()).pairing(lets_in("read:/**\n")).limits(limits),
    )
    .await;
    let lamp = served.paired("lamp").await;
    let mut stalling = Vec::new();
    for _ in 0..4 {
        stalling.push(stalls(&served).await);
    }
    let _link = served.link(&lamp).await;
    let busy = |message: pair::PairFromGateway<'_>| {
        matches!(message, pair::PairFromGateway::Refused(pair::PairRefusal::Busy { .. }))
    };
    assert_eq!(
        stalling.remove(0).hear_to_pair(busy).await,
        Ok(true),
        "the one who stalled longest made room"
    );
}

#[tokio::test]
async fn whoever_waits_for_the_operator_makes_room_and_finds_the_same_entry_again() {
    let limits = Limits { waiting_per_source: 1, ..Limits::DEFAULT };
    let served = Served::of(Gateway::builder(MemoryStore::default()).limits(limits)).await;
    let own = keys();
    let mut waits = served.stranger(Intent::Pair, &own).await;
    waits.ask(&own, "sensor").await;
    assert!(
        waits
            .hear_to_pair(|message| matches!(message, pair::PairFromGateway::Waiting { .. }))
            .await
            .unwrap()
    );
    let _silent = TcpStream::connect(served.tcp).await.unwrap();
    let busy = |message: pair::PairFromGateway<'_>| {
        matches!(message, pair::PairFromGateway::Refused(pair::PairRefusal::Busy { .. }))
    };
    assert!(waits.hear_to_pair(busy).await.unwrap());
    let found = served.gateway.inner.store.by_key(own.channel.public()).await.unwrap().unwrap();
    served.gateway.pair(found.record.node_id, Purpose::Approve).await.unwrap();
    let mut waits = served.stranger(Intent::Pair, &own).await;
    waits.ask(&own, "sensor").await;
    assert!(
        waits
            .hear_to_pair(|message| matches!(message, pair::PairFromGateway::Grant(_)))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn strangers_who_use_up_what_their_source_may_ask_keep_no_known_node_of_it_out() {
    let limits = Limits { failures_per_minute: 3, ..Limits::DEFAULT };
    let served = Served::of(
        Gateway::builder(MemoryStore::default()).pairing(lets_in("read:/**\n")).limits(limits),
    )
    .await;
    let lamp = served.paired("lamp").await;
    for _ in 0..6 {
        let mut wire = served.wire().await;
        wire.send(handfast_core::wire::native::open::Open::new(Intent::Pair).as_bytes()).await;
        wire.send(&[1; 32]).await;
        let _ = wire.recv().await;
    }
    let _link = served.link(&lamp).await;
}

#[tokio::test]
async fn leaving_at_any_moment_leaves_nothing_behind() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    for step in 0..12 {
        let own = keys();
        if step == 0 {
            drop(served.wire().await);
            continue;
        }
        let mut stranger = served.stranger(Intent::Pair, &own).await;
        if step >= 2 {
            stranger.ask(&own, "passer-by").await;
        }
        if step >= 3 {
            stranger.hear_to_pair(|_| ()).await.unwrap();
        }
        drop(stranger);
        if step >= 4 {
            drop(stalls(&served).await);
        }
        let mut link = served.called(&lamp).await.unwrap();
        if step >= 5 {
            link.greet(None).await;
            link.subscribe("/a/**").await;
        }
        if step >= 6 {
            served.is_live(lamp.node_id).await;
        }
        if step >= 7 {
            link.say(&FromNode::Renew(handfast_core::wire::native::link::Renew::Token)).await;
        }
        let delegate = keys();
        let mut holder = served.stranger(Intent::Delegate, &delegate).await;
        if step >= 8 {
            presents(
                &mut holder,
                &handed_on(&lamp.chain, &lamp.keys, &delegate, &["read:/a"], in_seconds(600)),
            )
            .await;
            holder.subscribe("/a").await;
        }
        drop((link, holder));
    }
    is_at_rest(&served.gateway).await;
    // And shutting down in the middle of each ends all.
    let own = keys();
    let (mut stranger, stalls, link) = (
        served.stranger(Intent::Pair, &own).await,
        stalls(&served).await,
        served.link(&lamp).await,
    );
    stranger.ask(&own, "passer-by").await;
    let silent = (served.wire().await, served.stranger(Intent::Delegate, &own).await);
    served.gateway.shut_down();
    until(|| served.gateway.inner.hub.count() == 0).await;
    drop((stranger, stalls, link, silent));
    is_at_rest(&served.gateway).await;
}

#[tokio::test]
async fn a_peer_that_is_sent_more_than_it_takes_is_heard_all_the_same_and_one_that_never_reads_is_bounded()
 {
    let mut served = Served::open().await;
    let (lamp, deaf) = (served.paired("lamp").await, served.paired("deaf").await);
    let (mut link, _deaf) = (served.link(&lamp).await, served.link(&deaf).await);
    let gateway = served.gateway.clone();
    let (to, nowhere) = (Peer::Node(lamp.node_id), Peer::Node(deaf.node_id));
    let send = move |to| {
        gateway.send_app(
            to,
            handfast_core::grant::scope::Action::Read,
            &Address::parse("/a").unwrap(),
            &Payload::new(&[7; 800]).unwrap(),
        )
    };
    while send(nowhere) {}
    let most = MOST_QUEUED / 800;
    assert!((0..2 * most).filter(|_| send(to)).count() <= most);
    let stop = Arc::new(AtomicBool::new(false));
    let storm = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                send(to);
            }
        })
    };
    // Until everything between the two is full.
    tokio::time::sleep(Duration::from_millis(200)).await;
    link.app("/a", b"stop").await;
    let slowly = async {
        loop {
            for _ in 0..20 {
                link.hear(|_| ()).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let heard = tokio::time::timeout(Duration::from_secs(2), async {
        tokio::select! {
            heard = served.heard.recv() => heard,
            never = slowly => never,
        }
    });
    let heard = heard.await;
    stop.store(true, Ordering::Relaxed);
    storm.join().unwrap();
    assert!(heard.expect("it is heard").is_some());
    served.gateway.decide(deaf.node_id, &Decision::Mute).await.unwrap();
}

#[tokio::test]
async fn a_node_falls_back_to_its_own_grant_when_what_it_presented_is_revoked() {
    let mut served =
        Served::of(Gateway::builder(MemoryStore::default()).pairing(lets_in("write:/lights/**\n")))
            .await;
    let (lamp, other) = (served.paired("lamp").await, served.paired("other").await);
    let mut link = served.link(&other).await;
    let chain =
        handed_on(&lamp.chain, &lamp.keys, &other.keys, &["write:/lights/room1"], in_seconds(600));
    assert!(presents(&mut link, &chain).await);
    assert!(!served.lets_through(&mut link, "/lights/room2").await);
    served.gateway.decide(lamp.node_id, &Decision::Unpair).await.unwrap();
    assert!(served.lets_through(&mut link, "/lights/room2").await);
}

#[tokio::test]
async fn telling_things_over_and_over_is_written_down_only_so_often() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut link = served.link(&lamp).await;
    for occupancy in 0..200 {
        let heartbeat = handfast_core::wire::registration::Heartbeat {
            occupancy: Some(occupancy % 2 == 0),
            ..Default::default()
        };
        link.say(&FromNode::Heartbeat(heartbeat)).await;
    }
    link.say(&FromNode::Renew(handfast_core::wire::native::link::Renew::Token)).await;
    assert!(link.hear(|message| message == FromGateway::NotRenewed).await.unwrap());
}
