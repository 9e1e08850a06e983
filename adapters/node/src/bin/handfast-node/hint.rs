//! The next commands that this program prints.

use std::path::{Path, PathBuf};

use handfast_node::GatewayUrl;
use handfast_node::native::GatewayAt;
use handfast_stdio::Hint;

use crate::args::{Ca, StateArgs};

/// Place of an address that only the owner knows.
const URL: &str = "URL";

/// The options of a command that the next ones need again, so that each works as it is printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    state: Option<PathBuf>,
    ca: Option<PathBuf>,
}

impl Hints {
    pub(crate) fn new(state: &StateArgs, ca: Option<&Ca>) -> Self {
        let ca = ca.and_then(|ca| ca.path()).map(Path::to_owned);
        Self { state: state.path().map(Path::to_owned), ca }
    }

    fn verb(&self, verb: &str) -> Hint {
        Hint::new("handfast-node", verb).option("--state", self.state.as_ref())
    }

    /// Returns the command that keeps the node linked.
    pub(crate) fn run(&self) -> Hint {
        self.verb("run").option("--ca", self.ca.as_ref())
    }

    /// Returns the command that keeps the node linked with a token that it asks for.
    pub(crate) fn run_asking_token(&self) -> Hint {
        self.run().option("--token-file", Some("-"))
    }

    /// Returns the command that shows this node's standing.
    pub(crate) fn status(&self) -> Hint {
        self.verb("status")
    }

    /// Returns the command that forgets the pairing.
    pub(crate) fn reset(&self) -> Hint {
        self.verb("reset").arg("--yes")
    }

    /// Returns the command that pairs with the first of these gateways, in this way.
    pub(crate) fn pair(&self, way: &str, gateways: &[GatewayAt]) -> Hint {
        let gateway = gateways.first().map_or_else(|| URL.to_owned(), ToString::to_string);
        let ca = self.ca.as_ref().filter(|_| gateways.iter().any(GatewayAt::is_tls));
        self.verb("pair").arg(way).option("--gateway", Some(gateway)).option("--ca", ca)
    }

    /// Returns the command that asks a gateway that knows tokens to be paired.
    pub(crate) fn pair_by_token(&self, name: &str, room: &str, gateway: &GatewayUrl) -> Hint {
        let ca = self.ca.as_ref().filter(|_| gateway.is_tls());
        self.verb("pair")
            .option("--name", Some(name))
            .option("--room", Some(room))
            .option("--gateway", Some(gateway.to_string()))
            .option("--ca", ca)
    }

    /// Advises on a state directory without a pairing.
    pub(crate) fn pair_first(&self, gateways: &[GatewayAt]) -> String {
        format!(
            "pair first:\n  {}\nor name the directory that keeps a pairing with --state",
            self.pair("--pin", gateways)
        )
    }

    /// Advises on a pairing that the gateway does not accept any more. The keys of a revoked node
    /// stay refused, so it needs new ones; a node that is merely unknown can have them, too.
    pub(crate) fn pair_anew(&self, gateways: &[GatewayAt]) -> String {
        format!(
            "to be paired again, forget the pairing, and pair with new keys:\n  {}\n  {}",
            self.reset(),
            self.pair("--pin", gateways)
        )
    }

    /// Advises on a state directory that another kind of pairing occupies.
    pub(crate) fn forget_first(&self) -> String {
        format!("forget that first:\n  {}\nor name another directory with --state", self.reset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_that_were_given_are_in_each_next_command_that_takes_them() {
        let hints = Hints { state: Some("/tmp/my state".into()), ca: Some("ca.pem".into()) };
        let tls = ["wss://pi.local".parse::<GatewayAt>().unwrap()];
        let plain = ["ws://pi.local".parse::<GatewayAt>().unwrap()];
        for (hint, expected) in [
            (hints.run(), "run --state '/tmp/my state' --ca ca.pem"),
            (hints.reset(), "reset --state '/tmp/my state' --yes"),
            (hints.status(), "status --state '/tmp/my state'"),
            (
                hints.pair("--pin", &tls),
                "pair --state '/tmp/my state' --pin --gateway wss://pi.local:8765/ --ca ca.pem",
            ),
            (
                hints.pair("--code", &plain),
                "pair --state '/tmp/my state' --code --gateway ws://pi.local:8765/",
            ),
            (Hints::default().pair("--pin", &[]), "pair --pin --gateway URL"),
        ] {
            assert_eq!(hint.to_string(), format!("handfast-node {expected}"));
        }
    }
}
