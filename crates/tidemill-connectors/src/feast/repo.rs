//! A Feast repository: what its `feature_store.yaml` says of the project and the online store, as options of the sink.
//! What the table's own options say counts more.
//!
//! Of YAML it reads what Feast's documentation and `feast init` write: maps by indentation and plain or quoted values.
//! Source: Feast 0.40, `feast/repo_config.py` and `feast/infra/online_stores/`.

use std::collections::BTreeMap;
use std::path::Path;
use tidemill_core::describe::OptionSpec;
use tidemill_core::options::GivenOption;
use tidemill_core::{Error, Options, Result};

const FILE: &str = "feature_store.yaml";
/// Where Feast keeps features when the file says nothing.
const SQLITE_PATH: &str = "data/online.db";

/// The options of table `table`, filled in from the repository in `folder`.
///
/// # Errors
/// The file cannot be read; it is written in a way that is not read here; a store that the sink cannot write.
pub(super) fn filled(table: &str, folder: &str, options: &Options, specs: &[OptionSpec]) -> Result<Options> {
    let path = Path::new(folder).join(FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Error::io(format!("option 'repo' of table '{table}': cannot read '{}'", path.display()), error)
    })?;
    let wrong = |why: String| Error::invalid(format!("'{}': {why}", path.display()));
    let told = told(&text, Path::new(folder)).map_err(wrong)?;
    let mut given = vec![];
    for spec in specs {
        let own = options.text(spec.name).filter(|value| spec.default != Some(value));
        let value = own.or_else(|| told.get(spec.name).map(String::as_str)).or(options.text(spec.name));
        given.extend(value.map(|value| GivenOption::new(spec.name, value)));
    }
    Options::check(&format!("table '{table}'"), &[specs], &given)
}

/// Options by name.
fn told(text: &str, folder: &Path) -> Result<BTreeMap<&'static str, String>, String> {
    let values = values(text)?;
    let value = |key: &str| values.get(key).map(String::as_str);
    if let Some(version) = value("entity_key_serialization_version").filter(|version| *version != "3") {
        return Err(format!("entity keys of version {version} are not written, only those of version 3"));
    }
    let mut told = BTreeMap::new();
    told.extend(value("project").map(|project| ("project", project.to_owned())));
    let kind = value("online_store.type").or(value("online_store")).unwrap_or("sqlite");
    match kind {
        "sqlite" => {
            told.insert("online_store", "sqlite".into());
            let path = folder.join(value("online_store.path").unwrap_or(SQLITE_PATH));
            told.insert("path", path.display().to_string());
        }
        "redis" => {
            told.insert("online_store", "redis".into());
            redis(&value, &mut told)?;
        }
        other => return Err(format!("an online store of type '{other}' cannot be written, only redis and sqlite")),
    }
    Ok(told)
}

/// `host:port,host:port,password=..,ssl=true`, as Feast's Redis store has it.
fn redis<'a>(
    value: &impl Fn(&str) -> Option<&'a str>,
    told: &mut BTreeMap<&'static str, String>,
) -> Result<(), String> {
    let (mut nodes, mut scheme) = (vec![], "redis");
    for part in value("online_store.connection_string").unwrap_or("localhost:6379").split(',') {
        match part.trim().split_once('=') {
            None => nodes.push(part.trim()),
            Some(("ssl", is)) => scheme = if is.eq_ignore_ascii_case("true") { "rediss" } else { "redis" },
            Some(("password", secret)) => drop(told.insert("password", secret.into())),
            Some(("username", name)) => drop(told.insert("username", name.into())),
            Some(("db", number)) => drop(told.insert("db", number.into())),
            Some(("ssl_ca_certs", file)) => drop(told.insert("ssl_ca_location", file.into())),
            // the value may be a secret
            Some((other, _)) => return Err(format!("'{other}' in connection_string is not known to this sink")),
        }
    }
    told.insert("url", nodes.iter().map(|node| format!("{scheme}://{node}")).collect::<Vec<_>>().join(","));
    match value("online_store.redis_type").unwrap_or("redis") {
        "redis" => {}
        "redis_cluster" => drop(told.insert("cluster", "true".into())),
        "redis_sentinel" => {
            let master = value("online_store.sentinel_master").unwrap_or("mymaster");
            told.insert("sentinel_master", master.to_owned());
        }
        other => return Err(format!("redis_type '{other}' is none of redis, redis_cluster and redis_sentinel")),
    }
    told.extend(value("online_store.key_ttl_seconds").map(|seconds| ("ttl", format!("{seconds} seconds"))));
    Ok(())
}

