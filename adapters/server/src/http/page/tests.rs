//! The page as HTML: what each role sees, and what a browser may do with it.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::{Extension, Router};
use handfast_core::grant::token::TokenHash;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::PendingRequest;
use handfast_core::registry::authority::{Authority, Role};
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::Credential;
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_core::{Label, NodeId};
use handfast_store::{MemoryStore, SenderChange};
use tower::ServiceExt;

use super::files::FILES;
use super::routes;
use crate::entropy;
use crate::gateway::Gateway;
use crate::http::login::OperatorSession;
use crate::operator::{NewCode, NewPolicy};

async fn gateway() -> Gateway {
    Gateway::builder(MemoryStore::default()).start().await.unwrap()
}

fn seen_by(gateway: &Gateway, role: Role) -> Router {
    routes(gateway).layer(Extension(OperatorSession::with_role(role)))
}

/// Makes a node with a token ask under this name.
async fn asks(gateway: &Gateway, name: &str) -> NodeId {
    let label = Label::parse(name).unwrap();
    let request = PairRequest { name: label, room: label, profile: Profile::EMPTY };
    let now = gateway.now();
    let address = "192.0.2.7".parse().unwrap();
    let asking = PendingRequest::new(&request, address, now, &Limits::DEFAULT, &entropy::draw());
    let store = &gateway.inner.store;
    store.admit(asking, "{}".to_owned(), Limits::DEFAULT, now).await.unwrap().unwrap()
}

