//! What templates see besides values: `.Files`, `.Capabilities`, `.Release`.
//!
//! Source: Helm v4.2.3 `pkg/engine/files.go`, `pkg/chart/common/capabilities.go`, `internal/version`.

use std::any::Any;
use std::cell::OnceCell;

use base64::Engine;

use super::glob::Glob;
use super::package::Package;
use super::{Capabilities, Request};
use crate::value::{Elem, List, ListType, Map, MapType, Method, Object, Oversized, STRING_MAP, Str, Type, Value};

/// The type of `.Files`: content by path.
static FILES: MapType = MapType {
    name: "engine.files",
    elem: Elem::Bytes,
    methods: &[
        Method::new("Get", &[Type::String], |files, args| Ok(Value::from(Str::from(&content(files, args)[..])))),
        Method::new("GetBytes", &[Type::String], |files, args| Ok(Value::Bytes(content(files, args)))),
        Method::new("Glob", &[Type::String], glob),
        Method::new("AsConfig", &[], |files, _| as_yaml(files, |content| Value::from(Str::from(content)))),
        Method::new("AsSecrets", &[], |files, _| {
            as_yaml(files, |content| Value::from(base64::engine::general_purpose::STANDARD.encode(content)))
        }),
        Method::new("Lines", &[Type::String], lines),
    ],
};

/// Returns `.Files` of a chart.
pub(super) fn files(package: &Package) -> Value {
    let files = package.file_names.iter().zip(&package.files);
    let entries = files.map(|(name, file)| (name.clone(), Value::Bytes(file.content.clone())));
    Value::Map(Map::typed(&FILES, entries.collect()))
}

fn content(files: &Value, args: &[Value]) -> std::sync::Arc<[u8]> {
    let name = args.first().and_then(Value::as_string);
    let found = files.as_map().zip(name).and_then(|(files, name)| files.get(name));
    match found {
        Some(Value::Bytes(content)) => content,
        _ => std::sync::Arc::from(&[][..]),
    }
}

fn glob(files: &Value, args: &[Value]) -> Result<Value, String> {
    let pattern = args.first().and_then(Value::as_string).map(Str::to_str_lossy).unwrap_or_default();
    let mut glob = Glob::new(&pattern);
    let mut matches = |path: &Str| glob.as_mut().is_none_or(|glob| glob.matches(&path.to_str_lossy()));
    let entries = files.as_map().map(Map::entries).unwrap_or_default();
    let found = entries.into_iter().filter(|(path, _)| matches(path));
    Ok(Value::Map(Map::typed(&FILES, found.collect())))
}

/// Returns the YAML of the contents by the last part of their paths. Where two share it, the one whose path comes last wins; Go leaves it
/// to chance.
fn as_yaml(files: &Value, convert: fn(&[u8]) -> Value) -> Result<Value, String> {
    let Some(files) = files.as_map() else { return Ok(Value::from("")) };
    let named = files.entries().into_iter().map(|(path, content)| {
        let name = Str::from(crate::sprig::base_name(&path.to_str_lossy()));
        let value = match &content {
            Value::Bytes(content) => convert(content),
            _ => Value::Nil,
        };
        (name, value)
    });
    let map = Value::Map(Map::typed(&STRING_MAP, named.collect()));
    let text = crate::sprig::yaml::marshal(&map).unwrap_or_default();
    Ok(Value::from(text.strip_suffix('\n').unwrap_or(&text)))
}

fn lines(files: &Value, args: &[Value]) -> Result<Value, String> {
    let name = args.first().and_then(Value::as_string);
    let Some(Value::Bytes(content)) = files.as_map().zip(name).and_then(|(files, name)| files.get(name)) else {
        return Ok(Value::strings::<Str>([]));
    };
    let Some(last) = content.last() else {
        return Err("runtime error: index out of range [-1]".to_owned());
    };
    let text = if *last == b'\n' { &content[..content.len() - 1] } else { &content[..] };
    Ok(Value::List(List::strings(text.split(|b| *b == b'\n').map(Str::from))))
}

