//! How delegates share the places that nodes leave.

use crate::limits::Limits;

/// Most delegates of one subject that may be linked at once: a sixteenth of all links, and four at
/// least.
#[must_use]
pub const fn delegates_per_subject(limits: &Limits) -> u32 {
    let share = limits.linked_total / 16;
    if share < 4 { 4 } else { share }
}

/// What is linked, where one more wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Nodes and delegates.
    pub total: u32,
    /// Delegates of the subject that has most of them.
    pub most_of_one: u32,
}

/// What to do with one more link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is room.
    Free,
    /// The delegate that has been linked longest, of the subject that has most of them, makes room.
    Displace,
    /// There is none.
    Full,
}

impl Linked {
    /// Decides for a node: no delegate keeps it out.
    #[must_use]
    pub const fn for_node(self, limits: &Limits) -> Room {
        if self.total < limits.linked_total {
            Room::Free
        } else if self.most_of_one > 0 {
            Room::Displace
        } else {
            Room::Full
        }
    }

    /// Decides for a delegate whose subject has `of_subject` linked already. It takes what nodes
    /// leave, and where that is nothing, of a subject that has more than its own would have.
    #[must_use]
    pub const fn for_delegate(self, of_subject: u32, limits: &Limits) -> Room {
        if of_subject >= delegates_per_subject(limits) {
            Room::Full
        } else if self.total < limits.linked_total {
            Room::Free
        } else if self.most_of_one > of_subject.saturating_add(1) {
            Room::Displace
        } else {
            Room::Full
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { linked_total: 10, ..Limits::DEFAULT };

    #[test]
    fn a_node_takes_a_delegates_place_and_no_nodes() {
        assert_eq!(Linked { total: 9, most_of_one: 4 }.for_node(&LIMITS), Room::Free);
        assert_eq!(Linked { total: 10, most_of_one: 1 }.for_node(&LIMITS), Room::Displace);
        assert_eq!(Linked { total: 10, most_of_one: 0 }.for_node(&LIMITS), Room::Full);
    }

    #[test]
    fn a_subject_has_its_share_and_takes_only_of_who_has_more() {
        let full = Linked { total: 10, most_of_one: 4 };
        assert_eq!(Linked { total: 5, most_of_one: 4 }.for_delegate(4, &LIMITS), Room::Full);
        assert_eq!(Linked { total: 5, most_of_one: 4 }.for_delegate(3, &LIMITS), Room::Free);
        assert_eq!(full.for_delegate(2, &LIMITS), Room::Displace);
        assert_eq!(full.for_delegate(3, &LIMITS), Room::Full, "it would have as many");
        assert_eq!(delegates_per_subject(&Limits::DEFAULT), 1250);
    }
}
