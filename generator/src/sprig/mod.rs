//! The functions of Helm 4.2 templates: one table, [`FUNCTIONS`].
//!
//! Go's own functions belong to [`crate::gotemplate`]; this is Sprig v3.3.0 with Helm's additions and replacements. Each row declares the
//! Go types of its parameters, so that arguments arrive converted and checked. Families live in the modules below. Knows no chart: what
//! functions share during one render is the [`Host`].
//! Invariant: no function asks a clock, the environment, the network or chance, unless the host allows it.

mod bounds;
mod casing;
mod cast;
mod certificates;
mod crypto;
mod dates;
mod decimal;
mod dicts;
mod encoding;
mod formats;
mod json;
mod keys;
mod lists;
mod logic;
mod math;
mod number;
mod paths;
mod random;
mod regex;
pub mod semver;
mod strings;
mod templates;
mod toml_text;
mod unicode;
mod urls;
pub(crate) mod yaml;

use std::collections::BTreeMap;

use crate::gotemplate::{Call, Function, FunctionError};
use crate::value::{Str, Type, Value};

impl Host {
    /// Returns the state of a new render.
    pub fn new(allow_nondeterministic: bool) -> Host {
        Host { allow_nondeterministic, ..Host::default() }
    }
}

/// Refuses a function whose result differs from run to run, unless the host allows such.
fn refuse(call: &mut Call<'_>, function: &str, why: &str, hint: &str) -> Result<(), FunctionError> {
    if call.host::<Host>().is_some_and(|host| host.allow_nondeterministic) {
        return Ok(());
    }
    Err(FunctionError::new(format!("{function} {why}")).code("nondeterministic").hint(hint))
}

/// What a function gives back.
type Outcome = Result<Value, FunctionError>;

/// What functions share during one render; the host state of the execution.
#[derive(Debug, Default)]
pub struct Host {
    /// Lets functions run whose result differs from run to run; refused otherwise.
    pub allow_nondeterministic: bool,
    /// The templates being included, innermost last.
    including: Vec<Str>,
    /// How often each of them is, counted only once there are so many that one could be too deep in itself.
    included: BTreeMap<Str, usize>,
}

/// Returns a number of a document as Go writes it where it wants text.
pub(crate) fn go_number_text(number: &serde_json::Number) -> String {
    if number.is_f64() { number::go_g32(number.as_f64().unwrap_or(f64::NAN)) } else { number.to_string() }
}

pub(crate) use paths::{base_name, clean_path};

/// Reports what Sprig calls empty: nil, false, zero, and whatever has no length. A struct never is.
fn is_empty(value: &Value) -> bool {
    !value.truth()
}

const ANY: Type = Type::Any;
const STRING: Type = Type::String;
const INT: Type = Type::Int;
const BOOL: Type = Type::Bool;
const MAP: Type = Type::MAP;

