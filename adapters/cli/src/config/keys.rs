//! The table of all keys.

use std::ops::RangeInclusive;

use handfast_core::crypto::code::Alphabet;
use handfast_core::time::Span;
use handfast_server::pairing::Approve;

use super::duration::{lasting, show, show_lasting};
use super::print::{line, list, path, quoted};
use super::settings::Settings;
use super::simple::{addresses, invited_to, name_of, serial, window};
use super::tables::{permissions, rules, show_permissions, show_rules};
use super::value::{Problem, Value};

/// One key of the file, which is one option too.
pub(super) struct Key {
    /// The table that it stands in; empty for the file's top level.
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// What the option is called, without its dashes.
    pub(super) option: &'static str,
    /// What stands for the option's value in the help.
    pub(super) placeholder: &'static str,
    pub(super) form: Form,
    pub(super) help: &'static str,
    /// Checks a value and puts it in its place.
    pub(super) read: fn(&mut Settings, &Value<'_>) -> Result<(), Problem>,
    /// The value as TOML that reads back; None where there is nothing to say.
    pub(super) show: fn(&Settings) -> Option<String>,
}

/// How often an option is given, and with what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Once, with a value.
    One,
    /// Any number of times, with a value each.
    Many,
    /// Once, alone or with `=false`.
    Flag,
}

/// The tables of the file, each with its heading in the help.
pub(super) const SECTIONS: [(&str, &str); 2] = [("pairing", "Pairing"), ("limits", "Limits")];

/// What an address has to look like.
pub(super) const ADDRESS: &str = "it must be an IP address and a port, as in \"127.0.0.1:8765\"";
pub(super) const MILLISECOND: Span = Span::from_millis(1);
pub(super) const SECOND: Span = Span::from_secs(1);
pub(super) const DAY: Span = Span::from_secs(86_400);
const YEAR: Span = Span::from_secs(365 * 86_400);
/// How long grants may live.
pub(super) const EXPIRIES: RangeInclusive<Span> = Span::from_secs(3600)..=Span::from_secs(3650 * 86_400);
const MOST: u64 = u32::MAX as u64;
const ALPHABETS: [(&str, Alphabet); 2] = [("digits", Alphabet::Digits), ("unambiguous", Alphabet::Unambiguous)];
const APPROVERS: [(&str, Approve); 2] = [("auto", Approve::Auto), ("manual", Approve::Manual)];

