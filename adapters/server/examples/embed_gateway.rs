//! A gateway in a program of yours: opens pairing, and shows each PIN.
//!
//! ```text
//! cargo run -p handfast-server --example embed_gateway -- 127.0.0.1:8765
//! ```

use std::error::Error;

use handfast_server::{Event, Gateway, Observer};
use handfast_store::SqliteStore;

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

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8765".to_owned());
    // A registry in memory forgets its nodes; a gateway that keeps them has a file and a store key.
    let gateway = Gateway::builder(SqliteStore::in_memory()?).observer(Screen).start().await?;
    gateway.open_pairing(None).await?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("Listening on ws://{}", listener.local_addr()?);
    let stopped = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    handfast_server::serve(gateway, listener, None, stopped).await;
    Ok(())
}
