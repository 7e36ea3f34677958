//! Runs the recorded template cases: each is a template, its data, and what Go 1.26 `text/template` made of it.
//!
//! A case is data, in `template/*.yaml`; the expectations were recorded from Go, never written by hand. The functions of
//! this file are those the recorder registered under the same names. Reported together: every case that differs.

use generator::gotemplate::{
    Call, Execution, Executor, Function, FunctionError, Functions, MissingKey, Options, Run, Stage, TemplateSet, print,
};
use generator::value::{
    ANY_LIST, ANY_MAP, Elem, INT_LIST, Integer, List, Map, MapType, Method, Object, STRING_MAP, SizedInt, Str, Type,
    Value, from_json,
};
use serde::Deserialize;
use std::any::Any;
use std::fmt::Write;
use std::sync::{Arc, LazyLock};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Texts parsed before the template, in order.
    #[serde(default)]
    before: Vec<Named>,
    template: String,
    #[serde(default)]
    data: serde_json::Value,
    #[serde(default)]
    missingkey: String,
    /// What Go wrote.
    want: Option<String>,
    /// The same where it is not UTF-8, in hexadecimal.
    want_hex: Option<String>,
    /// Go's whole error message.
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    text: String,
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), include_str!(concat!("template/", stringify!($name), ".yaml")));
        })*
    };
}

cases!(
    lexing,
    parsing,
    numbers,
    literals,
    pipelines,
    variables,
    control,
    ranges,
    fields,
    calls,
    comparison,
    builtins,
    printing,
    formatting,
    definitions,
    nesting,
    grown
);

fn check(file: &str, text: &str) {
    let cases: Vec<Case> = serde_yaml::from_str(text).expect("a list of cases");
    assert!(!cases.is_empty(), "{file} holds no case");
    let mut report = String::new();
    let mut different = 0;
    for case in &cases {
        let got = run(case);
        let want = match (&case.want, &case.want_hex, &case.error) {
            (Some(text), None, None) => Ok(text.as_bytes().to_vec()),
            (None, Some(hex), None) => Ok(bytes_of(hex)),
            (None, None, Some(error)) => Err(error.clone()),
            _ => panic!("{file}: a case needs one of want, want_hex, error: {}", case.template),
        };
        if got != want {
            different += 1;
            let show = |result: &Result<Vec<u8>, String>| match result {
                Ok(bytes) => format!("writes {}", bytes.escape_ascii()),
                Err(error) => format!("fails: {error}"),
            };
            let template = &case.template;
            writeln!(report, "{template}\n  Go {}\n  we {}", show(&want), show(&got)).expect("writes to memory");
        }
    }
    assert!(different == 0, "{file}: {different} of {} cases differ\n{report}", cases.len());
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")).collect()
}

fn run(case: &Case) -> Result<Vec<u8>, String> {
    static FUNCTIONS: LazyLock<Arc<Functions>> = LazyLock::new(|| Arc::new(Functions::new(&[TABLE])));
    let mut set = TemplateSet::new("gotpl", Arc::clone(&FUNCTIONS));
    for named in &case.before {
        set.parse(&named.name, &named.text).map_err(|e| e.to_string())?;
    }
    set.parse("t", &case.template).map_err(|e| e.to_string())?;
    let missing_key = match &*case.missingkey {
        "" | "zero" => MissingKey::Zero,
        "error" => MissingKey::Error,
        "invalid" | "default" => MissingKey::Invalid,
        other => panic!("unknown missingkey {other}"),
    };
    let mut host = ();
    let options = Options { missing_key, origins: true, ..Options::default() };
    let rendered = Executor::new(Arc::new(set), &mut host, options)
        .execute("t", from_json(&case.data))
        .map_err(|e| e.to_string())?;
    Ok(rendered.text.as_bytes().to_vec())
}

// The recorder's functions.

type Out = Result<Value, FunctionError>;

