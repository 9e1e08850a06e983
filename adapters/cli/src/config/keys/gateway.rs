//! Keys outside any table: listeners, data directory, TLS, proxies and extensions.

use super::super::extensions::{extensions, show_extensions};
use super::super::print::{line, list, path, quoted};
use super::super::simple::{HEADERS, addresses, listeners, name_of, nets, serial, show_listener};
use super::{ADDRESS, ConfigKey, Form};

pub(super) const KEYS: &[ConfigKey] = &[
    ConfigKey {
        section: "",
        name: "listen",
        option: "listen",
        placeholder: "ADDR:PORT",
        form: Form::One,
        help: "Address to listen on",
        read: |settings, value| {
            value.parsed(ADDRESS, |text| text.parse().ok()).map(|given| settings.listen = given)
        },
        show: |settings| Some(quoted(settings.listen)),
    },
    ConfigKey {
        section: "",
        name: "port",
        option: "port",
        placeholder: "PORT",
        form: Form::One,
        help: "Port to listen on, in place of that in `listen`",
        read: |settings, value| value.number(0..=65_535).map(|port| settings.listen.set_port(port)),
        show: |_| None,
    },
    ConfigKey {
        section: "",
        name: "data",
        option: "data",
        placeholder: "DIR",
        form: Form::One,
        help: "Data directory of the gateway [default: $STATE_DIRECTORY, else $XDG_DATA_HOME/handfast, else ~/.local/share/handfast]",
        read: |settings, value| value.path().map(|given| settings.data = Some(given)),
        show: |settings| settings.data.as_deref().map(path),
    },
    ConfigKey {
        section: "",
        name: "clock_synchronised_file",
        option: "clock-synchronised-file",
        placeholder: "FILE",
        form: Form::One,
        help: "File that is there once the system's clock is synchronised [default: systemd's, /run/systemd/timesync/synchronized]",
        read: |settings, value| {
            value.path().map(|given| settings.clock_synchronised_file = Some(given))
        },
        show: |settings| settings.clock_synchronised_file.as_deref().map(path),
    },
    ConfigKey {
        section: "",
        name: "tls_cert",
        option: "tls-cert",
        placeholder: "FILE",
        form: Form::One,
        help: "PEM certificate chain; with its key, only TLS is spoken",
        read: |settings, value| value.path().map(|given| settings.tls_cert = Some(given)),
        show: |settings| settings.tls_cert.as_deref().map(path),
    },
    ConfigKey {
        section: "",
        name: "tls_key",
        option: "tls-key",
        placeholder: "FILE",
        form: Form::One,
        help: "PEM private key of the certificate",
        read: |settings, value| value.path().map(|given| settings.tls_key = Some(given)),
        show: |settings| settings.tls_key.as_deref().map(path),
    },
    ConfigKey {
        section: "",
        name: "listen_tcp",
        option: "listen-tcp",
        placeholder: "ADDR:PORT",
        form: Form::Many,
        help: "Address on which the native wire is spoken over TCP, without WebSockets; with ,proxy_protocol behind it (in the file { address = \"ADDR:PORT\", proxy_protocol = true }) connections begin with a PROXY v2 header; may be repeated",
        read: |settings, value| listeners(value).map(|given| settings.listen_tcp = given),
        show: |settings| Some(list(settings.listen_tcp.iter().map(show_listener))),
    },
    ConfigKey {
        section: "",
        name: "listen_metrics",
        option: "listen-metrics",
        placeholder: "ADDR:PORT",
        form: Form::Many,
        help: "Address on which GET /metrics is served to everybody, without TLS, and nothing else is; may be repeated. On the main listener the metrics are for bearers that may read /gateway/metrics",
        read: |settings, value| addresses(value).map(|given| settings.listen_metrics = given),
        show: |settings| Some(list(settings.listen_metrics.iter().map(quoted))),
    },
    ConfigKey {
        section: "",
        name: "trusted_proxies",
        option: "trusted-proxy",
        placeholder: "NET",
        form: Form::Many,
        help: "Address or network of reverse proxies, as 10.0.0.5/32, that are believed when they say for whom they ask; may be repeated",
        read: |settings, value| nets(value).map(|given| settings.proxies.trusted = given),
        show: |settings| Some(list(settings.proxies.trusted.iter().map(quoted))),
    },
    ConfigKey {
        section: "",
        name: "proxy_header",
        option: "proxy-header",
        placeholder: "HEADER",
        form: Form::One,
        help: "The header in which trusted proxies say it, x-forwarded-for or forwarded; the other one is ignored",
        read: |settings, value| value.choice(&HEADERS).map(|given| settings.proxies.header = given),
        show: |settings| name_of(&HEADERS, settings.proxies.header),
    },
    ConfigKey {
        section: "",
        name: "proxy_protocol",
        option: "proxy-protocol",
        placeholder: "true|false",
        form: Form::Flag,
        help: "Connections to `listen` begin with a PROXY v2 header; only trusted proxies may connect then",
        read: |settings, value| value.flag().map(|given| settings.proxy_protocol = given),
        show: |settings| Some(settings.proxy_protocol.to_string()),
    },
    ConfigKey {
        section: "",
        name: "serial",
        option: "serial",
        placeholder: "PATH[:BAUD]",
        form: Form::Many,
        help: "Serial line on which the native wire is spoken, at 115200 baud unless it says otherwise; may be repeated",
        read: |settings, value| {
            value
                .items()
                .iter()
                .map(serial)
                .collect::<Result<_, _>>()
                .map(|given| settings.serial = given)
        },
        show: |settings| Some(list(settings.serial.iter().map(line))),
    },
    ConfigKey {
        section: "",
        name: "extension",
        option: "",
        placeholder: "",
        form: Form::FileOnly,
        help: "Programs outside the gateway's process that know a channel, answer operators, serve HTTP, have metrics or bring news, each in a table [[extension]]",
        read: |settings, value| extensions(value).map(|given| settings.extensions = given),
        show: |settings| show_extensions(&settings.extensions),
    },
];
