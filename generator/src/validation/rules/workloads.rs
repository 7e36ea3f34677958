//! What runs pods, and what scales and protects them.
//!
//! Source: the API references of `apps/v1`, `batch/v1`, `autoscaling/v2`, `policy/v1`. Invariant: every selector of a workload is held against
//! the labels of its own template.

use serde_json::Value;

use super::{Part, at_least, count_or_percentage, pods, selectors};
use crate::validation::Finding;

const ALWAYS: [&str; 1] = ["Always"];
const ONCE: [&str; 2] = ["OnFailure", "Never"];
/// Seconds a Deployment waits for progress where it does not say.
const PROGRESS_DEADLINE_SECONDS: i64 = 600;

pub(super) fn replicas(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        at_least(0, &spec.field(field), found);
    }
    selectors::match_template(spec, found);
    pods::template(&spec.field("template"), &ALWAYS, &[], found);
}

pub(super) fn deployment(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    replicas(spec, found);
    let strategy = spec.field("strategy");
    let rolling = strategy.field("rollingUpdate");
    if strategy.field("type").text() == "Recreate" && rolling.is_there() {
        found.push(rolling.must("must not be there: the strategy is `Recreate`"));
    }
    at_most_all(&rolling, found);
    both_zero(&rolling, found);
    let deadline = spec.field("progressDeadlineSeconds");
    let ready = spec.field("minReadySeconds").number().unwrap_or(0);
    at_least(0, &deadline, found);
    if deadline.number().unwrap_or(PROGRESS_DEADLINE_SECONDS) <= ready {
        let part = if deadline.is_there() { deadline } else { spec.field("minReadySeconds") };
        found.push(part.must("must leave time: `progressDeadlineSeconds` has to be more than `minReadySeconds`"));
    }
}

fn at_most_all(rolling: &Part<'_, '_>, found: &mut Vec<Finding>) {
    for field in ["maxSurge", "maxUnavailable"] {
        count_or_percentage(&rolling.field(field), found);
    }
    let unavailable = rolling.field("maxUnavailable");
    let percent = unavailable.text().strip_suffix('%').and_then(|digits| digits.parse::<u32>().ok());
    if percent.is_some_and(|percent| percent > 100) {
        found.push(unavailable.must("must be at most 100%"));
    }
}

fn is_zero(part: &Part<'_, '_>) -> bool {
    match part.value {
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.strip_suffix('%').is_some_and(|digits| digits.parse() == Ok(0)),
        _ => false,
    }
}

fn both_zero(rolling: &Part<'_, '_>, found: &mut Vec<Finding>) {
    if is_zero(&rolling.field("maxSurge")) && is_zero(&rolling.field("maxUnavailable")) {
        found.push(
            rolling.must("must not have both `maxSurge` and `maxUnavailable` at 0: nothing could ever be replaced"),
        );
    }
}

pub(super) fn stateful_set(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        at_least(0, &spec.field(field), found);
    }
    selectors::match_template(spec, found);
    let templates = spec.field("volumeClaimTemplates");
    let claims: Vec<&str> =
        templates.items().filter_map(|claim| claim.value.pointer("/metadata/name")?.as_str()).collect();
    pods::template(&spec.field("template"), &ALWAYS, &claims, found);
    let rolling = spec.field("updateStrategy");
    at_least(0, &rolling.field("rollingUpdate").field("partition"), found);
    if rolling.field("type").text() == "OnDelete" && rolling.field("rollingUpdate").is_there() {
        found.push(rolling.field("rollingUpdate").must("must not be there: the strategy is `OnDelete`"));
    }
}

pub(super) fn daemon_set(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    for field in ["minReadySeconds", "revisionHistoryLimit"] {
        at_least(0, &spec.field(field), found);
    }
    selectors::match_template(spec, found);
    pods::template(&spec.field("template"), &ALWAYS, &[], found);
    let strategy = spec.field("updateStrategy");
    let rolling = strategy.field("rollingUpdate");
    at_most_all(&rolling, found);
    both_zero(&rolling, found);
    // A Deployment is given a surge, a DaemonSet none.
    if is_zero(&rolling.field("maxUnavailable")) && !rolling.field("maxSurge").is_there() {
        found.push(
            rolling.field("maxUnavailable").must("must not be 0 without a `maxSurge`: nothing could ever be replaced"),
        );
    }
}

pub(super) fn job(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    for field in [
        "parallelism",
        "completions",
        "backoffLimit",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
        "maxFailedIndexes",
    ] {
        at_least(0, &spec.field(field), found);
    }
    let failures = spec.field("podFailurePolicy");
    for rule in failures.field("rules").items() {
        for condition in rule.field("onPodConditions").items() {
            let status = condition.field("status");
            if !matches!(status.text(), "" | "True" | "False" | "Unknown") {
                found.push(status.must("must be one of True, False, Unknown"));
            }
        }
    }
    if spec.field("selector").is_there() && spec.field("manualSelector").value.as_bool() != Some(true) {
        let hint = "leave it out: the server makes one that finds the pods of this Job only";
        found.push(spec.field("selector").must("must not be there without `manualSelector`").hint(hint));
    }
    pods::template(&spec.field("template"), &ONCE, &[], found);
}

