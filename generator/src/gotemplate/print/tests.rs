//! Cases recorded from Go's `fmt`.

use super::*;
use crate::value::{INT_LIST, List, Map, STRING_LIST, SizedInt};

fn s(text: &str) -> Value {
    Value::from(text)
}

#[test]
fn durations_print_as_in_go() {
    let cases = [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (1_000_000_000, "1s"),
        (61_500_000_000, "1m1.5s"),
        (3_600_000_000_000, "1h0m0s"),
        (-90_000_000_000, "-1m30s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
    ];
    for (nanoseconds, want) in cases {
        assert_eq!(format_duration(nanoseconds), want);
    }
}

#[test]
fn composites_print_as_in_go() {
    let map = Value::map([("b", Value::Nil), ("a", Value::list(vec![Value::Int(1), s("x"), Value::Nil]))]);
    assert_eq!(to_text(&map).expect("shallow"), "map[a:[1 x <nil>] b:<nil>]");
    let go = sprintf("%#v", &[map]).expect("shallow");
    assert_eq!(
        go,
        "map[string]interface {}{\"a\":[]interface {}{1, \"x\", interface {}(nil)}, \"b\":interface {}(nil)}"
    );
    let lists = [
        Value::strings(["a", "b"]),
        Value::List(List::nil(&STRING_LIST)),
        Value::List(List::typed(&INT_LIST, vec![Value::Int(1)])),
    ];
    assert_eq!(sprintf("%q %#v %v", &lists).expect("shallow"), "[\"a\" \"b\"] []string(nil) [1]");
    let bytes = Value::Bytes(b"hi"[..].into());
    assert_eq!(
        sprintf("%v %s %x %#v", &[bytes.clone(), bytes.clone(), bytes.clone(), bytes]).expect("shallow"),
        "[104 105] hi 6869 []byte{0x68, 0x69}"
    );
    assert_eq!(sprintf("%T %T", &[Value::Sized(SizedInt::Uint8(1)), Value::Nil]).expect("shallow"), "uint8 <nil>");
}

#[test]
fn a_cycle_is_an_error() {
    let map = Map::new();
    map.insert("self", Value::Map(map.clone()));
    assert_eq!(to_text(&Value::Map(map.clone())), Err(Oversized));
    map.remove("self");
    let mut wide = Value::list(vec![s("x"); 2]);
    for _ in 0..60 {
        wide = Value::list(vec![wide.clone(), wide]);
    }
    assert_eq!(to_text(&wide), Err(Oversized));
}
