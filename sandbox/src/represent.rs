//! How an answer is shown: whole, as metadata only, or as the table that `kubectl get` prints.
//!
//! Decided by the `Accept` header alone. Knows nothing of storage. Invariant: the form changes nothing but the view.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{Response, Status};
use crate::cluster::{Call, State};
use crate::kinds::Kind;

mod columns;

/// A way to show objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Whole.
    Plain,
    /// `PartialObjectMetadata`, of one object.
    Partial,
    /// `PartialObjectMetadataList`, of a collection.
    PartialList,
    /// `Table`.
    Table(Include),
}

/// What the rows of a table carry beside their cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    /// The metadata.
    Metadata,
    /// The whole object.
    Object,
    /// Nothing.
    None,
}

impl Form {
    /// Returns the first form that the header asks for and we have; 406 where there is none.
    pub fn of(accept: &str) -> Result<Form, Status> {
        if accept.trim().is_empty() {
            return Ok(Form::Plain);
        }
        for choice in accept.split(',') {
            let mut parts = choice.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            if !matches!(media, "application/json" | "application/yaml" | "*/*" | "application/*") {
                continue;
            }
            let parameter = |name: &str| {
                let mut all = choice.split(';').map(str::trim);
                all.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
            };
            let version = parameter("v").unwrap_or("v1");
            match parameter("as") {
                None => return Ok(Form::Plain),
                Some("Table") if version == "v1" => return Ok(Form::Table(Include::Metadata)),
                Some("PartialObjectMetadata") if version == "v1" => return Ok(Form::Partial),
                Some("PartialObjectMetadataList") if version == "v1" => return Ok(Form::PartialList),
                Some(_) => {}
            }
        }
        Err(Status::not_acceptable())
    }
}

/// Brings an answer into the form that the request asks for.
pub(crate) fn shaped(state: &State, call: &Call<'_>, mut response: Response) -> Result<Response, Status> {
    let mut form = Form::of(&call.request.accept)?;
    let is_object = response.body["kind"].as_str() == Some(call.kind.kind.as_str());
    let is_list = response.body["items"].is_array();
    if form == Form::Plain || !response.is_success() || !(is_object || is_list) {
        return Ok(response);
    }
    if let (Form::Table(_), Some(include)) = (form, call.request.parameter("includeObject")) {
        form = Form::Table(match include {
            "Object" => Include::Object,
            "None" => Include::None,
            _ => Include::Metadata,
        });
    }
    response.body = match (form, is_list) {
        (Form::Partial, true) => {
            let kind = &call.kind.kind;
            let message =
                format!("you requested PartialObjectMetadata, but the requested object is a list (*core.{kind}List)");
            return Err(Status::unfit_representation(message));
        }
        (Form::PartialList, false) => {
            let kind = &call.kind.kind;
            let message = format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list (*core.{kind})"
            );
            return Err(Status::unfit_representation(message));
        }
        (Form::PartialList, true) => {
            let items: Vec<Value> = response.body["items"].as_array().into_iter().flatten().map(partial).collect();
            // The real server's metadata lists have no empty array; its whole ones have.
            let items = if items.is_empty() { Value::Null } else { Value::Array(items) };
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": response.body["metadata"], "items": items})
        }
        (Form::Partial, false) => partial(&response.body),
        (Form::Table(include), true) => {
            let items = response.body["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            table(state.now, &call.kind, include, items, &response.body["metadata"], true)
        }
        (Form::Table(include), false) => {
            let metadata = json!({"resourceVersion": response.body["metadata"]["resourceVersion"]});
            table(state.now, &call.kind, include, std::slice::from_ref(&response.body), &metadata, true)
        }
        (Form::Plain, _) => response.body,
    };
    Ok(response)
}

/// Returns the object of a watch event in the form of the watch.
pub(crate) fn event_object(state: &State, kind: &Kind, form: Form, object: &Value, columns: bool) -> Value {
    match form {
        Form::Plain => object.clone(),
        Form::Partial | Form::PartialList => partial(object),
        Form::Table(include) => {
            let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            table(state.now, kind, include, std::slice::from_ref(object), &metadata, columns)
        }
    }
}

fn partial(object: &Value) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
}

fn table(now: Timestamp, kind: &Kind, include: Include, items: &[Value], metadata: &Value, columns: bool) -> Value {
    let definitions = columns::definitions(kind);
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let mut row = json!({"cells": columns::cells(kind, item, now)});
            match include {
                Include::Metadata => row["object"] = partial(item),
                Include::Object => row["object"] = item.clone(),
                Include::None => row["object"] = Value::Null,
            }
            row
        })
        .collect();
    let definitions = if columns { Value::Array(definitions) } else { Value::Null };
    let rows = if rows.is_empty() && columns::is_plain(kind) { Value::Null } else { Value::Array(rows) };
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "Table", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows})
}
