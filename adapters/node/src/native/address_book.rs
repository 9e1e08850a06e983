//! The addresses at which a paired node calls its gateway, and their order.
//!
//! The gateway may tell a node where it is reached; such addresses come ahead of the node's own,
//! in an order that is drawn for each attempt, so that many nodes that lose one gateway spread over
//! the others. The address that a link stood at last comes first. Where another machine answers, the
//! handshake fails, and the node turns to its other addresses.

use handfast_core::NodeId;
use handfast_core::limits::TOLD_ADDRESSES;
use handfast_core::wire::gateway_addresses::GatewayAddresses;
use serde::{Deserialize, Serialize};

use super::address::GatewayAt;

/// Format version of the file.
const VERSION: u32 = 1;

/// The addresses that a gateway told a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldAddresses {
    /// The pairing that they belong to.
    pub(super) node_id: NodeId,
    /// The addresses, as the gateway named them.
    pub addresses: Vec<GatewayAt>,
    /// The address of them that a link stood at last, if one did.
    pub worked: Option<GatewayAt>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressesRecord {
    version: u32,
    node_id: String,
    addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    worked: Option<String>,
}

impl ToldAddresses {
    pub(super) fn write(&self) -> Vec<u8> {
        super::record::written(&AddressesRecord {
            version: VERSION,
            node_id: self.node_id.to_string(),
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
            worked: self.worked.as_ref().map(ToString::to_string),
        })
        .to_vec()
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let record: AddressesRecord = serde_json::from_slice(bytes).map_err(crate::state::place)?;
        if record.version != VERSION {
            return Err(format!(
                "it has version {}, and this program reads version {VERSION}",
                record.version
            ));
        }
        let address =
            |text: &String| text.parse().map_err(|_| "an address in it is none".to_owned());
        let addresses: Vec<GatewayAt> =
            record.addresses.iter().map(address).collect::<Result<_, String>>()?;
        if addresses.len() > TOLD_ADDRESSES {
            return Err(format!("it has more than {TOLD_ADDRESSES} addresses"));
        }
        Ok(Self {
            node_id: NodeId::parse(&record.node_id).ok_or("the node id in it is none")?,
            addresses,
            worked: record.worked.as_ref().map(address).transpose()?,
        })
    }
}

/// The addresses of a running node.
pub(super) struct AddressBook {
    /// The node's own addresses, in their order.
    own: Vec<GatewayAt>,
    /// `true` if the owner named the addresses of this run, so that no others are called.
    only_own: bool,
    told: Option<ToldAddresses>,
    /// Addresses where something answered that did not prove the gateway's key, oldest first.
    unproven: Vec<GatewayAt>,
    /// The address of a connection whose gateway has not proven its key yet.
    open: Option<GatewayAt>,
}

impl AddressBook {
    pub(super) const fn new(
        own: Vec<GatewayAt>,
        only_own: bool,
        told: Option<ToldAddresses>,
    ) -> Self {
        Self { own, only_own, told, unproven: Vec::new(), open: None }
    }

    /// Returns the addresses that the gateway told.
    pub(super) const fn told(&self) -> Option<&ToldAddresses> {
        self.told.as_ref()
    }

    /// Returns the node's own addresses.
    pub(super) fn own(&self) -> &[GatewayAt] {
        &self.own
    }

    /// Takes another list of the node's own addresses.
    pub(super) fn set_own(&mut self, own: Vec<GatewayAt>) {
        self.own = own;
    }

    /// Takes the addresses that the gateway tells; `None` if the pairing is over.
    pub(super) fn set_told(&mut self, told: Option<ToldAddresses>) {
        self.told = told;
        self.unproven.clear();
        self.open = None;
    }

    /// Returns the addresses in the order of the next attempt. A line, and an address that needs a
    /// certificate, stay first where they are: the gateway tells neither.
    pub(super) fn order(&self) -> Vec<GatewayAt> {
        let told = match &self.told {
            Some(told) if !self.only_own => told,
            Some(_) | None => return self.own.clone(),
        };
        let stays =
            |at: &&GatewayAt| matches!(at, GatewayAt::Serial { .. } | GatewayAt::Mtls { .. });
        let lines = self.own.iter().take_while(stays).count();
        let mut network = told.addresses.clone();
        // Without randomness the order is that of the list.
        network.sort_by_cached_key(|_| getrandom::u64().unwrap_or_default());
        network.sort_by_key(|at| Some(at) != told.worked.as_ref());
        for at in self.own.iter().skip(lines) {
            if !network.contains(at) {
                network.push(at.clone());
            }
        }
        network.sort_by_key(|at| {
            self.unproven.iter().position(|other| other == at).map_or(0, |at| at + 1)
        });
        self.own.iter().take(lines).cloned().chain(network).collect()
    }

    /// A connection to this address is open; who is there is not known yet.
    pub(super) fn opened(&mut self, at: Option<GatewayAt>) {
        self.open = at;
    }

    /// Forgets a connection whose gateway has not proven its key. Returns its address, which is
    /// tried after the others from now on.
    pub(super) fn left(&mut self) -> Option<GatewayAt> {
        let at = self.open.take()?;
        if self.told.is_none() || self.only_own {
            return None;
        }
        self.unproven.retain(|other| *other != at);
        self.unproven.push(at.clone());
        Some(at)
    }

