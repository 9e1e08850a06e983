//! Keys of the table `limits`.

use super::super::duration::show;
use super::super::print::quoted;
use super::{ConfigKey, DAY, Form, MILLISECOND, MOST, SECOND, YEAR};

pub(super) const KEYS: &[ConfigKey] = &[
    ConfigKey {
        section: "limits",
        name: "first_message",
        option: "first-message",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a connection may be silent before its first message",
        read: |settings, value| {
            value.duration(MILLISECOND..=DAY).map(|given| settings.limits.first_message = given)
        },
        show: |settings| Some(quoted(show(settings.limits.first_message))),
    },
    ConfigKey {
        section: "limits",
        name: "ping_every",
        option: "ping-every",
        placeholder: "TIME",
        form: Form::One,
        help: "Time between pings",
        read: |settings, value| {
            value.duration(MILLISECOND..=DAY).map(|given| settings.limits.ping_every = given)
        },
        show: |settings| Some(quoted(show(settings.limits.ping_every))),
    },
    ConfigKey {
        section: "limits",
        name: "pong_within",
        option: "pong-within",
        placeholder: "TIME",
        form: Form::One,
        help: "Time to answer a ping",
        read: |settings, value| {
            value.duration(MILLISECOND..=DAY).map(|given| settings.limits.pong_within = given)
        },
        show: |settings| Some(quoted(show(settings.limits.pong_within))),
    },
    ConfigKey {
        section: "limits",
        name: "pending_for",
        option: "pending-for",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a request waits for the operator",
        read: |settings, value| {
            value.duration(SECOND..=YEAR).map(|given| settings.limits.pending_for = given)
        },
        show: |settings| Some(quoted(show(settings.limits.pending_for))),
    },
    ConfigKey {
        section: "limits",
        name: "pending_total",
        option: "pending-total",
        placeholder: "N",
        form: Form::One,
        help: "Most requests that wait; 0 lets no new node ask",
        read: |settings, value| {
            value.number(0..=MOST).map(|given| settings.limits.pending_total = given)
        },
        show: |settings| Some(settings.limits.pending_total.to_string()),
    },
    ConfigKey {
        section: "limits",
        name: "pending_per_source",
        option: "pending-per-source",
        placeholder: "N",
        form: Form::One,
        help: "Most requests of one source (IPv4 address or IPv6 /64) that wait",
        read: |settings, value| {
            value.number(0..=MOST).map(|given| settings.limits.pending_per_source = given)
        },
        show: |settings| Some(settings.limits.pending_per_source.to_string()),
    },
    ConfigKey {
        section: "limits",
        name: "waiting_total",
        option: "waiting-total",
        placeholder: "N",
        form: Form::One,
        help: "Most connections that have not authenticated",
        read: |settings, value| {
            value.number(1..=MOST).map(|given| settings.limits.waiting_total = given)
        },
        show: |settings| Some(settings.limits.waiting_total.to_string()),
    },
    ConfigKey {
        section: "limits",
        name: "waiting_per_source",
        option: "waiting-per-source",
        placeholder: "N",
        form: Form::One,
        help: "Most connections of one source that have not authenticated",
        read: |settings, value| {
            value.number(1..=MOST).map(|given| settings.limits.waiting_per_source = given)
        },
        show: |settings| Some(settings.limits.waiting_per_source.to_string()),
    },
    ConfigKey {
        section: "limits",
        name: "linked_total",
        option: "linked-total",
        placeholder: "N",
        form: Form::One,
        help: "Most authenticated connections",
        read: |settings, value| {
            value.number(1..=MOST).map(|given| settings.limits.linked_total = given)
        },
        show: |settings| Some(settings.limits.linked_total.to_string()),
    },
    ConfigKey {
        section: "limits",
        name: "failures_per_minute",
        option: "failures-per-minute",
        placeholder: "N",
        form: Form::One,
        help: "Failed authentications of one source a minute",
        read: |settings, value| {
            value.number(1..=MOST).map(|given| settings.limits.failures_per_minute = given)
        },
        show: |settings| Some(settings.limits.failures_per_minute.to_string()),
    },
    ConfigKey {
        section: "limits",
        name: "hash_queue",
        option: "hash-queue",
        placeholder: "N",
        form: Form::One,
        help: "Most tokens that wait to be hashed",
        read: |settings, value| {
            value.number(1..=65_536).map(|given| settings.limits.hash_queue = given)
        },
        show: |settings| Some(settings.limits.hash_queue.to_string()),
    },
    ConfigKey {
        section: "limits",
        name: "first_messages_per_second",
        option: "first-messages-per-second",
        placeholder: "N",
        form: Form::One,
        help: "First messages of links read in a second; above it, those of sources that failed too often wait",
        read: |settings, value| {
            value
                .number(1..=1_000_000)
                .map(|given| settings.limits.first_messages_per_second = given)
        },
        show: |settings| Some(settings.limits.first_messages_per_second.to_string()),
    },
    ConfigKey {
        section: "limits",
        name: "deliver_within",
        option: "deliver-within",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a secret that is shown once may be unconfirmed and unused before it is taken back",
        read: |settings, value| {
            value.duration(SECOND..=DAY).map(|given| settings.limits.deliver_within = given)
        },
        show: |settings| Some(quoted(show(settings.limits.deliver_within))),
    },
];
