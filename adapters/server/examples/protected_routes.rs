//! Routes of yours beside the gateway's, open to nodes and companions whose bearer allows them.
//!
//! ```text
//! cargo run -p handfast-server --example protected_routes -- 127.0.0.1:8765
//! ```

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use handfast_core::grant::scope::Action;
use handfast_server::Gateway;
use handfast_server::bearer::Bearer;
use handfast_store::SqliteStore;

async fn sensor(bearer: Bearer, Path(name): Path<String>) -> String {
    format!("{name}: 21.5 °C, for {:?}\n", bearer.holder())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8765".to_owned());
    let gateway = Gateway::builder(SqliteStore::in_memory()?).start().await?;
    gateway.open_pairing(None).await?;
    let routes = Router::new()
        // GET /sensors/kitchen needs a bearer with `read:/sensors/kitchen` or a wider scope.
        .route("/sensors/{name}", get(sensor))
        .route_layer(gateway.require(Action::Read))
        .with_state(gateway.clone())
        // The gateway takes every other path, as a WebSocket of a node.
        .fallback_service(gateway.router());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("Listening on http://{}", listener.local_addr()?);
    // Budgets are counted by the peer's address, so the gateway has to know it.
    axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
