//! Requests and responses as data, and the error bodies of the server.
//!
//! A [`Request`] is what an HTTP request to a Kubernetes API comes down to; the HTTP face and the library share it. Knows no objects and no
//! storage. Invariant: every error body is a `Status` with `code`, `reason` and `message` in the server's own words.

use std::collections::BTreeMap;

use serde_json::{Map as Object, Value, json};

/// Largest body that is read, in bytes; what etcd takes by default, with room for JSON.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Types of patches.
const PATCHES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// What the real server says it can read and write.
const REPRESENTATIONS: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// A request to the API.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// The path, percent-decoded, without query: `/api/v1/namespaces/default/configmaps/a`.
    pub path: String,
    /// The query, in order, percent-decoded.
    pub query: Vec<(String, String)>,
    /// The `Content-Type` of the body; empty counts as JSON.
    pub content_type: String,
    /// The `Accept` header; empty counts as JSON.
    pub accept: String,
    /// The `User-Agent`; its part before the first `/` is the field manager where the query names none.
    pub user_agent: String,
    /// The body; `null` where there is none.
    pub body: Value,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// HTTP status code.
    pub code: u16,
    /// The body as JSON; a plain text answer is a string.
    pub body: Value,
    /// Texts of `Warning` headers, in order.
    pub warnings: Vec<String>,
    /// Seconds of a `Retry-After` header.
    pub retry_after: Option<u32>,
    /// `Content-Type` of the body.
    pub content_type: String,
}

impl Request {
    /// Returns a request without query and body.
    pub fn new(method: &str, path: &str) -> Request {
        Request { method: method.to_owned(), path: path.to_owned(), ..Request::default() }
    }

    /// Returns a `GET`.
    pub fn get(path: &str) -> Request {
        Request::new("GET", path)
    }

    /// Returns a `POST` that creates `body` in the collection `path`.
    pub fn create(path: &str, body: Value) -> Request {
        Request { body, ..Request::new("POST", path) }
    }

    /// Returns a `PUT` that replaces the object at `path`.
    pub fn update(path: &str, body: Value) -> Request {
        Request { body, ..Request::new("PUT", path) }
    }

    /// Returns a server-side apply of `body` by `manager`.
    pub fn apply(path: &str, manager: &str, body: Value) -> Request {
        let content_type = "application/apply-patch+yaml".to_owned();
        Request { body, content_type, ..Request::new("PATCH", path) }.query("fieldManager", manager)
    }

    /// Returns a JSON merge patch.
    pub fn merge_patch(path: &str, body: Value) -> Request {
        let content_type = "application/merge-patch+json".to_owned();
        Request { body, content_type, ..Request::new("PATCH", path) }
    }

    /// Returns a `DELETE` without options.
    pub fn delete(path: &str) -> Request {
        Request::new("DELETE", path)
    }

    /// Adds a query parameter.
    pub fn query(mut self, name: &str, value: &str) -> Request {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the user agent.
    pub fn agent(mut self, agent: &str) -> Request {
        self.user_agent = agent.to_owned();
        self
    }

    /// Returns the first value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a query parameter is `true` or `1`.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.parameter(name), Some("true" | "1"))
    }

    /// Whether nothing may be stored (`dryRun=All`).
    pub fn dry_run(&self) -> bool {
        self.parameter("dryRun") == Some("All")
    }

    /// Refuses a body of a type that is not read.
    pub fn check_content_type(&self) -> Result<(), Status> {
        let media = self.content_type.split(';').next().unwrap_or_default().trim();
        match (self.method.as_str(), media) {
            ("PATCH", media) if PATCHES.contains(&media) => Ok(()),
            ("PATCH", _) => Err(Status::unsupported_patch()),
            (_, "" | "application/json" | "application/yaml") => Ok(()),
            _ if self.body.is_null() => Ok(()),
            _ => Err(Status::unsupported_media_type()),
        }
    }

    /// Returns the field manager: the query's, or the user agent's part before the first `/`.
    pub fn manager(&self) -> &str {
        match self.parameter("fieldManager") {
            Some(manager) if !manager.is_empty() => manager,
            _ => self.user_agent.split('/').next().unwrap_or_default(),
        }
    }
}

impl Response {
    /// Returns a JSON answer.
    pub fn json(code: u16, body: Value) -> Response {
        Response { code, body, warnings: Vec::new(), retry_after: None, content_type: "application/json".to_owned() }
    }

