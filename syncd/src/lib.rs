//! `syncd` keeps one environment's cluster equal to the rendered manifests in Git.
//!
//! The modules in reading order; imports go down only: what is decided knows nothing of how it is carried out, and everything outside
//! is behind the two seams [`repo`] and [`cluster`].
//!
//! - [`cycle`]: one reconciliation, the whole walk. Read first.
//! - [`execute`]: carries out a plan, and records before it acts.
//! - [`plan`]: decides what to do; does nothing. [`readiness`]: how far an object is; [`rules`]: how custom kinds say it.
//! - [`desired`], [`state`], [`live`]: what the revision says, what was recorded, what is there.
//! - [`drift`]: whether somebody changed what is ours; [`ownership`]: who owns which field.
//! - [`report`], [`config`], [`context`]: what was done, what can be set, what surrounds a cycle.
//!   [`suspension`]: what people want left alone; [`redact`]: what must not be read there.
//! - [`difference`], [`explain`], [`uninstall`]: what people ask, and how the care of an environment ends.
//! - [`cluster`], [`repo`]: the seams, as traits.

pub mod cycle;
pub mod execute;

pub mod plan;
pub mod readiness;

pub mod adoption;
pub mod approval;
pub mod desired;
pub mod drift;
pub mod live;
pub mod ownership;
pub mod state;

pub mod config;
pub mod context;
pub mod election;
pub mod redact;
pub mod report;
pub mod rules;
pub mod suspension;

pub mod cluster;
pub mod repo;
mod sought;

pub mod yaml_file;

// Edges: each real counterpart of a seam, and everything around a cycle.
pub mod bootstrap;
pub mod cli;
pub mod daemon;
pub mod difference;
pub mod explain;
pub mod git;
pub mod http;
pub mod kahoy;
pub mod kube;
pub mod leader;
mod listening;
pub mod logs;
pub mod metrics;
pub mod notify;
pub mod page;
pub mod progress;
pub mod summary;
pub mod uninstall;
pub mod view;
pub mod webhook;
