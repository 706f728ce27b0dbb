//! `tidemill connectors`: what there is to read from, write to and decode, each as it describes itself.

use crate::{output, wiring};
use clap::Args;
use tidemill_core::describe::{Description, OptionKind, OptionSpec, Role};
use tidemill_core::{Error, Kind, Result, ResultExt};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Connectors {
    /// Only this one, with every option.
    name: Option<String>,

    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Connectors {
    /// Prints the descriptions.
    pub fn run(self) -> Result<u8> {
        let all = wiring::registry().descriptions();
        let wanted: Vec<&Description> = all
            .iter()
            .copied()
            .filter(|one| self.name.as_deref().is_none_or(|name| one.name.eq_ignore_ascii_case(name)))
            .collect();
        if wanted.is_empty() {
            let name = self.name.unwrap_or_default();
            let error = Error::new(Kind::Usage, format!("there is no connector or format called '{name}'"));
            return Err(match tidemill_core::nearest::nearest(&name, all.iter().map(|one| one.name)) {
                Some(near) => error.help(format!("did you mean '{near}'?")),
                None => error,
            });
        }
        if self.format == Format::Json {
            let text =
                serde_json::to_string_pretty(&wanted).context(Kind::Bug, || "a description has no JSON".into())?;
            output::line(text);
        } else if self.name.is_some() {
            wanted.iter().for_each(|one| whole(one));
        } else {
            for (role, title) in [(Role::Source, "SOURCES"), (Role::Sink, "SINKS"), (Role::Format, "FORMATS")] {
                output::line(title);
                for one in wanted.iter().filter(|one| one.role == role) {
                    output::line(format!("  {:<10} {} ({})", one.name, one.summary, one.guarantee.words()));
                }
                output::line("");
            }
            output::line("`tidemill connectors NAME` shows the options of one.");
        }
        Ok(0)
    }
}

fn whole(one: &Description) {
    let role = match one.role {
        Role::Source => "source",
        Role::Sink => "sink",
        Role::Format => "format",
    };
    output::line(format!("{} ({role}): {}", one.name, one.summary));
    output::line(format!("  guarantee: {}", one.guarantee.words()));
    if !one.options.is_empty() {
        output::line("  options:");
    }
    for option in one.options {
        output::line(format!("    {:<26} {:<12} {}", option.name, option.kind.word(), described(option)));
    }
    output::line(format!("  example: WITH ({})\n", one.example));
}

fn described(option: &OptionSpec) -> String {
    let mut text = option.help.to_owned();
    if let OptionKind::Choice(words) = option.kind {
        text += &format!("; one of {}", words.join(", "));
    }
    match (option.required, option.default) {
        (true, _) => text += " (required)",
        (false, Some(default)) => text += &format!(" (default {default})"),
        (false, None) => {}
    }
    text
}