/// Every key. Those of one table stand together; where two are given at once that say the same thing, the later one counts.
pub(super) const KEYS: &[Key] = &[
    Key {
        section: "",
        name: "listen",
        option: "listen",
        placeholder: "ADDR:PORT",
        form: Form::One,
        help: "Address to listen on",
        read: |settings, value| value.parsed(ADDRESS, |text| text.parse().ok()).map(|given| settings.listen = given),
        show: |settings| Some(quoted(settings.listen)),
    },
    Key {
        section: "",
        name: "port",
        option: "port",
        placeholder: "PORT",
        form: Form::One,
        help: "Port to listen on, in place of that in `listen`",
        read: |settings, value| value.number(0..=65_535).map(|port| settings.listen.set_port(port)),
        show: |_| None,
    },
    Key {
        section: "",
        name: "data",
        option: "data",
        placeholder: "DIR",
        form: Form::One,
        help: "Data directory of the gateway [default: $STATE_DIRECTORY, else $XDG_DATA_HOME/handfast, else ~/.local/share/handfast]",
        read: |settings, value| value.path().map(|given| settings.data = Some(given)),
        show: |settings| settings.data.as_deref().map(path),
    },
    Key {
        section: "",
        name: "tls_cert",
        option: "tls-cert",
        placeholder: "FILE",
        form: Form::One,
        help: "PEM certificate chain; with its key, only TLS is spoken",
        read: |settings, value| value.path().map(|given| settings.tls_cert = Some(given)),
        show: |settings| settings.tls_cert.as_deref().map(path),
    },
    Key {
        section: "",
        name: "tls_key",
        option: "tls-key",
        placeholder: "FILE",
        form: Form::One,
        help: "PEM private key of the certificate",
        read: |settings, value| value.path().map(|given| settings.tls_key = Some(given)),
        show: |settings| settings.tls_key.as_deref().map(path),
    },
    Key {
        section: "",
        name: "listen_tcp",
        option: "listen-tcp",
        placeholder: "ADDR:PORT",
        form: Form::Many,
        help: "Address on which the native wire is spoken over TCP, without WebSockets; may be repeated",
        read: |settings, value| addresses(value).map(|given| settings.listen_tcp = given),
        show: |settings| Some(list(settings.listen_tcp.iter().map(quoted))),
    },
    Key {
        section: "",
        name: "serial",
        option: "serial",
        placeholder: "PATH[:BAUD]",
        form: Form::Many,
        help: "Serial line on which the native wire is spoken, at 115200 baud unless it says otherwise; may be repeated",
        read: |settings, value| value.items().iter().map(serial).collect::<Result<_, _>>().map(|given| settings.serial = given),
        show: |settings| Some(list(settings.serial.iter().map(line))),
    },
    Key {
        section: "pairing",
        name: "enabled",
        option: "pairing",
        placeholder: "BOOL",
        form: Form::Flag,
        help: "Open pairing with PINs and codes from the start",
        read: |settings, value| value.flag().map(|given| settings.pairing.enabled = given),
        show: |settings| Some(settings.pairing.enabled.to_string()),
    },
    Key {
        section: "pairing",
        name: "pin_length",
        option: "pin-length",
        placeholder: "N",
        form: Form::One,
        help: "Characters of a PIN, from 4 to 12",
        read: |settings, value| value.number(4..=12).map(|given| settings.pairing.pin_length = given),
        show: |settings| Some(settings.pairing.pin_length.to_string()),
    },
    Key {
        section: "pairing",
        name: "pin_alphabet",
        option: "pin-alphabet",
        placeholder: "digits|unambiguous",
        form: Form::One,
        help: "What a PIN is made of: digits, or letters and digits that are not mistaken for each other",
        read: |settings, value| value.choice(&ALPHABETS).map(|given| settings.pairing.pin_alphabet = given),
        show: |settings| name_of(&ALPHABETS, settings.pairing.pin_alphabet),
    },
    Key {
        section: "pairing",
        name: "pin_timeout",
        option: "pairing-timeout",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a PIN lives, for instance 300 or 5m",
        read: |settings, value| value.duration(SECOND..=DAY).map(|given| settings.pairing.pin_timeout = lasting(given)),
        show: |settings| Some(quoted(show_lasting(settings.pairing.pin_timeout))),
    },
    Key {
        section: "pairing",
        name: "window",
        option: "pairing-window",
        placeholder: "TIME|none",
        form: Form::One,
        help: "How long pairing stays open once it is opened; none is as long as the gateway runs where it is open from the start, else 5m",
        read: |settings, value| window(value).map(|given| settings.pairing.window = given),
        show: |settings| Some(quoted(settings.pairing.window.map_or("none".to_owned(), show_lasting))),
    },
    Key {
        section: "pairing",
        name: "approve",
        option: "approve",
        placeholder: "auto|manual",
        form: Form::One,
        help: "Who approves whoever showed the right PIN: the PIN alone, or the operator each time",
        read: |settings, value| value.choice(&APPROVERS).map(|given| settings.pairing.approve = given),
        show: |settings| name_of(&APPROVERS, settings.pairing.approve),
    },
    Key {
        section: "pairing",
        name: "default_permissions",
        option: "default-permissions",
        placeholder: "SCOPE",
        form: Form::Many,
        help: "What whoever pairs may do, as read:PATTERN, write:PATTERN or admin:PATTERN; may be repeated, and an empty one is nothing",
        read: |settings, value| {
            permissions(value, "[pairing.default_permissions]").map(|given| settings.pairing.default_permissions = given)
        },
        show: |settings| Some(show_permissions(&settings.pairing.default_permissions)),
    },
    Key {
        section: "pairing",
        name: "token_expiry",
        option: "token-expiry",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a token lives, at least 1h",
        read: |settings, value| value.duration(EXPIRIES).map(|given| settings.pairing.token_expiry = lasting(given)),
        show: |settings| Some(quoted(show_lasting(settings.pairing.token_expiry))),
    },
    Key {
        section: "pairing",
        name: "rule",
        option: "pairing-rule",
        placeholder: "RULE",
        form: Form::Many,
        help: "What decides about a request, as 'name = \"lamp*\", decision = \"approve\"'; may be repeated, and the first that fits counts",
        read: |settings, value| rules(value).map(|given| settings.pairing.rules = given),
        show: |settings| show_rules(&settings.pairing.rules),
    },
    Key {
        section: "pairing",
        name: "addresses",
        option: "pairing-address",
        placeholder: "URL",
        form: Form::Many,
        help: "Where nodes reach this gateway, as ws://HOST:PORT, wss://HOST:PORT or tcp://HOST:PORT, for the codes it shows; without any, where it listens",
        read: |settings, value| invited_to(value).map(|given| settings.pairing.addresses = given),
        show: |settings| Some(list(settings.pairing.addresses.iter().map(quoted))),
    },
    Key {
        section: "limits",
        name: "first_message",
        option: "first-message",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a connection may be silent before its first message",
        read: |settings, value| value.duration(MILLISECOND..=DAY).map(|given| settings.limits.first_message = given),
        show: |settings| Some(quoted(show(settings.limits.first_message))),
    },
    Key {
        section: "limits",
        name: "ping_every",
        option: "ping-every",
        placeholder: "TIME",
        form: Form::One,
        help: "Time between pings",
        read: |settings, value| value.duration(MILLISECOND..=DAY).map(|given| settings.limits.ping_every = given),
        show: |settings| Some(quoted(show(settings.limits.ping_every))),
    },
    Key {
        section: "limits",
        name: "pong_within",
        option: "pong-within",
        placeholder: "TIME",
        form: Form::One,
        help: "Time to answer a ping",
        read: |settings, value| value.duration(MILLISECOND..=DAY).map(|given| settings.limits.pong_within = given),
        show: |settings| Some(quoted(show(settings.limits.pong_within))),
    },
    Key {
        section: "limits",
        name: "pending_for",
        option: "pending-for",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a request waits for the operator",
        read: |settings, value| value.duration(SECOND..=YEAR).map(|given| settings.limits.pending_for = given),
        show: |settings| Some(quoted(show(settings.limits.pending_for))),
    },
    Key {
        section: "limits",
        name: "pending_total",
        option: "pending-total",
        placeholder: "N",
        form: Form::One,
        help: "Most requests that wait; 0 lets no new node ask",
        read: |settings, value| value.number(0..=MOST).map(|given| settings.limits.pending_total = given),
        show: |settings| Some(settings.limits.pending_total.to_string()),
    },
    Key {
        section: "limits",
        name: "pending_per_source",
        option: "pending-per-source",
        placeholder: "N",
        form: Form::One,
        help: "Most requests of one source (IPv4 address or IPv6 /64) that wait",
        read: |settings, value| value.number(0..=MOST).map(|given| settings.limits.pending_per_source = given),
        show: |settings| Some(settings.limits.pending_per_source.to_string()),
    },
    Key {
        section: "limits",
        name: "waiting_total",
        option: "waiting-total",
        placeholder: "N",
        form: Form::One,
        help: "Most connections that have not authenticated",
        read: |settings, value| value.number(1..=MOST).map(|given| settings.limits.waiting_total = given),
        show: |settings| Some(settings.limits.waiting_total.to_string()),
    },
    Key {
        section: "limits",
        name: "waiting_per_source",
        option: "waiting-per-source",
        placeholder: "N",
        form: Form::One,
        help: "Most connections of one source that have not authenticated",
        read: |settings, value| value.number(1..=MOST).map(|given| settings.limits.waiting_per_source = given),
        show: |settings| Some(settings.limits.waiting_per_source.to_string()),
    },
    Key {
        section: "limits",
        name: "linked_total",
        option: "linked-total",
        placeholder: "N",
        form: Form::One,
        help: "Most authenticated connections",
        read: |settings, value| value.number(1..=MOST).map(|given| settings.limits.linked_total = given),
        show: |settings| Some(settings.limits.linked_total.to_string()),
    },
    Key {
        section: "limits",
        name: "failures_per_minute",
        option: "failures-per-minute",
        placeholder: "N",
        form: Form::One,
        help: "Failed authentications of one source a minute",
        read: |settings, value| value.number(1..=MOST).map(|given| settings.limits.failures_per_minute = given),
        show: |settings| Some(settings.limits.failures_per_minute.to_string()),
    },
    Key {
        section: "limits",
        name: "hash_queue",
        option: "hash-queue",
        placeholder: "N",
        form: Form::One,
        help: "Most tokens that wait to be hashed",
        read: |settings, value| value.number(1..=65_536).map(|given| settings.limits.hash_queue = given),
        show: |settings| Some(settings.limits.hash_queue.to_string()),
    },
];
