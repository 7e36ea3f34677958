//! Reading beyond kubectl's cases: positions, words of errors, limits, and what the parser has to be helped with.

use manifest::yaml::{self, Document, DuplicateKeys, Limits, Marks, Position, Settings};
use serde_json::{Value, json};

const DEFAULT: Settings = Settings {
    duplicate_keys: DuplicateKeys::Refuse,
    marks: false,
    limits: Limits { bytes: 1 << 20, depth: 200, nodes: 100_000, documents: 1_000 },
};
const MARKED: Settings = Settings { marks: true, ..DEFAULT };
const LAST_WINS: Settings = Settings { duplicate_keys: DuplicateKeys::LastWins, ..DEFAULT };

fn at(line: usize, column: usize) -> Position {
    Position { line, column }
}

fn values(text: &str, settings: &Settings) -> Vec<Value> {
    let documents = yaml::read(text, settings).unwrap_or_else(|error| panic!("{error} at {:?} in {text:?}", error.at));
    documents.into_iter().map(|document| document.value).collect()
}

fn value(text: &str) -> Value {
    let mut values = values(text, &DEFAULT);
    assert_eq!(values.len(), 1, "{text:?}");
    values.remove(0)
}

fn marked(text: &str) -> Document {
    yaml::read(text, &MARKED).expect("YAML").remove(0)
}

/// Returns the error as `line:column message`.
fn error(text: &str, settings: &Settings) -> String {
    match yaml::read(text, settings) {
        Ok(documents) => {
            panic!("{text:?} is read as {:?}", documents.into_iter().map(|document| document.value).collect::<Vec<_>>())
        }
        Err(error) => format!("{}:{} {error}", error.at.line, error.at.column),
    }
}