static TABLE: &[Function] = &[
    Function::variadic("list", &[], Type::Any, |_, args| Ok(Value::list(args.to_vec()))),
    Function::variadic("dict", &[], Type::Any, dict),
    Function::new("set", &[Type::MAP, Type::String, Type::Any], set),
    Function::variadic("strs", &[], Type::String, |_, args| {
        Ok(Value::List(List::strings(args.iter().filter_map(Value::as_string))))
    }),
    Function::variadic("ints", &[], Type::Int, |_, args| Ok(Value::List(List::typed(&INT_LIST, args.to_vec())))),
    Function::new("int", &[Type::Any], |_, args| Ok(Value::Int(number(&args[0])))),
    Function::new("i64", &[Type::Any], |_, args| Ok(Value::Int64(number(&args[0])))),
    Function::new("u64", &[Type::Any], |_, args| Ok(Value::Sized(SizedInt::Uint64(number(&args[0]).cast_unsigned())))),
    Function::new("u8", &[Type::Any], |_, args| Ok(Value::Sized(SizedInt::Uint8(number(&args[0]).to_le_bytes()[0])))),
    Function::new("bytes", &[Type::String], |_, args| match &args[0] {
        Value::String(text) => Ok(Value::Bytes(text.as_bytes().into())),
        _ => Err(FunctionError::shape()),
    }),
    Function::new("nilmap", &[], |_, _| Ok(Value::Map(Map::nil(&ANY_MAP)))),
    Function::new("nillist", &[], |_, _| Ok(Value::List(List::nil(&ANY_LIST)))),
    Function::new("strmap", &[Type::String, Type::String], |_, args| match args {
        [Value::String(key), value] => {
            Ok(Value::Map(Map::typed(&STRING_MAP, [(key.clone(), value.clone())].into_iter().collect())))
        }
        _ => Err(FunctionError::shape()),
    }),
    Function::new("dur", &[Type::Int], |_, args| Ok(Value::Duration(number(&args[0])))),
    Function::new("wantString", &[Type::String], |_, args| format("<%s>", args)),
    Function::new("wantInt", &[Type::Int], |_, args| format("%T:%[1]d", args)),
    Function::new("wantInt64", &[Type::Int64], |_, args| format("%T:%[1]d", args)),
    Function::new("wantUint8", &[Type::Uint8], |_, args| format("%T:%[1]d", args)),
    Function::new("wantUint32", &[Type::Uint32], |_, args| format("%T:%[1]d", args)),
    Function::new("wantFloat", &[Type::Float64], |_, args| format("%T:%[1]v", args)),
    Function::new("wantBool", &[Type::Bool], |_, args| format("%v", args)),
    Function::new("wantMap", &[Type::MAP], container),
    Function::new("wantList", &[Type::LIST], container),
    Function::new("wantStrings", &[Type::STRINGS], container),
    Function::new("wantDur", &[Type::Duration], |_, args| format("%T:%[1]v", args)),
    Function::new("wantAny", &[Type::Any], |_, args| format("%T", args)),
    Function::variadic("rest", &[Type::String], Type::Int, |_, args| {
        let rest = Value::List(List::typed(&INT_LIST, args[1..].to_vec()));
        Ok(Value::String(print::sprint(&[args[0].clone(), rest])?))
    }),
    Function::new("failing", &[Type::String], |_, args| {
        Err(FunctionError::new(args[0].as_string().expect("text").to_string()))
    }),
    Function::new("null", &[], |_, _| Ok(Value::Nil)),
    Function::new("values", &[Type::MAP], |_, args| match &args[0] {
        Value::Map(map) => Ok(Value::Map(map.retyped(&VALUES))),
        _ => Err(FunctionError::shape()),
    }),
    Function::new("thing", &[], |_, _| Ok(Value::object(Thing))),
    Function::new("version", &[], |_, _| Ok(Value::object(Version))),
    Function::new("plain", &[Type::Any, Type::Any], |_, args| {
        Ok(Value::object(Plain { a: args[0].clone(), b: args[1].clone() }))
    }),
    Function::template("include", &[Type::String, Type::Any], |_, args| match args {
        [Value::String(name), data] => {
            Ok(Execution { template: Run::Named(name.clone()), data: data.clone(), finish: None, preamble: None })
        }
        _ => Err(FunctionError::shape()),
    }),
    Function::template("tpl", &[Type::String, Type::Any], |_, args| match args {
        [Value::String(text), data] => Ok(Execution {
            template: Run::Text { name: "gotpl".into(), text: text.clone() },
            data: data.clone(),
            finish: Some(|_, text| Ok(Value::from(text.to_string().replace("<no value>", "")))),
            preamble: Some(|run, stage| {
                let Run::Text { text, .. } = run else { return String::new() };
                let text = print::quote(text.as_bytes());
                match stage {
                    Stage::Parsing => format!("cannot parse template {text}: "),
                    Stage::Executing => format!("error during tpl function execution for {text}: "),
                }
            }),
        }),
        _ => Err(FunctionError::shape()),
    }),
];

