//! The two text forms that Prometheus reads: the classic one, and OpenMetrics for whoever asks for it.
//!
//! Knows nothing of what is measured. Invariant: both forms say the same.
//! Source: OpenMetrics 1.0.0 (families of counters without `_total`, buckets as floats, `# EOF`).

use prometheus::{Registry, TextEncoder};

/// A text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Prometheus' own, which everything reads.
    #[default]
    Classic,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

const OPEN_METRICS: &str = "application/openmetrics-text";

impl Form {
    /// Returns the form that an `Accept` header prefers; the classic one where it says nothing of the other.
    pub fn accepted(accept: &str) -> Form {
        let mut best = [(Form::OpenMetrics, 0.0_f64), (Form::Classic, 0.0)];
        for part in accept.split(',') {
            let mut parts = part.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let parameters: Vec<(&str, &str)> = parts.filter_map(|parameter| parameter.split_once('=')).collect();
            let parameter = |name: &str| parameters.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
            let weight = parameter("q").and_then(|q| q.parse().ok()).unwrap_or(1.0);
            let form = match (media, parameter("version")) {
                (OPEN_METRICS, None | Some("1.0.0" | "0.0.1")) => Form::OpenMetrics,
                ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => Form::Classic,
                _ => continue,
            };
            let known = best.iter_mut().find(|(other, _)| *other == form).expect("both are listed");
            known.1 = known.1.max(weight);
        }
        let [(_, open), (_, classic)] = best;
        if open > 0.0 && open >= classic { Form::OpenMetrics } else { Form::Classic }
    }

    /// Returns the media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Writes everything that is registered, and families that are written already, with their names, all sorted by name.
    pub(super) fn write(self, registry: &Registry, written: Vec<(String, String)>) -> String {
        let registered = registry.gather().into_iter().map(|family| {
            let text = TextEncoder::new().encode_to_string(std::slice::from_ref(&family));
            (family.name().to_owned(), text.expect("registered metrics can be written"))
        });
        let mut families: Vec<(String, String)> = registered.chain(written).collect();
        families.sort();
        let text: String = families.into_iter().map(|(_, text)| text).collect();
        match self {
            Form::Classic => text,
            Form::OpenMetrics => open(&text),
        }
    }
}

/// Writes the classic form as OpenMetrics.
fn open(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (word, rest) = comment.split_once(' ').unwrap_or((comment, ""));
            let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            // Only counters are named so.
            let family = name.strip_suffix("_total").unwrap_or(name);
            let unit = ["seconds", "bytes", "ratio"].into_iter().find(|unit| family.ends_with(&format!("_{unit}")));
            out.push_str(&format!("# {word} {family} {rest}\n"));
            if let (Some(unit), "TYPE") = (unit, word) {
                out.push_str(&format!("# UNIT {family} {unit}\n"));
            }
            continue;
        }
        match line.split_once("le=\"").and_then(|(head, rest)| Some((head, rest.split_once('"')?))) {
            Some((head, (bound, rest))) if line.contains("_bucket{") && is_whole(bound) => {
                out.push_str(&format!("{head}le=\"{bound}.0\"{rest}\n"));
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out.push_str("# EOF\n");
    out
}

fn is_whole(bound: &str) -> bool {
    bound.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_one_that_is_preferred() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,\
                          text/plain;version=0.0.4;q=0.25,*/*;q=0.1";
        for (accept, form) in [
            ("", Form::Classic),
            ("*/*", Form::Classic),
            ("text/plain", Form::Classic),
            ("text/html, */*;q=0.8", Form::Classic),
            ("application/openmetrics-text", Form::OpenMetrics),
            ("application/openmetrics-text; version=2.0.0", Form::Classic),
            ("application/openmetrics-text;q=0.1,text/plain;q=0.9", Form::Classic),
            ("application/openmetrics-text;q=0", Form::Classic),
            (prometheus, Form::OpenMetrics),
        ] {
            assert_eq!(Form::accepted(accept), form, "{accept}");
        }
    }

    #[test]
    fn open_metrics_differs_in_names_bounds_and_end() {
        let classic = "# HELP a_total Words.\n# TYPE a_total counter\na_total{le=\"1\"} 1\n# HELP b_seconds Words.\n\
                       # TYPE b_seconds histogram\nb_seconds_bucket{x=\"y\",le=\"5\"} 1\nb_seconds_bucket{x=\"y\",le=\"0.5\"} 1\n\
                       b_seconds_bucket{x=\"y\",le=\"+Inf\"} 1\n";
        let open_form = "# HELP a Words.\n# TYPE a counter\na_total{le=\"1\"} 1\n# HELP b_seconds Words.\n\
                         # TYPE b_seconds histogram\n# UNIT b_seconds seconds\nb_seconds_bucket{x=\"y\",le=\"5.0\"} 1\n\
                         b_seconds_bucket{x=\"y\",le=\"0.5\"} 1\nb_seconds_bucket{x=\"y\",le=\"+Inf\"} 1\n# EOF\n";
        assert_eq!(open(classic), open_form);
    }
}
