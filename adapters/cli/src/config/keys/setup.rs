//! Keys of the table `setup`: setup codes, and the companions' sessions that they open.

use std::ops::RangeInclusive;

use handfast_core::limits::{LABEL_BYTES, SETUP_TTL_MAX, SETUP_TTL_MIN};
use handfast_core::time::Span;
use handfast_core::wire::setup::ProfileName;

use super::super::companions::{address, hosts, origins, profiles, show_profiles};
use super::super::duration::{lasting, show_lasting};
use super::super::print::{list, path, quoted};
use super::super::tables::{permissions, show_permissions};
use super::{ConfigKey, Form, MINUTE, YEAR};

/// Allowed lifetimes of a setup code.
const CODES: RangeInclusive<Span> = SETUP_TTL_MIN..=SETUP_TTL_MAX;
/// Allowed lifetimes of a session.
const SESSIONS: RangeInclusive<Span> = MINUTE..=YEAR;
/// Allowed total lifetimes of a session.
const LONGEST: RangeInclusive<Span> = MINUTE..=Span::from_secs(100 * 365 * 86_400);

pub(super) const KEYS: &[ConfigKey] = &[
    ConfigKey {
        section: "setup",
        name: "public_url",
        option: "public-url",
        placeholder: "URL",
        form: Form::One,
        help: "Where companions reach this gateway, as wss://gateway.example; it beats the URLs below and this machine's own address",
        read: |settings, value| address(value).map(|given| settings.setup.public_url = given),
        show: |settings| settings.setup.public_url.as_ref().map(quoted),
    },
    ConfigKey {
        section: "setup",
        name: "tunnel_url",
        option: "tunnel-url",
        placeholder: "URL",
        form: Form::One,
        help: "Where a tunnel takes companions to this gateway, if there is no public URL",
        read: |settings, value| address(value).map(|given| settings.setup.tunnel_url = given),
        show: |settings| settings.setup.tunnel_url.as_ref().map(quoted),
    },
    ConfigKey {
        section: "setup",
        name: "gateway_url",
        option: "gateway-url",
        placeholder: "URL",
        form: Form::One,
        help: "The remote gateway to which companions go, if there is neither a public URL nor a tunnel",
        read: |settings, value| address(value).map(|given| settings.setup.gateway_url = given),
        show: |settings| settings.setup.gateway_url.as_ref().map(quoted),
    },
    ConfigKey {
        section: "setup",
        name: "plain_hosts",
        option: "plain-host",
        placeholder: "HOST",
        form: Form::Many,
        help: "Host outside the local network that a setup code may name without TLS, as gateway.example, 100.64.0.7 or *.vpn.example; may be repeated",
        read: |settings, value| hosts(value).map(|given| settings.setup.plain_hosts = given),
        show: |settings| Some(list(settings.setup.plain_hosts.iter().map(quoted))),
    },
    ConfigKey {
        section: "setup",
        name: "origins",
        option: "companion-origin",
        placeholder: "ORIGIN",
        form: Form::Many,
        help: "Origin of web pages that may connect as companions besides the gateway's own, as https://console.example; may be repeated",
        read: |settings, value| origins(value).map(|given| settings.setup.origins = given),
        show: |settings| Some(list(settings.setup.origins.iter().map(quoted))),
    },
    ConfigKey {
        section: "setup",
        name: "profile",
        option: "setup-profile",
        placeholder: "NAME",
        form: Form::One,
        help: "As what companions are let in, if a setup code does not say otherwise",
        read: |settings, value| {
            let need = "it must be 1 to 64 visible characters";
            let name = |text| ProfileName::parse(text).map(|name| name.as_str().to_owned());
            value
                .message(LABEL_BYTES)
                .and_then(|_| value.parsed(need, name))
                .map(|given| settings.setup.profile = given)
        },
        show: |settings| Some(quoted(&settings.setup.profile)),
    },
    ConfigKey {
        section: "setup",
        name: "ttl",
        option: "setup-ttl",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a setup code is good for, from 30s to 1d",
        read: |settings, value| {
            value.duration(CODES).map(|given| settings.setup.ttl = lasting(given))
        },
        show: |settings| Some(quoted(show_lasting(settings.setup.ttl))),
    },
    ConfigKey {
        section: "setup",
        name: "session_ttl",
        option: "session-ttl",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a companion's session lives, and lives on from when it is refreshed",
        read: |settings, value| {
            value.duration(SESSIONS).map(|given| settings.setup.session_ttl = lasting(given))
        },
        show: |settings| Some(quoted(show_lasting(settings.setup.session_ttl))),
    },
    ConfigKey {
        section: "setup",
        name: "session_longest",
        option: "session-longest",
        placeholder: "TIME",
        form: Form::One,
        help: "How long a session lives in all, however often it is refreshed",
        read: |settings, value| {
            value.duration(LONGEST).map(|given| settings.setup.session_longest = lasting(given))
        },
        show: |settings| Some(quoted(show_lasting(settings.setup.session_longest))),
    },
    ConfigKey {
        section: "setup",
        name: "permissions",
        option: "companion-permissions",
        placeholder: "SCOPE",
        form: Form::Many,
        help: "What companions may do whose profile says nothing else, as read:PATTERN, write:PATTERN or admin:PATTERN; may be repeated, and an empty one is nothing",
        read: |settings, value| {
            permissions(value, "[setup.permissions]")
                .map(|given| settings.setup.permissions = given)
        },
        show: |settings| Some(show_permissions(&settings.setup.permissions)),
    },
    ConfigKey {
        section: "setup",
        name: "profiles",
        option: "profile-permissions",
        placeholder: "NAME=SCOPE",
        form: Form::Many,
        help: "What companions of a profile may do in place of that, as lamp=read:/lights/**; may be repeated, and NAME= alone is nothing. NAME=may_approve (may_approve = true in the table): they may also approve nodes that prove themselves with a token",
        read: |settings, value| {
            profiles(value).map(|given| (settings.setup.profiles, settings.setup.approvers) = given)
        },
        show: |settings| show_profiles(&settings.setup.profiles, &settings.setup.approvers),
    },
    ConfigKey {
        section: "setup",
        name: "key_file",
        option: "setup-key-file",
        placeholder: "FILE",
        form: Form::One,
        help: "The key that signs setup codes; it is made where it is missing [default: setup.key in the data directory]",
        read: |settings, value| value.path().map(|given| settings.setup.key_file = Some(given)),
        show: |settings| settings.setup.key_file.as_deref().map(path),
    },
];
