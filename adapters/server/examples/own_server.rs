//! A server of yours with the gateway nested in it, and a decision of yours about who is paired.
//!
//! ```text
//! cargo run -p handfast-server --example own_server -- 127.0.0.1:8080
//! ```

use std::error::Error;
use std::net::SocketAddr;

use handfast_server::axum::extract::{Path, State};
use handfast_server::axum::http::StatusCode;
use handfast_server::axum::routing::get;
use handfast_server::axum::{Router, serve};
use handfast_server::policy::{PairingDecision, PairingHandler, PairingRequest};
use handfast_server::{
    Action, Application, Event, Gateway, MemoryStore, Mode, NodeId, Observer, PeerInfo, ScopesBuf,
    async_trait,
};

/// Pairs lamps, and leaves everything else to the operator.
struct Lamps;

#[async_trait]
impl PairingHandler for Lamps {
    async fn decide(&self, request: &PairingRequest<'_>) -> PairingDecision {
        if !request.name.starts_with("Lamp") {
            return PairingDecision::Ask;
        }
        PairingDecision::Approve {
            permissions: ScopesBuf::parse("write:/lights/**").unwrap_or_default(),
            expires_in: None,
            mode: Mode::default(),
            message: None,
        }
    }
}

/// Prints what lamps write. What else an application hears has a method of its own.
struct Lights;

#[async_trait]
impl Application for Lights {
    async fn app(&self, peer: &PeerInfo, action: Action, address: &str, _: &[u8]) {
        println!("{action} {address} by {:?}", peer.peer);
    }
}

/// Shows the PINs. A real gateway shows them only where trusted people see them.
struct Screen;

impl Observer for Screen {
    fn event(&self, event: &Event) {
        match event {
            Event::PairingRequest { name, pin, .. } => println!("PIN for {name}: {}", pin.expose()),
            Event::Paired(node_id) => println!("Paired {node_id}"),
            Event::Linked(node_id) => println!("Linked {node_id}"),
            _ => {}
        }
    }
}

/// A route of yours, which asks the gateway.
async fn lamp(
    gateway: State<Gateway>,
    Path(id): Path<String>,
) -> Result<String, (StatusCode, String)> {
    let id: NodeId = id.parse().map_err(|error| refuse(StatusCode::BAD_REQUEST, error))?;
    let found = gateway.device_by_prefix(&id.to_string()).await;
    let found = found.map_err(|error| refuse(StatusCode::NOT_FOUND, error))?;
    let state = if found.online { "linked" } else { "away" };
    Ok(format!("{} is {state}\n", found.entry.record.name.as_str()))
}

fn refuse(status: StatusCode, error: impl std::fmt::Display) -> (StatusCode, String) {
    (status, format!("{error}\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    // A registry in memory forgets its nodes; one that keeps them has a store key as well.
    let builder = Gateway::builder(MemoryStore::new());
    let gateway =
        builder.pairing_handler(Lamps).application(Lights).observer(Screen).start().await?;
    gateway.open_pairing(None).await?;
    let routes = Router::new()
        .route("/lamps/{id}", get(lamp))
        .with_state(gateway.clone())
        // The gateway takes every other path, as a WebSocket of a node.
        .fallback_service(gateway.router());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("Listening on ws://{}", listener.local_addr()?);
    // Budgets are counted by the peer's address, so the gateway has to know it.
    serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
