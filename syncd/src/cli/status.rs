//! `syncd status`: what a running syncd did last.
//!
//! Asks it over HTTP ([`Running`]), as every command does that shows what only that process knows. Knows no cluster. Invariant: what is not
//! the answer that was asked for is an error that says what was answered.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::output::{Output, print};
use super::{CliError, Exit};
use crate::report::{CycleResult, printable};

pub(super) const HELP: &str =
    "From outside of the cluster: kubectl port-forward --namespace syncd deployment/syncd 9102

Exit codes:
   0  every service is synced
   1  at least one service is not, or something is held or suspended; or there was no answer
   2  wrong usage: the arguments cannot work";

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    running: Running,
    /// text for people, json or yaml for programs: the whole report
    #[arg(short, long, env = "SYNCD_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORM")]
    output: Output,
}

pub(super) async fn run(arguments: &Status) -> Result<Exit, CliError> {
    let report = arguments.running.ask("/api/v1/status").await?;
    match arguments.output {
        Output::Text => print(Output::Text, &arguments.running.text("/status").await?, &report),
        form => print(form, "", &report),
    }
    let is_fine = [CycleResult::Synced, CycleResult::Unchanged].iter().any(|fine| report["result"] == fine.as_str());
    Ok(if is_fine { Exit::Synced } else { Exit::Failed })
}

/// Longest time for an answer of a running syncd, which has it ready.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Characters of an answer that is an error.
const ANSWER_CHARACTERS_MAX: usize = 300;

/// A running syncd.
#[derive(Debug, Args)]
pub(super) struct Running {
    /// Where it listens
    #[arg(long, env = "SYNCD_ADDRESS", default_value = "127.0.0.1:9102", value_name = "ADDRESS")]
    address: SocketAddr,
}

impl Running {
    /// Asks for JSON.
    pub(super) async fn ask(&self, path: &str) -> Result<Value, CliError> {
        let text = self.text(path).await?;
        let none = |error: serde_json::Error| self.refused(&format!("it answered no JSON: {error}"));
        serde_json::from_str(&text).map_err(none)
    }

    /// Asks for text.
    async fn text(&self, path: &str) -> Result<String, CliError> {
        let address = self.address;
        let no_answer = |source| CliError::Status { address, source };
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().map_err(no_answer)?;
        let response = client.get(format!("http://{address}{path}")).send().await.map_err(no_answer)?;
        let code = response.status();
        let text = response.text().await.map_err(no_answer)?;
        if code.is_success() {
            return Ok(text);
        }
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        Err(self.refused(said["error"].as_str().unwrap_or(&format!("it answered {code}"))))
    }

    fn refused(&self, why: &str) -> CliError {
        let why = printable(why).chars().take(ANSWER_CHARACTERS_MAX).collect();
        CliError::NoStatus { address: self.address, why }
    }
}
