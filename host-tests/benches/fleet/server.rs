//! The servers, each in a process of its own: a gateway, and rustls alone.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::PendingRequest;
use handfast_core::registry::authority::Role;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::sessions::Maker;
use handfast_core::secret::Secret;
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_core::{Label, NodeId, Span};
use handfast_server::ca::{CertificateSettings, ServerCertificate};
use handfast_server::operator::NewDispatch;
use handfast_server::policy::{
    ApprovalTerms, LoginSettings, PairingSettings, Rule, RuleVerdict, When,
};
use handfast_server::{Event, Gateway, Listening, MtlsListening, NoApplication, Observer};
use handfast_store::{PostgresAddress, PostgresStore, SqliteStore, Store};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::nodes::{Fleet, STORE_KEY, chance, id_of, now};
use crate::registry::{SCOPES, fill};

struct Deaf;

impl Observer for Deaf {
    fn event(&self, _: &Event) {}
}

const NO_LIMITS: Limits = Limits {
    linked_total: u32::MAX,
    waiting_total: u32::MAX,
    waiting_per_source: u32::MAX,
    pending_total: u32::MAX,
    pending_per_source: u32::MAX,
    failures_per_minute: u32::MAX,
    first_messages_per_second: u32::MAX,
    ping_every: Span::from_secs(3600),
    ..Limits::DEFAULT
};

/// Approves every node that asks, with permissions, so that it gets a capability token.
fn approves() -> PairingSettings {
    let permissions = Some(ScopesBuf::parse(SCOPES).unwrap());
    let verdict = RuleVerdict::Approve(ApprovalTerms { permissions, ..ApprovalTerms::default() });
    PairingSettings {
        rules: vec![Rule { when: When::default(), verdict }],
        ..PairingSettings::default()
    }
}

/// Serves a fleet, prints its addresses, and then does what standard input says.
pub(crate) async fn gateway(fleet: &Fleet, nodes: u32, linking: u32, waiting: u32) {
    let store = Arc::new(SqliteStore::open(&fleet.file("handfast.db")).unwrap());
    fill(&store, fleet, nodes, linking).await;
    wait_for_approval(&store, waiting).await;
    let store = Arc::into_inner(store).expect("nobody writes any more");
    serve(store, fleet.certificates()).await;
}

/// Serves the registry in a PostgreSQL database as one of several gateways, and then does what
/// standard input says.
pub(crate) async fn sharing(url: &str, name: &str) {
    let address = PostgresAddress::parse(url).unwrap().with_gateway(name).unwrap();
    let store = tokio::task::spawn_blocking(move || PostgresStore::open(&address).unwrap());
    serve(store.await.unwrap(), CertificateSettings::default()).await;
}

/// Prints the addresses of a gateway, and then does what standard input says.
async fn serve(store: impl Store, certificates: CertificateSettings) {
    let gateway = Gateway::builder(store)
        .store_key(Secret::new(STORE_KEY))
        .limits(NO_LIMITS)
        .certificates(certificates)
        .pairing(approves())
        // A browser on this machine may log in; where it does is not looked at.
        .logins(LoginSettings { url: Some("http://127.0.0.1:1".to_owned()), ..Default::default() })
        .application(NoApplication)
        .observer(Deaf)
        .start()
        .await
        .unwrap();
    let (tcp, mtls, web) = (listener().await, listener().await, listener().await);
    let addresses = [&tcp, &mtls, &web].map(|it| it.local_addr().unwrap().to_string());
    answer(&addresses.join(" "));
    let forever = std::future::pending;
    let listening = MtlsListening::new(&gateway, mtls, true).unwrap();
    tokio::spawn(handfast_server::serve_tcp(gateway.clone(), tcp, forever()));
    tokio::spawn(handfast_server::serve_mtls(gateway.clone(), listening, forever()));
    let web = Listening { listener: web, proxy_protocol: false };
    tokio::spawn(handfast_server::serve(gateway.clone(), web, None, forever()));
    let mut orders = orders();
    while let Some(order) = orders.recv().await {
        let (verb, number) = order.split_once(' ').expect("a verb and a number");
        obey(&gateway, verb, number.parse().unwrap()).await;
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn answer(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Reads the lines of standard input; they end with the process that measures.
fn orders() -> mpsc::UnboundedReceiver<String> {
    let (tell, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
    });
    told
}

async fn obey(gateway: &Gateway, verb: &str, number: u32) {
    let node_id = id_of(number);
    match verb {
        "linked" => {
            while gateway.summary().await.unwrap().linked != number as usize {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            answer("ok");
        }
        "count" => answer(&gateway.summary().await.unwrap().linked.to_string()),
        "capable" => {
            while gateway.capabilities(node_id).await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            answer("ok");
        }
        "token" => {
            let made = gateway.make_token(None, Role::Operator, None).await.unwrap();
            answer(&made.text);
        }
        "login" => {
            let made = gateway.make_login_link(None, Role::Operator).unwrap();
            answer(made.url.split_once('#').expect("a secret").1);
        }
        "invoke" => answer(&invoke(gateway, node_id).await.as_nanos().to_string()),
        "revoke" => {
            gateway.decide(node_id, &Decision::Unpair).await.unwrap();
            answer("ok");
        }
        other => panic!("no order: {other}"),
    }
}

/// Enters requests that wait for an operator.
async fn wait_for_approval(store: &SqliteStore, requests: u32) {
    let room = Label::parse("hall").unwrap();
    for number in 0..requests {
        let name = format!("waiting {number}");
        let name = Label::parse(&name).unwrap();
        let request = PairRequest { name, room, profile: Profile::EMPTY };
        let address = IpAddr::from([10, 0, (number >> 8) as u8, number as u8]);
        let asking = PendingRequest::new(&request, address, now(), &NO_LIMITS, &chance());
        store.admit(asking, "{}".to_owned(), NO_LIMITS, now()).await.unwrap().unwrap();
    }
}

/// Returns the time until the task is over.
async fn invoke(gateway: &Gateway, node_id: NodeId) -> Duration {
    let task = NewDispatch {
        id: None,
        capability: "echo".to_owned(),
        input: b"{}".to_vec(),
        within: Span::from_secs(60),
        max_payload: 100,
    };
    let begun = Instant::now();
    let mut task = gateway.invoke(node_id, task, Maker::Operator).await.unwrap();
    while !task.stored.life.state.is_over() {
        task = gateway.await_dispatch(&task, Duration::from_secs(10)).await.unwrap();
    }
    begun.elapsed()
}

/// Serves TLS by rustls alone with the same keys and answers each request, whatever it says.
pub(crate) async fn bare(fleet: &Fleet) {
    let authority = Arc::new(fleet.authority());
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(fleet.roots()), Arc::clone(&provider));
    let certificate = ServerCertificate::new(authority, now).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_cert_resolver(Arc::new(certificate));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), listener().await);
    answer(&listener.local_addr().unwrap().to_string());
    let mut orders = orders();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            order = orders.recv() => match order {
                Some(_) => continue,
                None => return,
            },
        };
        let (stream, _) = accepted.unwrap();
        stream.set_nodelay(true).unwrap();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut request = [0; 256];
            if stream.read(&mut request).await.is_ok_and(|length| length > 0) {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        });
    }
}
