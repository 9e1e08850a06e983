//! `handfast config`: the settings that a gateway would be served with.

use handfast_server::TlsFiles;

use crate::End;
use crate::args::{ConfigArgs, ConfigVerb, DataDir};
use crate::print::{put, safe};
use crate::serve::tls_problem;

pub(crate) fn run(args: ConfigArgs) -> Result<(), End> {
    match args.verb {
        ConfigVerb::Print(serve) => {
            let mut settings = serve.options.settings().map_err(End::refused)?;
            let path = DataDir { data: settings.data.take() }.place()?;
            settings.data = Some(path.to_path_buf());
            put(&settings.to_toml())
        }
        ConfigVerb::Check(serve) => {
            let settings = serve.options.settings().map_err(End::refused)?;
            if let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) {
                TlsFiles::open(cert, key).map_err(|error| End::Refused(tls_problem(&error)))?;
            }
            let of = match serve.options.file() {
                Some(file) => safe(&file.display().to_string()),
                None => "the configuration".to_owned(),
            };
            put(&format!("{of}: no mistake\n"))
        }
    }
}
