//! The options of `serve`: one for each key, and those that concern the file.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::bus::BusUrl;
use super::environment::{CONFIG, Environment};
use super::key::{ConfigKey, Form};
use super::keys::{KEYS, SECTIONS};
use super::settings::{Listener, ServeSettings};
use super::store::{StoreAddress, seen_by_others};
use super::value::ConfigValue;
use super::{ConfigError, companions, file};

const FILE: &str = "TOML file with settings; every option but this one and --print-config may \
                    stand in it. A variable of the environment beats it, and an option beats both. \
                    At SIGHUP the keys marked [live] and the certificate are read again; a \
                    mistake changes nothing and is logged";

/// The command line of `serve`, for a field with `#[command(flatten)]`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Path of the configuration file.
    pub config: Option<PathBuf>,
    /// `true` to print the settings and end.
    pub print_config: bool,
    /// The words of each given option, by the index of its key.
    given: Vec<(usize, Vec<String>)>,
}

impl Options {
    /// Returns the command line that names only a file.
    #[must_use]
    pub fn of_file(config: PathBuf) -> Self {
        Self { config: Some(config), ..Self::default() }
    }

    /// Returns the path of the configuration file that an option or the environment names.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.file_in(&Environment::of_this_process())
    }

    fn file_in(&self, environment: &Environment) -> Option<PathBuf> {
        let named = environment.get(CONFIG).filter(|path| !path.is_empty()).map(PathBuf::from);
        self.config.clone().or(named)
    }

    /// Returns the settings: the defaults, overridden by the file, overridden by the environment,
    /// overridden by the options.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems of the file, or else of the environment and the options.
    pub fn settings(&self) -> Result<ServeSettings, ConfigError> {
        self.settings_in(&Environment::of_this_process())
    }

    pub(super) fn settings_in(
        &self,
        environment: &Environment,
    ) -> Result<ServeSettings, ConfigError> {
        let mut settings = ServeSettings::default();
        if let Some(path) = self.file_in(environment) {
            file::apply(&path, &mut settings)?;
        }
        let mut problems = environment.apply(&mut settings);
        for (number, words) in &self.given {
            if let Some(key) = KEYS.get(*number)
                && let Err(problem) = key.read(&mut settings, &ConfigValue::words(words))
            {
                problems.push(format!("--{}: {}", key.option, problem.in_option()));
            }
        }
        for (name, has_password) in [
            ("store", settings.store.as_ref().is_some_and(StoreAddress::has_password)),
            ("bus", settings.bus.as_ref().is_some_and(BusUrl::has_password)),
        ] {
            let mut given = self.given.iter().filter_map(|(number, _)| KEYS.get(*number));
            if let (true, Some(key)) = (has_password, given.find(|key| key.name == name)) {
                problems.push(seen_by_others(key));
            }
        }
        if settings.bus.is_some() && settings.store.is_none() {
            problems.push(
                "there is a bus and no store; a bus is between gateways that share a registry in a \
                 database"
                    .to_owned(),
            );
        }
        match (&settings.tls_cert, &settings.tls_key) {
            (Some(_), None) => {
                problems.push("there is a tls_cert and no tls_key; TLS needs both".to_owned());
            }
            (None, Some(_)) => {
                problems.push("there is a tls_key and no tls_cert; TLS needs both".to_owned());
            }
            (Some(_), Some(_)) if settings.tls_own => problems.push(
                "there is tls_own beside tls_cert and tls_key; a listener has one certificate, so \
                 leave one of them out"
                    .to_owned(),
            ),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let headed = settings.proxy_protocol
            || [&settings.listen_tcp, &settings.listen_mtls]
                .into_iter()
                .flatten()
                .any(|listener| listener.proxy_protocol);
        if headed && settings.proxies.trusted.is_empty() {
            problems.push(
                "there is a proxy_protocol and no trusted_proxies, so nobody could connect; name \
                 the proxies with --trusted-proxy or trusted_proxies"
                    .to_owned(),
            );
        }
        let far = |listener: &&Listener| {
            !listener.address.ip().to_canonical().is_loopback() || listener.proxy_protocol
        };
        if let Some(far) = settings.listen_mtls.iter().find(far)
            && !settings.mtls.require_mtls
        {
            problems.push(format!(
                "require_mtls = false is for listeners on loopback and without proxy_protocol, \
                 and listen_mtls has {}; listen on 127.0.0.1 there, or leave require_mtls on",
                far.address
            ));
        }
        problems.extend(companions::check(&settings.setup));
        if settings.operators.longest < settings.operators.idle {
            problems.push(
                "longest in [operators] is shorter than idle: a session may not live longer \
                 without use than in all; raise the first or lower the second"
                    .to_owned(),
            );
        }
        if problems.is_empty() { Ok(settings) } else { Err(ConfigError(problems.join("\n"))) }
    }
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(format!("{FILE} [env: {CONFIG}]"));
        let print = Arg::new("print-config").long("print-config").action(ArgAction::SetTrue).help(
            "Print the settings that file, environment and options give, as such a file, and end",
        );
        let defaults = ServeSettings::default();
        KEYS.iter().fold(command.arg(config).arg(print), |command, key| {
            command.arg(option(key, &defaults))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn option(key: &'static ConfigKey, defaults: &ServeSettings) -> Arg {
    let default = key.show(defaults).filter(|shown| key.form == Form::One && !shown.is_empty());
    let variable = key.variable() + if key.live { "] [live" } else { "" };
    let help = match default {
        Some(shown) => {
            format!("{} [default: {}] [env: {variable}]", key.doc, shown.trim_matches('"'))
        }
        None => format!("{} [env: {variable}]", key.doc),
    };
    let heading =
        SECTIONS.iter().find(|(section, _)| *section == key.section).map(|(_, heading)| *heading);
    let arg = Arg::new(key.option.as_str())
        .long(key.option.as_str())
        .value_name(key.placeholder.as_str())
        .value_parser(checked(key))
        .help(help)
        .help_heading(heading);
    match key.form {
        Form::One => arg,
        Form::Many => arg.action(ArgAction::Append),
        Form::Flag => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
    }
}

/// Returns a parser that checks each word immediately, so that clap reports the error.
fn checked(key: &'static ConfigKey) -> ValueParser {
    ValueParser::new(move |word: &str| {
        let words = [word.to_owned()];
        match key.read(&mut ServeSettings::default(), &ConfigValue::words(&words)) {
            Ok(()) => Ok(word.to_owned()),
            Err(problem) => Err(problem.in_option()),
        }
    })
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Self::default();
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.config = matches.get_one::<PathBuf>("config").cloned();
        self.print_config = matches.get_flag("print-config");
        let given =
            |key: &ConfigKey| matches.value_source(&key.option) == Some(ValueSource::CommandLine);
        let words = |key: &ConfigKey| {
            matches.get_many::<String>(&key.option).into_iter().flatten().cloned().collect()
        };
        self.given = KEYS
            .iter()
            .enumerate()
            .filter(|(_, key)| given(key))
            .map(|(number, key)| (number, words(key)))
            .collect();
        Ok(())
    }
}
