//! What a refusal of Kinesis means for the query: try again for a while, or stop and tell whom it concerns.

use aws_sdk_kinesis::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use std::error::Error as StdError;
use tidemill_core::retry::{Class, Failure};
use tidemill_core::{Error, Kind};

/// What was asked of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// To take records.
    Put,
    /// To tell of itself and its shards, or to give records.
    Read,
}

/// Codes of refusals: class, kind, what to do.
const KNOWN: &[(&str, Class, Kind, &str)] = &[
    (
        "ProvisionedThroughputExceededException",
        Class::Throttled,
        Kind::Again,
        "the stream has too few shards for these records, or for its readers: add some, or use on-demand mode",
    ),
    ("LimitExceededException", Class::Throttled, Kind::Again, ""),
    ("ThrottlingException", Class::Throttled, Kind::Again, ""),
    ("KMSThrottlingException", Class::Throttled, Kind::Again, ""),
    ("InternalFailure", Class::Transient, Kind::Again, ""),
    ("InternalFailureException", Class::Transient, Kind::Again, ""),
    ("ServiceUnavailable", Class::Transient, Kind::Again, ""),
    ("ResourceNotFoundException", Class::Permanent, Kind::Invalid, "see options 'stream' and 'region'"),
    ("InvalidArgumentException", Class::Permanent, Kind::Data, ""),
    ("ValidationException", Class::Permanent, Kind::Data, ""),
    ("AccessDeniedException", Class::Permanent, Kind::Denied, ""),
    ("KMSAccessDeniedException", Class::Permanent, Kind::Denied, "the caller needs the stream's key"),
    ("UnrecognizedClientException", Class::Permanent, Kind::Denied, "see the credentials"),
    ("InvalidSignatureException", Class::Permanent, Kind::Denied, "see the credentials, and the machine's clock"),
    ("ExpiredTokenException", Class::Permanent, Kind::Denied, "renew the credentials"),
    ("MissingAuthenticationTokenException", Class::Permanent, Kind::Denied, "see the credentials"),
];

/// Of a record that a request did not get through, or of a whole request.
pub(super) fn refused(stream: &str, asked: Asked, code: &str, says: &str) -> Failure {
    let known = KNOWN.iter().find(|(known, ..)| *known == code);
    let (class, kind, help) =
        known.map_or((Class::Permanent, Kind::Invalid, ""), |(_, class, kind, help)| (*class, *kind, *help));
    let what = match asked {
        Asked::Put => "records",
        Asked::Read => "to be read",
    };
    let help = match (code, asked) {
        ("InvalidArgumentException" | "ValidationException", Asked::Put) => {
            "Kinesis does not take a record: see its message"
        }
        ("InvalidArgumentException" | "ValidationException", Asked::Read) => {
            "a position that is not of this stream: the stream was made again, or the options name another one; start \
             with a new checkpoint"
        }
        ("AccessDeniedException", Asked::Put) => "the caller needs kinesis:PutRecords on the stream",
        ("AccessDeniedException", Asked::Read) => {
            "the caller needs kinesis:ListShards, GetShardIterator and GetRecords on the stream"
        }
        _ => help,
    };
    let error = Error::new(kind, format!("Kinesis stream '{stream}' refuses {what}: {code}: {says}"));
    Failure::new(class, if help.is_empty() { error } else { error.help(help) }).code(code)
}

/// Of a request.
pub(super) fn failed<E, R>(stream: &str, asked: Asked, error: SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    if let SdkError::ServiceError(context) = &error {
        let (code, says) = (context.err().code(), context.err().message());
        if let Some(code) = code {
            return refused(stream, asked, code, says.unwrap_or("it says no more"));
        }
    }
    let text = DisplayErrorContext(&error).to_string();
    let (class, kind, help) = match &error {
        SdkError::ConstructionFailure(_) => (Class::Permanent, Kind::Invalid, "see options 'region' and 'endpoint'"),
        SdkError::DispatchFailure(cause) if cause.as_connector_error().is_none_or(|cause| cause.is_user()) => {
            (Class::Permanent, Kind::Invalid, "see options 'region' and 'endpoint', and the credentials")
        }
        SdkError::DispatchFailure(cause) if cause.is_io() => (Class::Transient, Kind::Again, ""),
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
            (Class::Ambiguous, Kind::Again, "")
        }
        _ => (Class::Transient, Kind::Again, ""),
    };
    // credentials that were not found come as a failure of dispatch
    let (class, kind, help) = match text.contains("credentials") {
        true => (
            Class::Permanent,
            Kind::Denied,
            "give options 'access_key_id' and 'secret_access_key', or a profile or role of AWS",
        ),
        false => (class, kind, help),
    };
    let told = Error::new(kind, format!("Kinesis stream '{stream}' cannot be reached: {text}"));
    Failure::new(class, if help.is_empty() { told } else { told.help(help) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_whether_another_attempt_may_help() {
        let of = |code: &str| {
            let failure = refused("s", Asked::Read, code, "no");
            (failure.class, failure.error.kind())
        };
        assert_eq!(of("ProvisionedThroughputExceededException"), (Class::Throttled, Kind::Again));
        assert_eq!(of("InternalFailure"), (Class::Transient, Kind::Again));
        assert_eq!(of("AccessDeniedException"), (Class::Permanent, Kind::Denied));
        assert_eq!(of("SomethingNew"), (Class::Permanent, Kind::Invalid));
    }
}
