//! What a failed request means: from HTTP status, the server's `Status` and transport errors to [`ErrorClass`].
//!
//! Pure; knows no client. The rules come from Kubernetes' API conventions and from what kube-apiserver does where they are silent; each
//! surprise says so. Invariants: a write whose fate is unknown is never called [`ErrorClass::Transient`]; a text about a Secret consists
//! of the reason and field names only; no text contains a response body that is not a `Status`.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use ::kube::core::Status;
use serde_json::Value;

use crate::cluster::{ClusterError, ErrorClass, GroupKind};

/// Longest message that is kept, in characters: admission webhooks can answer with anything.
const MESSAGE_CHARACTERS_MAX: usize = 1024;

/// How kube-apiserver begins to say that an applied object does not fit its schema: an unknown field, a wrong type, a quantity or base64
/// text that is none. It says so with 500, whatever field validation was asked for (`conformance/kubernetes/FACTS.md`, c).
const MISFITS: [&str; 2] = ["failed to create typed ", "failed to convert "];

/// What a request was about: decides how its failure is to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// Kind of the object or of the list.
    pub kind: &'a GroupKind,
    /// Whether the request changes something. A dry run does not.
    pub writes: bool,
}

impl Subject<'_> {
    fn is_secret(&self) -> bool {
        self.kind.group.is_empty() && self.kind.kind == "Secret"
    }

    /// Returns the class of "no usable answer came, although the request may have arrived".
    fn unanswered(&self) -> ErrorClass {
        if self.writes { ErrorClass::Ambiguous } else { ErrorClass::Transient }
    }
}

/// Reads a reply that is not a success.
pub(super) fn from_reply(code: u16, body: &[u8], subject: &Subject<'_>) -> ClusterError {
    let status = serde_json::from_slice::<Value>(body)
        .ok()
        .filter(|value| value.get("kind").and_then(Value::as_str) == Some("Status"))
        .and_then(|value| serde_json::from_value::<Status>(value).ok());
    match status {
        Some(status) => from_status(code, &status, subject),
        None => ClusterError { class: class_of(code, &Status::default(), subject), code, message: code_text(code) },
    }
}

/// Reads the server's own account of a failure.
pub(super) fn from_status(code: u16, status: &Status, subject: &Subject<'_>) -> ClusterError {
    let message = if subject.is_secret() { without_values(code, status) } else { bounded(&status.message) };
    let message = if message.is_empty() { code_text(code) } else { message };
    ClusterError { class: class_of(code, status, subject), code, message }
}

/// Reads a failure in which no answer came.
pub(super) fn from_transport(error: &::kube::Error, subject: &Subject<'_>) -> ClusterError {
    if let ::kube::Error::Api(status) = error {
        return from_status(status.code, status, subject);
    }
    // The client could not make its credentials: nothing was sent.
    let unsent = matches!(error, ::kube::Error::Auth(_)) || chain(error).any(is_before_sending);
    let class = if unsent { ErrorClass::Transient } else { subject.unanswered() };
    let causes: Vec<String> = chain(error).map(ToString::to_string).collect();
    ClusterError { class, code: 0, message: bounded(&joined(&causes)) }
}

/// Describes a request that was not answered in time.
pub(super) fn from_timeout(limit: Duration, subject: &Subject<'_>) -> ClusterError {
    let message = format!("the API server did not answer within {} s", limit.as_secs());
    ClusterError { class: subject.unanswered(), code: 0, message }
}

/// Describes a request that was not sent, because another process may act by now.
pub(super) fn from_fence() -> ClusterError {
    let message = "not sent: this syncd does not lead any more".to_owned();
    ClusterError { class: ErrorClass::Transient, code: 0, message }
}

/// Describes a successful reply that cannot be read.
pub(super) fn from_unreadable(code: u16, subject: &Subject<'_>) -> ClusterError {
    let message = "the API server sent an answer that is not the object that was asked for".to_owned();
    ClusterError { class: subject.unanswered(), code, message }
}

