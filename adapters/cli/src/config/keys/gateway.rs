//! Keys outside any table: where the gateway listens, and what it is made of.

use super::super::extensions::{extensions, show_extensions};
use super::super::print::{line, list, path, quoted};
use super::super::simple::{addresses, serial};
use super::{ADDRESS, Form, Key};

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
