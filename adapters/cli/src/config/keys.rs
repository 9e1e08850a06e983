//! The table of all keys.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use handfast_core::Span;
use handfast_core::crypto::code::Alphabet;
use handfast_core::limits::{SETUP_TTL_MAX, SETUP_TTL_MIN};
use handfast_core::wire::forwarded::ForwardedHeader;
use handfast_server::policy::Approve;

use super::bus::bus_url;
use super::companions::{channels, hosts, origins, profile_name, profiles};
use super::duration::show_lasting;
use super::extensions::{command, extensions, show_extension};
use super::key::{ConfigKey, key};
use super::kinds::{
    choice, directory, flag, group, label, listed, location, log, node_uri, number, port, scopes,
    socket, span, tables, text, texts, time, time_or, url,
};
use super::print::line;
use super::settings::LogFormat;
use super::simple::{
    addresses, certified_names, invited_to, listeners, nets, renewal, serials, show_listener,
    show_renewal, window,
};
use super::store::{gateway_id, store_address};
use super::tables::{rules, show_rule};

/// Tables of the file, each with its heading in the help.
pub(super) const SECTIONS: [(&str, &str); 6] = [
    ("pairing", "Pairing"),
    ("mtls", "Nodes with certificates"),
    ("setup", "Setup codes"),
    ("operators", "Operators over HTTP"),
    ("inbound", "Inbound gate"),
    ("limits", "Limits"),
];

pub(super) const MILLISECOND: Span = Span::from_millis(1);
pub(super) const SECOND: Span = Span::from_secs(1);
const MINUTE: Span = Span::from_secs(60);
pub(super) const DAY: Span = Span::from_secs(86_400);
const YEAR: Span = Span::from_secs(365 * 86_400);
/// Allowed lifetimes of grants.
pub(super) const EXPIRIES: RangeInclusive<Span> =
    Span::from_secs(3600)..=Span::from_secs(3650 * 86_400);
/// Allowed lifetimes of certificates; how they fit together is checked with all of them.
const CERTIFICATES: RangeInclusive<Span> = Span::from_secs(600)..=Span::from_secs(3650 * 86_400);
const ROOTS: RangeInclusive<Span> = SECOND..=Span::from_secs(100 * 365 * 86_400);
/// Allowed total lifetimes of a companion's session.
const LONGEST: RangeInclusive<Span> = MINUTE..=Span::from_secs(100 * 365 * 86_400);
const MOST: u64 = u32::MAX as u64;
/// Maximum number of cached senders, at 300 bytes each.
const MOST_REMEMBERED: u64 = 10_000_000;

const ALPHABETS: [(&str, Alphabet); 2] =
    [("digits", Alphabet::Digits), ("unambiguous", Alphabet::Unambiguous)];
const APPROVERS: [(&str, Approve); 2] = [("auto", Approve::Auto), ("manual", Approve::Manual)];
const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
const HEADERS: [(&str, ForwardedHeader); 2] = [
    ("x-forwarded-for", ForwardedHeader::XForwardedFor),
    ("forwarded", ForwardedHeader::Forwarded),
];

/// Every key. Those of one table are adjacent. If two keys set the same thing (`listen` and
/// `port`), the later one in this table takes effect.
pub(super) static KEYS: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| {
    let within =
        |section, keys: Vec<ConfigKey>| keys.into_iter().map(move |key| key.within(section));
    within("", gateway())
        .chain(within("pairing", pairing()))
        .chain(within("mtls", mtls()))
        .chain(within("setup", setup()))
        .chain(within("operators", operators()))
        .chain(within("inbound", inbound()))
        .chain(within("limits", limits()))
        .collect()
});

