//! Keys of the table `inbound`: the gate for strangers on channels.

use std::ops::RangeInclusive;

use handfast_core::time::Span;

use super::super::companions::channels;
use super::super::duration::show;
use super::super::print::{list, quoted};
use super::{ConfigKey, Form, MOST, SECOND, YEAR};

/// Allowed lifetimes of a stranger's code, and allowed intervals between its repetitions.
const CODES: RangeInclusive<Span> = SECOND..=YEAR;
/// Maximum number of cached senders, at 300 bytes each.
const MOST_REMEMBERED: u64 = 10_000_000;

pub(super) const KEYS: &[ConfigKey] = &[
    ConfigKey {
        section: "inbound",
        name: "pending_for",
        option: "inbound-pending-for",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a stranger's code counts",
        read: |settings, value| {
            value.duration(CODES).map(|given| settings.inbound.limits.pending_for = given)
        },
        show: |settings| Some(quoted(show(settings.inbound.limits.pending_for))),
    },
    ConfigKey {
        section: "inbound",
        name: "pending_per_account",
        option: "inbound-pending-per-account",
        placeholder: "N",
        form: Form::One,
        help: "Most strangers that wait for one account on one channel; 0 lets nobody new ask",
        read: |settings, value| {
            value.number(0..=MOST).map(|given| settings.inbound.limits.pending_of_account = given)
        },
        show: |settings| Some(settings.inbound.limits.pending_of_account.to_string()),
    },
    ConfigKey {
        section: "inbound",
        name: "pending_total",
        option: "inbound-pending-total",
        placeholder: "N",
        form: Form::One,
        help: "Most strangers that wait in all; 0 lets nobody new ask",
        read: |settings, value| {
            value.number(0..=MOST).map(|given| settings.inbound.limits.pending_total = given)
        },
        show: |settings| Some(settings.inbound.limits.pending_total.to_string()),
    },
    ConfigKey {
        section: "inbound",
        name: "told_every",
        option: "inbound-told-every",
        placeholder: "TIME",
        form: Form::One,
        help: "How often a stranger that goes on writing is told its code at most",
        read: |settings, value| {
            value.duration(CODES).map(|given| settings.inbound.limits.told_every = given)
        },
        show: |settings| Some(quoted(show(settings.inbound.limits.told_every))),
    },
    ConfigKey {
        section: "inbound",
        name: "approvals_per_minute",
        option: "inbound-approvals-per-minute",
        placeholder: "N",
        form: Form::One,
        help: "How many wrong codes may be typed in a minute before right ones are refused, too; 0 lets nobody in by a code",
        read: |settings, value| {
            value.number(0..=MOST).map(|given| settings.inbound.approvals_per_minute = given)
        },
        show: |settings| Some(settings.inbound.approvals_per_minute.to_string()),
    },
    ConfigKey {
        section: "inbound",
        name: "remembered",
        option: "inbound-remembered",
        placeholder: "N",
        form: Form::One,
        help: "How many senders that were let in are remembered, at about 300 bytes each; 0 asks the registry for each message",
        read: |settings, value| {
            value.number(0..=MOST_REMEMBERED).map(|given| settings.inbound.remembered = given)
        },
        show: |settings| Some(settings.inbound.remembered.to_string()),
    },
    ConfigKey {
        section: "inbound",
        name: "public_channels",
        option: "public-channel",
        placeholder: "CHANNEL",
        form: Form::Many,
        help: "Channel on which everybody is let in unasked; may be repeated",
        read: |settings, value| {
            channels(value).map(|given| settings.inbound.public_channels = given)
        },
        show: |settings| Some(list(settings.inbound.public_channels.iter().map(quoted))),
    },
];
