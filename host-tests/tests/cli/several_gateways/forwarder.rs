//! A forwarder of bytes to the first gateway that is up, as a node finds one that knows several.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub(super) struct Forwarder {
    /// Its address, as a node is told it.
    pub(super) url: String,
    to: Arc<Mutex<Vec<String>>>,
}

impl Forwarder {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let to = Arc::<Mutex<Vec<String>>>::default();
        let gateways = Arc::clone(&to);
        std::thread::spawn(move || {
            for node in listener.incoming().map_while(Result::ok) {
                let gateways = gateways.lock().unwrap().clone();
                // Nobody is up: the node hears the end of its connection.
                let up = gateways.iter().find_map(|at| TcpStream::connect(at).ok());
                if let Some(gateway) = up {
                    pass(node.try_clone().unwrap(), gateway.try_clone().unwrap());
                    pass(gateway, node);
                }
            }
        });
        Self { url, to }
    }

    /// Sets the gateways, the one that is tried first at the beginning.
    pub(super) fn to(&self, gateways: &[&str]) {
        *self.to.lock().unwrap() = gateways.iter().map(|&at| at.to_owned()).collect();
    }
}

/// Passes bytes on until one side ends.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        // An error is the end as well.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
