//! A node in a program of yours: pairs with the PIN that the gateway shows, then stays linked.
//!
//! ```text
//! cargo run -p handfast-node --example node -- ws://127.0.0.1:8765 /tmp/lamp
//! ```

use std::error::Error;
use std::io::stdin;
use std::path::PathBuf;

use handfast_core::Label;
use handfast_core::crypto::code::Code;
use handfast_core::flow::native::node::{NativeMemory, PairMethod};
use handfast_core::wire::path::Action;
use handfast_node::native::{NativeConfig, NativeEvent, NativeIdentity, NativeNode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(gateway), Some(state)) = (arguments.next(), arguments.next()) else {
        return Err("usage: node GATEWAY STATE".into());
    };
    let identity = NativeIdentity {
        gateways: vec![gateway.parse()?],
        name: Label::parse("Lamp").unwrap_or(Label::UNKNOWN).into(),
        room: Label::UNKNOWN.into(),
        tokens: PathBuf::from(&state).join("tokens.json"),
        plain_tokens: false,
    };
    let config = NativeConfig::new(identity, state)?;
    let paired = matches!(config.state.dir().load_native()?, Some((_, NativeMemory::Paired(_))));
    let node = NativeNode::new(config)?;
    let (owner, mut events) = (node.owner(), node.events());
    let running = tokio::spawn(node.run(std::future::pending()));
    if !paired {
        owner.pair(PairMethod::Pin, None).await;
    }
    while let Some(event) = events.next().await {
        match event {
            NativeEvent::Gateway { fingerprint, .. } => println!("The gateway is {fingerprint}."),
            NativeEvent::TypeThePin { .. } | NativeEvent::WrongCode { .. } => {
                println!("Type the PIN that the gateway shows:");
                owner.enter_code(typed().await?).await;
            }
            NativeEvent::Linked(node_id) => {
                println!("Linked as {node_id}.");
                owner.send_app(Action::Write, "/lights/lamp", b"on".to_vec()).await?;
            }
            NativeEvent::App(message) => println!("{} {}", message.action, message.address),
            NativeEvent::PairingRefused(why) => return Err(why.to_string().into()),
            // The node retries by itself; a program shows what its owner should know.
            other => println!("{other:?}"),
        }
    }
    Ok(running.await??)
}

/// Reads a PIN from standard input.
async fn typed() -> Result<Code, Box<dyn Error>> {
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        stdin().read_line(&mut line).map(|_| line)
    });
    Ok(Code::parse(line.await??.trim()).map_err(|_| "that is no PIN")?)
}