#[test]
fn documents_and_where_they_start() {
    let text = "# head\na: 1\n---\n# nothing\n---\n\n  - b\n...\n---\nc\n--- {d: 1}\n";
    let documents = yaml::read(text, &DEFAULT).expect("YAML");
    let found: Vec<_> = documents.iter().map(|document| (document.value.to_string(), document.start)).collect();
    let expected = [
        (r#"{"a":1}"#, at(2, 1)),
        ("null", at(3, 1)),
        (r#"["b"]"#, at(7, 3)),
        (r#""c""#, at(10, 1)),
        (r#"{"d":1}"#, at(11, 5)),
    ];
    assert_eq!(found, expected.map(|(value, at)| (value.to_owned(), at)));
    assert!(documents.iter().all(|document| document.marks.values.is_empty() && document.marks.keys.is_empty()));
}

#[test]
fn texts_without_a_document() {
    for text in ["", "\n\n", "# only a comment\n", "\u{feff}", "\u{feff}# comment"] {
        assert_eq!(values(text, &DEFAULT), [Value::Null; 0], "{text:?}");
    }
    assert_eq!(values("---\n", &DEFAULT), [Value::Null]);
    assert_eq!(values("---\n---\n", &DEFAULT), [Value::Null, Value::Null]);
}

#[test]
fn anchors_end_with_their_document() {
    assert_eq!(
        error("a: &x 1\n---\nb: *x\n", &DEFAULT),
        "3:4 the alias `*x` has no anchor before it; a value that begins with `*` must be quoted"
    );
}

#[test]
fn every_value_and_key_has_its_position() {
    let text = "a: 1\nb:\n- x\n-   q: {z: \"é\", 'w/~': ä}\n    k: |\n      text\nc:\n    - - p\n      - q\nd:\ne: &e [1,\n  2]\nf: *e\n";
    let Marks { values, keys } = marked(text).marks;
    let expected_values = [
        ("", at(1, 1)),
        ("/a", at(1, 4)),
        ("/b", at(3, 1)),
        ("/b/0", at(3, 3)),
        ("/b/1", at(4, 5)),
        ("/b/1/k", at(6, 7)),
        ("/b/1/q", at(4, 8)),
        ("/b/1/q/w~1~0", at(4, 24)),
        ("/b/1/q/z", at(4, 12)),
        ("/c", at(8, 5)),
        ("/c/0", at(8, 7)),
        ("/c/0/0", at(8, 9)),
        ("/c/0/1", at(9, 9)),
        ("/d", at(10, 2)),
        ("/e", at(11, 7)),
        ("/e/0", at(11, 8)),
        ("/e/1", at(12, 3)),
        ("/f", at(13, 4)),
    ];
    assert_eq!(values.iter().map(|(pointer, at)| (pointer.as_str(), *at)).collect::<Vec<_>>(), expected_values);
    let expected_keys = [
        ("/a", at(1, 1)),
        ("/b", at(2, 1)),
        ("/b/1/k", at(5, 5)),
        ("/b/1/q", at(4, 5)),
        ("/b/1/q/w~1~0", at(4, 17)),
        ("/b/1/q/z", at(4, 9)),
        ("/c", at(7, 1)),
        ("/d", at(10, 1)),
        ("/e", at(11, 1)),
        ("/f", at(13, 1)),
    ];
    assert_eq!(keys.iter().map(|(pointer, at)| (pointer.as_str(), *at)).collect::<Vec<_>>(), expected_keys);
}

#[test]
fn the_nearest_position_is_that_of_the_value_around() {
    let Document { marks, .. } = marked("a: &x\n  k: [1]\nb: *x\nc:\n  <<: *x\n  l: 2\n");
    assert_eq!(marks.nearest("/a/k/0"), Some(at(2, 7)));
    assert_eq!(marks.nearest("/b/k/0"), Some(at(3, 4)), "below an alias");
    assert_eq!(marks.nearest("/c/k/0"), Some(at(5, 7)), "below a merge key");
    assert_eq!(marks.keys.get("/c/k"), Some(&at(5, 3)));
    assert_eq!(marks.nearest("/no/where"), Some(at(1, 1)));
    assert_eq!(Marks::default().nearest("/a"), None);
}

#[test]
fn a_replaced_value_leaves_no_positions_behind() {
    let settings = Settings { marks: true, ..LAST_WINS };
    let document = yaml::read("a: {b: {c: 1}}\na0: 1\na: {d: 2}\n", &settings).expect("YAML").remove(0);
    assert_eq!(document.value, json!({"a": {"d": 2}, "a0": 1}));
    assert_eq!(document.marks.values.keys().collect::<Vec<_>>(), ["", "/a", "/a/d", "/a0"]);
    assert_eq!(document.marks.keys.get("/a"), Some(&at(3, 1)));
}

#[test]
fn duplicate_keys_name_both_places() {
    for (text, message) in [
        ("a: 1\nb: 2\na: 3\n", "3:1 duplicate key `a`, first used on line 1, column 1; keep one of them"),
        ("x:\n- {a: 1, \"a\": 2}\n", "2:10 duplicate key `\"a\"`, first used on line 2, column 4; keep one of them"),
        (
            "on: 1\nyes: 2\n",
            "2:1 duplicate key `yes` (read as `true`), first used on line 1, column 1; keep one of them",
        ),
        ("8: 1\n010: 2\n", "2:1 duplicate key `010` (read as `8`), first used on line 1, column 1; keep one of them"),
    ] {
        assert_eq!(error(text, &DEFAULT), message);
        assert_eq!(error(text, &MARKED), message);
        assert_eq!(values(text, &LAST_WINS).len(), 1);
    }
    assert_eq!(values("a: {b: 1}\na: {c: 2}\n", &LAST_WINS), [json!({"a": {"c": 2}})]);
}

#[test]
fn a_merge_is_no_duplicate() {
    assert_eq!(value("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3\n")["b"], json!({"k": 3, "l": 2}));
    assert_eq!(
        value("a: &x {k: 1, l: 2}\nb:\n  k: 3\n  <<: *x\n")["b"],
        json!({"k": 1, "l": 2}),
        "a later merge wins, as in goyaml"
    );
    assert_eq!(
        value("a: &x {k: 1}\nb: &y {k: 2, m: 2}\nc: {<<: [*x, *y], <<: {o: 1}}\n")["c"],
        json!({"k": 1, "m": 2, "o": 1})
    );
    assert_eq!(value("'<<': 1\n"), json!({"<<": 1}));
    assert_eq!(value("! <<: {a: 1}\n!!merge <<: {b: 2}\n"), json!({"a": 1, "b": 2}));
    let refused = "a merge key `<<` takes a mapping or a list of mappings";
    assert_eq!(error("a: 1\n<<: x\n", &DEFAULT), format!("2:5 {refused}"));
    assert_eq!(error("<<: ~\n", &DEFAULT), format!("1:5 {refused}"));
    assert_eq!(error("a: &a [{b: 1}]\n<<: *a\n", &DEFAULT), format!("2:5 {refused}"));
    assert!(
        error("a: &x {k: 1}\nb:\n  <<: *x\n  k: 1\n  k: 2\n", &DEFAULT)
            .starts_with("5:3 duplicate key `k`, first used on line 4")
    );
}

#[test]
fn keys_that_are_no_text() {
    let text = "1: a\n1.5: b\n0x10: c\nno: d\n1e6: e\n123456789.5: f\n.inf: g\n2001-01-01: h\n0.00001: i\n! 7: j\n";
    let expected = json!({
        "1": "a", "1.5": "b", "16": "c", "false": "d", "1e+06": "e", "1.2345679e+08": "f", ".inf": "g", "2001-01-01": "h", "1e-05": "i", "7": "j",
    });
    assert_eq!(value(text), expected);
    assert_eq!(value("? &k a\n: &v 1\nm: {*k : *v}\n? b\n"), json!({"a": 1, "b": null, "m": {"a": 1}}));
}

#[test]
fn faults_are_named_with_a_hint_and_a_place() {
    for (text, message) in [
        ("a:\n\tb: 1\n", "2:2 a tab cannot indent; use spaces"),
        ("a: 1\n\t\nb: 2\n", "2:1 a tab cannot indent; use spaces"),
        ("\t# c\na: 1\n", "1:1 a tab cannot indent; use spaces"),
        ("a: b: c\n", "1:5 a mapping is not allowed here; quote a value that contains `: `, and check the indentation"),
        (
            "a: 1\n  b: 2\n",
            "2:4 a mapping is not allowed here; quote a value that contains `: `, and check the indentation",
        ),
        ("a:\n    b: 1\n  c: 2\n", "3:3 expected a key here; check the indentation"),
        ("- a\nb: 1\n", "2:1 expected `- ` here; check the indentation"),
        ("a: - b\n", "1:4 a list is not allowed here; begin it on a line of its own"),
        ("a: 1\nb\nc: 2\n", "2:1 expected `:` after this key; check the indentation, and quote text of several lines"),
        ("a: @b\n", "1:4 a value cannot begin with `@`; quote it"),
        ("a: %b\n", "1:4 a value cannot begin with `%`; quote it"),
        ("a: \"b", "1:4 this quote is never closed"),
        (
            "a: \"b\nc: d\n",
            "2:1 this line is not indented enough to go on with the quoted text above; is its quote closed?",
        ),
        ("a: [b\n", "1:4 this `[` is never closed"),
        ("a: *b\n", "1:4 the alias `*b` has no anchor before it; a value that begins with `*` must be quoted"),
        ("a: &b [*b]\n", "1:8 the alias `*b` stands inside the value that its anchor names"),
        (
            "a: {{ .Values.x }}\n",
            "1:5 a mapping cannot be a key; `{{` is a template expression: render it first, or quote the value",
        ),
        ("? {a: 1}\n: b\n", "1:3 a mapping or a list cannot be a key; quote it if it is text"),
        ("? [a]\n: b\n", "1:3 a mapping or a list cannot be a key; quote it if it is text"),
        ("~: a\n", "1:1 `~` is null, which cannot be a key; quote it"),
        (": a\n", "1:1 a key is missing before `:`"),
        ("18446744073709551615: a\n", "1:1 `18446744073709551615` is too large a number for a key; quote it"),
        ("a: .inf\n", "1:4 `.inf` has no JSON value; quote it if it is text"),
        ("a: [-.Inf]\n", "1:5 `-.Inf` has no JSON value; quote it if it is text"),
        ("a: .NaN\n", "1:4 `.NaN` has no JSON value; quote it if it is text"),
        ("%YAML 1.1\n---\na: 1\n", "1:1 directives such as `%YAML` are not supported; remove the line"),
        ("a: \"\\/\"\n", "1:5 the escape `\\/` is JSON's and not known to YAML 1.1; write `/`"),
        (
            "a:\n- \"é\\\\\\ud83d\\ude00\"\n",
            "2:7 a pair of surrogates is JSON's and not known to YAML 1.1; write the character, or `\\U` and eight digits",
        ),
        ("a: \"\\q\"\n", "1:4 unknown escape; write `\\\\` for a backslash, or use single quotes"),
        ("a: !!int b\n", "1:4 `b` is tagged `!!int`, but it is `!!str`"),
        ("a: !!null 1\n", "1:4 `1` is tagged `!!null`, but it is `!!int`"),
        ("a: !!float x\n", "1:4 `x` is tagged `!!float`, but it is `!!str`"),
        ("a: !!timestamp x\n", "1:4 `x` is tagged `!!timestamp`, but it is `!!str`"),
        ("a: !!binary '?'\n", "1:4 `!!binary` takes padded base64"),
        ("é: a\u{1}b\n", "1:5 the control character U+0001 is not allowed; write \"\\x01\" in double quotes"),
        ("a: b\u{9f}\n", "1:5 the control character U+009F is not allowed; write \"\\x9f\" in double quotes"),
        ("a: \"b\u{ffff}\"\n", "1:6 the character U+FFFF is not allowed; write \"\\uffff\" in double quotes"),
        ("a: 1\r\nb: \u{feff}\r\n", "2:4 a byte order mark is allowed at the very start only; remove it"),
        ("a: b\u{2028}c\n", "1:5 U+2028 ends a line in YAML 1.1; write \"\\u2028\" in double quotes"),
        ("a: 'b \u{2029}c'\n", "1:7 U+2029 ends a line in YAML 1.1; write \"\\u2029\" in double quotes"),
        ("# \u{85}\n", "1:3 U+0085 ends a line in YAML 1.1; write \"\\u0085\" in double quotes"),
        ("a: [?b, c]\n", "1:5 `?` inside brackets begins a key in YAML 1.1; quote text that has one"),
        ("a: [b, c?d]\n", "1:8 `?` inside brackets begins a key in YAML 1.1; quote text that has one"),
        ("a: [b:, c]\n", "1:5 YAML 1.1 and 1.2 disagree about this `:`; put a space after it, or quote the text"),
        ("a: [!b, c]\n", "1:5 put a space after this tag"),
        (
            "a: &b:c d\n",
            "1:4 the anchor name `b:c` may hold letters, digits, `-` and `_` only; quote a value that begins with `&` or `*`",
        ),
    ] {
        assert_eq!(error(text, &DEFAULT), message, "{text:?}");
        assert_eq!(error(text, &MARKED), message, "{text:?} with marks");
    }
}

#[test]
fn a_stream_that_begins_with_a_brace_may_have_the_escapes_of_json() {
    assert_eq!(value(" {\"a\": \"\\/\\ud83d\\ude00\"}"), json!({"a": "/😀"}));
}

#[test]
fn line_breaks_of_old_are_kept_inside_quotes() {
    assert_eq!(value("- 'a\u{2028}b'\n- \"\u{2029}\"\n"), json!(["a\u{2028}b", "\u{2029}"]));
}

#[test]
fn quoted_text_may_go_on_where_the_mapping_begins() {
    assert_eq!(value("a:\n  b: \"x\ny\"\n  c: 1\n"), json!({"a": {"b": "x y", "c": 1}}));
    assert_eq!(value("a:\n- 'x\n\n\n y'\n- {b: \"it's\nz\"}\n"), json!({"a": ["x\n\ny", {"b": "it's z"}]}));
    assert_eq!(value("a: \"x\n\t  y\n\n\tz\"\n"), json!({"a": "x y\nz"}));
    assert_eq!(
        value("a: 'say\r\n\"no\"'\r\nb: it's \"\r\nc: \"1\r\n2\"\r\n"),
        json!({"a": "say \"no\"", "b": "it's \"", "c": "1 2"})
    );
    assert_eq!(value("a: \"x\\\n  y\\\"\nz\" # \"\nb: 2\n"), json!({"a": "xy\" z", "b": 2}));
    assert!(error("a:\n  b: 'x\n---\ny'\n", &DEFAULT).starts_with("3:1 "), "a document ends there");
    assert!(error("a: 1\nb: \"x\ny\nc: 2\n", &DEFAULT).starts_with("3:1 "), "the quote is never closed");
}

#[test]
fn tabs_may_indent_inside_brackets() {
    let text = "a: {\n\tb: [\n\t\t1,\t2,\n 3],\n\t# c\n\t\"d\": \"e\n\tf\"\n\t}\ng: [\n\t]\n";
    assert_eq!(value(text), json!({"a": {"b": [1, 2, 3], "d": "e f"}, "g": []}));
    assert!(error("a: [b\n\tc]\n", &DEFAULT).ends_with("found a tab"), "but not in the middle of plain text");
}

#[test]
fn a_repair_may_make_a_text_shorter() {
    assert_eq!(value("a: {\n\t\t\t\n\tb: 1\n\t}\n"), json!({"a": {"b": 1}}));
    let document = marked("a:\n  - 'x\n\t\t\t\t\t\t\t\t\t\ny'\nb: {\n\t\t\t\n\tc: 1}\n");
    assert_eq!(document.value, json!({"a": ["x\ny"], "b": {"c": 1}}));
    assert_eq!(document.marks.values["/b/c"], at(7, 5));
}

#[test]
fn positions_stand_where_the_text_has_them_after_a_repair() {
    let text = "a:\n  bcd: \"x\nyz\" # comment\n  e: ['f\ng', \"h\n\ti\", j]\nk: [\n\tl]\n";
    let document = marked(text);
    assert_eq!(document.value, json!({"a": {"bcd": "x yz", "e": ["f g", "h i", "j"]}, "k": ["l"]}));
    let expected = [
        ("", at(1, 1)),
        ("/a", at(2, 3)),
        ("/a/bcd", at(2, 8)),
        ("/a/e", at(4, 6)),
        ("/a/e/0", at(4, 7)),
        ("/a/e/1", at(5, 5)),
        ("/a/e/2", at(6, 6)),
        ("/k", at(7, 4)),
        ("/k/0", at(8, 2)),
    ];
    assert_eq!(document.marks.values.iter().map(|(pointer, at)| (pointer.as_str(), *at)).collect::<Vec<_>>(), expected);
    assert_eq!(
        error("a:\n  b: {c: \"x\n\ty\", c: 1}\n", &DEFAULT),
        "3:6 duplicate key `c`, first used on line 2, column 7; keep one of them"
    );
}

#[test]
fn repairs_are_limited() {
    let repairs = |count: usize| (0..count).map(|at| format!("a{at}: 'x\ny'\n")).collect::<String>();
    assert_eq!(values(&repairs(50), &DEFAULT)[0].as_object().map(serde_json::Map::len), Some(50));
    assert_eq!(
        error(&repairs(51), &DEFAULT),
        "102:1 this line is not indented enough to go on with the quoted text above; is its quote closed?"
    );
    let large = repairs(5) + "# " + &"x".repeat(DEFAULT.limits.bytes / 2 - 200);
    assert!(error(&large, &DEFAULT).ends_with("is its quote closed?"), "no more is read again than twice the limit");
    // Lines that would have to be moved far to the right would take much memory.
    let far = format!("{{{}\n\"{}\"}}", " ".repeat(100_000), "\n\t".repeat(100_000));
    assert!(values(&far, &DEFAULT).len() == 1, "brackets need no indentation");
    let far = format!("? {}{}\"{}\"", "a", " ".repeat(100_000), "\nb".repeat(100_000));
    assert!(yaml::read(&far, &DEFAULT).is_err());
    let far = format!("a:{}'{}'", " ".repeat(100_000), "\nb".repeat(100_000));
    assert_eq!(
        error(&far, &DEFAULT),
        "2:1 this line is not indented enough to go on with the quoted text above; is its quote closed?"
    );
}

#[test]
fn bytes_are_decoded() {
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    for bytes in [
        "a: é😀".as_bytes().to_vec(),
        "\u{feff}a: é😀".as_bytes().to_vec(),
        utf16("\u{feff}a: é😀", u16::to_le_bytes),
        utf16("\u{feff}a: é😀", u16::to_be_bytes),
    ] {
        assert_eq!(yaml::decode(&bytes).expect("text"), "a: é😀");
    }
    let refused = |bytes: &[u8]| yaml::decode(bytes).map_err(|error| (error.at, error.message)).expect_err("no text");
    assert_eq!(
        refused(b"a: 1\n\xc3\xa9: \xff\xfe"),
        (at(2, 4), "this is not UTF-8 text; save the file as UTF-8".to_owned())
    );
    assert_eq!(
        refused(b"\xff\xfea\0\n\0\0\xd8x\0"),
        (at(2, 1), "this is not UTF-16 text; save the file as UTF-8".to_owned())
    );
    assert_eq!(refused(b"\xfe\xff\0a\0"), (at(1, 2), "this is not UTF-16 text; save the file as UTF-8".to_owned()));
}

#[test]
fn limit_of_bytes() {
    let settings = Settings { limits: Limits { bytes: 6, ..DEFAULT.limits }, ..DEFAULT };
    assert_eq!(values("a: bcd", &settings), [json!({"a": "bcd"})]);
    assert_eq!(error("a: bcde", &settings), "1:1 the text has 7 bytes, more than the limit of 6");
}

#[test]
fn limit_of_bytes_that_aliases_copy() {
    let text = |aliases: usize| format!("- &a {}\n{}", "x".repeat(1000), "- *a\n".repeat(aliases));
    let settings = Settings { limits: Limits { bytes: 10_000, ..DEFAULT.limits }, ..DEFAULT };
    assert_eq!(values(&text(9), &settings)[0].as_array().map(Vec::len), Some(10));
    assert_eq!(error(&text(10), &settings), "11:3 anchors and aliases copy more than 10000 bytes");
}

#[test]
fn limit_of_bytes_of_positions() {
    let key = "k".repeat(1000);
    let text = format!("{key}: [{}]", "1, ".repeat(50));
    let settings = Settings { limits: Limits { bytes: 13_000, ..DEFAULT.limits }, ..MARKED };
    assert!(error(&text, &settings).ends_with("the positions of all values take more than 52000 bytes"));
    assert_eq!(values(&text, &Settings { marks: false, ..settings }).len(), 1);
}

#[test]
fn limit_of_depth() {
    let settings = |depth| Settings { limits: Limits { depth, ..DEFAULT.limits }, ..DEFAULT };
    let block = "a:\n  - b:\n      - {c: [1]}\n";
    assert_eq!(values(block, &settings(6)).len(), 1);
    assert!(error(block, &settings(5)).ends_with("nested deeper than 5 levels"));
    let lists = "- - - 1\n";
    assert_eq!(values(lists, &settings(3)).len(), 1);
    assert!(error(lists, &settings(2)).ends_with("nested deeper than 2 levels"));
    let aliases = "a: &a [[1]]\nb: &b [*a]\nc: [*b]\n";
    assert_eq!(values(aliases, &settings(5)).len(), 1);
    assert_eq!(error(aliases, &settings(4)), "3:5 nested deeper than 4 levels", "aliases nest too");
}

#[test]
fn depth_takes_no_stack() {
    fn indented(depth: usize) -> String {
        (0..depth).map(|indent| format!("{}a:\n", " ".repeat(indent))).collect()
    }
    fn aliased(depth: usize) -> String {
        (0..depth)
            .map(|at| if at == 0 { "- &a0 []\n".to_owned() } else { format!("- &a{at} [*a{}]\n", at - 1) })
            .collect()
    }
    fn nested(depth: usize) -> [String; 3] {
        ["[".repeat(depth) + &"]".repeat(depth), "{a: ".repeat(depth) + &"}".repeat(depth), "- ".repeat(depth) + "a"]
    }
    let unlimited = Limits { bytes: usize::MAX, depth: usize::MAX, nodes: usize::MAX, documents: usize::MAX };
    let reader = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
        for settings in [Settings { limits: unlimited, ..DEFAULT }, Settings { limits: unlimited, ..MARKED }, DEFAULT] {
            for text in nested(10_000).into_iter().chain(["[".repeat(10_000), indented(1_200)]) {
                assert!(error(&text, &settings).contains("nested deeper than"));
            }
            // Whichever limit is met first: so deep a chain is nearly all copies, too.
            assert!(yaml::read(&aliased(2_000), &settings).is_err());
            let depth = settings.limits.depth.min(yaml::read::DEPTH_MAX) - 1;
            for text in nested(depth).into_iter().chain([aliased(depth.min(150)), indented(depth)]) {
                let read = values(&text, &settings);
                assert_eq!(values(&yaml::write(&read[0]), &settings), read, "deep, but not too deep");
            }
        }
        assert!(yaml::read(&indented(10_000), &Settings { limits: unlimited, ..DEFAULT }).is_err());
    });
    reader.expect("a thread").join().expect("no overflow");
}

#[test]
fn limit_of_nodes() {
    let settings = |nodes| Settings { limits: Limits { nodes, ..DEFAULT.limits }, ..DEFAULT };
    let text = "a: [1, 2]\n---\nb\n";
    assert_eq!(values(text, &settings(5)).len(), 2);
    assert_eq!(error(text, &settings(4)), "3:1 more than 4 values, aliases included");
    // Two values, the anchored list of three again, and twice by alias, for which one more is counted.
    let aliases = "a: &a [1, 2]\nb: [*a, *a]\n";
    assert_eq!(values(aliases, &settings(16)).len(), 1);
    assert!(error(aliases, &settings(15)).starts_with("2:9 more than 15 values"));
}

#[test]
fn a_billion_laughs_are_refused_before_they_are_laughed() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for at in 1..20 {
        let aliases = vec![format!("*a{}", at - 1); 9].join(", ");
        text += &format!("a{at}: &a{at} [{aliases}]\n");
    }
    let excessive = "document contains excessive aliasing";
    assert!(error(&text, &DEFAULT).contains(excessive));
    let mut text = "- &a0 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".to_owned();
    for at in 1..30 {
        text += &format!("- &a{at} {{l: *a{}, r: *a{}}}\n", at - 1, at - 1);
    }
    let unlimited_nodes = Settings { limits: Limits { nodes: usize::MAX, ..DEFAULT.limits }, ..DEFAULT };
    assert!(error(&text, &unlimited_nodes).contains(excessive));
}

#[test]
fn limit_of_documents() {
    let settings = Settings { limits: Limits { documents: 2, ..DEFAULT.limits }, ..DEFAULT };
    assert_eq!(values("a\n---\nb\n", &settings).len(), 2);
    assert_eq!(error("a\n---\nb\n---\nc\n", &settings), "4:1 more than 2 documents");
}

/// Work grows with the text and not with its square: otherwise this test would take hours.
#[test]
fn hostile_texts_take_no_more_work_than_others() {
    let settings = Settings { marks: true, ..Settings { limits: Settings::default().limits, ..LAST_WINS } };
    let long = 20_000;
    for text in [
        "&a ".repeat(long),
        "? ".repeat(long),
        ": ".repeat(long),
        "\"a\n".repeat(long),
        "a: {\n".to_owned() + &"\tb,\n".repeat(long),
        "a:\n- 'x\ny'\n".repeat(long),
        "- \"\\\\\"\n".repeat(long) + "\t",
        "\n \t\n".repeat(long),
        "'\u{2028}'\n".repeat(long),
    ] {
        assert!(yaml::read(&text, &settings).is_err(), "{:?}...", text.chars().take(20).collect::<String>());
    }
    for text in [
        "a: 1\n".repeat(long),
        "a".repeat(1000) + ": " + &"b".repeat(long),
        "x:\n  - a\n".repeat(long),
        "- '\u{2028}'\n".repeat(long),
        "a: {\n".to_owned() + &"\tb,\n".repeat(long) + "}",
        "a: '".to_owned() + &"\n\tb".repeat(long) + "'",
        (0..long / 4).map(|at| format!("k{at}:\n -\n  a\n")).collect(),
        (0..long).map(|at| format!("k{at}: &a{at} x\n")).collect(),
    ] {
        assert_eq!(values(&text, &settings).len(), 1);
    }
}
