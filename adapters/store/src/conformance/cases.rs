//! The list of all cases. One that is not named here does not run.

/// Makes a test of each case for the store that an expression creates: `(store, guard)`, where the
/// guard (a temporary directory, for instance) is dropped after the case. The calling crate must
/// depend on tokio.
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
                a_request_is_counted_and_what_it_is_made_of_may_change
                whoever_was_turned_down_waits_and_nobody_beside_it
                what_nobody_asks_for_any_more_makes_room_at_its_source
                who_has_fewest_waiting_finds_room_when_all_is_full
                nodes_are_found_by_their_whole_name
                a_taken_id_is_never_overwritten_by_a_request
            }
            audit {
                every_decision_has_its_entry_and_no_other_has
                what_nobody_decides_has_no_entry
                an_entry_says_who_decided_and_from_where
                every_entry_and_every_earlier_log_is_proven
                decisions_at_once_have_numbers_without_a_gap
                what_was_decided_about_a_node_is_found_page_by_page_and_nothing_else
                the_name_of_a_sender_is_apart_and_can_be_removed
                a_sender_is_forgotten_on_all_accounts_once_it_is_out_on_all
                a_session_that_prolongs_itself_all_the_time_does_not_fill_the_log
                the_log_is_the_same_as_in_memory
            }
            changes {
                every_standing_reads_back_as_it_was_saved
                a_save_changes_the_standing_and_the_version_and_nothing_else
                a_save_of_an_old_version_is_a_conflict_and_changes_nothing
                a_paired_node_is_named_and_described_anew_and_no_other_is
                a_revoked_record_is_forgotten_and_no_other_is
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
            keyed {
                a_node_is_found_by_its_key_whatever_its_standing
                a_key_finds_its_entry_again_from_wherever_and_whatever_it_asks
                asking_the_very_same_again_leaves_the_version_alone
                a_revoked_key_stays_out_under_any_name
                a_key_that_was_turned_down_asks_anew_and_is_paired
                a_paired_or_muted_key_is_told_so
                an_expired_request_gives_its_key_up
                requests_of_one_key_at_once_get_one_id
                a_key_that_asks_counts_for_its_source
                no_two_records_have_one_key
                a_node_without_keys_is_never_paired_by_them
                what_a_node_asks_for_is_kept_and_each_change_of_it_is_a_new_version
            }
            grants {
                an_offer_to_a_new_node_makes_it_paired
                an_offer_to_a_waiting_node_replaces_what_it_asked
                an_offer_that_comes_too_late_changes_nothing
                an_offer_must_fit_its_node
                of_concurrent_offers_exactly_one_wins
                a_newer_offer_ends_the_unconfirmed_and_spares_the_active
                confirming_ends_the_older_and_once_more_changes_nothing
                what_is_not_there_is_not_confirmed
                one_grant_ends_or_all_do
                a_node_that_is_revoked_loses_its_grants
                what_ended_over_a_year_ago_is_not_listed_and_stays_revoked
                a_ceiling_is_written_with_its_offer_and_outlives_it
                a_ceiling_is_written_without_an_offer_and_leaves_the_grants_alone
                the_paired_are_listed_with_the_grants_that_count
            }
            replacements {
                a_node_takes_a_place_and_the_one_before_is_out_in_one_step
                nobody_takes_a_place_that_has_changed_since_it_was_read
                the_nodes_that_had_a_place_are_listed_one_after_the_other
            }
            revocation {
                a_capability_leads_to_its_grant
                a_capability_of_two_grants_lives_as_long_as_one_of_them
                a_block_or_a_key_is_revoked_for_good
                one_revoked_block_is_enough
                the_key_of_a_revoked_node_is_revoked_and_that_of_a_muted_one_is_not
                a_revoked_key_stays_revoked_when_its_record_is_removed
                a_rejected_key_may_ask_again_when_its_record_is_removed
                what_a_paired_node_asks_for_beyond_is_listed_until_it_is_decided
            }
            deliveries {
                what_a_node_falls_back_to_reads_back
                an_approval_that_is_undone_is_a_request_that_is_found_again
                a_token_that_is_delivered_takes_the_place_of_the_older_and_says_so_to_its_link
                a_delivery_ends_once_and_tells_it_again
                a_delivery_ends_with_the_session_that_approved_it
                a_delivery_that_another_takes_the_place_of_is_undone_and_changes_nothing
                a_code_that_nobody_was_shown_is_withdrawn_unless_it_was_used
                many_deliveries_end_in_one_step_each_by_its_own_state
                a_setup_code_that_nobody_was_shown_opens_nothing
                deliveries_are_listed_by_their_end
            }
            codes {
                a_code_reads_back_as_it_was_minted
                a_window_reads_back_as_it_was_set
                a_pin_needs_an_open_window_and_a_code_does_not
                a_newer_pin_for_the_same_node_kills_the_older
                a_selector_is_taken_while_its_code_lives
                so_many_pins_and_codes_live_and_no_more
                of_many_codes_at_once_all_are_minted_or_none
                the_live_are_listed_newest_first_without_their_secrets
                a_withdrawn_code_is_dead_even_to_a_guess_under_way
                the_dead_lose_their_secrets_and_are_gone_after_a_day
                the_first_secret_of_a_name_stays
                of_all_who_replace_a_secret_at_once_exactly_one_does
            }
            guesses {
                eight_wrong_pins_of_a_source_lock_them_for_it_until_the_window_is_opened_anew
                a_sources_fifth_pin_takes_the_place_of_its_oldest_that_nobody_began_to_type
                ten_thousand_guesses_at_once_at_one_pin_are_five
                guesses_at_ten_pins_at_once_are_twenty
                only_the_operator_opens_a_locked_window_again
                of_all_who_spend_a_code_at_once_exactly_one_does
                a_code_for_two_nodes_is_spent_by_the_second
                a_right_guess_is_given_back_to_its_own_window_alone
                no_guess_is_made_at_what_is_dead
                nobodys_code_always_has_guesses_left
                a_long_random_life_of_codes_is_the_same_as_in_memory
            }
            sessions {
                a_session_reads_back_as_it_was_inserted
                only_the_very_hash_finds_a_session
                no_two_sessions_have_one_id_or_one_hash
                a_session_is_prolonged_within_its_bounds
                what_has_ended_is_not_prolonged
                a_session_is_revoked_once_and_for_good
                of_all_who_revoke_a_session_at_once_exactly_one_does
                the_live_are_listed_and_counted_apart_from_those_that_ended
                pages_of_sessions_cover_everything_once_and_in_order
            }
            redeeming {
                a_code_yields_its_session_once
                of_a_hundred_who_show_a_code_at_once_exactly_one_gets_a_session
                a_code_whose_yield_cannot_be_written_is_not_spent
                a_code_pairs_a_node_by_its_keys_once
                beginning_anew_forgets_the_codes_and_a_mark_that_a_clock_had_set_too_far_ahead
                an_expired_code_yields_nothing
                a_clock_that_is_set_back_revives_no_code
                spent_codes_and_old_sessions_do_not_pile_up
                a_long_random_life_of_companions_is_that_of_a_simple_model
            }
            inbound {
                of_a_stranger_nothing_is_known
                a_first_message_makes_an_entry_that_is_known_from_then_on
                what_is_over_is_removed_and_counted_and_the_rest_waits_on
                first_messages_at_once_make_one_entry_and_one_code
                strangers_at_once_never_exceed_the_caps
                a_flood_of_strangers_leaves_nothing_behind_and_shuts_nobody_out_who_is_known
                who_waits_is_told_its_code_now_and_then
                those_whose_time_is_over_make_room_and_are_gone
                a_call_clears_so_many_away_and_the_rest_counts_for_nothing
                a_code_that_is_anothers_is_not_given_out_again
                an_approved_sender_is_let_in_and_waits_no_longer
                of_all_who_approve_a_code_at_once_exactly_one_does
                an_expired_code_lets_nobody_in
                an_approval_and_a_block_at_once_end_closed
                ids_are_three_texts_and_compared_byte_for_byte
                what_is_told_of_a_stranger_is_a_bounded_json_object
            }
            senders {
                a_rejected_sender_may_ask_again
                a_blocked_sender_neither_waits_nor_is_let_in
                a_block_for_all_accounts_holds_for_those_that_come
                letting_in_ends_a_block_and_needs_an_account
                what_is_allowed_is_taken_back_for_one_account_or_for_all
                what_ran_out_is_taken_back_as_well
                texts_that_name_nobody_are_refused
                seeding_is_all_or_none_and_once_more_changes_nothing
                an_inserted_entry_reads_back_and_overwrites_nothing
                a_blocked_sender_that_still_waits_is_not_approved
                each_filter_of_senders_lists_what_it_says
                a_poller_finds_its_cursor_again
                the_epoch_moves_on_exactly_when_a_standing_changes
                what_is_remembered_under_the_epoch_is_never_older_than_what_was_answered
            }
            timekeeping {
                a_run_is_numbered_and_finds_the_mark_of_the_one_before
                a_run_begins_behind_what_the_one_before_made_after_it_had_written_the_mark
                a_step_moves_what_this_run_made_and_nothing_of_an_earlier_one
                a_session_that_was_prolonged_by_this_run_moves_its_end_alone
                what_has_no_end_is_not_moved
                setting_the_time_back_moves_what_this_run_made_and_ends_what_earlier_ones_made_later
                what_was_seen_to_be_over_stays_so_when_the_clock_is_set_back
                what_is_not_there_is_not_over
            }
            clock_steps {
                the_end_of_a_ceiling_moves_with_the_run_that_set_it
                a_secret_on_its_way_keeps_the_time_that_is_left_for_it
                a_request_whose_approval_was_undone_is_of_the_run_that_let_it_in
                the_wait_of_who_was_turned_down_moves_with_the_run_that_did
                when_a_request_was_made_last_moves_with_the_run_that_heard_it
                setting_the_time_back_ends_what_was_bounded_turned_down_or_sent_under_the_false_time
            }
            lives {
                a_long_random_life_of_senders_is_that_of_a_simple_model
            }
            makers {
                who_made_it_reads_back
                sessions_leave_the_operator_places_for_codes
                all_that_a_session_made_ends_with_it_down_to_the_last
                what_others_made_goes_on
                nothing_is_made_for_a_session_that_has_ended
                what_outlived_its_maker_is_found_and_ended
                what_a_session_added_to_another_ends_with_it
                a_session_ends_no_later_than_the_one_that_made_it_however_it_is_prolonged
                a_node_that_a_session_approved_waits_again
                those_that_a_session_let_in_are_strangers_again
            }
            certificates {
                a_certificate_reads_back_as_it_was_issued
                what_was_signed_for_an_outdated_number_or_epoch_is_not_stored
                of_certificates_signed_at_once_exactly_one_is_stored
                only_a_paired_node_gets_a_certificate
                both_are_valid_until_the_newer_one_is_used
                a_confirmation_is_the_nodes_own_and_may_be_repeated
                what_is_revoked_stays_so_whatever_follows
                a_revoked_key_gets_no_certificate_of_any_node
                an_eviction_changes_the_epoch_once
                a_node_has_so_many_live_certificates_and_no_more
                what_ended_long_ago_is_removed_and_its_number_is_not_used_again
                pages_of_certificates_cover_everything_once_and_in_order
                a_step_moves_no_signed_time_and_ends_what_lies_ahead
                setting_the_time_back_ends_what_earlier_runs_issued_later
                a_certificate_that_was_seen_to_be_over_stays_so
            }
            certified {
                a_node_is_entered_with_its_grant_and_its_first_certificate
                a_node_is_entered_without_a_certificate_that_cannot_be_stored
                a_grant_and_a_certificate_are_confirmed_in_one_step
            }
            logins {
                a_login_reads_back_as_it_was_inserted
                a_use_moves_the_end_in_force_and_revives_nothing
                a_login_is_revoked_once_and_for_good
                only_so_many_logins_are_valid_at_once
                logins_that_ended_long_ago_are_forgotten
                codes_and_the_window_end_with_the_login_that_made_them
                what_an_expired_login_made_is_ended_by_the_sweep
                the_times_of_a_login_move_with_the_run_that_set_them
                a_false_time_ends_the_logins_that_were_made_by_it
            }
            clones {
                a_counter_reads_back_and_is_the_nodes_own
                a_link_is_written_when_it_tells_something_new
                a_copied_node_is_quarantined_with_both_addresses_until_it_is_released
                a_node_that_is_paired_anew_starts_afresh
                of_links_at_once_all_get_the_same_value_and_the_node_may_confirm_any
            }
            known_keys {
                nodes_are_counted_by_the_key_that_they_have_proven_to_know
            }
            addresses {
                a_node_is_to_know_a_list_and_has_confirmed_one
                all_nodes_that_are_paired_by_their_keys_are_moved_at_once
            }
            dispatches {
                a_dispatch_reads_back_as_it_was_queued
                a_request_that_is_repeated_is_queued_once
                only_what_a_node_has_announced_and_can_do_now_is_queued
                a_node_announces_so_much_and_no_more
                only_a_paired_node_of_the_wire_takes_tasks
                a_nodes_queue_is_bounded_and_others_have_room
                of_pushes_at_once_exactly_one_sends
                what_another_node_says_of_a_dispatch_changes_nothing
                the_first_report_stays_and_a_late_one_stands_beside_the_end
                a_result_that_is_longer_than_asked_is_a_failure
                after_a_lost_link_the_node_is_asked_and_its_answer_counts
                a_start_of_the_gateway_loses_every_link
                only_what_certainly_never_ran_is_queued_again
                nothing_is_sent_for_a_session_that_has_ended
                what_becomes_of_a_node_becomes_of_its_tasks
                what_is_over_does_not_pile_up_and_numbers_go_on_rising
            }
            dispatch_deadlines {
                what_is_over_by_time_is_found_the_earliest_first
                a_deadline_moves_with_the_run_that_set_it
                setting_the_time_back_ends_what_was_queued_under_the_false_time
            }
            policies {
                a_policy_reads_back_as_it_was_made
                a_policy_approves_so_many_nodes_however_many_ask_at_once
                a_policy_that_has_ended_approves_nobody
                so_many_policies_are_in_force_and_no_more
                steps_of_the_clock_leave_a_policy_as_long_as_it_was_made
                a_policy_that_was_made_under_a_false_time_ends_when_that_is_mended
            }
            provisioning {
                a_token_reads_back_and_is_listed_among_the_codes
                a_node_registers_once_by_its_token
                of_registrations_at_once_exactly_one_enters
                whoever_shows_no_valid_token_enters_nothing_and_spends_nothing
                a_token_ends_by_its_time_its_withdrawal_and_its_maker
                a_name_registers_again_only_once_its_node_is_revoked
                a_native_key_that_is_paired_or_revoked_registers_no_more
                a_request_that_waits_is_paired_by_its_token
                a_node_key_goes_with_its_node
            }
            dispatch_lives {
                a_long_random_life_of_dispatches_is_the_same_as_in_memory
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