/// Keys outside any table: listeners, data directory, TLS, proxies and extensions.
fn gateway() -> Vec<ConfigKey> {
    vec![
        key("listen", socket(), |settings| &mut settings.listen).doc("Address to listen on"),
        key("port", port(), |settings| &mut settings.listen)
            .doc("Port to listen on, in place of that in `listen`"),
        key("name", label(), |settings| &mut settings.name)
            .doc("Name of the gateway for people, which its status shows"),
        key("data", location("DIR"), |settings| &mut settings.data).doc(
            "Data directory of the gateway [default: $STATE_DIRECTORY, else \
             $XDG_DATA_HOME/handfast, else ~/.local/share/handfast]",
        ),
        key("store", store_address(), |settings| &mut settings.store).doc(
            "PostgreSQL database with the registry, which several gateways may share, as \
             postgres://handfast@db.example/handfast; only in the file or the variable may it have \
             a password [default: a file in the data directory]",
        ),
        key("store_authorities", location("FILE"), |settings| &mut settings.store_authorities).doc(
            "PEM certificates of the authorities that may have signed the database's certificate \
             [default: those of the system]",
        ),
        key("store_key", location("FILE"), |settings| &mut settings.store_key).doc(
            "The key that seals the registry's secrets, the same for all gateways that share it \
             [default: store.key in the data directory]",
        ),
        key("gateway_id", gateway_id(), |settings| &mut settings.gateway_id).doc(
            "Name of this gateway among those that share its registry, each of which has another \
             one [default: the name of the host]",
        ),
        key("cut_off_grace", time(SECOND..=DAY), |settings| &mut settings.cut_off_grace).doc(
            "How long links outlive the contact with a shared registry, whose gateway admits \
             nobody meanwhile; then they are closed, so that nodes go to another gateway",
        ),
        key("bus", bus_url(), |settings| &mut settings.bus).doc(
            "NATS servers over which messages go to nodes that are linked at other gateways of a \
             shared registry, as nats://127.0.0.1:4222, with commas between several; only in the \
             file or the variable may it have a password [default: none]",
        ),
        key("bus_authorities", location("FILE"), |settings| &mut settings.bus_authorities).doc(
            "PEM certificates of the authorities that may have signed the NATS servers' \
             certificates [default: those of the system]",
        ),
        key("socket_group", group(), |settings| &mut settings.socket_group).doc(
            "Group whose members are operators: they get a socket of their own (mode 0660) in \
             socket_dir; without it, only the gateway's user and root are",
        ),
        key("socket_dir", directory(), |settings| &mut settings.socket_dir).doc(
            "Directory of the group's socket; if it is missing, it is made for the group. The \
             command line finds it in the default one; another one is its --data",
        ),
        key("log", log(), |settings| &mut settings.log).live().doc(
            "What is logged, as info, debug or warn,handfast_server=debug [default: $RUST_LOG, \
             else info]",
        ),
        key("log_format", choice(&LOG_FORMATS), |settings| &mut settings.log_format).doc(
            "Form of the log lines on standard error: text for people, or a JSON object a line",
        ),
        key("clock_synchronised_file", location("FILE"), |settings| {
            &mut settings.clock_synchronised_file
        })
        .doc(
            "File that exists once the system's clock is synchronised [default: systemd's, \
             /run/systemd/timesync/synchronized]",
        ),
        key("tls_cert", location("FILE"), |settings| &mut settings.tls_cert)
            .doc("PEM certificate chain; with its key, only TLS is spoken"),
        key("tls_key", location("FILE"), |settings| &mut settings.tls_key)
            .doc("PEM private key of the certificate"),
        key("tls_own", flag(), |settings| &mut settings.tls_own).doc(
            "Speak only TLS, with a certificate of the gateway's own authority, where there is no \
             other one; a browser warns once, and the terminal shows the fingerprint to compare",
        ),
        key("listen_tcp", listed("ADDR:PORT", listeners, show_listener), |settings| {
            &mut settings.listen_tcp
        })
        .doc(
            "Address on which the native wire is spoken over TCP, without WebSockets; with \
             ,proxy_protocol behind it (in the file { address = \"ADDR:PORT\", proxy_protocol = \
             true }) connections begin with a PROXY v2 header; may be repeated",
        ),
        key("listen_mtls", listed("ADDR:PORT", listeners, show_listener), |settings| {
            &mut settings.listen_mtls
        })
        .doc(
            "Address on which nodes with a certificate of this gateway link over TLS 1.3, with \
             WebSockets; ,proxy_protocol as for listen_tcp; may be repeated",
        ),
        key("listen_metrics", texts("ADDR:PORT", addresses), |settings| {
            &mut settings.listen_metrics
        })
        .doc(
            "Address on which GET /metrics is served to everybody, without TLS, and nothing else \
             is; may be repeated. On the main listener the metrics are for bearers that may read \
             /gateway/metrics",
        ),
        key("no_announce", flag(), |settings| &mut settings.no_announce).doc(
            "Do not announce the gateway on its network, where nodes look for it by multicast \
             DNS (_handfast._tcp); on loopback nothing is announced anyway",
        ),
        key("no_links", flag(), |settings| &mut settings.no_links).doc(
            "Do not serve the page /p, which links for phones open (codes create --link, \
             companions invite --link)",
        ),
        key("trusted_proxies", texts("NET", nets), |settings| &mut settings.proxies.trusted)
            .option("trusted-proxy")
            .live()
            .doc(
                "Address or network of reverse proxies, as 10.0.0.5/32, that are believed when \
                 they say for whom they ask; may be repeated",
            ),
        key("proxy_header", choice(&HEADERS), |settings| &mut settings.proxies.header)
            .live()
            .doc("Header in which trusted proxies name their client; the other one is ignored"),
        key("proxy_protocol", flag(), |settings| &mut settings.proxy_protocol).doc(
            "Connections to `listen` begin with a PROXY v2 header; only trusted proxies may \
             connect then",
        ),
        key("serial", listed("PATH[:BAUD]", serials, line), |settings| &mut settings.serial).doc(
            "Serial line on which the native wire is spoken, at 115200 baud unless it says \
             otherwise; may be repeated",
        ),
        key("extension", tables("EXTENSION", extensions, show_extension), |settings| {
            &mut settings.extensions
        })
        .option("with-extension")
        .doc(
            "Program outside the gateway's process that provides a channel, methods for \
             operators, HTTP paths, metrics or items, as 'name = \"mail\", prefix = \"mail\", \
             command = [\"./mail.py\"]' (in the file a table [[extension]]); may be repeated",
        ),
        key("on_pending", texts("WORD", command), |settings| &mut settings.on_pending).doc(
            "Program that is run, without a shell, when a node or a sender begins to wait for \
             approval or a PIN is shown, with a line of JSON on its standard input; repeated, \
             the further ones are its arguments; it has 10 s, and runs 30 times a minute at most",
        ),
    ]
}

