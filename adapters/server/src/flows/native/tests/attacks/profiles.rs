//! Profiles that a node sends after it was paired.

use super::*;

#[tokio::test]
async fn a_profile_that_comes_later_is_kept_and_shown_and_what_is_none_ends_the_link() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut link = served.link(&lamp).await;
    let profile = r#"{"mcu":"rp2040"}"#;
    for part in Part::cut(Object::Profile, profile.as_bytes()).unwrap() {
        link.say(&FromNode::Part(part)).await;
    }
    let kept = async {
        while served.gateway.entry(lamp.node_id).await.unwrap().profile != profile {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), kept).await.expect("it is kept");
    assert!(served.gateway.inner.hub.is_live(lamp.node_id));
    let nonsense = Part::cut(Object::Profile, b"[]").unwrap().next().unwrap();
    link.say(&FromNode::Part(nonsense)).await;
    until(|| !served.gateway.inner.hub.is_live(lamp.node_id)).await;
    assert_eq!(served.gateway.entry(lamp.node_id).await.unwrap().profile, profile);
}
