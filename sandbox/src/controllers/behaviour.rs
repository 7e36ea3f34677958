//! What a pod does, by annotation on the pod or its template.
//!
//! Pure. Invariant: a pod without the annotation becomes ready and stays so.

use std::time::Duration;

use serde_json::Value;

/// The annotation that says what a pod does.
pub const ANNOTATION: &str = "sandbox/behaviour";
/// The annotation whose text is the log of the pod's containers.
pub(super) const LOGS: &str = "sandbox/logs";

/// What a pod does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Becomes ready. A pod that is not restarted (of a Job) runs and succeeds.
    Healthy,
    /// `slow=30s`: becomes ready after this time instead of the cluster's.
    Slow(Duration),
    /// `ready-after=8s`: runs, and its readiness probe succeeds after this time.
    ReadyAfter(Duration),
    /// `never-ready`: runs, but its readiness probe fails.
    NeverReady,
    /// `crash-loop`: exits with 1, again and again: after the first time it is started again at once, then with growing pauses.
    CrashLoop,
    /// `flaky=2`: exits with 1 that many times, then becomes ready.
    Flaky(u32),
    /// `out-of-memory`: is killed for its memory, again and again.
    OutOfMemory,
    /// `fail`: exits with 1; without restarts the pod has failed.
    Fail,
    /// `succeed`: exits with 0.
    Succeed,
    /// `image-pull-error`: its image cannot be pulled.
    ImagePullError,
    /// `invalid-image-name`: its image has no valid name.
    InvalidImageName,
    /// `config-error`: its container cannot be configured.
    ConfigError,
    /// `unschedulable`: no node takes it.
    Unschedulable,
    /// `stuck-terminating`: never stops once deleted.
    StuckTerminating,
}

impl Behaviour {
    /// Returns the behaviour of a pod; an unknown word is [`Behaviour::Healthy`].
    pub fn of(pod: &Value) -> Behaviour {
        let text = pod["metadata"]["annotations"][ANNOTATION].as_str().unwrap_or_default();
        Behaviour::parse(text).unwrap_or(Behaviour::Healthy)
    }

    /// Parses the text of the annotation; `None` for an unknown word.
    pub fn parse(text: &str) -> Option<Behaviour> {
        let (word, argument) = text.split_once('=').unwrap_or((text, ""));
        Some(match word.trim() {
            "" | "healthy" => Behaviour::Healthy,
            "slow" => Behaviour::Slow(duration(argument)?),
            "ready-after" => Behaviour::ReadyAfter(duration(argument)?),
            "never-ready" => Behaviour::NeverReady,
            "crash-loop" => Behaviour::CrashLoop,
            "flaky" => Behaviour::Flaky(argument.parse().ok()?),
            "out-of-memory" => Behaviour::OutOfMemory,
            "fail" => Behaviour::Fail,
            "succeed" => Behaviour::Succeed,
            "image-pull-error" => Behaviour::ImagePullError,
            "invalid-image-name" => Behaviour::InvalidImageName,
            "config-error" => Behaviour::ConfigError,
            "unschedulable" => Behaviour::Unschedulable,
            "stuck-terminating" => Behaviour::StuckTerminating,
            _ => return None,
        })
    }
}

/// Parses `500ms`, `30s`, `2m`.
fn duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..end].parse().ok()?;
    match &text[end..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_arguments_are_read() {
        assert_eq!(Behaviour::parse("slow=30s"), Some(Behaviour::Slow(Duration::from_secs(30))));
        assert_eq!(Behaviour::parse("flaky=2"), Some(Behaviour::Flaky(2)));
        assert_eq!(Behaviour::parse("slow"), None);
        assert_eq!(Behaviour::parse("dance"), None);
    }
}
