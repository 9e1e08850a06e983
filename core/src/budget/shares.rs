//! The share of delegates in the gateway's links.

use crate::limits::Limits;

/// The maximum number of linked delegates of one subject: a sixteenth of all links, and at least
/// four.
#[must_use]
pub const fn delegates_per_subject(limits: &Limits) -> u32 {
    let share = limits.linked_total / 16;
    if share < 4 { 4 } else { share }
}

/// The numbers of links, when one more is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Linked {
    /// Linked nodes and delegates.
    pub total: u32,
    /// Linked delegates of the subject that has most of them.
    pub most_of_one: u32,
}

/// The decision about one more link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Room {
    /// A place is free.
    Free,
    /// The delegate that has been linked longest, of the subject with the most delegates, makes
    /// room.
    Displace,
    /// No place is free.
    Full,
}

impl Linked {
    /// Decides for a node. No delegate keeps a node out.
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

    /// Decides for a delegate whose subject has `of_subject` linked already. It takes a free place,
    /// or one of a subject that has more delegates than its own would have.
    #[must_use]
    pub const fn for_delegate(self, of_subject: u32, limits: &Limits) -> Room {
        if of_subject >= delegates_per_subject(limits) {
            Room::Full
        } else if self.total < limits.linked_total {
            Room::Free
        } else if self.most_of_one > of_subject.saturating_add(1) {
            // With a difference of one, the two subjects would displace each other in turn.
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
