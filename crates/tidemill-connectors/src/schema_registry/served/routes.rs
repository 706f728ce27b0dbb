//! Which path is which question.

use super::answer::{Answer, No, found};
use super::request::Asked;
use super::{config, schemas, subjects};
use crate::schema_registry::store::SchemaRegistry;
use hyper::Method;
use serde_json::json;

/// Answers a request.
pub(super) fn route(registry: &SchemaRegistry, asked: &Asked) -> Result<Answer, No> {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let is = |method: &Method| asked.method == *method;
    match path.as_slice() {
        [] if is(&get) => Ok(found(&json!({}))),
        ["subjects"] if is(&get) => subjects::list(registry, asked),
        ["subjects", subject] if is(&post) => subjects::lookup(registry, asked, subject),
        ["subjects", subject] if is(&delete) => subjects::delete(registry, asked, subject),
        ["subjects", subject, "versions"] if is(&get) => subjects::versions(registry, asked, subject),
        ["subjects", subject, "versions"] if is(&post) => subjects::register(registry, asked, subject),
        ["subjects", subject, "versions", version] if is(&get) => subjects::version(registry, asked, subject, version),
        ["subjects", subject, "versions", version] if is(&delete) => {
            subjects::delete_version(registry, asked, subject, version)
        }
        ["subjects", subject, "versions", version, "schema"] if is(&get) => {
            subjects::schema(registry, asked, subject, version)
        }
        ["subjects", subject, "versions", version, "referencedby"] if is(&get) => {
            subjects::referenced_by(registry, asked, subject, version)
        }
        ["schemas"] if is(&get) => schemas::list(registry, asked),
        ["schemas", "types"] if is(&get) => Ok(found(&["JSON", "PROTOBUF", "AVRO"])),
        ["schemas", "ids", id] if is(&get) => schemas::by_id(registry, asked, id),
        ["schemas", "ids", id, "schema"] if is(&get) => schemas::text(registry, id),
        ["schemas", "ids", id, "subjects"] if is(&get) => schemas::subjects(registry, asked, id),
        ["schemas", "ids", id, "versions"] if is(&get) => schemas::versions(registry, asked, id),
        ["compatibility", "subjects", subject, "versions"] if is(&post) => {
            config::check(registry, asked, subject, None)
        }
        ["compatibility", "subjects", subject, "versions", version] if is(&post) => {
            config::check(registry, asked, subject, Some(version))
        }
        ["config"] if is(&get) => config::level(registry, asked, None),
        ["config"] if is(&put) => config::set_level(registry, asked, None),
        ["config"] if is(&delete) => config::unset_level(registry, None),
        ["config", subject] if is(&get) => config::level(registry, asked, Some(subject)),
        ["config", subject] if is(&put) => config::set_level(registry, asked, Some(subject)),
        ["config", subject] if is(&delete) => config::unset_level(registry, Some(subject)),
        ["mode"] | ["mode", _] if is(&get) => Ok(found(&json!({"mode": "READWRITE"}))),
        ["contexts"] if is(&get) => Ok(found(&["."])),
        ["v1", "metadata", "version"] if is(&get) => Ok(found(&json!({"version": env!("CARGO_PKG_VERSION")}))),
        _ => Err(No::path()),
    }
}