    /// The gateway has proven its key. Returns what has to be stored, if that is new.
    pub(super) fn proven(&mut self) -> Option<ToldAddresses> {
        let at = self.open.take()?;
        self.unproven.clear();
        let told = self.told.as_mut()?;
        if !told.addresses.contains(&at) || told.worked.as_ref() == Some(&at) {
            return None;
        }
        told.worked = Some(at);
        Some(told.clone())
    }
}

/// Returns the addresses of a list that this node can call.
pub(super) fn callable(list: &GatewayAddresses<'_>) -> Vec<GatewayAt> {
    list.iter().filter_map(|address| GatewayAt::of_invite(&address)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn at(text: &str) -> GatewayAt {
        text.parse().unwrap()
    }

    fn all(texts: &[&str]) -> Vec<GatewayAt> {
        texts.iter().map(|text| at(text)).collect()
    }

    fn told(texts: &[&str]) -> Option<ToldAddresses> {
        Some(ToldAddresses {
            node_id: NodeId::from_bytes([1; 16]),
            addresses: all(texts),
            worked: None,
        })
    }

    const OLD: &str = "tcp://10.0.0.1:1";
    const NEW: [&str; 3] = ["tcp://10.0.0.2:1", "tcp://10.0.0.3:1", "ws://gateway.local:80"];

    #[test]
    fn what_is_stored_reads_back_and_damage_is_named() {
        let mut told = told(&NEW).unwrap();
        assert_eq!(ToldAddresses::read(&told.write()), Ok(told.clone()));
        told.worked = Some(at(NEW[1]));
        assert_eq!(ToldAddresses::read(&told.write()), Ok(told.clone()));
        let text = String::from_utf8(told.write()).unwrap();
        for (wrong, why) in [
            (text.replace("\"version\": 1", "\"version\": 2"), "version 2"),
            (text.replace("tcp://10.0.0.2:1", "tcp://10.0.0.2"), "an address"),
            (text.replace("\"node_id\": \"", "\"node_id\": \"x"), "node id"),
            (text[..30].to_owned(), "ends too early"),
        ] {
            let error = ToldAddresses::read(wrong.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn told_addresses_come_first_in_an_order_of_chance_and_the_old_one_last() {
        let book = AddressBook::new(all(&[OLD]), false, told(&NEW));
        let mut firsts = BTreeSet::new();
        for _ in 0..200 {
            let order = book.order();
            assert_eq!((order.len(), order.last()), (4, Some(&at(OLD))));
            firsts.insert(order[0].to_string());
        }
        assert_eq!(firsts.len(), NEW.len());
    }

    #[test]
    fn the_address_that_worked_last_is_first_and_is_stored_once() {
        let mut book = AddressBook::new(all(&[OLD]), false, told(&NEW));
        book.opened(Some(at(NEW[2])));
        assert_eq!(book.proven().unwrap().worked, Some(at(NEW[2])));
        for _ in 0..20 {
            assert_eq!(book.order()[0], at(NEW[2]));
        }
        book.opened(Some(at(NEW[2])));
        assert_eq!(book.proven(), None);
        // The old address works as well, and nothing about it has to be stored.
        book.opened(Some(at(OLD)));
        assert_eq!(book.proven(), None);
    }

    #[test]
    fn an_address_where_another_machine_answers_is_tried_after_all_others() {
        let mut book = AddressBook::new(all(&[OLD]), false, told(&NEW[..1]));
        assert_eq!(book.order(), all(&[NEW[0], OLD]));
        book.opened(Some(at(NEW[0])));
        assert_eq!(book.left(), Some(at(NEW[0])));
        assert_eq!(book.order(), all(&[OLD, NEW[0]]));
        // If nobody proves the key anywhere, each address has its turn.
        book.opened(Some(at(OLD)));
        assert_eq!(book.left(), Some(at(OLD)));
        assert_eq!(book.order(), all(&[NEW[0], OLD]));
        book.opened(Some(at(OLD)));
        book.proven();
        assert_eq!(book.order(), all(&[NEW[0], OLD]));
        assert_eq!(book.left(), None);
    }

    #[test]
    fn a_line_and_an_address_for_certificates_stay_first() {
        let own = ["serial:/dev/ttyUSB0", "mtls://10.0.0.1:1", OLD];
        let book = AddressBook::new(all(&own), false, told(&NEW[..1]));
        assert_eq!(book.order(), all(&[own[0], own[1], NEW[0], OLD]));
    }

    #[test]
    fn nothing_changes_for_a_node_that_was_told_nothing_or_whose_owner_names_the_address() {
        let mut book = AddressBook::new(all(&[OLD, NEW[0]]), false, None);
        book.opened(Some(at(OLD)));
        assert_eq!(book.left(), None);
        assert_eq!(book.order(), all(&[OLD, NEW[0]]));
        let mut book = AddressBook::new(all(&[OLD]), true, told(&NEW));
        book.opened(Some(at(OLD)));
        assert_eq!(book.left(), None);
        assert_eq!(book.order(), all(&[OLD]));
    }
}