async fn get(router: &Router, path: &str, part: bool) -> Response {
    let mut request = Request::builder().uri(path);
    if part {
        request = request.header("X-Handfast-Part", "live");
    }
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(answer: Response) -> String {
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

const PARTS: [&str; 9] = [
    "/admin",
    "/admin/nodes",
    "/admin/codes",
    "/admin/companions",
    "/admin/senders",
    "/admin/certificates",
    "/admin/operators",
    "/admin/log",
    "/admin/health",
];

#[tokio::test]
async fn each_part_is_a_whole_page_and_for_the_module_what_changes() {
    let gateway = gateway().await;
    let router = seen_by(&gateway, Role::Owner);
    for path in PARTS {
        let answer = get(&router, path, false).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let headers = answer.headers().clone();
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'self'; script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        let page = text(answer).await;
        assert!(page.starts_with("<!DOCTYPE html>") && page.contains("aria-current=\"page\""));
        let live = text(get(&router, path, true).await).await;
        assert!(!live.contains("<html") && page.contains(&live), "{path}: {live}");
        // The policy forbids what stands in the page itself.
        for inline in [" style=", " onclick=", "<style", "<script>", "http://", "https://"] {
            assert!(!page.contains(inline), "{path}: {inline}");
        }
    }
}

#[tokio::test]
async fn without_a_session_there_is_only_the_way_to_the_login() {
    let gateway = gateway().await;
    for path in PARTS {
        let answer = get(&routes(&gateway), path, false).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        assert_eq!(answer.headers()["location"], "/login");
    }
}

#[tokio::test]
async fn a_viewer_gets_no_button_that_decides() {
    let gateway = gateway().await;
    gateway.mint_code(NewCode::default()).await.unwrap();
    gateway.open_pairing(None).await.unwrap();
    for path in PARTS {
        let viewed = text(get(&seen_by(&gateway, Role::Viewer), path, true).await).await;
        assert!(!viewed.contains("<button type=\"button\""), "{path}: {viewed}");
    }
    let decided = text(get(&seen_by(&gateway, Role::Operator), "/admin/codes", true).await).await;
    assert!(decided.contains("Withdraw") && decided.contains("Close"), "{decided}");
}

#[tokio::test]
async fn approvals_in_advance_are_shown_to_all_and_ended_by_those_who_decide() {
    let gateway = gateway().await;
    let new = NewPolicy {
        from: "192.168.7.0/24".parse().unwrap(),
        lasts: Duration::from_secs(600),
        most: 20,
        permissions: None,
        grant_for: None,
    };
    let made = gateway.make_policy_by(&Authority::OWNER, new).await.unwrap();
    for (role, buttons) in [(Role::Viewer, 0), (Role::Operator, 1), (Role::Owner, 1)] {
        let page = text(get(&seen_by(&gateway, role), "/admin", true).await).await;
        assert!(page.contains("192.168.7.0/24") && page.contains(" for 20 more"), "{page}");
        let calls = page.matches("data-call=\"/api/v1/pairing/policies/").count();
        assert_eq!(calls, buttons, "{role:?}: {page}");
    }
    gateway.end_policy(made.policy.id).await.unwrap();
    let page = text(get(&seen_by(&gateway, Role::Owner), "/admin", true).await).await;
    assert!(page.contains("handfast approve --from 192.168.1.0/24"), "{page}");
    assert!(!page.contains("192.168.7.0"), "{page}");
}

#[tokio::test]
async fn only_an_owner_may_end_sessions_and_everybody_sees_them() {
    let gateway = gateway().await;
    gateway.make_token(Some("backup"), Role::Viewer, None).await.unwrap();
    for (role, buttons) in [(Role::Viewer, 0), (Role::Operator, 0), (Role::Owner, 1)] {
        let page = text(get(&seen_by(&gateway, role), "/admin/operators", true).await).await;
        assert!(page.contains("backup"), "{page}");
        assert_eq!(page.matches("/revoke\"").count(), buttons, "{role:?}: {page}");
    }
}

#[tokio::test]
async fn the_log_is_shown_page_by_page_and_that_of_a_node_on_its_own_page() {
    let gateway = gateway().await;
    let node_id = asks(&gateway, "lamp").await;
    let token = Decision::Approve(Credential::Token(TokenHash::from_bytes([3; 32])));
    gateway.decide(node_id, &token).await.unwrap();
    for _ in 0..30 {
        gateway.decide(node_id, &Decision::Mute).await.unwrap();
        gateway.decide(node_id, &Decision::Unmute).await.unwrap();
    }
    gateway.open_pairing(None).await.unwrap();
    let router = seen_by(&gateway, Role::Viewer);
    let of_all = text(get(&router, "/admin/log", true).await).await;
    assert!(of_all.contains("open pairing") && of_all.contains("/admin/log?before="), "{of_all}");
    assert!(of_all.contains("handfast audit verify --against FILE"), "{of_all}");
    let mut path = format!("/admin/log?node={node_id}");
    let mut entries = 0;
    loop {
        let page = text(get(&router, &path, true).await).await;
        assert!(!page.contains("open pairing"), "{page}");
        entries += page.matches("<article").count();
        let Some((_, next)) = page.split_once("<nav id=\"older\"") else { break };
        let next = next.split_once("href=\"").unwrap().1.split_once('"').unwrap().0;
        path = next.replace("&amp;", "&");
    }
    assert_eq!(entries, 61);
    let own = text(get(&router, &format!("/admin/nodes/{node_id}"), true).await).await;
    let history = own.split_once("id=\"history\"").unwrap().1;
    assert_eq!(history.matches("<article").count(), 10, "{history}");
    assert!(history.contains("All of its history"), "{history}");
    let unknown = get(&router, "/admin/log?node=nobody", true).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn senders_are_shown_page_by_page_and_each_once() {
    let gateway = gateway().await;
    let senders = (0..120).map(|number| format!("+49{number:03}")).collect();
    gateway
        .inner
        .store
        .seed("sms", "bot", senders, "seed".to_owned(), gateway.now())
        .await
        .unwrap();
    for number in 0..20 {
        let name = format!("+1{number:03}");
        let change = SenderChange::Block;
        let store = &gateway.inner.store;
        store.change_sender("sms", Some("bot"), &name, change, gateway.now()).await.unwrap();
    }
    let router = seen_by(&gateway, Role::Owner);
    let (mut path, mut seen) = ("/admin/senders".to_owned(), BTreeSet::new());
    loop {
        let page = text(get(&router, &path, true).await).await;
        let names: Vec<_> = page.split("<article").skip(1).collect();
        assert!(names.len() <= 50, "{}", names.len());
        for row in names {
            let id = row.split_once("id=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
            assert!(seen.insert(id));
        }
        let Some((_, next)) = page.split_once("<nav id=\"further\"") else { break };
        path = next.split_once("href=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
    }
    assert_eq!(seen.len(), 140);
    for wrong in ["x", "allowed.zz.00.00", "allowed.736d73", "allowed.00.00.00.00"] {
        let path = format!("/admin/senders?after={wrong}");
        assert_eq!(get(&router, &path, true).await.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
    let wrong = get(&router, "/admin/certificates?after=xyz", true).await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_health_of_a_gateway_names_its_disk_its_certificates_and_its_limits() {
    let directory = tempfile::tempdir().unwrap();
    let builder = Gateway::builder(MemoryStore::default());
    let soon = || Some(handfast_core::UnixTime::from_secs(5));
    let gateway =
        builder.data_directory(directory.path()).certificate_ends(soon).start().await.unwrap();
    let page = text(get(&seen_by(&gateway, Role::Viewer), "/admin/health", true).await).await;
    assert!(page.contains(" left</p>"), "{page}");
    assert!(page.contains("certificate has ended"), "{page}");
    assert!(page.contains("none is near its end") && page.contains("Root for nodes"), "{page}");
    assert!(!page.contains("<button"), "{page}");
}

#[tokio::test]
async fn both_fingerprints_are_shown_while_one_key_takes_the_place_of_the_other() {
    let gateway = gateway().await;
    let before = gateway.fingerprint().to_string();
    gateway.rotate_key(None).await.unwrap();
    let after = gateway.fingerprint().to_string();
    let router = seen_by(&gateway, Role::Owner);
    let plain = |page: &str| page.replace("</span>", "").replace("<span>", "");
    let page = plain(&text(get(&router, "/admin/health", false).await).await);
    for fingerprint in [&before, &after] {
        let shown = fingerprint.replace('-', " ");
        assert!(page.matches(&shown).count() >= 2, "{shown}: {page}");
    }
    assert!(page.contains("0 of 0 nodes have taken the new key"), "{page}");
    assert!(page.contains("/api/v1/key/finish"), "{page}");
    let viewed = text(get(&seen_by(&gateway, Role::Operator), "/admin/health", true).await).await;
    assert!(!viewed.contains("/api/v1/key/"), "{viewed}");
}

#[tokio::test]
async fn what_a_node_says_of_itself_is_text_and_never_markup() {
    let gateway = gateway().await;
    let name = "<img src=x onerror=alert(1)>";
    let node_id = asks(&gateway, name).await;
    let router = seen_by(&gateway, Role::Owner);
    for path in ["/admin".to_owned(), "/admin/nodes".to_owned(), format!("/admin/nodes/{node_id}")]
    {
        let page = text(get(&router, &path, false).await).await;
        assert!(page.contains("&lt;img src=x"), "{path}: {page}");
        assert!(!page.contains("<img"), "{path}");
    }
}

#[tokio::test]
async fn a_node_that_does_not_exist_is_said_in_words() {
    let gateway = gateway().await;
    let router = seen_by(&gateway, Role::Owner);
    for path in ["/admin/nodes/00000000", "/admin/find?q=nobody", "/admin/nodes/%3Cb%3E"] {
        let answer = get(&router, path, false).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(text(answer).await.contains("no node has the name"), "{path}");
    }
    assert_eq!(get(&router, "/admin/nodes?after=x", true).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_file_that_the_page_names_is_served() {
    let gateway = gateway().await;
    let router = routes(&gateway);
    let page = text(get(&seen_by(&gateway, Role::Owner), "/admin", false).await).await;
    let named = |text: &str, mark: &str| -> Vec<String> {
        let ends = |rest: &str| rest.split(['"', '\'']).next().unwrap_or_default().to_owned();
        text.split(mark).skip(1).map(ends).collect()
    };
    let mut paths = named(&page, "src=\"");
    paths.extend(
        named(&page, "href=\"/admin/files/").iter().map(|file| format!("/admin/files/{file}")),
    );
    for (_, _, script) in FILES {
        paths.extend(named(script, "from './").iter().map(|file| format!("/admin/files/{file}")));
    }
    assert!(paths.len() >= 5, "{paths:?}");
    for path in paths {
        let answer = get(&router, &path, false).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
}
