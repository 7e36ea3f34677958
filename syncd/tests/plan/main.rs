//! The planner, case by case: a small world, the plan for it as people read it, and a verifier that must agree with every one.

mod cases;
mod refused;
mod world;