fn class_of(code: u16, status: &Status, subject: &Subject<'_>) -> ErrorClass {
    let causes = || status.details.iter().flat_map(|details| &details.causes);
    match code {
        401 | 403 if causes().any(|cause| cause.reason == "NamespaceTerminating") => ErrorClass::NamespaceUnavailable,
        401 | 403 => ErrorClass::Forbidden,
        404 => class_of_not_found(status, subject),
        // An apply whose body names a uid never creates: kube-apiserver answers 409 with these words where the object is missing
        // (endpoints/handlers/patch.go), and 422 on metadata.uid where another object has the name (validation of an immutable field).
        409 if subject.writes && status.message.contains("uid mismatch") => ErrorClass::Gone,
        409 => ErrorClass::Conflict,
        422 if causes().any(|cause| cause.field == "metadata.uid") => ErrorClass::Gone,
        422 if is_immutable(status) => ErrorClass::Immutable,
        408 | 410 | 429 | 503 => ErrorClass::Transient,
        500 if is_misfit(status) => ErrorClass::Rejected,
        // A webhook that could not be called is asked before anything is stored.
        500 if status.message.contains("failed calling webhook") => ErrorClass::Transient,
        // Other internal errors include etcd's time-outs, after which the write may be there.
        500..=599 => subject.unanswered(),
        400..=499 => ErrorClass::Rejected,
        _ => subject.unanswered(),
    }
}

fn class_of_not_found(status: &Status, subject: &Subject<'_>) -> ErrorClass {
    match &status.details {
        Some(details)
            if details.kind == "namespaces" && details.group.is_empty() && subject.kind.kind != "Namespace" =>
        {
            ErrorClass::NamespaceUnavailable
        }
        Some(details) if !details.name.is_empty() => ErrorClass::Gone,
        // Without a name it is the path that is unknown, not the object.
        _ => ErrorClass::NotServed,
    }
}

/// Tells whether an error can only come before a request is sent: no connection, no trust.
fn is_before_sending(error: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(AddrNotAvailable | ConnectionRefused | HostUnreachable | NetworkUnreachable))
        || matches!(error.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidCertificate(_)))
}

/// Walks an error and its causes. An [`io::Error`] hides what it wraps from `source` for one level; it is shown here.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn StdError + 'static) = *error;
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}

/// Joins causes, leaving out those that the one before has already told.
fn joined(causes: &[String]) -> String {
    let mut told: Vec<&str> = Vec::new();
    for cause in causes {
        if !told.iter().any(|text| text.contains(cause.as_str())) {
            told.push(cause);
        }
    }
    told.join(": ")
}

/// Tells whether fields are at fault that cannot change, and nothing else is. The words are kube-apiserver's, where it has no reason of its own for
/// them: of most kinds, of a Pod, of a StatefulSet, of a Service's address, of a claim, of a claim that shrinks, of a binding's role.
fn is_immutable(status: &Status) -> bool {
    const WORDS: [&str; 7] = [
        "field is immutable",
        "pod updates may not change fields",
        "updates to statefulset spec for fields other than",
        "may not change once set",
        "spec is immutable after creation",
        "field can not be less than status.capacity",
        "cannot change roleRef",
    ];
    let says = |text: &str| WORDS.iter().any(|words| text.contains(words));
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut messages: Vec<&str> = causes.map(|cause| cause.message.as_str()).collect();
    if messages.is_empty() {
        messages.push(&status.message);
    }
    messages.into_iter().all(says)
}

fn is_misfit(status: &Status) -> bool {
    MISFITS.iter().any(|beginning| status.message.starts_with(beginning))
}

