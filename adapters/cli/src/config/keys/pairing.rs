//! Keys of the table `pairing`.

use handfast_core::crypto::code::Alphabet;
use handfast_server::policy::Approve;

use super::super::duration::{lasting, show, show_lasting};
use super::super::print::{list, quoted};
use super::super::simple::{invited_to, name_of, renewal, show_renewal, window};
use super::super::tables::{permissions, rules, show_permissions, show_rules};
use super::{ConfigKey, DAY, EXPIRIES, Form, SECOND, YEAR};

const ALPHABETS: [(&str, Alphabet); 2] =
    [("digits", Alphabet::Digits), ("unambiguous", Alphabet::Unambiguous)];
const APPROVERS: [(&str, Approve); 2] = [("auto", Approve::Auto), ("manual", Approve::Manual)];

pub(super) const KEYS: &[ConfigKey] = &[
    ConfigKey {
        section: "pairing",
        name: "enabled",
        option: "pairing",
        placeholder: "BOOL",
        form: Form::Flag,
        help: "Open pairing with PINs and codes from the start",
        read: |settings, value| value.flag().map(|given| settings.pairing.enabled = given),
        show: |settings| Some(settings.pairing.enabled.to_string()),
    },
    ConfigKey {
        section: "pairing",
        name: "pin_length",
        option: "pin-length",
        placeholder: "N",
        form: Form::One,
        help: "Characters of a PIN, from 4 to 12",
        read: |settings, value| {
            value.number(4..=12).map(|given| settings.pairing.pin_length = given)
        },
        show: |settings| Some(settings.pairing.pin_length.to_string()),
    },
    ConfigKey {
        section: "pairing",
        name: "pin_alphabet",
        option: "pin-alphabet",
        placeholder: "digits|unambiguous",
        form: Form::One,
        help: "What a PIN is made of: digits, or letters and digits that are not mistaken for each other",
        read: |settings, value| {
            value.choice(&ALPHABETS).map(|given| settings.pairing.pin_alphabet = given)
        },
        show: |settings| name_of(&ALPHABETS, settings.pairing.pin_alphabet),
    },
    ConfigKey {
        section: "pairing",
        name: "pin_timeout",
        option: "pairing-timeout",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a PIN lives, for instance 300 or 5m",
        read: |settings, value| {
            value.duration(SECOND..=DAY).map(|given| settings.pairing.pin_timeout = lasting(given))
        },
        show: |settings| Some(quoted(show_lasting(settings.pairing.pin_timeout))),
    },
    ConfigKey {
        section: "pairing",
        name: "window",
        option: "pairing-window",
        placeholder: "TIME|none",
        form: Form::One,
        help: "How long pairing stays open once it is opened; none is as long as the gateway runs where it is open from the start, else 5m",
        read: |settings, value| window(value).map(|given| settings.pairing.window = given),
        show: |settings| {
            Some(quoted(settings.pairing.window.map_or("none".to_owned(), show_lasting)))
        },
    },
    ConfigKey {
        section: "pairing",
        name: "approve",
        option: "approve",
        placeholder: "auto|manual",
        form: Form::One,
        help: "Who approves whoever showed the right PIN: the PIN alone, or the operator each time",
        read: |settings, value| {
            value.choice(&APPROVERS).map(|given| settings.pairing.approve = given)
        },
        show: |settings| name_of(&APPROVERS, settings.pairing.approve),
    },
    ConfigKey {
        section: "pairing",
        name: "default_permissions",
        option: "default-permissions",
        placeholder: "SCOPE",
        form: Form::Many,
        help: "What whoever pairs may do, as read:PATTERN, write:PATTERN or admin:PATTERN; may be repeated, and an empty one is nothing",
        read: |settings, value| {
            permissions(value, "[pairing.default_permissions]")
                .map(|given| settings.pairing.default_permissions = given)
        },
        show: |settings| Some(show_permissions(&settings.pairing.default_permissions)),
    },
    ConfigKey {
        section: "pairing",
        name: "token_expiry",
        option: "token-expiry",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a token lives, at least 1h",
        read: |settings, value| {
            value.duration(EXPIRIES).map(|given| settings.pairing.token_expiry = lasting(given))
        },
        show: |settings| Some(quoted(show_lasting(settings.pairing.token_expiry))),
    },
    ConfigKey {
        section: "pairing",
        name: "code_longest",
        option: "code-longest",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a code may live at most, whoever mints it",
        read: |settings, value| {
            value.duration(SECOND..=YEAR).map(|given| settings.pairing.bounds.code_for = given)
        },
        show: |settings| Some(quoted(show(settings.pairing.bounds.code_for))),
    },
    ConfigKey {
        section: "pairing",
        name: "code_uses",
        option: "code-uses",
        placeholder: "N",
        form: Form::One,
        help: "How many nodes a code may be for at most, from 1 to 255",
        read: |settings, value| {
            value.number(1..=255).map(|given| settings.pairing.bounds.code_uses = given)
        },
        show: |settings| Some(settings.pairing.bounds.code_uses.to_string()),
    },
    ConfigKey {
        section: "pairing",
        name: "grant_longest",
        option: "grant-longest",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a grant may live at most, whoever gives it, at least 1h; token_expiry and the times of rules are no longer",
        read: |settings, value| {
            value.duration(EXPIRIES).map(|given| settings.pairing.bounds.grant_for = given)
        },
        show: |settings| Some(quoted(show(settings.pairing.bounds.grant_for))),
    },
    ConfigKey {
        section: "pairing",
        name: "renew_after_expiry",
        option: "renew-after-expiry",
        placeholder: "TIME|never",
        form: Form::One,
        help: "How long after its grant ran out a node that was off gets it again by itself, at most what it may do by now",
        read: |settings, value| {
            renewal(value).map(|given| settings.limits.renew_after_expiry = given)
        },
        show: |settings| Some(quoted(show_renewal(settings.limits.renew_after_expiry))),
    },
    ConfigKey {
        section: "pairing",
        name: "rule",
        option: "pairing-rule",
        placeholder: "RULE",
        form: Form::Many,
        help: "What decides about a request, as 'name = \"lamp*\", decision = \"approve\"'; may be repeated, and the first that fits counts",
        read: |settings, value| rules(value).map(|given| settings.pairing.rules = given),
        show: |settings| show_rules(&settings.pairing.rules),
    },
    ConfigKey {
        section: "pairing",
        name: "addresses",
        option: "pairing-address",
        placeholder: "URL",
        form: Form::Many,
        help: "Where nodes reach this gateway, as ws://HOST:PORT, wss://HOST:PORT or tcp://HOST:PORT, for the codes it shows; without any, where it listens",
        read: |settings, value| invited_to(value).map(|given| settings.pairing.addresses = given),
        show: |settings| Some(list(settings.pairing.addresses.iter().map(quoted))),
    },
];
