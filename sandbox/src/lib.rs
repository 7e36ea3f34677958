//! A model of the Kubernetes API in memory, deterministic, for tests and for trying things out. It is never a production target.
//!
//! One model, two faces. As a library, [`Cluster::handle`] answers requests, [`Cluster::watch`] opens watches, and nothing moves until
//! [`Cluster::advance`]. As an HTTP server on loopback ([`http::serve`], `sandbox serve`), `kubectl` and kube-rs talk to it, and time is real.
//!
//! # What is modelled
//!
//! Discovery, get, list (selectors, pages, older versions), watch (bookmarks, initial events, 410), create, update, the four kinds of patch with
//! server-side apply and its field ownership, status and scale, delete with preconditions, finalizers and propagation, dry runs, custom kinds;
//! controllers for Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, pods, claims, load balancers, autoscalers, namespaces,
//! definitions and garbage; events; faults on purpose ([`Faults`]). Not modelled: authentication and authorization, admission webhooks,
//! CEL, exec and port-forward, protobuf, conversion between versions other than by name (but for the autoscaler's).
//!
//! # What pods do
//!
//! The annotation `sandbox/behaviour` on a pod, usually through its template, says what it does ([`Behaviour`]): `never-ready`, `crash-loop`,
//! `flaky=2`, `out-of-memory`, `fail`, `succeed`, `slow=30s`, `ready-after=8s`, `image-pull-error`, `invalid-image-name`, `config-error`, `unschedulable`,
//! `stuck-terminating`. A pod that names a ConfigMap or Secret that is not there waits for it, as on a real node. `sandbox/logs` is the text
//! of its log. `sandbox/behaviour: pending` on a claim or a load balancer keeps it so; `sandbox/desired-replicas` on an autoscaler stands for
//! its metrics.
//!
//! # Reading order
//!
//! [`cluster`], [`api`], [`kinds`], [`store`], then what they use. Invariant: the same settings and calls give the same answers, byte for byte.

pub mod api;
pub mod apply;
pub mod cluster;
mod controllers;
mod defaults;
mod discovery;
pub mod faults;
pub mod http;
mod identity;
pub mod kinds;
pub mod log;
mod patch;
mod read;
mod remove;
mod represent;
pub mod route;
pub mod select;
mod shape;
pub mod store;
mod validate;
pub mod watch;
mod write;

pub use api::{Request, Response, Status};
pub use cluster::{Cluster, Settings};
pub use controllers::{ANNOTATION, Behaviour};
pub use faults::{Answer, Faults, Rule};
pub use log::{Entry, Verb};
pub use watch::{EventKind, Watch, WatchEvent};