/// Keys of the table `pairing`.
fn pairing() -> Vec<ConfigKey> {
    vec![
        key("enabled", flag(), |settings| &mut settings.pairing.enabled)
            .option("pairing")
            .doc("Open pairing with PINs and codes from the start"),
        key("pin_length", number(4..=12), |settings| &mut settings.pairing.pin_length)
            .doc("Number of characters of a PIN, from 4 to 12"),
        key("pin_alphabet", choice(&ALPHABETS), |settings| &mut settings.pairing.pin_alphabet).doc(
            "Characters of a PIN: digits, or letters and digits that are not mistaken for each \
             other",
        ),
        key("pin_timeout", time(SECOND..=DAY), |settings| &mut settings.pairing.pin_timeout)
            .option("pairing-timeout")
            .doc("Lifetime of a PIN, for instance 300 or 5m"),
        key("window", time_or("none", window, show_window), |settings| {
            &mut settings.pairing.window
        })
        .option("pairing-window")
        .doc(
            "Time for which pairing stays open once it is opened; none is as long as the gateway \
             runs where it is open from the start, else 5m",
        ),
        key("approve", choice(&APPROVERS), |settings| &mut settings.pairing.approve).doc(
            "Approval of a node that showed the right PIN: by the PIN alone, or by the operator",
        ),
        key("default_permissions", scopes("[pairing.default_permissions]"), |settings| {
            &mut settings.pairing.default_permissions
        })
        .doc(
            "Permissions of nodes that pair, as read:PATTERN, write:PATTERN or admin:PATTERN; may \
             be repeated, and an empty one is nothing",
        ),
        key("token_expiry", time(EXPIRIES), |settings| &mut settings.pairing.token_expiry)
            .doc("Lifetime of a token, at least 1h"),
        key("code_longest", span(SECOND..=YEAR), |settings| &mut settings.pairing.bounds.code_for)
            .doc("Longest lifetime of a code, whoever mints it"),
        key("code_uses", number(1..=255), |settings| &mut settings.pairing.bounds.code_uses)
            .doc("Most nodes that one code may be for, from 1 to 255"),
        key("grant_longest", span(EXPIRIES), |settings| &mut settings.pairing.bounds.grant_for)
            .doc(
                "Longest lifetime of a grant, whoever gives it, at least 1h; token_expiry and the \
                 times of rules are no longer",
            ),
        key("renew_after_expiry", time_or("never", renewal, show_renewal), |settings| {
            &mut settings.limits.renew_after_expiry
        })
        .doc(
            "How long after its grant ran out a node that was off gets it again by itself, at \
             most what it may do by now",
        ),
        key("rule", tables("RULE", rules, show_rule), |settings| &mut settings.pairing.rules)
            .option("pairing-rule")
            .live()
            .doc(
                "Rule that decides about a request, as 'name = \"lamp*\", decision = \
                 \"approve\"'; may be repeated, and the first that fits counts",
            ),
        key("addresses", texts("URL", invited_to), |settings| &mut settings.pairing.addresses)
            .option("pairing-address")
            .doc(
                "Address at which nodes reach this gateway, as ws://HOST:PORT, wss://HOST:PORT or \
                 tcp://HOST:PORT, for the codes it shows and for linked nodes, which are told it; \
                 without any, codes name where it listens, and nodes are told nothing",
            ),
    ]
}