    /// Returns a plain text answer.
    pub fn text(code: u16, text: &str) -> Response {
        Response { content_type: "text/plain; charset=utf-8".to_owned(), ..Response::json(code, Value::from(text)) }
    }

    /// Returns what is said in place of a server that does not answer for its group: no `Status`.
    pub fn out_of_service() -> Response {
        Response::text(503, "service unavailable\n")
    }

    /// Whether the request was carried out.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

/// One reason among several in a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable, such as `FieldValueRequired`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The field; empty where there is none.
    pub field: String,
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, such as `NotFound`; empty where the server gives none.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
    /// A token with which a list may go on; empty for none.
    pub continues: String,
}

/// What a [`Status`] is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// Its group; empty for the core group.
    pub group: String,
    /// Its resource (`deployments`) or, for invalid objects, its kind.
    pub kind: String,
    /// Its uid, where that is the point.
    pub uid: String,
    /// The single causes.
    pub causes: Vec<Cause>,
    /// Seconds until a new try may succeed.
    pub retry_after_seconds: u32,
}

/// A resource and its group, as error texts name it: `deployments.apps`, `configmaps`.
#[derive(Debug, Clone, Copy)]
pub struct GroupResource<'a> {
    /// The group; empty for the core group.
    pub group: &'a str,
    /// The plural, or the kind where the server says the kind.
    pub resource: &'a str,
}

impl std::fmt::Display for GroupResource<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.group {
            "" => formatter.write_str(self.resource),
            group => write!(formatter, "{}.{group}", self.resource),
        }
    }
}

impl Status {
    fn about(code: u16, reason: &'static str, of: GroupResource<'_>, name: &str, message: String) -> Status {
        let (group, kind) = (of.group.to_owned(), of.resource.to_owned());
        let details = Details { name: name.to_owned(), group, kind, ..Details::default() };
        Status { code, reason, message, details: Some(Box::new(details)), continues: String::new() }
    }

    fn plain(code: u16, reason: &'static str, message: String) -> Status {
        Status { code, reason, message, details: None, continues: String::new() }
    }

    /// 404: the object does not exist.
    pub fn not_found(of: GroupResource<'_>, name: &str) -> Status {
        Status::about(404, "NotFound", of, name, format!("{of} \"{name}\" not found"))
    }

    /// 404: the resource does not exist.
    pub fn no_resource() -> Status {
        let message = "the server could not find the requested resource".to_owned();
        Status { details: Some(Box::default()), ..Status::plain(404, "NotFound", message) }
    }

    /// 409: the object exists.
    pub fn already_exists(of: GroupResource<'_>, name: &str) -> Status {
        Status::about(409, "AlreadyExists", of, name, format!("{of} \"{name}\" already exists"))
    }

    /// 409: the object is not as the caller thought.
    pub fn conflict(of: GroupResource<'_>, name: &str, why: &str) -> Status {
        let message = format!("Operation cannot be fulfilled on {of} \"{name}\": {why}");
        Status::about(409, "Conflict", of, name, message)
    }

    /// 409: the object was changed since the caller read it.
    pub fn modified(of: GroupResource<'_>, name: &str) -> Status {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Status::conflict(of, name, why)
    }

    /// 409: others own applied fields.
    pub fn apply_conflict(message: String, causes: Vec<Cause>) -> Status {
        let details = Details { causes, ..Details::default() };
        Status { details: Some(Box::new(details)), ..Status::plain(409, "Conflict", message) }
    }

    /// 422: the object breaks rules. `of` names the kind, not the resource.
    pub fn invalid(of: GroupResource<'_>, name: &str, causes: Vec<Cause>) -> Status {
        let mut texts: Vec<String> = Vec::new();
        for cause in &causes {
            let text = format!("{}: {}", cause.field, cause.message);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let text = match texts.as_slice() {
            [text] => text.clone(),
            texts => format!("[{}]", texts.join(", ")),
        };
        let mut status = Status::about(422, "Invalid", of, name, format!("{of} \"{name}\" is invalid: {text}"));
        if let Some(details) = &mut status.details {
            details.causes = causes;
        }
        status
    }

    /// 403: the request is not allowed.
    pub fn forbidden(of: GroupResource<'_>, name: &str, why: &str) -> Status {
        let message = match name {
            "" => format!("{of} is forbidden: {why}"),
            name => format!("{of} \"{name}\" is forbidden: {why}"),
        };
        Status::about(403, "Forbidden", of, name, message)
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::plain(400, "BadRequest", message.into())
    }

    /// 405: the resource has no such verb.
    pub fn method_not_allowed() -> Status {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Status { details: Some(Box::default()), ..Status::plain(405, "MethodNotAllowed", message) }
    }

    /// 406: no representation that the caller accepts.
    pub fn not_acceptable() -> Status {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {REPRESENTATIONS}");
        Status { details: Some(Box::default()), ..Status::plain(406, "NotAcceptable", message) }
    }

    /// 406: the representation does not fit what is there.
    pub fn unfit_representation(message: String) -> Status {
        Status::plain(406, "NotAcceptable", message)
    }

    /// 415: the body is of an unknown type.
    pub fn unsupported_media_type() -> Status {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {REPRESENTATIONS}"
        );
        Status::plain(415, "UnsupportedMediaType", message)
    }