fn format(format: &str, args: &[Value]) -> Out {
    Ok(Value::String(print::sprintf(format, args)?))
}

fn number(value: &Value) -> i64 {
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "as the recorder does")]
        Value::Float(x) => *x as i64,
        other => match other.as_integer() {
            Some(Integer::Signed(n)) => n,
            _ => 0,
        },
    }
}

fn dict(_: &mut Call<'_>, args: &[Value]) -> Out {
    let pairs = args.chunks_exact(2).filter_map(|pair| Some((pair[0].as_string()?.clone(), pair[1].clone())));
    Ok(Value::Map(pairs.collect()))
}

fn set(_: &mut Call<'_>, args: &[Value]) -> Out {
    let [Value::Map(map), Value::String(key), value] = args else { return Err(FunctionError::shape()) };
    if map.is_nil() {
        return Err("assignment to entry in nil map".into());
    }
    map.insert(key.clone(), value.clone());
    Ok(args[0].clone())
}

fn container(_: &mut Call<'_>, args: &[Value]) -> Out {
    let len = match &args[0] {
        Value::Map(map) => map.len(),
        Value::List(list) => list.len(),
        _ => return Err(FunctionError::shape()),
    };
    Ok(Value::from(format!("{}:{len}:{}", args[0].type_name(), args[0].is_nil())))
}

static VALUES: MapType = MapType {
    name: "main.Values",
    elem: Elem::Any,
    methods: &[
        Method::new("AsMap", &[], |receiver, _| match receiver {
            Value::Map(map) => Ok(Value::Map(map.retyped(&ANY_MAP))),
            _ => Err(String::new()),
        }),
        Method::new("Table", &[Type::String], |receiver, args| {
            let name = args[0].as_string().cloned().unwrap_or_default();
            match receiver.as_map().and_then(|map| map.get(&name)) {
                Some(Value::Map(map)) => Ok(Value::Map(map.retyped(&VALUES))),
                _ => Err(format!("no table {name}")),
            }
        }),
    ],
};

static THING: &[Method] = &[
    Method::new("Hello", &[], |_, _| Ok("hello t".into())),
    Method::new("Greet", &[Type::String, Type::Int], |_, args| {
        Ok(Value::String(print::sprint(&[args[0].clone(), args[1].clone(), "t".into()]).map_err(|e| e.to_string())?))
    }),
    Method::new("Fail", &[], |_, _| Err("thing failed".to_owned())),
    Method {
        name: "Sum",
        params: &[Type::Int],
        variadic: Some(Type::Int),
        call: |_, args| Ok(Value::Int(args.iter().map(number).sum())),
    },
    Method::new("Any", &[Type::Any], |_, args| Ok(args[0].type_name().into())),
];

#[derive(Debug)]
struct Thing;

impl Object for Thing {
    fn type_name(&self) -> &'static str {
        "*main.Thing"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        let inner = Value::object(Inner);
        vec![("Name", "t".into()), ("Count", Value::Int(2)), ("Tags", Value::strings(["x", "y"])), ("Inner", inner)]
    }

    fn methods(&self) -> &'static [Method] {
        THING
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct Inner;

impl Object for Inner {
    fn type_name(&self) -> &'static str {
        "main.Inner"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Deep", "d".into())]
    }

    fn holds_any(&self, _: &str) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

static VERSION: &[Method] = &[Method::new("String", &[], |_, _| Ok("v1.2".into()))];

#[derive(Debug)]
struct Version;

impl Object for Version {
    fn type_name(&self) -> &'static str {
        "*main.Version"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Major", Value::Sized(SizedInt::Uint64(1))), ("Minor", Value::Sized(SizedInt::Uint64(2)))]
    }

    fn text(&self) -> Option<Str> {
        Some("v1.2".into())
    }

    fn methods(&self) -> &'static [Method] {
        VERSION
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct Plain {
    a: Value,
    b: Value,
}

impl Object for Plain {
    fn type_name(&self) -> &'static str {
        "main.Plain"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("A", self.a.clone()), ("B", self.b.clone())]
    }

    fn holds_any(&self, _: &str) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