/// Returns the reason and the names of the fields at fault, nothing that the server says about their content.
fn without_values(code: u16, status: &Status) -> String {
    let reason = match status.reason.as_str() {
        "" if is_misfit(status) => "the object does not fit the schema of its kind".to_owned(),
        "" => code_text(code),
        reason => bounded(reason),
    };
    // `failed to create typed patch object (namespace/name; version, Kind=Secret): .field: …`
    let misfit = status.message.split_once("): ").filter(|_| is_misfit(status));
    let misfit = misfit.and_then(|(_, rest)| rest.split(": ").next()).filter(|field| field.starts_with('.'));
    let causes = status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.field.as_str());
    let fields: Vec<&str> = causes.chain(misfit).filter(|field| !field.is_empty()).collect();
    if fields.is_empty() { reason } else { bounded(&format!("{reason} (fields: {})", fields.join(", "))) }
}

fn code_text(code: u16) -> String {
    let reason =
        http::StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason()).unwrap_or("unknown status");
    format!("HTTP {code} {reason}")
}

/// One line of text, bounded, without control characters.
fn bounded(text: &str) -> String {
    let mut characters = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut kept: String = characters.by_ref().take(MESSAGE_CHARACTERS_MAX).collect();
    if characters.next().is_some() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(group: &str, kind: &str) -> GroupKind {
        GroupKind::new(group, kind)
    }

    fn reply(code: u16, body: &Value, writes: bool) -> ClusterError {
        let kind = kind("", "ConfigMap");
        from_reply(code, body.to_string().as_bytes(), &Subject { kind: &kind, writes })
    }

    fn status(code: u16, reason: &str, message: &str, details: &Value) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message, "details": details})
    }

    #[test]
    fn each_answer_has_one_class() {
        use ErrorClass::*;
        let namespace = json!({"name": "shop", "kind": "namespaces"});
        let object = json!({"name": "a", "kind": "configmaps"});
        let uid = json!({"name": "a", "causes": [{"reason": "FieldValueInvalid", "field": "metadata.uid"}]});
        let terminating =
            json!({"name": "a", "causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]});
        let immutable = json!({"field": "spec.template", "message": "Invalid value: {}: field is immutable"});
        let template = json!({"name": "j", "causes": [immutable]});
        let both = json!({"name": "j", "causes": [immutable, {"field": "spec.x", "message": "Required value"}]});
        let none = json!({});
        let cases = [
            (status(400, "BadRequest", "unknown field", &none), 400, Rejected),
            (status(401, "Unauthorized", "", &none), 401, Forbidden),
            (status(403, "Forbidden", "quota", &none), 403, Forbidden),
            (status(403, "Forbidden", "being terminated", &terminating), 403, NamespaceUnavailable),
            (status(404, "NotFound", "namespaces \"shop\" not found", &namespace), 404, NamespaceUnavailable),
            (status(404, "NotFound", "configmaps \"a\" not found", &object), 404, Gone),
            (status(404, "NotFound", "the server could not find the requested resource", &none), 404, NotServed),
            (status(409, "Conflict", "uid mismatch: the provided object", &object), 409, Gone),
            (status(409, "Conflict", "the object has been modified", &object), 409, Conflict),
            (status(409, "AlreadyExists", "configmaps \"a\" already exists", &object), 409, Conflict),
            (status(413, "RequestEntityTooLarge", "", &none), 413, Rejected),
            (status(422, "Invalid", "field is immutable", &uid), 422, Gone),
            (status(422, "Invalid", "data is wrong", &object), 422, Rejected),
            (status(422, "Invalid", "Job.batch \"j\" is invalid", &template), 422, Immutable),
            (status(422, "Invalid", "Job.batch \"j\" is invalid", &both), 422, Rejected),
            (status(429, "TooManyRequests", "", &none), 429, Transient),
            (
                status(
                    500,
                    "",
                    "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .foo: field not declared in schema",
                    &none,
                ),
                500,
                Rejected,
            ),
            (status(500, "InternalError", "failed calling webhook \"w\"", &none), 500, Transient),
            (status(500, "InternalError", "etcdserver: request timed out", &none), 500, Ambiguous),
            (status(503, "ServiceUnavailable", "", &none), 503, Transient),
            (status(504, "Timeout", "request did not complete", &none), 504, Ambiguous),
        ];
        for (body, code, class) in cases {
            assert_eq!(reply(code, &body, true).class, class, "{body}");
        }
        let etcd = status(500, "InternalError", "etcdserver: request timed out", &none);
        assert_eq!(reply(500, &etcd, false).class, Transient, "a read changes nothing");
    }

    #[test]
    fn what_is_no_status_is_not_repeated() {
        let error = reply(502, &json!("<html>token=abc</html>"), true);
        assert_eq!((error.class, error.message.as_str()), (ErrorClass::Ambiguous, "HTTP 502 Bad Gateway"));
        let error = reply(404, &json!("404 page not found"), false);
        assert_eq!((error.class, error.message.as_str()), (ErrorClass::NotServed, "HTTP 404 Not Found"));
    }

    #[test]
    fn a_secret_is_described_by_field_names_only() {
        let kind = kind("", "Secret");
        let details = json!({"causes": [{"reason": "FieldValueInvalid", "field": "data[password]", "message": "Invalid value: \"hunter2\""}]});
        let body =
            status(422, "Invalid", "Secret \"a\" is invalid: data[password]: Invalid value: \"hunter2\"", &details);
        let error = from_reply(422, body.to_string().as_bytes(), &Subject { kind: &kind, writes: true });
        assert_eq!(error.message, "Invalid (fields: data[password])");
        assert_eq!(error.class, ErrorClass::Rejected);
        let body = status(400, "BadRequest", "cannot unmarshal hunter2 into Go struct field", &json!({}));
        let error = from_reply(400, body.to_string().as_bytes(), &Subject { kind: &kind, writes: true });
        assert_eq!(error.message, "BadRequest");
        let text = "failed to create typed patch object (/a; /v1, Kind=Secret): .data.k: expected string, got &value.valueUnstructured{Value:42}";
        let body = status(500, "", text, &json!({}));
        let error = from_reply(500, body.to_string().as_bytes(), &Subject { kind: &kind, writes: true });
        assert_eq!(error.message, "the object does not fit the schema of its kind (fields: .data.k)");
        assert_eq!(error.class, ErrorClass::Rejected);
        let text =
            "failed to convert new object (shop/a; /v1, Kind=Secret) to proper version: unable to convert: hunter2";
        let body = status(500, "", text, &json!({}));
        let error = from_reply(500, body.to_string().as_bytes(), &Subject { kind: &kind, writes: true });
        assert_eq!(error.message, "the object does not fit the schema of its kind");
        assert_eq!(error.class, ErrorClass::Rejected);
    }

    #[test]
    fn a_message_is_one_bounded_line() {
        let long = "x\n".repeat(MESSAGE_CHARACTERS_MAX);
        let message = reply(422, &status(422, "Invalid", &long, &json!({})), true).message;
        assert!(!message.contains('\n'));
        assert_eq!(message.chars().count(), MESSAGE_CHARACTERS_MAX + 1);
    }

    #[test]
    fn a_refused_connection_is_not_ambiguous_and_a_lost_one_is() {
        let kind = kind("", "ConfigMap");
        let subject = Subject { kind: &kind, writes: true };
        let io = |kind| ::kube::Error::Service(Box::new(io::Error::other(io::Error::from(kind))));
        assert_eq!(from_transport(&io(io::ErrorKind::ConnectionRefused), &subject).class, ErrorClass::Transient);
        assert_eq!(from_transport(&io(io::ErrorKind::ConnectionReset), &subject).class, ErrorClass::Ambiguous);
        assert_eq!(from_transport(&io(io::ErrorKind::TimedOut), &subject).class, ErrorClass::Ambiguous);
        let read = Subject { kind: &kind, writes: false };
        assert_eq!(from_transport(&io(io::ErrorKind::ConnectionReset), &read).class, ErrorClass::Transient);
    }
}
