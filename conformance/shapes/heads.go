package main

// What the files say about themselves.
const (
	kindsHead = `# Every kind of Kubernetes' own that can be applied, by the versions of Kubernetes that have it.
# Written by conformance/shapes from the published API documents; read by src/table.rs. Do not edit.
#
#   FIRST-LAST APIVERSION KIND SCOPE TYPE      FIRST and LAST: minor versions, both included; TYPE: a line in types.txt
`
	typesHead = `# The shape of every object: field names, types, list keys, enumerations, by the versions of Kubernetes that have it.
# Facts of the published API documents, restated in a notation of our own by conformance/shapes; read by
# src/notation.rs. Do not edit.
#
#   FIRST-LAST TYPE field:type field!:type ...     FIRST and LAST: minor versions, both included; "!" marks a required field
#   TYPE~                               changed and owned as a whole (atomic), not field by field
#   string int int32 number bool bytes time microtime quantity intstr any;  string(A|B) one of these
#   {T} map of T; [T] list replaced as a whole; [T]set; [T]map(k,k) list of objects told apart by the fields k
#   T~  here atomic;  T^  here not atomic;  T?  the server drops the zero value;  T+  the server writes the zero value (of lists, maps and times: null) where it is missing
#   T="x" default;  T%merge(k) %merge %retain  how a strategic merge patch treats it
`
)