/// Keys of the table `mtls`: nodes' certificates, and the listeners that ask for them.
fn mtls() -> Vec<ConfigKey> {
    vec![
        key("require_mtls", flag(), |settings| &mut settings.mtls.require_mtls).doc(
            "Refuse connections without a certificate; false only on loopback, for development: a \
             node then proves itself by its own key",
        ),
        key("names", texts("HOST", certified_names), |settings| &mut settings.mtls.names)
            .option("mtls-name")
            .doc(
                "DNS name or IP address in the certificate of listen_mtls; may be repeated; \
                 without any, localhost and the addresses where it listens",
            ),
        key("node_life", span(CERTIFICATES), |settings| &mut settings.mtls.node_life)
            .option("mtls-node-life")
            .doc("Lifetime of a node's certificate, which it renews after two thirds of it"),
        key("server_life", span(CERTIFICATES), |settings| &mut settings.mtls.server_life)
            .option("mtls-server-life")
            .doc("Lifetime of the certificate of listen_mtls, which renews itself"),
        key("root_life", span(ROOTS), |settings| &mut settings.mtls.root_life)
            .option("mtls-root-life")
            .doc(
                "Lifetime of a root of the gateway's certificate authority, at least three times \
                 the others; a new one takes its place after two thirds of it",
            ),
        key("uri", node_uri(), |settings| &mut settings.mtls.uri).option("mtls-uri").doc(
            "URI that names a node in its certificate, with {id} in the place of its id, as \
                 spiffe://example.org/node/{id}; when it changes, nodes fetch new certificates",
        ),
    ]
}

