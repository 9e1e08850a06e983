//! A stranger: opens connections, overhears plaintext, replays it, and forges frames.

use std::net::{IpAddr, Ipv4Addr};

use handfast_core::NodeId;
use handfast_core::limits::PROFILE_BYTES;
use handfast_core::wire::missy;
use handfast_core::wire::registration::NodeMessage;

use super::World;
use super::network::{Client, Frame, Side};
use super::operator::NOBODYS_TOKEN;
use crate::script::Forged;

const MOST_CONNECTIONS: usize = 12;

impl World {
    pub(super) fn stranger_connects(&mut self) {
        if self.strangers.len() < MOST_CONNECTIONS {
            let elsewhere = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9));
            let address = if self.setup.one_source { self.nodes[0].address } else { elsewhere };
            let conn = self.dial(Client::Stranger, address);
            self.strangers.push(conn);
        }
    }

    pub(super) fn stranger_replays(&mut self, connection: u8, recording: u8) {
        let heard = &self.network.overheard;
        if let Some(at) = usize::from(recording).checked_rem(heard.len()) {
            let frame = Frame::Text(heard[at].clone());
            self.stranger_frame(connection, frame);
        }
    }

    pub(super) fn stranger_sends(&mut self, connection: u8, forged: &Forged) {
        let frame = match forged {
            Forged::AskAs(node) => {
                let node = usize::from(*node) % self.nodes.len();
                let mut out = [0; PROFILE_BYTES];
                let request = NodeMessage::PairRequest(self.nodes[node].request());
                Frame::Text(
                    missy::encode_from_node(&request, &mut out).expect("it fits").to_owned(),
                )
            }
            Forged::Ask(which) => Frame::Text(format!(
                r#"{{"type":"pair_request","friendly_name":"stranger {which}"}}"#
            )),
            Forged::Guess(record) => match self.any_record(*record) {
                Some(node_id) => Frame::Text(auth(node_id)),
                None => return,
            },
            Forged::Nobody => Frame::Text(auth(NodeId::from_bytes([0xee; 16]))),
            Forged::Heartbeat => {
                Frame::Text(r#"{"type":"heartbeat","occupancy":null,"noise_level":0.5}"#.to_owned())
            }
            Forged::Application => Frame::Text(r#"{"type":"audio_start","rate":16000}"#.to_owned()),
            Forged::Binary => Frame::Binary(vec![0; 64]),
            Forged::Text(text) => Frame::Text(text.clone()),
        };
        self.stranger_frame(connection, frame);
    }

    fn stranger_frame(&mut self, connection: u8, frame: Frame) {
        if self.strangers.is_empty() {
            self.stranger_connects();
        }
        if let Some(at) = usize::from(connection).checked_rem(self.strangers.len()) {
            self.send(self.strangers[at], Side::Client, frame);
        }
    }

    /// Returns the id of a record, by number.
    pub(super) fn any_record(&self, number: u8) -> Option<NodeId> {
        let at = usize::from(number).checked_rem(self.store.rows.len())?;
        self.store.rows.keys().nth(at).copied()
    }
}

fn auth(node_id: NodeId) -> String {
    format!(r#"{{"type":"auth","node_id":"{node_id}","token":"{NOBODYS_TOKEN}"}}"#)
}