    /// 415: the patch is of an unknown type.
    pub fn unsupported_patch() -> Status {
        let message = "415: Unsupported Media Type".to_owned();
        Status { details: Some(Box::default()), ..Status::plain(415, "UnsupportedMediaType", message) }
    }

    /// 415: the patch is of a type that custom kinds do not take.
    pub fn unsupported_custom_patch() -> Status {
        let message = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
        Status::plain(415, "UnsupportedMediaType", message.to_owned())
    }

    /// 422: the patch cannot be applied.
    pub fn inapplicable_patch() -> Status {
        let message = "the server rejected our request due to an error in our request".to_owned();
        Status { details: Some(Box::default()), ..Status::plain(422, "Invalid", message) }
    }

    /// 410: the version asked for is no longer known.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::plain(410, "Expired", message.into())
    }

    /// 413: the body is too large.
    pub fn too_large() -> Status {
        let message = format!("Request entity too large: limit is {BODY_BYTES_MAX}");
        Status::plain(413, "RequestEntityTooLarge", message)
    }

    /// 429: slow down.
    pub fn too_many_requests(retry_after_seconds: u32) -> Status {
        let message = "too many requests, please try again later".to_owned();
        let details = Details { retry_after_seconds, ..Details::default() };
        Status { details: Some(Box::new(details)), ..Status::plain(429, "TooManyRequests", message) }
    }

    /// 503: nobody answers.
    pub fn unavailable(message: impl Into<String>) -> Status {
        Status::plain(503, "ServiceUnavailable", message.into())
    }

    /// 500: the server failed.
    pub fn internal(message: impl std::fmt::Display) -> Status {
        let cause = Cause { reason: "", message: message.to_string(), field: String::new() };
        let details = Details { causes: vec![cause], ..Details::default() };
        let message = format!("Internal error occurred: {message}");
        Status { details: Some(Box::new(details)), ..Status::plain(500, "InternalError", message) }
    }

    /// 500 without a reason, as the server answers where an error has no class.
    pub fn unclassified(message: impl Into<String>) -> Status {
        Status::plain(500, "", message.into())
    }

    /// Adds the uid that the status is about.
    pub fn with_uid(mut self, uid: &str) -> Status {
        self.details.get_or_insert_default().uid = uid.to_owned();
        self
    }

    /// Returns the body that is sent.
    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            body["reason"] = self.reason.into();
        }
        if let Some(details) = &self.details {
            body["details"] = details.to_json();
        }
        if !self.continues.is_empty() {
            body["metadata"]["continue"] = self.continues.as_str().into();
        }
        body
    }
}

impl Details {
    fn to_json(&self) -> Value {
        let texts = [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)];
        let mut object: Object<String, Value> = texts
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| (name.to_owned(), text.as_str().into()))
            .collect();
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(Cause::to_json).collect();
            object.insert("causes".to_owned(), Value::Array(causes));
        }
        if self.retry_after_seconds > 0 {
            object.insert("retryAfterSeconds".to_owned(), self.retry_after_seconds.into());
        }
        Value::Object(object)
    }
}

impl Cause {
    fn to_json(&self) -> Value {
        let texts: BTreeMap<&str, &str> =
            [("reason", self.reason), ("message", self.message.as_str()), ("field", self.field.as_str())]
                .into_iter()
                .filter(|(_, text)| !text.is_empty())
                .collect();
        json!(texts)
    }
}

impl From<Status> for Response {
    fn from(status: Status) -> Response {
        let retry_after =
            status.details.as_ref().map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
        Response { retry_after, ..Response::json(status.code, status.to_json()) }
    }
}