/// Returns `.Release`.
pub(super) fn release(request: &Request) -> Value {
    Value::record([
        ("IsInstall", Value::Bool(!request.is_upgrade)),
        ("IsUpgrade", Value::Bool(request.is_upgrade)),
        ("Name", Value::from(request.release_name.as_str())),
        ("Namespace", Value::from(request.namespace.as_str())),
        ("Revision", Value::Int(1)),
        ("Service", Value::String(Str::constant("Helm"))),
    ])
}

/// The API versions Helm 4.2.3 takes for granted without a cluster, in its order.
pub const KNOWN_API_VERSIONS: [&str; 55] = [
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha2",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
];

/// The type of `.Capabilities.APIVersions`.
static VERSION_SET: ListType = ListType {
    name: "common.VersionSet",
    elem: Elem::String,
    methods: &[Method::new("Has", &[Type::String], |set, args| {
        let wanted = args.first().and_then(Value::as_string);
        let found = set.as_list().is_some_and(|set| set.borrow().iter().any(|version| version.as_string() == wanted));
        Ok(Value::Bool(found))
    })],
};

/// `*common.Capabilities`.
#[derive(Debug)]
struct CapabilitiesObject {
    kube_version: Value,
    /// Those that Helm does not take for granted.
    own_versions: Vec<String>,
    /// Made when a template asks for them, which few do.
    api_versions: OnceCell<Value>,
    helm_version: Value,
}

impl CapabilitiesObject {
    fn api_versions(&self) -> Value {
        let make = || {
            let known = KNOWN_API_VERSIONS.into_iter().map(|version| Value::String(Str::constant(version)));
            let own = self.own_versions.iter().map(|version| Value::from(version.as_str()));
            Value::List(List::typed(&VERSION_SET, known.chain(own).collect()))
        };
        self.api_versions.get_or_init(make).clone()
    }
}

/// Returns `.Capabilities`.
///
/// # Errors
/// Where the version of Kubernetes is none.
pub(super) fn capabilities(capabilities: &Capabilities) -> Result<(KubeVersion, Value), String> {
    let kube_version = KubeVersion::parse(&capabilities.kube_version)?;
    let object = CapabilitiesObject {
        kube_version: Value::object(kube_version.clone()),
        own_versions: capabilities.api_versions.clone(),
        api_versions: OnceCell::new(),
        helm_version: Value::object(BuildInfo),
    };
    Ok((kube_version, Value::object(object)))
}

impl Object for CapabilitiesObject {
    fn type_name(&self) -> &'static str {
        "*common.Capabilities"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("KubeVersion", self.kube_version.clone()),
            ("APIVersions", self.api_versions()),
            ("HelmVersion", self.helm_version.clone()),
        ]
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "KubeVersion" => Some(self.kube_version.clone()),
            "APIVersions" => Some(self.api_versions()),
            "HelmVersion" => Some(self.helm_version.clone()),
            _ => None,
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The version of Kubernetes, as templates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeVersion {
    /// As given, with a leading `v`.
    pub version: String,
    /// Without what follows the numbers; constraints look at this one.
    pub normalized: String,
    major: String,
    minor: String,
    /// A function has it, without the methods of a pointer.
    is_copy: bool,
}

impl KubeVersion {
    /// Reads a version of Kubernetes as `k8s.io/apimachinery` does: two or more numbers, whatever follows.
    fn parse(text: &str) -> Result<KubeVersion, String> {
        let bare = text.strip_prefix('v').unwrap_or(text);
        let numbers_end = bare.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(bare.len());
        let numbers = bare[..numbers_end].trim_end_matches('.');
        let refuse = || format!("could not parse {text:?} as version");
        let parts: Vec<u64> =
            numbers.split('.').map(|part| part.parse().map_err(|_| refuse())).collect::<Result<_, _>>()?;
        let [major, minor, ..] = parts[..] else { return Err(refuse()) };
        let normalized: Vec<String> = parts.iter().map(u64::to_string).collect();
        let version = if text.starts_with('v') { text.to_owned() } else { format!("v{text}") };
        Ok(KubeVersion {
            version,
            normalized: format!("v{}", normalized.join(".")),
            major: major.to_string(),
            minor: minor.to_string(),
            is_copy: false,
        })
    }
}

