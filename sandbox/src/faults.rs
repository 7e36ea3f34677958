//! What goes wrong on purpose: denials, outages, throttling, errors, frozen controllers.
//!
//! Faults are data: set at any time, by the library or by `PUT /sandbox/faults`. Knows requests by verb and resource only. Invariant: without
//! a fault nothing here changes an answer.

use serde::{Deserialize, Serialize};

use crate::api::{Cause, Status};
use crate::log::Verb;
use crate::route::Target;

/// All faults in force; the default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Faults {
    /// Requests that are answered with an error; the first rule that matches counts.
    pub rules: Vec<Rule>,
    /// Groups that do not answer: 503 for their objects, stale in discovery. The core group is `""`.
    pub outages: Vec<String>,
    /// No controller makes progress: pods never become ready, namespaces and dependents stay.
    pub freeze_controllers: bool,
    /// The finalizers that the server itself solves (`foregroundDeletion`, `orphan`, namespaces, definitions) stay.
    pub hold_finalizers: bool,
}

/// Which requests get which error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// Verbs as in authorization rules (`get`, `patch`, ...), or `apply`, `*`, `write`; none matches all.
    #[serde(default)]
    pub verbs: Vec<String>,
    /// `resource.group` or `resource` for the core group, or `*`; none matches all.
    #[serde(default)]
    pub resources: Vec<String>,
    /// Namespace; empty matches all.
    #[serde(default)]
    pub namespace: String,
    /// Name; empty matches all.
    #[serde(default)]
    pub name: String,
    /// What they get.
    pub answer: Answer,
    /// How many requests it takes; absent: all of them.
    #[serde(default)]
    pub times: Option<u32>,
}

/// The error of a [`Rule`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    /// 400, as an admission webhook denies.
    DeniedByWebhook {
        /// Name of the webhook.
        webhook: String,
        /// What it says.
        message: String,
    },
    /// 403, as a ValidatingAdmissionPolicy denies whose binding has its name.
    DeniedByPolicy {
        /// Name of the policy and of its binding.
        policy: String,
        /// What it says.
        message: String,
    },
    /// 403, as authorization denies.
    Forbidden {
        /// Who is said to be denied.
        user: String,
    },
    /// 403, as a quota denies.
    QuotaExceeded {
        /// The whole reason after `is forbidden:`.
        message: String,
    },
    /// 500, as a webhook that cannot be reached fails a request.
    WebhookUnreachable {
        /// Name of the webhook.
        webhook: String,
    },
    /// 429 with `Retry-After`.
    Throttled {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// 500.
    InternalError {
        /// What failed.
        message: String,
    },
    /// 503.
    Unavailable,
    /// 504.
    Timeout,
}

impl Faults {
    /// Tells whether nobody answers for a group.
    pub fn is_down(&self, group: &str) -> bool {
        self.outages.iter().any(|outage| outage == group)
    }

    /// Returns the error this request gets; uses up one of the rule's times.
    pub fn check(&mut self, verb: Verb, target: &Target) -> Option<Status> {
        if self.is_down(&target.group) {
            return Some(Status::unavailable("the server is currently unable to handle the request"));
        }
        let rule = self.rules.iter_mut().find(|rule| rule.times != Some(0) && rule.matches(verb, target))?;
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        Some(rule.answer.status(verb, target))
    }
}

impl Rule {
    /// Returns a rule for every request to `resources` with one of `verbs`.
    pub fn new(verbs: &[&str], resources: &[&str], answer: Answer) -> Rule {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (verbs, resources) = (owned(verbs), owned(resources));
        Rule { verbs, resources, namespace: String::new(), name: String::new(), answer, times: None }
    }

    /// Narrows the rule to one name.
    pub fn named(mut self, name: &str) -> Rule {
        self.name = name.to_owned();
        self
    }

    /// Narrows the rule to the next `times` requests.
    pub fn times(mut self, times: u32) -> Rule {
        self.times = Some(times);
        self
    }

    fn matches(&self, verb: Verb, target: &Target) -> bool {
        let is_verb = |text: &String| match text.as_str() {
            "*" => true,
            "write" => verb.is_write(),
            "apply" => verb == Verb::Apply,
            text => text == verb.as_str(),
        };
        let resource = if target.group.is_empty() {
            target.resource.clone()
        } else {
            format!("{}.{}", target.resource, target.group)
        };
        (self.verbs.is_empty() || self.verbs.iter().any(is_verb))
            && (self.resources.is_empty() || self.resources.iter().any(|text| text == "*" || *text == resource))
            && (self.namespace.is_empty() || self.namespace == target.namespace)
            && (self.name.is_empty() || self.name == target.name)
    }
}

impl Answer {
    fn status(&self, verb: Verb, target: &Target) -> Status {
        let resource = crate::api::GroupResource { group: &target.group, resource: &target.resource };
        match self {
            Answer::DeniedByWebhook { webhook, message } => {
                Status::bad_request(format!("admission webhook \"{webhook}\" denied the request: {message}"))
            }
            Answer::DeniedByPolicy { policy, message } => {
                let binding = format!("ValidatingAdmissionPolicy '{policy}' with binding '{policy}'");
                let message = format!("{binding} denied request: {message}");
                let mut status = Status::forbidden(resource, &target.name, &message);
                let cause = Cause { reason: "", message, field: String::new() };
                status.details.get_or_insert_default().causes.push(cause);
                status
            }
            Answer::Forbidden { user } => {
                let (verb, name, group) = (verb.as_str(), &target.resource, &target.group);
                let place = match target.namespace.as_str() {
                    "" => "at the cluster scope".to_owned(),
                    namespace => format!("in the namespace \"{namespace}\""),
                };
                let why = format!("User \"{user}\" cannot {verb} resource \"{name}\" in API group \"{group}\" {place}");
                Status::forbidden(resource, &target.name, &why)
            }
            Answer::QuotaExceeded { message } => Status::forbidden(resource, &target.name, message),
            Answer::WebhookUnreachable { webhook } => Status::internal(format!(
                "failed calling webhook \"{webhook}\": failed to call webhook: Post \"https://127.0.0.1:1/?timeout=1s\": \
                 dial tcp 127.0.0.1:1: connect: connection refused"
            )),
            Answer::Throttled { retry_after } => Status::too_many_requests(*retry_after),
            Answer::InternalError { message } => Status::internal(message),
            Answer::Unavailable => Status::unavailable("the server is currently unable to handle the request"),
            Answer::Timeout => {
                let message = "Timeout: request did not complete within requested timeout - context deadline exceeded";
                let cause = Cause { reason: "", message: message.to_owned(), field: String::new() };
                let mut status = Status::unclassified(message);
                (status.code, status.reason) = (504, "Timeout");
                status.details.get_or_insert_default().causes.push(cause);
                status
            }
        }
    }
}
