//! Several gateways over one registry in PostgreSQL, as processes.

mod forwarder;
mod guide;
mod moving;
mod opening;
mod surviving;
mod telling;

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use handfast_store::conformance::PostgresServer;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::gateway::{Gateway, private_dir};
use super::identity::RunningNode;
use super::nodes::until;
use crate::binaries::{Running, program, run, text};

/// A registry in a database of its own, and the key of its gateways.
struct Registry {
    server: PostgresServer,
    database: String,
    /// The role that gateways connect as.
    user: &'static str,
    /// Has the store key.
    place: TempDir,
}

impl Registry {
    fn new() -> Self {
        let server = PostgresServer::start();
        let database = server.create();
        Self::of(server, database)
    }

    /// Makes the key of a registry in an empty database.
    fn of(server: PostgresServer, database: String) -> Self {
        let registry = Self { server, database, user: "handfast", place: private_dir() };
        let (code, out, err) = text(&run("handfast", &["store", "make-key", &registry.key()]));
        assert!(code == 0 && out.contains("a new store key"), "{out}{err}");
        registry
    }

    fn key(&self) -> String {
        self.place.path().join("store.key").display().to_string()
    }

    fn address(&self) -> String {
        self.server.url(&self.database).replace("//handfast@", &format!("//{}@", self.user))
    }

    fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.database, sql)
    }

    /// Starts a gateway of this name.
    fn gateway(&self, name: &str) -> Gateway {
        self.gateway_with(name, &[])
    }

    fn gateway_with(&self, name: &str, more: &[&str]) -> Gateway {
        self.gateway_at(name, "127.0.0.1:0", more)
    }

    fn gateway_at(&self, name: &str, listen: &str, more: &[&str]) -> Gateway {
        let (address, key) = (self.address(), self.key());
        let options = ["--store", &address, "--store-key", &key, "--gateway-id", name];
        Gateway::start_in(private_dir(), listen, &[&options, more].concat())
    }

    /// Runs a gateway that does not start to its end.
    fn refused(&self, more: &[&str]) -> (i32, String) {
        let (data, address) = (private_dir(), self.address());
        let data = data.path().to_str().unwrap();
        let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data, "--store", &address];
        let (code, out, err) = text(&run("handfast", &[&serve, more].concat()));
        assert_eq!(out, "", "nothing was served");
        (code, err)
    }
}

/// Pairs the node `Desk` with a code of one gateway, and returns its state.
fn pair(gateway: &Gateway) -> TempDir {
    pair_at(gateway, &format!("ws://{}", gateway.address))
}

/// Pairs the node `Desk` at this address with a code of one gateway, and returns its state.
fn pair_at(gateway: &Gateway, address: &str) -> TempDir {
    let minted = gateway.answer(&["codes", "create", "--read", "/**", "--write", "/**"]);
    let mut node = gateway.node("Desk", &["--code", "--gateway", address]);
    node.types(minted["code"].as_str().unwrap());
    let (code, said, state) = node.ends_with_its_state();
    assert_eq!(code, 0, "{said}");
    state
}

/// Runs the node with this state, linked to this gateway.
fn run_at(gateway: &Gateway, state: &TempDir, more: &[&str]) -> RunningNode {
    let at = format!("ws://{}", gateway.address);
    let node = RunningNode::start(state.path(), &[&["--gateway", &at], more].concat());
    node.links("ws", 1);
    node
}
