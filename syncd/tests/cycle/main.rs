//! Whole cycles against a model of the Kubernetes API, in virtual time, with every request counted.

mod adoption;
mod cluster;
mod drift;
mod faults;
mod guards;
mod immutables;
mod isolation;
mod kahoy;
mod leader;
#[path = "../model/mod.rs"]
mod model;
mod order;
mod records;
mod source;
mod supersession;
mod suspension;
mod sync;
mod truth;
mod world;
