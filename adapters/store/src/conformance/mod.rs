//! What every store must do, as named cases. [`conformance_tests!`](crate::conformance_tests) makes a test of each.

pub mod admission;
pub mod changes;
pub mod reading;

use std::net::IpAddr;

use handfast_core::entropy::Entropy;
use handfast_core::grant::token::TokenHash;
use handfast_core::id::NodeId;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::Asking;
use handfast_core::registry::record::{Cause, Mode, Record, Standing};
use handfast_core::text::Label;
use handfast_core::time::{Span, UnixTime};
use handfast_core::wire::registration::{PairRequest, Profile};

use crate::{Entry, Filter, Listed, Store, Version};

/// Makes a test of each case, for the store that an expression makes: `(store, guard)`, where the guard (a temporary directory, for instance) is
/// dropped after the case. Where it is used, tokio must be a dependency.
#[macro_export]
macro_rules! conformance_tests {
    ($make:expr) => {
        $crate::conformance_tests! { $make =>
            admission {
                a_new_request_is_kept_as_it_was_made
                an_identical_request_finds_its_entry_again
                a_different_request_gets_an_entry_of_its_own
                identical_requests_at_once_get_one_id
                the_total_cap_holds_however_many_ask_at_once
                a_full_source_leaves_room_for_others
                a_full_registry_still_finds_those_that_wait_in_it
                an_expired_request_makes_room_and_its_retry_is_a_new_one
                expired_requests_of_all_sources_make_room
                lowered_caps_count_only_what_has_not_expired
                a_decided_request_frees_its_place_and_its_key
                a_taken_id_is_never_overwritten_by_a_request
            }
            changes {
                every_standing_reads_back_as_it_was_saved
                a_save_changes_the_standing_and_the_version_and_nothing_else
                a_save_of_an_old_version_is_a_conflict_and_changes_nothing
                a_save_of_an_unknown_node_says_so
                a_request_that_was_purged_can_no_longer_be_decided
                of_concurrent_saves_exactly_one_wins
                an_insert_never_overwrites
                an_observation_fills_up_and_never_erases
                an_observation_leaves_the_version_alone
                an_observation_of_an_unknown_node_is_told_in_vain
            }
            reading {
                an_unknown_node_is_none_and_no_error
                paging_covers_everything_exactly_once_and_in_order
                each_filter_lists_what_its_name_says
                a_listing_never_exceeds_its_limit
                any_beginning_of_an_id_finds_it
                what_begins_no_id_finds_nothing
                counts_are_right_through_a_life
                a_long_random_life_is_the_same_as_in_memory
            }
        }
    };
    ($make:expr => $($concern:ident { $($case:ident)+ })+) => {
        $(mod $concern {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let (store, _kept) = $make;
                    $crate::conformance::$concern::$case(std::sync::Arc::new(store)).await;
                }
            )+
        })+
    };
}

/// The time at which the cases begin.
pub const START: UnixTime = UnixTime::from_secs(1_800_000_000);

/// Some seconds after [`START`].
#[must_use]
pub fn at(seconds: u64) -> UnixTime {
    START.after(Span::from_secs(seconds))
}

/// A request of that name and address, made at [`START`]. Each call makes another id.
///
/// # Panics
/// If the name or the address is none.
#[must_use]
pub fn asking(name: &str, address: &str, limits: &Limits) -> Asking {
    asking_at(name, address, limits, START)
}

fn asking_at(name: &str, address: &str, limits: &Limits, now: UnixTime) -> Asking {
    let request = PairRequest { name: label(name), room: label("kitchen"), profile: Profile::EMPTY };
    let address: IpAddr = address.parse().expect("an address");
    Asking::new(&request, address, now, limits, &Entropy::from_recorded(fresh()))
}

/// A record as an import makes it. Each call makes another id.
#[must_use]
pub fn record(standing: Standing) -> Record {
    Record {
        node_id: NodeId::new(&Entropy::from_recorded(fresh())),
        name: label("imported").into(),
        room: label("hall").into(),
        address: [192, 0, 2, 7].into(),
        asked_at: START,
        standing,
    }
}

/// Bytes that differ from call to call, spread as ids are.
fn fresh() -> [u8; 16] {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&next.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[8..].copy_from_slice(&next.to_be_bytes());
    bytes
}

fn label(text: &str) -> Label<'_> {
    Label::parse(text).expect("a label")
}

fn paired() -> Standing {
    Standing::Paired { token: TokenHash::from_bytes([7; 32]), mode: Mode::Full }
}

fn revoked() -> Standing {
    Standing::Revoked { cause: Cause::Unpaired }
}

async fn load(store: &dyn Store, id: NodeId) -> Option<(Record, Version)> {
    store.load(id).await.expect("load").map(|stored| (stored.record, stored.version))
}

async fn entry(store: &dyn Store, id: NodeId) -> Entry {
    let mut found = store.find(id.text().as_str(), 2).await.expect("find");
    assert_eq!(found.len(), 1, "{id} finds exactly itself");
    found.remove(0).expect("a good record")
}

fn ids(listed: &[Listed]) -> Vec<NodeId> {
    listed.iter().map(crate::node_id).collect()
}

async fn all(store: &dyn Store, filter: Filter, now: UnixTime) -> Vec<NodeId> {
    ids(&store.list(filter, None, usize::MAX, now).await.expect("list"))
}
