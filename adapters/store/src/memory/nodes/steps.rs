//! How the times of nodes follow the clock: moved by a step that is taken over, ended by one that
//! sets the time back.

use handfast_core::id::NodeId;
use handfast_core::registry::record::Standing;
use handfast_core::time::UnixTime;

use super::{Node, Nodes};
use crate::memory::time::moved;

impl Nodes {
    /// Moves the times of what this run made.
    pub(in crate::memory) fn move_by(&mut self, by: i64) -> u64 {
        let run = self.run;
        self.each(
            |node| node.run == run,
            |nodes, mut node| {
                let record = &mut node.entry.record;
                record.asked_at = moved(record.asked_at, by);
                if let Standing::Pending { expires } = &mut record.standing {
                    *expires = moved(*expires, by);
                }
                nodes.put(node);
            },
        )
    }

    /// Ends what earlier runs made later than that.
    pub(in crate::memory) fn end_later(&mut self, latest: UnixTime) -> u64 {
        let run = self.run;
        let such = |node: &Node| {
            node.run != run && node.end().is_some() && node.entry.record.asked_at > latest
        };
        self.each(such, |_, _gone| {})
    }

    /// When this run made each.
    pub(in crate::memory) fn made_last(&self) -> Vec<UnixTime> {
        let ours = self.all.values().filter(|node| node.run == self.run);
        ours.map(|node| node.entry.record.asked_at).collect()
    }

    pub(in crate::memory) fn write_over(&mut self, id: NodeId, now: UnixTime) -> bool {
        let is_over = self.all.get(&id).and_then(Node::end).is_some_and(|end| end <= now);
        is_over && self.take(id).is_some()
    }

    fn each(&mut self, such: impl Fn(&Node) -> bool, change: impl Fn(&mut Self, Node)) -> u64 {
        let these: Vec<_> =
            self.all.iter().filter(|(_, node)| such(node)).map(|(id, _)| *id).collect();
        for id in &these {
            if let Some(node) = self.take(*id) {
                change(self, node);
            }
        }
        these.len() as u64
    }
}
