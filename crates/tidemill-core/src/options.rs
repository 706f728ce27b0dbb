//! The options of a component, checked against its description: every key known, every required one
//! there, every value of its type. After this nothing looks at raw text again.

use crate::describe::{OptionKind, OptionSpec};
use crate::error::{Error, Place, Result};
use crate::nearest::nearest;
use std::collections::BTreeMap;
use std::time::Duration;

/// A key and a value as the user gave them, with the place of each for errors.
#[derive(Debug, Clone)]
pub struct GivenOption {
    /// The key, in any accepted spelling.
    pub key: String,
    /// The value.
    pub value: String,
    /// Where it stands in the user's text.
    pub place: Option<Place>,
}

impl GivenOption {
    /// An option that stands in no text.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        GivenOption { key: key.into(), value: value.into(), place: None }
    }
}

#[derive(Debug, Clone)]
struct Checked {
    value: String,
    secret: bool,
}

/// Checked options of one component, by canonical name. `Debug` does not print secrets.
#[derive(Clone, Default)]
pub struct Options(BTreeMap<String, Checked>);

impl Options {
    /// Checks what was given for `owner` (for messages: `source 'kafka'`) against `specs`.
    ///
    /// # Errors
    /// An unknown key (with the nearest known one), a key given twice, a missing required key, a
    /// value that is not of its type.
    pub fn check(owner: &str, specs: &[&[OptionSpec]], given: &[GivenOption]) -> Result<Options> {
        let mut checked = BTreeMap::new();
        for option in given {
            let Some((name, spec)) = find(specs, &option.key) else {
                return Err(unknown_key(owner, specs, option));
            };
            check_value(owner, &name, spec, option)?;
            let secret = spec.kind == OptionKind::Secret;
            if checked.insert(name.clone(), Checked { value: option.value.clone(), secret }).is_some() {
                return Err(Error::invalid(format!("{owner}: option '{name}' is given twice"))
                    .at_if_unplaced(option.place.clone()));
            }
        }
        for spec in specs.iter().flat_map(|group| group.iter()) {
            match (checked.contains_key(spec.name), spec.default) {
                (false, Some(default)) => {
                    checked.insert(spec.name.to_owned(), Checked { value: default.to_owned(), secret: false });
                }
                (false, None) if spec.required => {
                    return Err(Error::invalid(format!("{owner} needs option '{}'", spec.name))
                        .help(format!("'{}' is: {}", spec.name, spec.help)));
                }
                _ => {}
            }
        }
        Ok(Options(checked))
    }

    /// These and `others`, which go before. For a connector that hands on to another one.
    #[must_use]
    pub fn with(mut self, others: Options) -> Options {
        self.0.extend(others.0);
        self
    }

    /// The value of `name`, a given one or the default.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|checked| checked.value.as_str())
    }

    /// The value of a required option or one with a default.
    ///
    /// # Errors
    /// A bug when the description does not make it sure to be there.
    pub fn required(&self, name: &str) -> Result<&str> {
        self.text(name).ok_or_else(|| Error::bug(format!("option '{name}' is read but neither required nor defaulted")))
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(|text| text.trim().parse().ok())
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.text(name).and_then(|text| text.trim().parse().ok())
    }

    /// `true` or `false`; `false` when absent.
    pub fn boolean(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
    }

    /// A time.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.text(name).and_then(|text| parse_duration(text).ok())
    }

    /// A size in bytes.
    pub fn bytes(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(|text| parse_bytes(text).ok())
    }

    /// Every option whose name starts with `prefix`, the prefix cut off.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(name, checked)| Some((name.strip_prefix(prefix)?, checked.value.as_str())))
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(name, checked)| (name, if checked.secret { "***" } else { &checked.value })))
            .finish()
    }
}

/// `maxFilesPerTrigger` and `MAX_FILES_PER_TRIGGER` as `max_files_per_trigger`. Dotted names keep
/// their form but for case of a fully upper-case word.
pub fn snake_case(name: &str) -> String {
    if !name.chars().any(char::is_lowercase) {
        return name.to_lowercase();
    }
    let mut snake = String::with_capacity(name.len() + 4);
    let mut previous_lower = false;
    for letter in name.chars() {
        if letter.is_uppercase() && previous_lower {
            snake.push('_');
        }
        previous_lower = letter.is_lowercase() || letter.is_ascii_digit();
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn find<'a>(specs: &[&'a [OptionSpec]], key: &str) -> Option<(String, &'a OptionSpec)> {
    let snake = snake_case(key);
    for spec in specs.iter().flat_map(|group| group.iter()) {
        if let Some(prefix) = spec.name.strip_suffix('*') {
            if let Some(rest) = key.strip_prefix(prefix) {
                return Some((format!("{prefix}{rest}"), spec));
            }
        } else if spec.name == snake
            || spec.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(key) || *alias == snake)
        {
            return Some((spec.name.to_owned(), spec));
        }
    }
    None
}