/// Keys of the table `setup`: setup codes, and the companions' sessions that they open.
fn setup() -> Vec<ConfigKey> {
    vec![
        key("public_url", url(), |settings| &mut settings.setup.public_url).doc(
            "Where companions reach this gateway, as wss://gateway.example; it beats the URLs \
             below and this machine's own address",
        ),
        key("tunnel_url", url(), |settings| &mut settings.setup.tunnel_url)
            .doc("Where a tunnel takes companions to this gateway, if there is no public URL"),
        key("gateway_url", url(), |settings| &mut settings.setup.gateway_url).doc(
            "The remote gateway to which companions go, if there is neither a public URL nor a \
             tunnel",
        ),
        key("plain_hosts", texts("HOST", hosts), |settings| &mut settings.setup.plain_hosts)
            .option("plain-host")
            .doc(
                "Host outside the local network that a setup code may name without TLS, as \
                 gateway.example, 100.64.0.7 or *.vpn.example; may be repeated",
            ),
        key("origins", texts("ORIGIN", origins), |settings| &mut settings.setup.origins)
            .option("companion-origin")
            .doc(
                "Origin of web pages that may connect as companions besides the gateway's own, as \
                 https://console.example; may be repeated",
            ),
        key("profile", text("NAME", profile_name), |settings| &mut settings.setup.profile)
            .option("setup-profile")
            .doc("Profile of companions, if a setup code does not say otherwise"),
        key("ttl", time(SETUP_TTL_MIN..=SETUP_TTL_MAX), |settings| &mut settings.setup.ttl)
            .option("setup-ttl")
            .doc("Lifetime of a setup code, from 30s to 1d"),
        key("session_ttl", time(MINUTE..=YEAR), |settings| &mut settings.setup.session_ttl)
            .doc("Lifetime of a companion's session from when it was made or refreshed"),
        key("session_longest", time(LONGEST), |settings| &mut settings.setup.session_longest)
            .doc("Lifetime of a session in all, however often it is refreshed"),
        key("permissions", scopes("[setup.permissions]"), |settings| {
            &mut settings.setup.permissions
        })
        .option("companion-permissions")
        .doc(
            "Permissions of companions whose profile says nothing else, as read:PATTERN, \
             write:PATTERN or admin:PATTERN; may be repeated, and an empty one is nothing",
        ),
        key("profiles", profiles(), |settings| &mut settings.setup)
            .option("profile-permissions")
            .doc(
                "Permissions of companions of a profile in place of that, as lamp=read:/lights/**; \
                 may be repeated, and NAME= alone is nothing. NAME=may_approve (may_approve = true \
                 in the table): they may also approve nodes that prove themselves with a token",
            ),
        key("key_file", location("FILE"), |settings| &mut settings.setup.key_file)
            .option("setup-key-file")
            .doc(
                "The key that signs setup codes; it is made where it is missing [default: \
                 setup.key in the data directory]",
            ),
    ]
}

/// Keys of the table `operators`: the sessions of operators' browsers.
fn operators() -> Vec<ConfigKey> {
    vec![
        key("idle", time(MINUTE..=YEAR), |settings| &mut settings.operators.idle)
            .option("operator-idle")
            .doc("Time without use after which an operator's session ends"),
        key("longest", time(MINUTE..=YEAR), |settings| &mut settings.operators.longest)
            .option("operator-longest")
            .doc("Lifetime of an operator's session in all"),
        key("plain", flag(), |settings| &mut settings.operators.plain).option("plain-login").doc(
            "Let operators log in over connections that are neither encrypted nor from this \
                 machine, where everybody on the way can take the session over",
        ),
    ]
}

