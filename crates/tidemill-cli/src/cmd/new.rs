//! `tidemill new DIR`: writes a starter pipeline that runs as it stands, with a case that tests it.

use crate::output;
use clap::Args;
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Kind, Result};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct New {
    /// Directory to write into; made if it is not there.
    directory: PathBuf,
}

const FILES: [(&str, &str); 3] = [
    ("pipeline.sql", include_str!("../../templates/pipeline.sql")),
    ("cases/visits.json", include_str!("../../templates/visits.json")),
    ("README.md", include_str!("../../templates/README.md")),
];

impl New {
    /// Writes the files; refuses to replace any.
    pub fn run(self) -> Result<u8> {
        if let Some((name, _)) = FILES.iter().find(|(name, _)| self.directory.join(name).exists()) {
            return Err(Error::new(Kind::Usage, format!("{} is there already", self.directory.join(name).display()))
                .help("name a new directory"));
        }
        for (name, content) in FILES {
            write(&self.directory.join(name), content)?;
        }
        let shown = self.directory.display();
        output::line(format!("made {shown}"));
        output::line(format!("  run it:   cd {shown} && tidemill run pipeline.sql"));
        output::line(format!("  test it:  cd {shown} && tidemill test cases"));
        Ok(0)
    }
}

fn write(path: &Path, content: &str) -> Result<()> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, content));
    made.map_err(|error| Error::io(format!("cannot write {}", path.display()), error))
}
