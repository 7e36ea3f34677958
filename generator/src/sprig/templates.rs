//! `include` and `tpl`: functions whose result is what a template writes.
//!
//! Source: Helm v4.2.3 `pkg/engine/engine.go`.

use super::Host;
use crate::gotemplate::{Call, Execution, FunctionError, Run, Stage, print};
use crate::value::{Str, Value};

/// How often one name may be included inside itself; Helm's own limit.
pub const INCLUDES_OF_ONE_NAME_MAX: usize = 1000;

/// The name that Helm gives every text of `tpl`.
const TPL_NAME: &str = "gotpl";

pub(super) fn include(call: &mut Call<'_>, args: &[Value]) -> Result<Execution, FunctionError> {
    let [Value::String(name), data] = args else { return Err(FunctionError::shape()) };
    let host = call.host::<Host>().ok_or_else(FunctionError::shape)?;
    if host.including.len() > INCLUDES_OF_ONE_NAME_MAX && host.included.is_empty() {
        for name in &host.including {
            *host.included.entry(name.clone()).or_insert(0) += 1;
        }
    }
    if !host.included.is_empty() {
        let count = host.included.entry(name.clone()).or_insert(0);
        if *count > INCLUDES_OF_ONE_NAME_MAX {
            let message = format!("rendering template has a nested reference name: {name}: unable to execute template");
            return Err(FunctionError::new(message).code("limit"));
        }
        *count += 1;
    }
    host.including.push(name.clone());
    Ok(Execution { template: Run::Named(name.clone()), data: data.clone(), finish: Some(included), preamble: None })
}

fn included(call: &mut Call<'_>, text: Str) -> Result<Value, FunctionError> {
    let host = call.host::<Host>().ok_or_else(FunctionError::shape)?;
    let ended = host.including.pop();
    if host.including.is_empty() {
        host.included.clear();
    } else if let Some(count) = ended.and_then(|name| host.included.get_mut(&name)) {
        *count = count.saturating_sub(1);
    }
    Ok(Value::from(text))
}

pub(super) fn tpl(_: &mut Call<'_>, args: &[Value]) -> Result<Execution, FunctionError> {
    let [Value::String(text), data] = args else { return Err(FunctionError::shape()) };
    let template = Run::Text { name: Str::from(TPL_NAME), text: text.clone() };
    Ok(Execution { template, data: data.clone(), finish: Some(finished), preamble: Some(tpl_preamble) })
}

fn tpl_preamble(run: &Run, stage: Stage) -> String {
    let quoted = match run {
        Run::Text { text, .. } => print::quote(text.as_bytes()),
        Run::Named(name) => print::quote(name.as_bytes()),
    };
    match stage {
        Stage::Parsing => format!("cannot parse template {quoted}: "),
        Stage::Executing => format!("error during tpl function execution for {quoted}: "),
    }
}

/// Go writes `<no value>` where a value is missing; Helm takes the words away again, wherever they come from.
fn finished(_: &mut Call<'_>, text: Str) -> Result<Value, FunctionError> {
    Ok(Value::from(without_no_value(text)))
}

/// Returns the text without any `<no value>`.
pub(crate) fn without_no_value(text: Str) -> Str {
    const MARK: &str = "<no value>";
    match text.as_str() {
        Some(plain) if !plain.contains(MARK) => text,
        Some(plain) => Str::from(plain.replace(MARK, "")),
        None => {
            let mut rest = text.as_bytes();
            let mut out = Vec::with_capacity(rest.len());
            while let Some(first) = rest.first() {
                if let Some(after) = rest.strip_prefix(MARK.as_bytes()) {
                    rest = after;
                } else {
                    out.push(*first);
                    rest = &rest[1..];
                }
            }
            Str::from(out)
        }
    }
}