/// Every function besides Go's own, by family.
pub static FUNCTIONS: &[Function] = &[
    // Templates.
    Function::template("include", &[STRING, ANY], templates::include),
    Function::template("tpl", &[STRING, ANY], templates::tpl),
    // Flow.
    Function::new("fail", &[STRING], logic::fail),
    Function::new("required", &[STRING, ANY], logic::required),
    Function::new("hello", &[], logic::hello),
    // The world outside.
    Function::new("lookup", &[STRING, STRING, STRING, STRING], logic::lookup),
    Function::new("getHostByName", &[STRING], logic::get_host_by_name),
    // Defaults.
    Function::variadic("default", &[ANY], ANY, logic::default),
    Function::new("empty", &[ANY], logic::empty),
    Function::variadic("coalesce", &[], ANY, logic::coalesce),
    Function::variadic("all", &[], ANY, logic::all),
    Function::variadic("any", &[], ANY, logic::any),
    Function::new("ternary", &[ANY, ANY, BOOL], logic::ternary),
    // Types.
    Function::new("typeOf", &[ANY], logic::type_of),
    Function::new("typeIs", &[STRING, ANY], logic::type_is),
    Function::new("typeIsLike", &[STRING, ANY], logic::type_is_like),
    Function::new("kindOf", &[ANY], logic::kind_of),
    Function::new("kindIs", &[STRING, ANY], logic::kind_is),
    Function::new("deepEqual", &[ANY, ANY], logic::are_deep_equal),
    // Strings.
    Function::new("abbrev", &[INT, STRING], strings::abbrev),
    Function::new("abbrevboth", &[INT, INT, STRING], strings::abbrevboth),
    Function::new("trunc", &[INT, STRING], strings::trunc),
    Function::new("substr", &[INT, INT, STRING], strings::substr),
    Function::new("trim", &[STRING], strings::trim),
    Function::new("trimAll", &[STRING, STRING], strings::trim_all),
    Function::new("trimall", &[STRING, STRING], strings::trim_all),
    Function::new("trimSuffix", &[STRING, STRING], strings::trim_suffix),
    Function::new("trimPrefix", &[STRING, STRING], strings::trim_prefix),
    Function::new("upper", &[STRING], strings::upper),
    Function::new("lower", &[STRING], strings::lower),
    Function::new("title", &[STRING], strings::title),
    Function::new("untitle", &[STRING], strings::untitle),
    Function::new("swapcase", &[STRING], strings::swapcase),
    Function::new("camelcase", &[STRING], casing::camelcase),
    Function::new("snakecase", &[STRING], casing::snakecase),
    Function::new("kebabcase", &[STRING], casing::kebabcase),
    Function::new("repeat", &[INT, STRING], strings::repeat),
    Function::new("nospace", &[STRING], strings::nospace),
    Function::new("initials", &[STRING], strings::initials),
    Function::new("wrap", &[INT, STRING], strings::wrap),
    Function::new("wrapWith", &[INT, STRING, STRING], strings::wrap_with),
    Function::new("contains", &[STRING, STRING], strings::contains),
    Function::new("hasPrefix", &[STRING, STRING], strings::has_prefix),
    Function::new("hasSuffix", &[STRING, STRING], strings::has_suffix),
    Function::variadic("quote", &[], ANY, strings::quote),
    Function::variadic("squote", &[], ANY, strings::squote),
    Function::variadic("cat", &[], ANY, strings::cat),
    Function::new("indent", &[INT, STRING], strings::indent),
    Function::new("nindent", &[INT, STRING], strings::nindent),
    Function::new("replace", &[STRING, STRING, STRING], strings::replace),
    Function::new("plural", &[STRING, STRING, INT], strings::plural),
    Function::new("toString", &[ANY], strings::to_string),
    Function::new("toStrings", &[ANY], strings::to_strings),
    Function::new("join", &[STRING, ANY], strings::join),
    Function::new("sortAlpha", &[ANY], strings::sort_alpha),
    Function::new("split", &[STRING, STRING], strings::split),
    Function::new("splitn", &[STRING, INT, STRING], strings::splitn),
    Function::new("splitList", &[STRING, STRING], strings::split_list),
    // Numbers.
    Function::new("atoi", &[STRING], math::atoi),
    Function::new("int", &[ANY], math::int),
    Function::new("int64", &[ANY], math::int64),
    Function::new("float64", &[ANY], math::float64),
    Function::new("toDecimal", &[ANY], math::to_decimal),
    Function::new("add1", &[ANY], math::add1),
    Function::variadic("add", &[], ANY, math::add),
    Function::new("sub", &[ANY, ANY], math::sub),
    Function::variadic("mul", &[ANY], ANY, math::mul),
    Function::new("div", &[ANY, ANY], math::div),
    Function::new("mod", &[ANY, ANY], math::modulo),
    Function::variadic("max", &[ANY], ANY, math::max),
    Function::variadic("biggest", &[ANY], ANY, math::max),
    Function::variadic("min", &[ANY], ANY, math::min),
    Function::new("add1f", &[ANY], math::add1f),
    Function::variadic("addf", &[], ANY, math::addf),
    Function::variadic("subf", &[ANY], ANY, math::subf),
    Function::variadic("mulf", &[ANY], ANY, math::mulf),
    Function::variadic("divf", &[ANY], ANY, math::divf),
    Function::variadic("maxf", &[ANY], ANY, math::maxf),
    Function::variadic("minf", &[ANY], ANY, math::minf),
    Function::new("floor", &[ANY], math::floor),
    Function::new("ceil", &[ANY], math::ceil),
    Function::variadic("round", &[ANY, INT], Type::Float64, math::round),
    Function::variadic("seq", &[], INT, math::seq),
    Function::new("until", &[INT], math::until),
    Function::new("untilStep", &[INT, INT, INT], math::until_step),
    // Lists.
    Function::variadic("list", &[], ANY, lists::list),
    Function::variadic("tuple", &[], ANY, lists::list),
    Function::new("append", &[ANY, ANY], lists::append),
    Function::new("mustAppend", &[ANY, ANY], lists::append),
    Function::new("push", &[ANY, ANY], lists::append),
    Function::new("mustPush", &[ANY, ANY], lists::append),
    Function::new("prepend", &[ANY, ANY], lists::prepend),
    Function::new("mustPrepend", &[ANY, ANY], lists::prepend),
    Function::new("first", &[ANY], lists::first),
    Function::new("mustFirst", &[ANY], lists::first),
    Function::new("last", &[ANY], lists::last),
    Function::new("mustLast", &[ANY], lists::last),
    Function::new("rest", &[ANY], lists::rest),
    Function::new("mustRest", &[ANY], lists::rest),
    Function::new("initial", &[ANY], lists::initial),
    Function::new("mustInitial", &[ANY], lists::initial),
    Function::new("reverse", &[ANY], lists::reverse),
    Function::new("mustReverse", &[ANY], lists::reverse),
    Function::new("compact", &[ANY], lists::compact),
    Function::new("mustCompact", &[ANY], lists::compact),
    Function::new("uniq", &[ANY], lists::uniq),
    Function::new("mustUniq", &[ANY], lists::uniq),
    Function::variadic("without", &[ANY], ANY, lists::without),
    Function::variadic("mustWithout", &[ANY], ANY, lists::without),
    Function::new("has", &[ANY, ANY], lists::has),
    Function::new("mustHas", &[ANY, ANY], lists::has),
    Function::variadic("slice", &[ANY], ANY, lists::slice),
    Function::variadic("mustSlice", &[ANY], ANY, lists::slice),
    Function::variadic("concat", &[], ANY, lists::concat),
    Function::new("chunk", &[INT, ANY], lists::chunk),
    Function::new("mustChunk", &[INT, ANY], lists::chunk),
    // Maps.
    Function::variadic("dict", &[], ANY, dicts::dict),
    Function::new("get", &[MAP, STRING], dicts::get),
    Function::new("set", &[MAP, STRING, ANY], dicts::set),
    Function::new("unset", &[MAP, STRING], dicts::unset),
    Function::new("hasKey", &[MAP, STRING], dicts::has_key),
    Function::variadic("pluck", &[STRING], MAP, dicts::pluck),
    Function::variadic("keys", &[], MAP, dicts::keys),
    Function::new("values", &[MAP], dicts::values),
    Function::variadic("pick", &[MAP], STRING, dicts::pick),
    Function::variadic("omit", &[MAP], STRING, dicts::omit),
    Function::variadic("merge", &[MAP], MAP, dicts::merge),
    Function::variadic("mustMerge", &[MAP], MAP, dicts::merge),
    Function::variadic("mergeOverwrite", &[MAP], MAP, dicts::merge_overwrite),
    Function::variadic("mustMergeOverwrite", &[MAP], MAP, dicts::merge_overwrite),
    Function::new("deepCopy", &[ANY], dicts::deep_copy),
    Function::new("mustDeepCopy", &[ANY], dicts::deep_copy),
    Function::variadic("dig", &[], ANY, dicts::dig),
    // Encoding.
    Function::new("b64enc", &[STRING], encoding::b64enc),
    Function::new("b64dec", &[STRING], encoding::b64dec),
    Function::new("sha1sum", &[STRING], encoding::sha1sum),
    Function::new("sha256sum", &[STRING], encoding::sha256sum),
    Function::new("sha512sum", &[STRING], encoding::sha512sum),
    Function::new("b32enc", &[STRING], encoding::b32enc),
    Function::new("b32dec", &[STRING], encoding::b32dec),
    Function::new("adler32sum", &[STRING], encoding::adler32sum),
    // Documents.
    Function::new("toYaml", &[ANY], formats::to_yaml),
    Function::new("mustToYaml", &[ANY], formats::must_to_yaml),
    Function::new("toYamlPretty", &[ANY], formats::to_yaml_pretty),
    Function::new("fromYaml", &[STRING], formats::from_yaml),
    Function::new("fromYamlArray", &[STRING], formats::from_yaml_array),
    Function::new("toJson", &[ANY], formats::to_json),
    Function::new("mustToJson", &[ANY], formats::must_to_json),
    Function::new("toPrettyJson", &[ANY], formats::to_pretty_json),
    Function::new("mustToPrettyJson", &[ANY], formats::must_to_pretty_json),
    Function::new("toRawJson", &[ANY], formats::to_raw_json),
    Function::new("mustToRawJson", &[ANY], formats::to_raw_json),
    Function::new("fromJson", &[STRING], formats::from_json_map),
    Function::new("fromJsonArray", &[STRING], formats::from_json_array),
    Function::new("mustFromJson", &[STRING], formats::must_from_json),
    Function::new("toToml", &[ANY], formats::to_toml),
    Function::new("mustToToml", &[ANY], formats::must_to_toml),
    Function::new("fromToml", &[STRING], formats::from_toml),
    // Regular expressions.
    Function::new("regexMatch", &[STRING, STRING], regex::regex_match),
    Function::new("mustRegexMatch", &[STRING, STRING], regex::must_regex_match),
    Function::new("regexFind", &[STRING, STRING], regex::regex_find),
    Function::new("mustRegexFind", &[STRING, STRING], regex::must_regex_find),
    Function::new("regexFindAll", &[STRING, STRING, INT], regex::regex_find_all),
    Function::new("mustRegexFindAll", &[STRING, STRING, INT], regex::must_regex_find_all),
    Function::new("regexReplaceAll", &[STRING, STRING, STRING], regex::regex_replace_all),
    Function::new("mustRegexReplaceAll", &[STRING, STRING, STRING], regex::must_regex_replace_all),
    Function::new("regexReplaceAllLiteral", &[STRING, STRING, STRING], regex::regex_replace_all_literal),
    Function::new("mustRegexReplaceAllLiteral", &[STRING, STRING, STRING], regex::must_regex_replace_all_literal),
    Function::new("regexSplit", &[STRING, STRING, INT], regex::regex_split),
    Function::new("mustRegexSplit", &[STRING, STRING, INT], regex::must_regex_split),
    Function::new("regexQuoteMeta", &[STRING], regex::regex_quote_meta),
    // Versions.
    Function::new("semver", &[STRING], semver::semver),
    Function::new("semverCompare", &[STRING, STRING], semver::semver_compare),
    // Paths and addresses.
    Function::new("base", &[STRING], paths::base),
    Function::new("dir", &[STRING], paths::dir),
    Function::new("clean", &[STRING], paths::clean),
    Function::new("ext", &[STRING], paths::ext),
    Function::new("isAbs", &[STRING], paths::is_abs),
    Function::new("osBase", &[STRING], paths::base),
    Function::new("osDir", &[STRING], paths::dir),
    Function::new("osClean", &[STRING], paths::clean),
    Function::new("osExt", &[STRING], paths::ext),
    Function::new("osIsAbs", &[STRING], paths::is_abs),
    Function::new("urlParse", &[STRING], urls::url_parse),
    Function::new("urlJoin", &[MAP], urls::url_join),
    // Dates.
    Function::new("now", &[], dates::now),
    Function::new("ago", &[ANY], dates::ago),
    Function::new("date", &[STRING, ANY], dates::date),
    Function::new("dateInZone", &[STRING, ANY, STRING], dates::date_in_zone),
    Function::new("date_in_zone", &[STRING, ANY, STRING], dates::date_in_zone),
    Function::new("htmlDate", &[ANY], dates::html_date),
    Function::new("htmlDateInZone", &[ANY, STRING], dates::html_date_in_zone),
    Function::new("dateModify", &[STRING, dates::TIME], dates::date_modify),
    Function::new("date_modify", &[STRING, dates::TIME], dates::date_modify),
    Function::new("mustDateModify", &[STRING, dates::TIME], dates::must_date_modify),
    Function::new("must_date_modify", &[STRING, dates::TIME], dates::must_date_modify),
    Function::new("toDate", &[STRING, STRING], dates::to_date),
    Function::new("mustToDate", &[STRING, STRING], dates::must_to_date),
    Function::new("unixEpoch", &[dates::TIME], dates::unix_epoch),
    Function::new("duration", &[ANY], dates::duration),
    Function::new("durationRound", &[ANY], dates::duration_round),
    // Chance.
    Function::new("randAlphaNum", &[INT], random::alpha_num),
    Function::new("randAlpha", &[INT], random::alpha),
    Function::new("randAscii", &[INT], random::ascii),
    Function::new("randNumeric", &[INT], random::numeric),
    Function::new("randBytes", &[INT], random::rand_bytes),
    Function::new("randInt", &[INT, INT], random::rand_int),
    Function::new("shuffle", &[STRING], random::shuffle),
    Function::new("uuidv4", &[], random::uuidv4),
    // Passwords, keys, certificates.
    Function::new("bcrypt", &[STRING], crypto::bcrypt),
    Function::new("htpasswd", &[STRING, STRING], crypto::htpasswd),
    Function::new("derivePassword", &[Type::Uint32, STRING, STRING, STRING, STRING], crypto::derive_password),
    Function::new("encryptAES", &[STRING, STRING], crypto::encrypt_aes),
    Function::new("decryptAES", &[STRING, STRING], crypto::decrypt_aes),
    Function::new("buildCustomCert", &[STRING, STRING], certificates::build_custom_cert),
    Function::new("genPrivateKey", &[STRING], certificates::gen_private_key),
    Function::new("genCA", &[STRING, INT], certificates::gen_ca),
    Function::new("genCAWithKey", &[STRING, INT, STRING], certificates::gen_ca_with_key),
    Function::new("genSelfSignedCert", &[STRING, Type::LIST, Type::LIST, INT], certificates::gen_self_signed_cert),
    Function::new(
        "genSelfSignedCertWithKey",
        &[STRING, Type::LIST, Type::LIST, INT, STRING],
        certificates::gen_self_signed_cert_with_key,
    ),
    Function::new(
        "genSignedCert",
        &[STRING, Type::LIST, Type::LIST, INT, certificates::CERTIFICATE],
        certificates::gen_signed_cert,
    ),
    Function::new(
        "genSignedCertWithKey",
        &[STRING, Type::LIST, Type::LIST, INT, certificates::CERTIFICATE, STRING],
        certificates::gen_signed_cert_with_key,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_helms() {
        let builtins = 19;
        let mut names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a name comes twice");
        // `slice` hides Go's own function of that name.
        assert_eq!(names.len() + builtins - 1, 240);
    }
}