pub(super) fn cron_job(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        at_least(0, &spec.field(field), found);
    }
    let schedule = spec.field("schedule");
    if let Value::String(text) = schedule.value
        && !is_schedule(text)
    {
        let what = "must be five fields (minute, hour, day of the month, month, day of the week) like `*/15 * * * *`, or a word like `@daily`";
        found.push(schedule.must(what));
    }
    let template = spec.field("jobTemplate");
    job(&template.field("spec"), found);
}

/// Whether a text is a schedule as cron has them.
fn is_schedule(text: &str) -> bool {
    if let Some(word) = text.strip_prefix('@') {
        return matches!(word, "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly")
            || word.strip_prefix("every ").is_some_and(|length| length.starts_with(|c: char| c.is_ascii_digit()));
    }
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields.as_slice() else { return false };
    is_field(minute, (0, 59), &[])
        && is_field(hour, (0, 23), &[])
        && is_field(day, (1, 31), &[])
        && is_field(month, (1, 12), &MONTHS)
        && is_field(weekday, (0, 6), &DAYS)
}

fn is_field(field: &str, (least, most): (u32, u32), words: &[&str]) -> bool {
    let number = |text: &str| {
        let word = words.iter().position(|word| text.eq_ignore_ascii_case(word));
        let word = word.and_then(|at| u32::try_from(at).ok()).map(|at| at + least);
        word.or_else(|| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten())
    };
    field.split(',').all(|part| {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let is_step = step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| step > 0));
        let is_range = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => true,
            Some((from, to)) => matches!((number(from), number(to)), (Some(from), Some(to)) if least <= from && from <= to && to <= most),
            None => number(range).is_some_and(|number| (least..=most).contains(&number)),
        };
        is_step && is_range
    })
}

pub(super) fn autoscaler(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let (least, most) = (spec.field("minReplicas"), spec.field("maxReplicas"));
    at_least(1, &most, found);
    at_least(1, &least, found);
    if let (Some(least), Some(number)) = (least.number(), most.number())
        && number >= 1
        && least > number
    {
        found.push(most.must("must be at least `spec.minReplicas`"));
    }
    let target = spec.field("scaleTargetRef");
    for field in ["kind", "name"] {
        super::text(&target.field(field), found);
    }
    let version = target.field("apiVersion");
    if target.value.is_object()
        && !version.text().contains('/')
        && target.field("kind").text() != "ReplicationController"
    {
        found.push(match version.is_there() {
            true => version.must("must have a group, like `apps/v1`"),
            false => target.misses("apiVersion").hint("write that of the target, like `apps/v1`"),
        });
    }
    for metric in spec.field("metrics").items() {
        let kind = metric.field("type");
        let source = match kind.text() {
            "Resource" => "resource",
            "Pods" => "pods",
            "Object" => "object",
            "External" => "external",
            "ContainerResource" => "containerResource",
            "" => continue,
            _ => {
                found.push(kind.must("must be one of ContainerResource, External, Object, Pods, Resource"));
                continue;
            }
        };
        let part = metric.field(source);
        if !part.value.is_object() {
            found.push(metric.misses(source));
            continue;
        }
        let target = part.field("target");
        let value = match target.field("type").text() {
            "Utilization" => "averageUtilization",
            "AverageValue" => "averageValue",
            "Value" => "value",
            "" => continue,
            _ => {
                found.push(target.field("type").must("must be one of Utilization, AverageValue, Value"));
                continue;
            }
        };
        if !target.field(value).is_there() {
            found.push(target.misses(value));
        }
        at_least(1, &target.field("averageUtilization"), found);
    }
}

pub(super) fn disruption_budget(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let (least, most) = (spec.field("minAvailable"), spec.field("maxUnavailable"));
    if least.is_there() && most.is_there() {
        found.push(spec.must("must have only one of `minAvailable`, `maxUnavailable`"));
    }
    count_or_percentage(&least, found);
    count_or_percentage(&most, found);
    selectors::check(&spec.field("selector"), found);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_those_of_cron() {
        for good in ["* * * * *", "*/15 0-6,20 1 jan-MAR mon", "@daily", "@every 1h", "0 0 ? * 0", "5/10 * * * *"] {
            assert!(is_schedule(good), "{good}");
        }
        for bad in [
            "",
            "* * * *",
            "60 * * * *",
            "* * * * 8",
            "* * 0 * *",
            "a * * * *",
            "@always",
            "*/0 * * * *",
            "5-1 * * * *",
        ] {
            assert!(!is_schedule(bad), "{bad}");
        }
    }
}
