//! Reads: one object, and lists at a version, page by page.
//!
//! Knows versions, selectors and continue tokens, not how an answer is shown (`represent`). Invariant: all pages of one list are of the same
//! version, or the list ends with 410.

use std::borrow::Cow;
use std::ops::Bound;

use serde_json::{Value, json};

use crate::api::{Request, Response, Status};
use crate::cluster::{Call, State};
use crate::kinds::Kind;
use crate::represent::Form;
use crate::select::{Fields, Labels};
use crate::store::Objects;
use crate::write::{present, scale_of};

/// What a list or watch selects.
pub(crate) struct Selection {
    pub namespace: String,
    pub labels: Labels,
    pub fields: Fields,
}

impl Selection {
    /// Reads the selectors of a request.
    pub fn of(call: &Call<'_>) -> Result<Selection, Status> {
        let parameter = |name: &str| call.request.parameter(name).unwrap_or_default();
        let labels = Labels::parse(parameter("labelSelector")).map_err(Status::bad_request)?;
        let mut fields = parameter("fieldSelector").to_owned();
        if !call.target.name.is_empty() {
            fields = format!("metadata.name={}", call.target.name);
        }
        let fields = Fields::parse(&fields, &call.kind).map_err(Status::bad_request)?;
        Ok(Selection { namespace: call.target.namespace.clone(), labels, fields })
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Value) -> bool {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        (self.namespace.is_empty() || self.namespace == namespace)
            && self.labels.matches(object)
            && self.fields.matches(object)
    }
}

/// The version of a token that goes on with whatever is there.
const INCONSISTENT: u64 = 0;

fn list_too_old() -> Status {
    Status::expired("The resourceVersion for the provided list is too old.")
}

/// Where the next page of a list begins.
struct Continue {
    version: u64,
    after: (String, String),
}

impl Continue {
    fn text(&self) -> String {
        let token = json!({"v": self.version, "n": self.after.0, "k": self.after.1}).to_string();
        token.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Says that the version of the token is gone, and how to go on without it.
    fn too_old(&self) -> Status {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
        let rest = Continue { version: INCONSISTENT, after: self.after.clone() };
        Status { continues: rest.text(), ..Status::expired(message) }
    }

    fn parse(text: &str) -> Option<Continue> {
        let bytes: Vec<u8> = text
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect::<Option<_>>()?;
        let token: Value = serde_json::from_slice(&bytes).ok()?;
        let text = |name: &str| token[name].as_str().map(str::to_owned);
        Some(Continue { version: token["v"].as_u64()?, after: (text("n")?, text("k")?) })
    }
}

/// Returns the answer to a version that history no longer holds.
pub(crate) fn expired(asked: u64, oldest: u64) -> Status {
    Status::expired(format!("too old resource version: {asked} ({oldest})"))
}

/// Returns the answer to a version that is not there yet.
pub(crate) fn too_large(asked: u64, current: u64) -> Status {
    let message = format!("Too large resource version: {asked}, current: {current}");
    let mut status = Status::unclassified(format!("Timeout: {message}"));
    (status.code, status.reason) = (504, "Timeout");
    let cause = crate::api::Cause {
        reason: "ResourceVersionTooLarge",
        message: "Too large resource version".into(),
        field: String::new(),
    };
    let details = status.details.get_or_insert_default();
    details.causes.push(cause);
    details.retry_after_seconds = 1;
    status
}

/// Reads the resourceVersion of a request; absent and empty give `None`, and anything but a number what is wrong with it.
pub(crate) fn version_of(request: &Request) -> Result<Option<u64>, String> {
    match request.parameter("resourceVersion") {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
            format!("resourceVersion: Invalid value: {text:?}: {why}")
        }),
    }
}

impl State {
    /// `GET` of one object.
    pub fn get(&mut self, call: &Call<'_>) -> Result<Response, Status> {
        let object = self.store.get(&call.key()).ok_or_else(|| call.not_found())?;
        match call.target.subresource.as_str() {
            "" => Ok(Response::json(200, present(&call.kind, object))),
            "status" if call.kind.status => Ok(Response::json(200, present(&call.kind, object))),
            "scale" => {
                scale_of(&call.kind, object).map(|scale| Response::json(200, scale)).ok_or_else(Status::no_resource)
            }
            "log" if call.kind.is("", "Pod") => crate::controllers::log(object, call.request),
            _ => Err(Status::no_resource()),
        }
    }