impl Object for KubeVersion {
    fn type_name(&self) -> &'static str {
        "common.KubeVersion"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Version", Value::from(self.version.as_str())),
            ("Major", Value::from(self.major.as_str())),
            ("Minor", Value::from(self.minor.as_str())),
        ]
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Version" => Some(Value::from(self.version.as_str())),
            "Major" => Some(Value::from(self.major.as_str())),
            "Minor" => Some(Value::from(self.minor.as_str())),
            _ => None,
        }
    }

    /// The version; of a copy what Go prints of the struct, the field that templates do not see included.
    fn text(&self) -> Option<Str> {
        let KubeVersion { version, normalized, major, minor, is_copy } = self;
        let printed = if *is_copy { format!("{{{version} {normalized} {major} {minor}}}") } else { normalized.clone() };
        Some(Str::from(printed))
    }

    fn all_fields(&self) -> Vec<(&'static str, Value)> {
        let [version, numbers @ ..] = &self.fields()[..] else { return Vec::new() };
        let hidden = ("normalizedVersion", Value::from(self.normalized.as_str()));
        [version.clone(), hidden].into_iter().chain(numbers.iter().cloned()).collect()
    }

    fn deeply_copied(&self) -> Option<Value> {
        Some(Value::object(KubeVersion { is_copy: true, normalized: String::new(), ..self.clone() }))
    }

    fn copied(&self) -> Option<Value> {
        (!self.is_copy).then(|| Value::object(KubeVersion { is_copy: true, ..self.clone() }))
    }

    fn methods(&self) -> &'static [Method] {
        static METHODS: &[Method] = &[
            Method::new("String", &[], |version, _| kube_text(version, |version| &version.normalized)),
            Method::new("GitVersion", &[], |version, _| kube_text(version, |version| &version.version)),
        ];
        if self.is_copy { &[] } else { METHODS }
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.as_any().downcast_ref::<KubeVersion>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn kube_text(version: &Value, get: fn(&KubeVersion) -> &String) -> Result<Value, String> {
    let version = version.as_object::<KubeVersion>().ok_or("not a version of Kubernetes")?;
    Ok(Value::from(get(version).as_str()))
}

/// What Helm says of its own build; ours is that of the SDK we are measured against.
#[derive(Debug)]
struct BuildInfo;

impl BuildInfo {
    const VERSION: &str = "v4.2";
    const GO_VERSION: &str = "go1.26.6";
    const KUBE_CLIENT_VERSION: &str = "v1.36";
}

impl Object for BuildInfo {
    fn type_name(&self) -> &'static str {
        "version.BuildInfo"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Version", Value::from(BuildInfo::VERSION)),
            ("GitCommit", Value::from("")),
            ("GitTreeState", Value::from("")),
            ("GoVersion", Value::from(BuildInfo::GO_VERSION)),
            ("KubeClientVersion", Value::from(BuildInfo::KUBE_CLIENT_VERSION)),
        ]
    }

    fn json_fields(&self) -> Option<Vec<(&'static str, Value)>> {
        Some(vec![
            ("version", Value::from(BuildInfo::VERSION)),
            ("go_version", Value::from(BuildInfo::GO_VERSION)),
            ("kube_client_version", Value::from(BuildInfo::KUBE_CLIENT_VERSION)),
        ])
    }

    fn json(&self) -> Option<Result<serde_json::Value, Oversized>> {
        Some(Ok(serde_json::json!({
            "version": BuildInfo::VERSION,
            "go_version": BuildInfo::GO_VERSION,
            "kube_client_version": BuildInfo::KUBE_CLIENT_VERSION,
        })))
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.as_any().is::<BuildInfo>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