fn unknown_key(owner: &str, specs: &[&[OptionSpec]], option: &GivenOption) -> Error {
    let names: Vec<&str> = specs.iter().flat_map(|group| group.iter()).map(|spec| spec.name).collect();
    let error = Error::invalid(format!("{owner} has no option '{}'", option.key)).at_if_unplaced(option.place.clone());
    match nearest(&snake_case(&option.key), names.iter().copied()) {
        Some(near) => error.help(format!("did you mean '{near}'?")),
        None => error.help(format!("known options: {}", names.join(", "))),
    }
}

fn check_value(owner: &str, name: &str, spec: &OptionSpec, option: &GivenOption) -> Result<()> {
    let text = option.value.trim();
    let wrong = |expected: String| {
        let shown = if spec.kind == OptionKind::Secret { "***" } else { text };
        Err(Error::invalid(format!("{owner}: option '{name}' is '{shown}', which is not {expected}"))
            .at_if_unplaced(option.place.clone()))
    };
    match spec.kind {
        OptionKind::Text | OptionKind::Secret => Ok(()),
        OptionKind::Location if text.is_empty() => wrong("a path or URL".into()),
        OptionKind::Location => Ok(()),
        OptionKind::Boolean if !matches!(text.to_ascii_lowercase().as_str(), "true" | "false") => {
            wrong("true or false".into())
        }
        OptionKind::Integer if text.parse::<u64>().is_err() => wrong("a whole number, 0 or more".into()),
        OptionKind::Number if text.parse::<f64>().is_err() => wrong("a number".into()),
        OptionKind::Duration if parse_duration(text).is_err() => {
            wrong("a time with a unit, such as '10 minutes' or '500ms'".into())
        }
        OptionKind::Bytes if parse_bytes(text).is_err() => wrong("a size, such as '64MiB' or '1024'".into()),
        OptionKind::Choice(words) if !words.iter().any(|word| word.eq_ignore_ascii_case(text)) => {
            wrong(format!("one of {}", words.join(", ")))
        }
        _ => Ok(()),
    }
}

/// Parses `10 minutes`, `1 minute 30 seconds`, `500ms`, `2h`. A bare number has no unit and is refused.
///
/// # Errors
/// The text, when it is no such time.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    rest = rest.strip_prefix("interval ").or_else(|| rest.strip_prefix("INTERVAL ")).unwrap_or(rest).trim_start();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(text.to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| text.to_owned())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let seconds = match rest[..letters].to_ascii_lowercase().as_str() {
            "us" | "microsecond" | "microseconds" => 1e-6,
            "ms" | "millisecond" | "milliseconds" => 1e-3,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return Err(text.to_owned()),
        };
        total += Duration::try_from_secs_f64(number * seconds).map_err(|_| text.to_owned())?;
        rest = rest[letters..].trim_start();
    }
    Ok(total)
}

/// Parses `64MiB`, `10mb`, `1g`, `1024`. Decimal and binary units both mean powers of 1024, as in Spark.
///
/// # Errors
/// The text, when it is no such size.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| text.to_owned())?;
    let shift = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(text.to_owned()),
    };
    number.checked_shl(shift).filter(|bytes| bytes >> shift == number).ok_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[OptionSpec] = &[
        OptionSpec::new("path", OptionKind::Location, "the directory").required(),
        OptionSpec::new("max_files_per_trigger", OptionKind::Integer, "files an epoch reads at most"),
        OptionSpec::new("linger", OptionKind::Duration, "how long to wait").default("5ms"),
        OptionSpec::new("password", OptionKind::Secret, "the password"),
        OptionSpec::new("kafka.*", OptionKind::Text, "passed on"),
    ];

    fn check(given: &[(&str, &str)]) -> Result<Options> {
        let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        Options::check("source 'files'", &[SPECS], &given)
    }

    #[test]
    fn both_spellings_are_accepted_and_defaults_filled() {
        let options = check(&[("path", "in"), ("maxFilesPerTrigger", "3"), ("kafka.client.id", "a")]).unwrap();
        assert_eq!(options.integer("max_files_per_trigger"), Some(3));
        assert_eq!(options.duration("linger"), Some(Duration::from_millis(5)));
        assert_eq!(options.with_prefix("kafka.").collect::<Vec<_>>(), [("client.id", "a")]);
    }

    #[test]
    fn a_misspelled_key_names_the_nearest_one() {
        let error = check(&[("path", "in"), ("maxFilesPerTriger", "3")]).unwrap_err();
        assert!(error.report().contains("did you mean 'max_files_per_trigger'?"), "{}", error.report());
    }

    #[test]
    fn a_missing_required_key_a_double_key_and_a_wrong_value_are_refused() {
        assert!(check(&[]).unwrap_err().to_string().contains("needs option 'path'"));
        assert!(check(&[("path", "a"), ("PATH", "b")]).unwrap_err().to_string().contains("given twice"));
        assert!(check(&[("path", "a"), ("linger", "5")]).unwrap_err().to_string().contains("a time with a unit"));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let options = check(&[("path", "in"), ("password", "s3ntinel")]).unwrap();
        assert!(!format!("{options:?}").contains("s3ntinel"));
    }

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(parse_duration("1 minute 30 seconds"), Ok(Duration::from_secs(90)));
        assert!(parse_duration("90").is_err());
        assert_eq!(parse_bytes("64MiB"), Ok(64 << 20));
        assert!(parse_bytes("64 parsecs").is_err());
    }
}
