//! YAML as Kubernetes reads it, and as we write it.
//!
//! [`read()`](read::read) types scalars by the YAML 1.1 rules that `kubectl` applies (goyaml.v2 through JSON); [`write()`](write::write) emits the
//! canonical form. Knows nothing of Kubernetes objects. Invariant: `read(write(v)) == v` for every value Kubernetes can hold.
//!
//! Reading goes through `source` (bytes, characters), then `lines` (what is plainly block style) or, for all the rest, `compose` (events to
//! values), and `resolve` (types of scalars), with `gaps`, `repair` and `explain` where the parser's YAML 1.2 and `kubectl`'s 1.1 part ways; writing through `plain` (what needs quotes).

pub mod read;
pub mod write;

mod compose;
mod explain;
mod gaps;
mod lines;
mod plain;
mod repair;
mod resolve;
mod source;

pub use read::{Document, DuplicateKeys, Limits, Marks, Position, ReadError, Settings, read, read_first};
pub use resolve::go_float;
pub use source::decode;
pub use write::{write, write_documents};
