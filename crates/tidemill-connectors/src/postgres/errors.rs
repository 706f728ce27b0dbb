//! What a refusal of Postgres means for the query: try again for a while, or stop and tell whom it concerns.
//! Source of the codes: PostgreSQL 15, appendix A, "Error Codes".

use std::error::Error as StdError;
use tidemill_core::retry::Class;
use tidemill_core::{Error, Kind};

pub(super) use tidemill_core::retry::Failure;

/// Codes after which the same transaction may succeed soon; two letters are a whole class.
const PASSING: &[&str] = &["08", "40", "53", "55P03", "55006", "57P01", "57P02", "57P03", "57014", "25006", "58"];

/// Those of them that leave open whether the transaction was committed: the connection or the server ended.
const UNCLEAR: &[&str] = &["08", "57P01", "57P02"];

/// Classes `cause`, met when `what` was attempted.
pub(super) fn failure(what: &str, cause: tokio_postgres::Error) -> Failure {
    let Some(code) = cause.code().map(|code| code.code().to_owned()) else {
        return without_code(what, cause);
    };
    let told = cause.as_db_error().map(|told| (told.message(), told.column()));
    refusal(what, &code, told)
}

/// Classes what the server says: a SQLSTATE, a message and perhaps a column.
pub(super) fn refusal(what: &str, code: &str, told: Option<(&str, Option<&str>)>) -> Failure {
    let is_one_of = |codes: &[&str]| codes.iter().any(|known| code.starts_with(known));
    let class = match () {
        () if is_one_of(UNCLEAR) => Class::Ambiguous,
        () if is_one_of(PASSING) => Class::Transient,
        () => Class::Permanent,
    };
    let kind = match code.get(..2).unwrap_or_default() {
        _ if class != Class::Permanent => Kind::Again,
        "28" => Kind::Denied,
        _ if code == "42501" => Kind::Denied,
        "22" | "23" | "21" => Kind::Data,
        _ => Kind::Invalid,
    };
    let mut message = format!("{what} failed with SQLSTATE {code}");
    // the detail of a message shows values of the row, so it is not repeated
    if let Some((told, column)) = told {
        message = format!("{message}: {told}");
        if let Some(column) = column {
            message = format!("{message} (column '{column}')");
        }
    }
    let error = Error::new(kind, message);
    let error = match help(code) {
        Some(help) => error.help(help),
        None => error,
    };
    Failure::new(class, error).code(code)
}

fn help(code: &str) -> Option<&'static str> {
    Some(match code {
        "25006" => "the server takes no writes: it is a standby; name all servers in 'url', the writable one is chosen",
        "28P01" | "28000" => "check options 'user' and 'password', and the server's pg_hba.conf",
        "42501" => "grant the user what the message names",
        "42P10" => "the columns of 'primary_key' need a primary key or a unique index with exactly these columns",
        "42804" | "42846" => "give the column of the query the type of the table's column, with CAST",
        "3D000" => "create the database, or name another one in 'url'",
        "22P05" | "22021" => "remove the characters that Postgres cannot hold, for instance with replace()",
        _ => return None,
    })
}

/// Errors of the client: a lost connection is passing, a refused certificate or password is not.
fn without_code(what: &str, cause: tokio_postgres::Error) -> Failure {
    let mut chain = Vec::new();
    let mut next: Option<&dyn StdError> = Some(&cause);
    while let Some(error) = next {
        chain.push(error.to_string());
        next = error.source();
    }
    let told = chain.join(": ");
    let error = |kind| Error::new(kind, format!("{what} failed"));
    if told.contains("does not support TLS") || told.contains("TLS error: server does not") {
        let help = "the server offers no TLS; over a network you trust, set sslmode = 'disable'";
        return Failure::new(Class::Permanent, error(Kind::Invalid).help(help).caused_by(cause));
    }
    if told.contains("certificate") {
        let help = "option 'sslrootcert' names the certificate authority; the name in 'url' must be in the certificate";
        return Failure::new(Class::Permanent, error(Kind::Denied).help(help).caused_by(cause));
    }
    if told.contains("password missing") || told.contains("authentication") {
        let help = "set options 'user' and 'password'";
        return Failure::new(Class::Permanent, error(Kind::Denied).help(help).caused_by(cause));
    }
    if told.contains("does not allow writes") {
        let help = "the server is a standby; name all servers in 'url', the writable one is chosen";
        return Failure::new(Class::Transient, error(Kind::Again).help(help).caused_by(cause));
    }
    Failure::new(Class::Ambiguous, error(Kind::Again).caused_by(cause))
}