/// Keys of the table `inbound`: the gate for strangers on channels.
fn inbound() -> Vec<ConfigKey> {
    vec![
        key("pending_for", span(SECOND..=YEAR), |settings| {
            &mut settings.inbound.limits.pending_for
        })
        .option("inbound-pending-for")
        .doc("Lifetime of a stranger's code"),
        key("pending_per_account", number(0..=MOST), |settings| {
            &mut settings.inbound.limits.pending_of_account
        })
        .option("inbound-pending-per-account")
        .doc("Most strangers that wait for one account on one channel; 0 lets nobody new ask"),
        key("pending_total", number(0..=MOST), |settings| {
            &mut settings.inbound.limits.pending_total
        })
        .option("inbound-pending-total")
        .doc("Most strangers that wait in all; 0 lets nobody new ask"),
        key("told_every", span(SECOND..=YEAR), |settings| &mut settings.inbound.limits.told_every)
            .option("inbound-told-every")
            .doc("Shortest time between replies with its code to a stranger that goes on writing"),
        key("approvals_per_minute", number(0..=MOST), |settings| {
            &mut settings.inbound.approvals_per_minute
        })
        .option("inbound-approvals-per-minute")
        .doc(
            "How many wrong codes may be typed in a minute before right ones are refused, too; 0 \
             lets nobody in by a code",
        ),
        key("remembered", number(0..=MOST_REMEMBERED), |settings| &mut settings.inbound.remembered)
            .option("inbound-remembered")
            .doc(
                "How many senders that were let in are remembered, at about 300 bytes each; 0 asks \
                 the registry for each message",
            ),
        key("public_channels", texts("CHANNEL", channels), |settings| {
            &mut settings.inbound.public_channels
        })
        .option("public-channel")
        .doc("Channel on which everybody is let in unasked; may be repeated"),
    ]
}

/// Keys of the table `limits`.
fn limits() -> Vec<ConfigKey> {
    vec![
        key("first_message", span(MILLISECOND..=DAY), |settings| {
            &mut settings.limits.first_message
        })
        .doc("How long a connection may be silent before its first message"),
        key("ping_every", span(MILLISECOND..=DAY), |settings| &mut settings.limits.ping_every)
            .doc("Time between pings"),
        key("pong_within", span(MILLISECOND..=DAY), |settings| &mut settings.limits.pong_within)
            .doc("Time to answer a ping"),
        key("pending_for", span(SECOND..=YEAR), |settings| &mut settings.limits.pending_for)
            .doc("How long a request waits for the operator"),
        key("pending_total", number(0..=MOST), |settings| &mut settings.limits.pending_total)
            .doc("Most requests that wait; 0 lets no new node ask"),
        key("pending_per_source", number(0..=MOST), |settings| {
            &mut settings.limits.pending_per_source
        })
        .doc("Most requests of one source (IPv4 address or IPv6 /64) that wait"),
        key("waiting_total", number(1..=MOST), |settings| &mut settings.limits.waiting_total)
            .live()
            .doc("Most connections that have not authenticated"),
        key("waiting_per_source", number(1..=MOST), |settings| {
            &mut settings.limits.waiting_per_source
        })
        .live()
        .doc("Most connections of one source that have not authenticated"),
        key("linked_total", number(1..=MOST), |settings| &mut settings.limits.linked_total)
            .live()
            .doc("Most authenticated connections"),
        key("failures_per_minute", number(1..=MOST), |settings| {
            &mut settings.limits.failures_per_minute
        })
        .doc("Failed authentications of one source a minute"),
        key("hash_queue", number(1..=65_536), |settings| &mut settings.limits.hash_queue)
            .doc("Most tokens that wait to be hashed"),
        key("first_messages_per_second", number(1..=1_000_000), |settings| {
            &mut settings.limits.first_messages_per_second
        })
        .doc(
            "First messages of links read in a second; above it, those of sources that failed too \
             often wait",
        ),
        key("deliver_within", span(SECOND..=DAY), |settings| &mut settings.limits.deliver_within)
            .doc(
                "How long a secret that is shown once may be unconfirmed and unused before it is \
                 taken back",
            ),
    ]
}

fn show_window(window: &Option<std::time::Duration>) -> String {
    window.map_or("none".to_owned(), show_lasting)
}