/// Values by their path, with points between: `online_store.type`. Lists are passed over.
fn values(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    let mut above: Vec<(usize, String)> = vec![];
    for (line, number) in text.lines().zip(1..) {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', '-']) {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        above.retain(|(of, _)| *of < indent);
        let unread = || format!("line {number} is not 'key: value'");
        let (key, value) = content.split_once(':').ok_or_else(unread)?;
        let value = plain(value.trim()).ok_or_else(|| {
            format!("the value in line {number} is written in a way that is not read here: set the option of the table instead")
        })?;
        above.push((indent, key.trim().to_owned()));
        if !value.is_empty() {
            let path: Vec<_> = above.iter().map(|(_, key)| key.as_str()).collect();
            values.insert(path.join("."), value);
        }
    }
    Ok(values)
}

/// A value without quotes and comment; `None` for what stands for something else.
fn plain(value: &str) -> Option<String> {
    if let Some(quote) = value.chars().next().filter(|first| matches!(first, '"' | '\'')) {
        let (inner, rest) = value[1..].split_once(quote)?;
        let is_end = rest.trim().is_empty() || rest.trim_start().starts_with('#');
        return (is_end && !inner.contains(['\\', '$'])).then(|| inner.to_owned());
    }
    let value = value.split(" #").next().unwrap_or(value).trim();
    let value = if value.starts_with('#') { "" } else { value };
    (!value.starts_with(['{', '[', '&', '*', '!', '|', '>']) && !value.contains('$')).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<&'static str, String>, String> {
        told(text, Path::new("/repo"))
    }

    #[test]
    fn what_feast_init_writes_is_read() {
        let text = "project: shop\n# the path of the registry\nregistry: data/registry.db\nprovider: local\nonline_store:\n    \
                    type: sqlite\n    path: data/online_store.db\nauth:\n    type: no_auth\n\
                    entity_key_serialization_version: 3\n";
        let told = read(text).unwrap();
        assert_eq!((told["project"].as_str(), told["online_store"].as_str()), ("shop", "sqlite"));
        assert_eq!(told["path"], "/repo/data/online_store.db");
        assert_eq!(read("project: shop\n").unwrap()["path"], "/repo/data/online.db");
    }

    #[test]
    fn a_redis_store_is_taken_apart() {
        let text = "project: 'shop' # ours\nonline_store:\n  type: redis\n  redis_type: redis_cluster\n  key_ttl_seconds: 60\n  \
                    connection_string: \"a:6379,b:6380,ssl=true,password=s3ntinel,username=u\"\n";
        let told = read(text).unwrap();
        assert_eq!(told["url"], "rediss://a:6379,rediss://b:6380");
        assert_eq!((told["cluster"].as_str(), told["ttl"].as_str()), ("true", "60 seconds"));
        assert_eq!((told["username"].as_str(), told["password"].as_str()), ("u", "s3ntinel"));
    }

    #[test]
    fn what_cannot_be_read_is_named_without_its_value() {
        for (text, expected) in [
            ("online_store: {type: redis}", "line 1"),
            ("project: p\nonline_store:\n  type: redis\n  connection_string: ${REDIS}", "line 4"),
            ("online_store:\n  type: dynamodb", "dynamodb"),
            ("entity_key_serialization_version: 2", "version 2"),
            ("online_store:\n  type: redis\n  connection_string: a:1,token=s3ntinel", "'token'"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(expected) && !told.contains("s3ntinel"), "{told}");
        }
    }
}
