//! The named limits that keep a hostile template from exhausting stack, memory or time.
//!
//! None of them is met by a chart people use; each has a test that meets it.

/// Templates within templates (`template`, `include`, `tpl`), Go's own limit. Frames live on the heap.
pub const EXECUTION_DEPTH_MAX: usize = 100_000;

/// Parentheses and blocks (`if`, `with`, `range`, `block`) inside each other. Go allows 10,000 parentheses and any
/// number of blocks; the parser recurses, so ours fits a stack of 1 MiB even unoptimised. `else if` chains do not nest.
pub const NESTING_MAX: usize = 100;

/// Bytes one execution may write, captured output of `include` and single function results counted each.
pub const OUTPUT_BYTES_MAX: usize = 256 << 20;

/// Instructions one execution may take: minutes of work, never met by accident.
pub const STEPS_MAX: u64 = 2_000_000_000;

/// Bytes given to a function, or returned by it, that count as one instruction: what is long takes long.
pub const BYTES_A_STEP: usize = 64;

/// Levels of `template` actions a failure lists; levels of functions are all listed.
pub const TRACE_LEVELS_MAX: usize = 64;

/// Bytes of one template text.
pub const SOURCE_BYTES_MAX: usize = 64 << 20;
