//! A board's node on this machine, with TCP and this console in place of the board's drivers.
//! First start a gateway: `handfast serve --listen-tcp 127.0.0.1:8766`, and open pairing.
//!
//! ```text
//! cargo run -p handfast-edge --example pair_over_tcp -- 127.0.0.1:8766
//! ```

#[path = "common/board.rs"]
mod board;
#[path = "common/console.rs"]
mod console;

use std::time::Instant;

use board::{BoardClock, Forgets, Gateway};
use console::Console;
use getrandom::SysRng;
use handfast_core::Label;
use handfast_core::flow::native::node::{CertificateWish, NodeIdentity};
use handfast_core::wire::native::pair::AskedScopes;
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_edge::native::memory::keys;
use handfast_edge::native::{
    NativeBuffers, NativePorts, NativeSettings, NoCapabilities, NoCertificate, run,
};
use handfast_edge::ports::NoSensors;
use rand_core::UnwrapErr;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let gateway = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8766".to_owned());
    let own = keys(&mut Forgets, &mut UnwrapErr(SysRng)).await.expect("nothing is stored");
    let profile = Profile::parse("{}").expect("an object");
    let name = Label::parse("Board").unwrap_or(Label::UNKNOWN);
    let ports = NativePorts {
        gateway: Gateway(gateway),
        clock: BoardClock(Instant::now()),
        keep: Forgets,
        rng: UnwrapErr(SysRng),
        owner: Console::new(),
        sensors: NoSensors,
        capabilities: NoCapabilities,
        certificate: NoCertificate,
        own: NodeIdentity {
            keys: &own,
            about: PairRequest { name, room: Label::UNKNOWN, profile },
            setup: None,
            wants: AskedScopes::NONE,
            certificate: CertificateWish::None,
            dispatch: false,
        },
    };
    run(ports, &NativeSettings::DEFAULT, &mut NativeBuffers::new()).await;
}
