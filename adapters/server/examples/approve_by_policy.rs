//! A policy of yours decides which nodes are paired, after their PIN or code was verified.
//!
//! ```text
//! cargo run -p handfast-server --example approve_by_policy -- 127.0.0.1:8765
//! ```

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::record::Mode;
use handfast_server::Gateway;
use handfast_server::operator::{CodeKind, NewCode};
use handfast_server::policy::{PairingDecision, PairingHandler, PairingRequest, ProofMethod};
use handfast_store::SqliteStore;

/// Pairs lamps of the local network for a day, and leaves everything else to the operator.
struct Lamps {
    permissions: ScopesBuf,
}

#[async_trait]
impl PairingHandler for Lamps {
    async fn decide(&self, request: &PairingRequest<'_>) -> PairingDecision {
        let proven = matches!(request.method, ProofMethod::Pin | ProofMethod::Code);
        if !request.address.is_some_and(is_local) {
            let reason = Some("pair it in the local network".to_owned());
            return PairingDecision::Reject { reason };
        }
        if !proven || !request.name.starts_with("Lamp") {
            return PairingDecision::Ask;
        }
        println!("{} ({}) may switch lights", request.name, request.fingerprint);
        PairingDecision::Approve {
            permissions: self.permissions.clone(),
            expires_in: Some(Duration::from_secs(86_400)),
            mode: Mode::Full,
            message: Some("Welcome.".to_owned()),
        }
    }
}

fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8765".to_owned());
    let lamps = Lamps { permissions: ScopesBuf::parse("write:/lights/**")? };
    let gateway =
        Gateway::builder(SqliteStore::in_memory()?).pairing_handler(lamps).start().await?;
    // An operator hands out the code, for instance on a label of the device.
    let new = NewCode { kind: CodeKind::Typed, ..NewCode::default() };
    println!("Code: {}", gateway.mint_code(new).await?.text());
    let listener = tokio::net::TcpListener::bind(address).await?;
    handfast_server::serve(gateway, listener, None, std::future::pending()).await;
    Ok(())
}
