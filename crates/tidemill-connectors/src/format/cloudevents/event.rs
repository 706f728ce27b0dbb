//! One event: its attributes as text, and its data.

use crate::format::fault::Fault;
use crate::format::reject::MISSING_FIELD;
use crate::topics::headers::unpack;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Attributes that every event has.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// An event.
pub(super) struct Event<'a> {
    /// By name.
    pub attributes: BTreeMap<String, String>,
    pub data: Content<'a>,
}

/// The data of an event.
pub(super) enum Content<'a> {
    /// There is none.
    None,
    /// A JSON value, as it is written.
    Json(&'a str),
    Bytes(Cow<'a, [u8]>),
}

impl<'a> Event<'a> {
    /// The event in a JSON object.
    ///
    /// # Errors
    /// It is none.
    pub fn of_json(text: &'a [u8]) -> Result<Event<'a>, Fault> {
        let members: BTreeMap<String, &'a RawValue> =
            serde_json::from_slice(text).map_err(|why| Fault::malformed(format!("not a CloudEvent in JSON: {why}")))?;
        let mut event = Event { attributes: BTreeMap::new(), data: Content::None };
        for (name, value) in members {
            match (name.as_str(), value.get()) {
                (_, "null") => {}
                ("data", json) => event.data = Content::Json(json),
                ("data_base64", json) => {
                    let bytes = text_of(json).and_then(|text| STANDARD.decode(text.as_bytes()).ok());
                    let bytes = bytes.ok_or_else(|| Fault::malformed("not a CloudEvent: data_base64 is not base64"))?;
                    event.data = Content::Bytes(bytes.into());
                }
                (_, json) => {
                    event.attributes.insert(name, text_of(json).unwrap_or(Cow::Borrowed(json)).into_owned());
                }
            }
        }
        event.checked()
    }

    /// The event whose attributes are in headers, as a source has packed them; `None` when they are not those of one.
    pub fn of_headers(headers: &[u8], data: Option<&'a [u8]>) -> Option<Result<Event<'a>, Fault>> {
        let mut attributes = BTreeMap::new();
        for (name, value) in unpack(headers) {
            let (name, value) =
                (String::from_utf8_lossy(name).to_lowercase(), String::from_utf8_lossy(value.unwrap_or_default()));
            if let Some(attribute) = name.strip_prefix("ce_") {
                attributes.insert(attribute.to_owned(), value.into_owned());
            } else if let Some(attribute) = name.strip_prefix("ce-") {
                attributes.insert(attribute.to_owned(), unescaped(&value));
            } else if name == "content-type" {
                attributes.insert("datacontenttype".to_owned(), value.into_owned());
            }
        }
        attributes.contains_key("specversion").then(|| {
            let data = data.map_or(Content::None, |data| Content::Bytes(data.into()));
            Event { attributes, data }.checked()
        })
    }

    fn checked(self) -> Result<Event<'a>, Fault> {
        if let Some(name) = REQUIRED.iter().find(|name| !self.attributes.contains_key(**name)) {
            return Err(Fault::new(MISSING_FIELD, format!("not a CloudEvent: '{name}' is missing")));
        }
        match self.attributes.get("specversion") {
            Some(version) if version.starts_with("1.") => Ok(self),
            Some(version) => Err(Fault::malformed(format!("a CloudEvent of version '{version}', not 1.0"))),
            None => Ok(self),
        }
    }
}

/// The events in a JSON array, each as it is written.
///
/// # Errors
/// It is none.
pub(super) fn batch(text: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    let events: Vec<&RawValue> = serde_json::from_slice(text)
        .map_err(|why| Fault::malformed(format!("not a batch of CloudEvents in JSON: {why}")))?;
    Ok(events.into_iter().map(|event| event.get().as_bytes()).collect())
}

/// Text of an HTTP header without its percent escapes; what is none stays as it is.
fn unescaped(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The text of a JSON string.
pub(super) fn text_of(json: &str) -> Option<Cow<'_, str>> {
    if !json.starts_with('"') {
        return None;
    }
    serde_json::from_str::<String>(json).ok().map(Cow::Owned)
}
