//! Simulated histories: real daemons above their two seams, in a world with virtual time, in which everything can go wrong.
//!
//! - [`script`]: what happens in a history; [`weather`]: what goes wrong with which call; [`chance`]: where both come from in the swarm
//! - [`world`]: time, processes, and the way from a call to the model; [`wire`]: the two seams, as a process sees them
//! - [`truth`]: what really happened, read by nobody's code but the test's; [`checkers`]: what must never be, and what must be in the end
//! - [`histories`], [`exhaustive`], [`swarm`]: the three drivers; [`hunt`]: all of them against a `syncd` with a bug
//!
//! Invariant: the same history with the same weather is the same run, call by call.

mod chance;
mod checkers;
mod exhaustive;
mod histories;
mod hunt;
#[path = "../model/mod.rs"]
mod model;
mod script;
mod swarm;
mod truth;
mod weather;
mod wire;
mod world;
