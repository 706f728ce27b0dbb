//! How a component describes itself, once. The option check, `tidemill connectors`, the reference
//! pages and the guarantee that `explain` prints are all derived from this.

use serde::Serialize;

/// What a component does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Brings rows in.
    Source,
    /// Takes rows out.
    Sink,
    /// Turns bytes into rows or rows into bytes.
    Format,
}

/// What a component promises about each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// A row may be lost or doubled.
    None,
    /// No row is lost; a crash may double some.
    AtLeastOnce,
    /// A crash may write a row again, with the same effect.
    Idempotent,
    /// Sources: the same positions give the same records. Sinks: rows and marker in one atomic write.
    ExactlyOnce,
}

impl Guarantee {
    /// The words `explain` prints.
    pub fn words(self) -> &'static str {
        match self {
            Guarantee::None => "no guarantee",
            Guarantee::AtLeastOnce => "at least once",
            Guarantee::Idempotent => "idempotent",
            Guarantee::ExactlyOnce => "exactly once",
        }
    }
}

/// Type of an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OptionKind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number, not negative.
    Integer,
    /// A number.
    Number,
    /// A time such as `10 minutes`, `500ms`, `1s`. A bare number is refused.
    Duration,
    /// A size such as `64MiB`, `10mb`, `1024b`. A bare number is bytes.
    Bytes,
    /// A path or URL.
    Location,
    /// A value that is never printed.
    Secret,
    /// One of a few words.
    Choice(&'static [&'static str]),
}

impl OptionKind {
    /// One word for tables and messages.
    pub fn word(self) -> &'static str {
        match self {
            OptionKind::Text => "text",
            OptionKind::Boolean => "boolean",
            OptionKind::Integer => "integer",
            OptionKind::Number => "number",
            OptionKind::Duration => "duration",
            OptionKind::Bytes => "size",
            OptionKind::Location => "path or URL",
            OptionKind::Secret => "secret",
            OptionKind::Choice(_) => "choice",
        }
    }
}

/// One option of a component. `name` is in snake_case; Spark's camelCase form of it is accepted too.
/// A name that ends in `.*` passes every key with that prefix on to a client library.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct OptionSpec {
    /// The name in snake_case.
    pub name: &'static str,
    /// Other accepted names, beyond the camelCase form.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub aliases: &'static [&'static str],
    /// Type of its value.
    #[serde(rename = "type")]
    pub kind: OptionKind,
    /// The value when it is not given, in the same notation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<&'static str>,
    /// True when the component cannot work without it.
    pub required: bool,
    /// One sentence for people.
    pub help: &'static str,
}

impl OptionSpec {
    /// An optional option without a default.
    pub const fn new(name: &'static str, kind: OptionKind, help: &'static str) -> Self {
        OptionSpec { name, aliases: &[], kind, default: None, required: false, help }
    }

    /// With a default.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// Must be given.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// With other accepted names.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
}

/// What a component says of itself.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Description {
    /// The word after `connector =` or `format =`.
    pub name: &'static str,
    /// What it does.
    pub role: Role,
    /// One sentence for people.
    pub summary: &'static str,
    /// What it promises; for a sink, in the output modes it accepts.
    pub guarantee: Guarantee,
    /// Its options.
    pub options: &'static [OptionSpec],
    /// A whole `WITH (...)` list that works.
    pub example: &'static str,
}