    /// `GET` of a collection.
    pub fn list(&mut self, call: &Call<'_>) -> Result<Response, Status> {
        let selection = Selection::of(call)?;
        let request = call.request;
        let limit: usize = match request.parameter("limit") {
            None | Some("") => 0,
            Some(text) => text.parse().map_err(|_| Status::bad_request("limit must be a number"))?,
        };
        let token = match request.parameter("continue") {
            None | Some("") => None,
            Some(text) => {
                let why = "invalid continue token: continue key is not valid: it is not one of this server's";
                Some(Continue::parse(text).ok_or_else(|| Status::bad_request(why))?)
            }
        };
        let current = self.store.version();
        let (version, objects) = self.objects_at(call, token.as_ref(), current)?;
        let mut items = Vec::new();
        let mut next = None;
        let mut left = 0_u64;
        let begin = token.as_ref().map_or(Bound::Unbounded, |token| Bound::Excluded(&token.after));
        for (key, object) in objects.range((begin, Bound::Unbounded)) {
            if !selection.namespace.is_empty() && selection.namespace != key.0 {
                continue;
            }
            // As on the real server, what is left counts before it is selected.
            if limit > 0 && items.len() == limit {
                left += 1;
                continue;
            }
            if !selection.matches(object) {
                continue;
            }
            next = Some(key.clone());
            items.push(present(&call.kind, object));
        }
        if call.kind.custom.is_none() && Form::of(&call.request.accept)? == Form::Plain {
            for item in items.iter_mut().filter_map(Value::as_object_mut) {
                item.remove("kind");
                item.remove("apiVersion");
            }
        }
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if let (true, Some(after)) = (left > 0, next) {
            metadata["continue"] = Continue { version, after }.text().into();
            if selection.labels.is_empty() && selection.fields.is_empty() {
                metadata["remainingItemCount"] = left.into();
            }
        }
        let kind = format!("{}List", call.kind.kind);
        let body = json!({"apiVersion": call.kind.api_version(), "kind": kind, "metadata": metadata, "items": items});
        Ok(Response::json(200, body))
    }

    /// Returns the objects of the collection at the version that the request asks for.
    fn objects_at(
        &self,
        call: &Call<'_>,
        token: Option<&Continue>,
        current: u64,
    ) -> Result<(u64, Cow<'_, Objects>), Status> {
        let Some(collection) = self.store.collection(call.kind.id) else { return Ok((current, Cow::default())) };
        let at = |version: u64| collection.at(version);
        let now = || at(current).map_err(|gone| expired(current, gone.oldest));
        if let Some(token) = token {
            if token.version == INCONSISTENT {
                return Ok((current, now()?));
            }
            let objects = at(token.version).map_err(|_| token.too_old())?;
            return Ok((token.version, objects));
        }
        let version = version_of(call.request);
        let version = version.map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))?;
        if let Some(asked) = version.filter(|asked| *asked > current) {
            return Err(too_large(asked, current));
        }
        match (call.request.parameter("resourceVersionMatch"), version) {
            (Some("Exact"), Some(asked)) => Ok((asked, at(asked).map_err(|_| list_too_old())?)),
            // A page of a version without a match is of exactly that version, as it was before there were matches.
            (None, Some(asked)) if asked > 0 && call.request.parameter("limit").is_some_and(|limit| limit != "0") => {
                Ok((asked, at(asked).map_err(|_| list_too_old())?))
            }
            (Some("Exact" | "NotOlderThan"), None) => {
                Err(Status::bad_request("resourceVersionMatch is forbidden unless resourceVersion is provided"))
            }
            _ => Ok((current, now()?)),
        }
    }
}

/// Returns the columns of a custom kind's printer, if its definition has any.
pub(crate) fn printer_columns(kind: &Kind) -> Vec<Value> {
    let custom = kind.custom.as_ref();
    custom.and_then(|custom| custom["additionalPrinterColumns"].as_array().cloned()).unwrap_or_default()
}
